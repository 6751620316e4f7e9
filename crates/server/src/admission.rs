//! The admission webhook's HTTP side: routes, bounds, deadlines.
//!
//! The API server is not asked for a client certificate: whoever reaches this port can learn what the
//! policies would say of an object and can have decisions recorded that no API server asked for. They
//! join no audit event and are never counted as blocks. Keep the port to the API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use proofstream_runtime::admission::Admission;
use proofstream_runtime::webhooks::Lane;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::listener::Handler;

/// The longest body that is read: an update carries the object twice, and the API server takes
/// objects of 3 MiB.
pub const BODY_BYTES: usize = 8 << 20;
/// Bytes of bodies that may be in memory at a time, in KiB.
const BODIES_KIB: usize = 64 << 10;
/// What the API server waits when it does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is left of the API server's patience for the answer to travel.
const MARGIN: Duration = Duration::from_millis(500);

/// What the listener counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls answered 503 because too much was under way: the API server applied the failure policy.
    pub shed: AtomicU64,
    /// Calls that were no admission review, too long, or for no path of ours.
    pub refused: AtomicU64,
}

/// Routes of the webhook listener.
pub struct Webhook {
    admission: Arc<Admission>,
    requests: Semaphore,
    body_kib: Semaphore,
    counters: Counters,
}

// === impl Webhook ===

impl Webhook {
    /// Routes to `admission`, with at most `concurrency` requests under way.
    pub fn new(admission: Arc<Admission>, concurrency: usize) -> Self {
        Self {
            admission,
            requests: Semaphore::new(concurrency),
            body_kib: Semaphore::new(BODIES_KIB),
            counters: Counters::default(),
        }
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    async fn validate(&self, lane: &Lane, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let arrived = Instant::now();
        let deadline = arrived + patience(request.uri().query());
        let announced = announced_length(&request);
        if announced.is_some_and(|length| length > BODY_BYTES) {
            return self.too_long();
        }
        let kib = u32::try_from(announced.unwrap_or(BODY_BYTES) / 1024 + 1).unwrap_or(u32::MAX);
        let room =
            async { Some((self.requests.acquire().await, self.body_kib.acquire_many(kib).await)) };
        // INVARIANT: neither semaphore is ever closed, so that having waited means having a permit.
        let Ok(Some((Ok(_request_permit), Ok(_body_permit)))) =
            timeout_at(deadline.into(), room).await
        else {
            return self.shed();
        };
        let body = Limited::new(request.into_body(), BODY_BYTES).collect();
        let body = match timeout_at(deadline.into(), body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return self.too_long(),
            Ok(Err(error)) => {
                return self
                    .refuse(StatusCode::BAD_REQUEST, &format!("the body broke off: {error}"));
            }
            Err(_) => {
                return self.refuse(StatusCode::REQUEST_TIMEOUT, "the body came too slowly");
            }
        };
        if !self.admission.is_ready() {
            self.counters.shed.fetch_add(1, Ordering::Relaxed);
            return text(StatusCode::SERVICE_UNAVAILABLE, "the policies are not read yet");
        }
        match self.admission.review(lane, &body, arrived, deadline).await {
            Ok(answer) => json(answer),
            Err(error) => self.refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }

    /// The API server takes this as "could not be asked" and applies the webhook's failurePolicy.
    fn shed(&self) -> Response<Full<Bytes>> {
        self.counters.shed.fetch_add(1, Ordering::Relaxed);
        self.admission.note_unanswered("too many requests under way");
        text(StatusCode::SERVICE_UNAVAILABLE, "too many requests under way")
    }

    fn too_long(&self) -> Response<Full<Bytes>> {
        self.admission.note_unanswered("a request's body was too long");
        let limit = BODY_BYTES >> 20;
        self.refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is longer than {limit} MiB"))
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Response<Full<Bytes>> {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%status, message, "an admission call was not answered");
        text(status, message)
    }
}

impl Handler for Webhook {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET, "/healthz") => text(StatusCode::OK, "ok"),
            (&Method::GET, "/readyz") if self.admission.takes_work() => text(StatusCode::OK, "ok"),
            (&Method::GET, "/readyz") => {
                text(StatusCode::SERVICE_UNAVAILABLE, "the policies are not read yet")
            }
            (method, path) => match Lane::at(path) {
                Some(lane) if method == Method::POST => self.validate(&lane, request).await,
                Some(_) => text(StatusCode::METHOD_NOT_ALLOWED, "POST an AdmissionReview"),
                None => text(StatusCode::NOT_FOUND, "not found"),
            },
        }
    }
}

/// How long we may take: what the API server will wait, less what the answer needs to travel.
fn patience(query: Option<&str>) -> Duration {
    let asked = query
        .unwrap_or_default()
        .split('&')
        .find_map(|pair| pair.strip_prefix("timeout="))
        .and_then(seconds)
        .unwrap_or(DEFAULT_TIMEOUT);
    asked.saturating_sub(MARGIN.min(asked / 4))
}

/// A duration as the API server writes it: `10s`, `500ms`.
fn seconds(text: &str) -> Option<Duration> {
    if let Some(milliseconds) = text.strip_suffix("ms") {
        return milliseconds.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

fn announced_length(request: &Request<Incoming>) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn json(body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{message}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_the_answer_time_to_travel() {
        assert_eq!(patience(Some("timeout=10s")), Duration::from_millis(9_500));
        assert_eq!(patience(Some("a=b&timeout=1s")), Duration::from_millis(750));
        assert_eq!(patience(Some("timeout=soon")), Duration::from_millis(9_500));
        assert_eq!(patience(None), Duration::from_millis(9_500));
    }
}
