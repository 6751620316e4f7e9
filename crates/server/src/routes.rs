//! What the TLS listener answers, and whom: one table, held by a test of every route.
//!
//! Admission calls carry no credential of ours: an API server shows one to an admission webhook only
//! where its `--admission-control-config-file` names it, which a stranger's cluster does not. What
//! that leaves open is said in `admission.rs`. Audit events would become evidence, so each host shows
//! its own token.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::{Body, Incoming};
use proofstream_runtime::webhooks::{Lane, POLICIES_PATH};

use crate::admission::{Asked, Webhook};
use crate::answer::{Answer, text};
use crate::audit_webhook::AuditWebhooks;
use crate::listener::Handler;

/// Who may ask a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Anybody; the answer is one word.
    Open,
    /// Anybody who reaches the port, by design: the API server shows no credential.
    Network,
    /// Whoever shows the token of the host in the path.
    HostToken,
}

/// A route of the TLS listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Its path; `{…}` stands for one segment.
    pub path: &'static str,
    /// Who may ask.
    pub guard: Guard,
}

/// All of them; anything else is 404, or 405 where only the method differs.
pub const ROUTES: [Route; 6] = [
    Route { method: "GET", path: "/healthz", guard: Guard::Open },
    Route { method: "GET", path: "/readyz", guard: Guard::Open },
    Route { method: "POST", path: "/mutate/{lane}", guard: Guard::Network },
    Route { method: "POST", path: "/validate/{lane}", guard: Guard::Network },
    Route { method: "POST", path: POLICIES_PATH, guard: Guard::Network },
    Route { method: "POST", path: "/audit/{host}", guard: Guard::HostToken },
];

/// The TLS listener's handler.
pub struct Routes {
    admission: Arc<Webhook>,
    audit: Arc<AuditWebhooks>,
}

// === impl Routes ===

impl Routes {
    /// Over both parts.
    pub fn new(admission: Arc<Webhook>, audit: Arc<AuditWebhooks>) -> Self {
        Self { admission, audit }
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send,
    {
        let path = request.uri().path().to_owned();
        let method = ROUTES.iter().find(|route| matches(route.path, &path)).map(|it| it.method);
        // Whoever shows no token learns nothing of the routes that need one.
        if let Some(host) = path.strip_prefix("/audit/") {
            return self.audit.take(host, request).await;
        }
        match method {
            None => text(StatusCode::NOT_FOUND, "not found"),
            Some(method) if request.method().as_str() != method => {
                text(StatusCode::METHOD_NOT_ALLOWED, method)
            }
            Some(_) => match (path.as_str(), Lane::at(&path)) {
                ("/healthz", _) => text(StatusCode::OK, "ok"),
                ("/readyz", _) if self.admission.takes_work() => text(StatusCode::OK, "ok"),
                ("/readyz", _) => {
                    text(StatusCode::SERVICE_UNAVAILABLE, "the policies are not read yet")
                }
                (POLICIES_PATH, _) => self.admission.answer(&Asked::Policy, request).await,
                (_, Some((phase, lane))) => {
                    self.admission.answer(&Asked::Lane(phase, lane), request).await
                }
                (_, None) => text(StatusCode::NOT_FOUND, "not found"),
            },
        }
    }
}

impl Handler for Routes {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        self.answer(request).await
    }
}

/// Whether `path` is of the form `pattern`.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('{') {
        None => pattern == path,
        Some((before, _)) => path
            .strip_prefix(before)
            .is_some_and(|segment| !segment.is_empty() && !segment.contains('/')),
    }
}
