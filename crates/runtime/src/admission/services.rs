//! Calls to services that are not the API server.
//!
//! They carry no credential of ours: whoever may write a policy could otherwise have our token sent to
//! an address of their choice. A redirect is not followed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use http::request::Request;
use kube::Client;
use proofstream_policy::Answer;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::lookups::read;

/// How long a service may take to take a connection, and to say something.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);
/// Most services whose connections are kept.
const KEPT: usize = 64;

/// Who is asked, and by which certificates it is known.
type Key = (String, Option<String>);

/// Calls services.
#[derive(Default)]
pub(super) struct Services {
    clients: Mutex<HashMap<Key, Client>>,
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) body: Option<&'a str>,
    pub(super) ca_bundle: Option<&'a str>,
    pub(super) headers: &'a [(String, String)],
}

// === impl Services ===

impl Services {
    /// Makes a call and decodes what is answered. The caller bounds the time.
    pub(super) async fn call(&self, call: &Call<'_>) -> Answer {
        let failed = |error: String| format!("{} `{}`: {error}", call.method, call.url);
        let uri: Uri = call
            .url
            .parse()
            .map_err(|error| failed(format!("is not an address that can be called: {error}")))?;
        let client = self.client(&uri, call.ca_bundle).map_err(failed)?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request::builder().method(call.method).uri(path);
        let given = |name: &str| call.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        for name in ["Accept", "Content-Type"].into_iter().filter(|name| !given(name)) {
            request = request.header(name, "application/json");
        }
        for (key, value) in call.headers {
            request = request.header(key, value);
        }
        let body = kube::client::Body::from(call.body.unwrap_or_default().as_bytes().to_vec());
        let request = request.body(body).map_err(|error| failed(error.to_string()))?;
        read(client.send(request).await).await.map_err(failed)
    }

    fn client(&self, uri: &Uri, ca_bundle: Option<&str>) -> Result<Client, String> {
        let scheme = uri.scheme_str().unwrap_or_default();
        let Some(authority) = uri.authority().filter(|_| matches!(scheme, "http" | "https")) else {
            return Err("an address begins with http:// or https://".to_owned());
        };
        let base = format!("{scheme}://{authority}");
        let key = (base.clone(), ca_bundle.map(str::to_owned));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let mut config = kube::Config::new(
            base.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?,
        );
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(SILENCE);
        config.default_retry = false;
        config.root_cert =
            ca_bundle.filter(|text| !text.is_empty()).map(certificates).transpose()?;
        let client = Client::try_from(config).map_err(|error| error.to_string())?;
        if clients.len() >= KEPT {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| certificate.map(|certificate| certificate.as_ref().to_vec()))
        .collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("`caBundle` holds no certificate".to_owned()),
        Err(error) => Err(format!("`caBundle` cannot be read: {error}")),
    }
}
