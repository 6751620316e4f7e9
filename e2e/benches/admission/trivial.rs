//! What ours is measured beside: a webhook like ours in all but its namespace and its answer.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use proofstream_server::certificates::Certificates;
use proofstream_server::listener::{self, Bounds, Handler};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{OURS, TRIVIAL};

/// Answers "allowed" to whatever it is asked.
struct Allow;

impl Handler for Allow {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Response::new(Full::default()),
        };
        let review: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": review.pointer("/request/uid"), "allowed": true},
        });
        let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        response
    }
}

/// The argument with which this benchmark starts itself as the webhook that ours is measured beside.
pub(crate) const SERVE: &str = "--serve-trivial";

/// The webhook in a process of its own, as ours is. It ends when this is dropped.
pub(crate) struct Trivial {
    child: Child,
}

impl Trivial {
    /// Starts it, and registers it as ours is registered.
    pub(crate) async fn start(client: &Client, folder: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .arg(folder.join("trivial"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let mut line = || lines.next().context("the trivial webhook ended")?.context("no line");
        let (address, bundle) = (line()?, STANDARD.decode(line()?)?);
        let trivial = Self { child };
        register(client, &address, &bundle).await?;
        Ok(trivial)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Trivial {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until its input ends; says its address and its authority's certificate first, a line each.
pub(crate) async fn serve(folder: &Path) -> Result<()> {
    let names = vec!["127.0.0.1".to_owned()];
    let certificates = Arc::new(Certificates::open(folder, names, Timestamp::now())?);
    let tls = listener::tls_config(Arc::<Certificates>::clone(&certificates))?;
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}\n{}", socket.local_addr()?, STANDARD.encode(certificates.bundle().as_ref()));
    let bounds = Bounds { connections: 1_024, drain: Duration::from_secs(5) };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listener::serve(socket, tls, Arc::new(Allow), bounds, stop.clone()));
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await??;
    stop.cancel();
    serving.await?;
    Ok(())
}

async fn register(client: &Client, address: &str, bundle: &[u8]) -> Result<()> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mut like_ours = api.get("proofstream").await?;
    like_ours.metadata =
        kube::core::ObjectMeta { name: Some(TRIVIAL.to_owned()), ..Default::default() };
    like_ours.labels_mut().clear();
    for webhook in like_ours.webhooks.iter_mut().flatten() {
        webhook.name = format!("trivial.{}", webhook.name);
        webhook.client_config.url = Some(format!("https://{address}/"));
        webhook.client_config.ca_bundle = Some(ByteString(bundle.to_owned()));
        for condition in webhook.match_conditions.iter_mut().flatten() {
            condition.expression =
                condition.expression.replace(&format!("'{OURS}'"), &format!("'{TRIVIAL}'"));
        }
        let selector = webhook.namespace_selector.iter_mut();
        let requirements =
            selector.flat_map(|selector| selector.match_expressions.iter_mut().flatten());
        for value in requirements.flat_map(|requirement| requirement.values.iter_mut().flatten()) {
            if value == OURS {
                TRIVIAL.clone_into(value);
            }
        }
    }
    api.create(&PostParams::default(), &like_ours).await?;
    Ok(())
}
