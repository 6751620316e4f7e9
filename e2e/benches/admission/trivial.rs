//! What ours is measured beside: a webhook like ours in all but its namespace and its answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
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

/// Serves it, and registers it as ours is registered.
pub(crate) async fn webhook(client: &Client, folder: &Path, stop: CancellationToken) -> Result<()> {
    let names = vec!["127.0.0.1".to_owned()];
    let certificates =
        Arc::new(Certificates::open(&folder.join("trivial"), names, Timestamp::now())?);
    let tls = listener::tls_config(Arc::<Certificates>::clone(&certificates))?;
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    let bounds = Bounds { connections: 1_024, drain: Duration::from_secs(5) };
    tokio::spawn(listener::serve(socket, tls, Arc::new(Allow), bounds, stop));
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mut like_ours = api.get("proofstream").await?;
    like_ours.metadata =
        kube::core::ObjectMeta { name: Some(TRIVIAL.to_owned()), ..Default::default() };
    like_ours.labels_mut().clear();
    for webhook in like_ours.webhooks.iter_mut().flatten() {
        webhook.name = format!("trivial.{}", webhook.name);
        webhook.client_config.url = Some(format!("https://{address}/"));
        webhook.client_config.ca_bundle = Some(ByteString(certificates.bundle().as_ref().clone()));
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
