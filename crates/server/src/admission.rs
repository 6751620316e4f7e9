//! The admission webhook's HTTP side: bounds and deadlines.
//!
//! The API server is not asked for a client certificate: whoever reaches this port can learn what the
//! policies would say of an object and can have decisions recorded that no API server asked for. They
//! join no audit event and are never counted as blocks. Keep the port to the API server.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use proofstream_policy::Phase;
use proofstream_runtime::admission::Admission;
use proofstream_runtime::webhooks::Lane;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::answer::{Answer, announced_length, json, text};

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

/// What the API server asks.
pub(crate) enum Asked {
    /// What the policies of a lane say of a request.
    Lane(Phase, Lane),
    /// Whether a policy can be used.
    Policy,
}

/// Answers the API server's admission calls.
pub struct Webhook {
    admission: Arc<Admission>,
    requests: Semaphore,
    most: usize,
    body_kib: Semaphore,
    counters: Counters,
}

// === impl Webhook ===

impl Webhook {
    /// Hands on to `admission`, with at most `concurrency` requests under way.
    pub fn new(admission: Arc<Admission>, concurrency: usize) -> Self {
        Self {
            admission,
            requests: Semaphore::new(concurrency),
            most: concurrency,
            body_kib: Semaphore::new(BODIES_KIB),
            counters: Counters::default(),
        }
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Calls that are being read or judged.
    pub(crate) fn under_way(&self) -> u64 {
        let free = self.requests.available_permits();
        u64::try_from(self.most.saturating_sub(free)).unwrap_or(u64::MAX)
    }

    /// Calls that may be under way at a time.
    pub(crate) fn most(&self) -> u64 {
        u64::try_from(self.most).unwrap_or(u64::MAX)
    }

    /// Whether new work should come here.
    pub(crate) fn takes_work(&self) -> bool {
        self.admission.takes_work()
    }

    /// Answers one call.
    pub(crate) async fn answer<B>(&self, asked: &Asked, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send,
    {
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
                self.admission.note_unanswered("a request's body broke off");
                return self
                    .refuse(StatusCode::BAD_REQUEST, &format!("the body broke off: {error}"));
            }
            Err(_) => {
                self.admission.note_unanswered("a request's body came too slowly");
                return self.refuse(StatusCode::REQUEST_TIMEOUT, "the body came too slowly");
            }
        };
        let answer = match asked {
            Asked::Policy => self.admission.review_policy(&body),
            Asked::Lane(..) if !self.admission.is_ready() => {
                self.counters.shed.fetch_add(1, Ordering::Relaxed);
                self.admission.note_unanswered("the policies were not read yet");
                return text(StatusCode::SERVICE_UNAVAILABLE, "the policies are not read yet");
            }
            Asked::Lane(phase, lane) => {
                self.admission.review(*phase, lane, &body, arrived, deadline).await
            }
        };
        match answer {
            Ok(answer) => json(answer),
            Err(error) => self.refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }

    /// The API server takes this as "could not be asked" and applies the webhook's failurePolicy.
    fn shed(&self) -> Answer {
        self.counters.shed.fetch_add(1, Ordering::Relaxed);
        self.admission.note_unanswered("too many requests under way");
        text(StatusCode::SERVICE_UNAVAILABLE, "too many requests under way")
    }

    fn too_long(&self) -> Answer {
        self.admission.note_unanswered("a request's body was too long");
        let limit = BODY_BYTES >> 20;
        self.refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is longer than {limit} MiB"))
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Answer {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%status, message, "an admission call was not answered");
        text(status, message)
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
