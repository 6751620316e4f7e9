//! What a policy must look up before it can judge.

use std::future::Future;
use std::pin::Pin;

use http::Request;
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DynamicObject, GroupVersionKind, TypeMeta};
use kube::{Api, Client, Resource as _};
use proofstream_policy::{Answer, Lookup};
use serde_json::Value;

/// The longest answer to a lookup.
const ANSWER_BYTES: usize = 2 << 20;

/// A future of a resolver.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Finds out what a policy must know.
pub trait LookupResolver: Send + Sync {
    /// Finds one thing out, or says why not. The caller bounds the time.
    fn resolve<'a>(&'a self, lookup: &'a Lookup) -> Resolving<'a>;
}

/// Asks the API server.
pub struct ApiServer {
    client: Client,
}

// === impl ApiServer ===

impl ApiServer {
    /// Asks as `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Answer {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = api
            .get(name)
            .await
            .map_err(|error| format!("ConfigMap `{namespace}/{name}`: {error}"))?;
        serde_json::to_value(found).map_err(|error| error.to_string())
    }

    /// One object, or without a name all of them in the namespace.
    async fn object(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Answer {
        let gvk = GroupVersionKind::try_from(TypeMeta {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        })
        .map_err(|error| format!("`{api_version}` `{kind}`: {error}"))?;
        let (resource, _) = kube::discovery::pinned_kind(&self.client, &gvk)
            .await
            .map_err(|error| format!("`{api_version}` `{kind}` is not served: {error}"))?;
        let shown = [namespace, name].into_iter().flatten().collect::<Vec<_>>().join("/");
        // A name that is none must not become another path.
        let leads_astray =
            |text: &str| text.contains(['/', '%', '?', '#']) || text.starts_with('.');
        if [namespace, name].into_iter().flatten().any(leads_astray) {
            return Err(format!("`{shown}` is no name of an object"));
        }
        let mut path = DynamicObject::url_path(&resource, namespace);
        if let Some(name) = name {
            path.push('/');
            path.push_str(name);
        }
        self.call("GET", &path, None).await.map_err(|error| {
            let missing = error.ends_with("404 Not Found");
            if missing { format!("{kind} `{shown}` does not exist") } else { error }
        })
    }

    async fn call(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let failed = |error: String| format!("{method} `{path}`: {error}");
        if !path.starts_with('/') {
            return Err(failed("a path begins with `/`".to_owned()));
        }
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Accept", "application/json")
            .header("Content-Type", "application/json")
            .body(kube::client::Body::from(body.unwrap_or_default().as_bytes().to_vec()))
            .map_err(|error| failed(error.to_string()))?;
        let response =
            self.client.send(request).await.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| failed(format!("the answer cannot be read: {error}")))?
            .to_bytes();
        if !status.is_success() {
            return Err(failed(status.to_string()));
        }
        serde_json::from_slice::<Value>(&bytes).map_err(|error| failed(error.to_string()))
    }
}

impl LookupResolver for ApiServer {
    fn resolve<'a>(&'a self, lookup: &'a Lookup) -> Resolving<'a> {
        Box::pin(async move {
            match lookup {
                Lookup::ConfigMap { namespace, name } => self.config_map(namespace, name).await,
                Lookup::ApiCall { method, url_path, body } => {
                    self.call(method, url_path, body.as_deref()).await
                }
                Lookup::Object { api_version, kind, namespace, name } => {
                    self.object(api_version, kind, namespace.as_deref(), Some(name)).await
                }
                Lookup::Objects { api_version, kind, namespace } => {
                    self.object(api_version, kind, namespace.as_deref(), None).await
                }
                Lookup::Service { url, .. } => {
                    Err(format!("calls to services are not made by this version: `{url}`"))
                }
                Lookup::Global { name, .. } => Err(format!(
                    "GlobalContextEntry `{name}`: global entries are not kept by this version"
                )),
                Lookup::Image { reference } => {
                    Err(format!("registries are not asked by this version: `{reference}`"))
                }
            }
        })
    }
}
