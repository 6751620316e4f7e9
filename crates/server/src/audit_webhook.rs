//! Audit events as API servers send them (`--audit-webhook-config-file`), one route a host.
//!
//! HOST is never what the payload says: it is in the path, and only that host's own token opens it.
//! An API server sends a batch again after any answer but 200, five times within some minutes; when
//! we say `Retry-After`, up to ten times as often. After that it drops the batch and counts it in its
//! own `apiserver_audit_error_total`.

mod credential;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use proofstream_model::Timestamp;
use proofstream_observe::audit::webhook::BODY_LIMIT;
use proofstream_runtime::clock::Clock;
use proofstream_runtime::ingest::{Intake, IntakeError, Stretch, accept};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::answer::{Answer, announced_length, text};
use crate::up::Config;
use credential::Token;

pub use credential::{CredentialError, Kubeconfig, prepare};

/// Bytes of bodies that may be in memory at a time, in KiB: two of the longest.
const BODIES_KIB: usize = 2 * (BODY_LIMIT >> 10) + 2;
/// How long a body may take to arrive; an API server gives up its call after 30 s.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds after which an API server should try again: too much at a time, and not able to.
const SOON: &str = "1";
const LATER: &str = "5";

/// What was counted of one host since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Batches that are on disk.
    pub batches: AtomicU64,
    /// Batches that are no audit events or too long: lost, and reported as a gap.
    pub refused: AtomicU64,
    /// Batches that could not be taken in then (429, 503): the API server tries again.
    pub put_off: AtomicU64,
    /// Calls to this host's path without its token.
    pub unauthorized: AtomicU64,
    last: AtomicI64,
}

/// All hosts that may send.
pub struct AuditWebhooks {
    hosts: BTreeMap<String, Host>,
    folder: PathBuf,
    clock: Clock,
    body_kib: Semaphore,
    strangers: AtomicU64,
}

struct Host {
    token: Token,
    url: String,
    intake: OnceLock<Arc<Intake>>,
    counters: Counters,
}

// === impl Counters ===

impl Counters {
    /// When the last batch was on disk.
    pub fn last(&self) -> Option<Timestamp> {
        let micros = self.last.load(Ordering::Relaxed);
        (micros != 0).then(|| Timestamp::from_micros(micros))
    }
}

// === impl AuditWebhooks ===

impl AuditWebhooks {
    /// Reads the token of each configured host, or makes it.
    pub fn open(config: &Config, clock: Clock) -> Result<Self, CredentialError> {
        let folder = credential::folder(&config.data);
        let mut hosts = BTreeMap::new();
        for webhook in &config.audit.webhooks {
            let host = Host {
                token: Token::open(&folder, &webhook.host)?,
                url: credential::url(config, webhook)?,
                intake: OnceLock::new(),
                counters: Counters::default(),
            };
            hosts.insert(webhook.host.clone(), host);
        }
        let body_kib = Semaphore::new(BODIES_KIB);
        Ok(Self { hosts, folder, clock, body_kib, strangers: AtomicU64::new(0) })
    }

    /// Writes each host's kubeconfig that is not as it should be. With another authority than before,
    /// an API server that has the old file cannot send any more: the log says which.
    pub fn write_kubeconfigs(&self, authorities: &[u8]) -> Result<(), CredentialError> {
        for (name, host) in &self.hosts {
            let kubeconfig =
                Kubeconfig::new(&self.folder, name, &host.url, authorities, &host.token);
            if kubeconfig.write()? {
                tracing::warn!(
                    host = name,
                    file = %kubeconfig.path().display(),
                    "give this file to the API server as --audit-webhook-config-file"
                );
            }
        }
        Ok(())
    }

    /// From now on what `host` sends goes to `intake`.
    pub fn attach(&self, host: &str, intake: Arc<Intake>) {
        if let Some(host) = self.hosts.get(host) {
            // INVARIANT: called once a host, before which the route answers 503.
            let _ = host.intake.set(intake);
        }
    }

    /// What was counted of `host`.
    pub fn counters(&self, host: &str) -> Option<&Counters> {
        self.hosts.get(host).map(|host| &host.counters)
    }

    /// Calls to the path of a host that is not configured.
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Ordering::Relaxed)
    }

    /// Answers one call to `/audit/NAME`.
    pub(crate) async fn take<B>(&self, name: &str, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send,
    {
        let host = match self.authorized(name, request.headers()) {
            Ok(host) => host,
            Err(counter) => {
                counter.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(host = name, "audit events without the host's token are refused");
                let mut answer = text(StatusCode::UNAUTHORIZED, "show the token of this host");
                answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                return answer;
            }
        };
        if request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "POST an EventList");
        }
        let Some(intake) = host.intake.get() else {
            return host.put_off(
                StatusCode::SERVICE_UNAVAILABLE,
                LATER,
                "the ledger is not read yet",
            );
        };
        let announced = announced_length(&request);
        if announced.is_some_and(|length| length > BODY_LIMIT) {
            return self.too_long(host, intake);
        }
        let kib = u32::try_from(announced.unwrap_or(BODY_LIMIT) / 1024 + 1).unwrap_or(u32::MAX);
        let Ok(_permit) = self.body_kib.try_acquire_many(kib) else {
            return host.put_off(StatusCode::TOO_MANY_REQUESTS, SOON, "too much under way");
        };
        let body = Limited::new(request.into_body(), BODY_LIMIT).collect();
        let body = match timeout(PATIENCE, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return self.too_long(host, intake);
            }
            Ok(Err(error)) => {
                let message = format!("the body broke off: {error}");
                return host.put_off(StatusCode::SERVICE_UNAVAILABLE, SOON, &message);
            }
            Err(_) => {
                let message = "the body came too slowly";
                return host.put_off(StatusCode::SERVICE_UNAVAILABLE, SOON, message);
            }
        };
        match accept(intake, body).await {
            Ok(_) => {
                host.counters.batches.fetch_add(1, Ordering::Relaxed);
                host.counters.last.store(self.clock.now().micros(), Ordering::Relaxed);
                text(StatusCode::OK, "ok")
            }
            Err(error @ IntakeError::Body(_)) => {
                self.lose(host, intake, "a batch was no list of audit events");
                text(StatusCode::BAD_REQUEST, &error.to_string())
            }
            Err(error @ IntakeError::Busy) => {
                host.put_off(StatusCode::TOO_MANY_REQUESTS, SOON, &error.to_string())
            }
            Err(error @ (IntakeError::Sink(_) | IntakeError::NotDurable)) => {
                host.put_off(StatusCode::SERVICE_UNAVAILABLE, LATER, &error.to_string())
            }
        }
    }

    /// The host of this name, if the request shows its token; otherwise what counts the attempt.
    fn authorized(&self, name: &str, headers: &HeaderMap) -> Result<&Host, &AtomicU64> {
        let host = self.hosts.get(name).ok_or(&self.strangers)?;
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        match shown {
            Some(token) if host.token.is(token.trim()) => Ok(host),
            _ => Err(&host.counters.unauthorized),
        }
    }

    fn too_long(&self, host: &Host, intake: &Intake) -> Answer {
        self.lose(host, intake, "a batch was too long");
        let limit = BODY_LIMIT >> 20;
        text(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is longer than {limit} MiB"))
    }

    /// The API server will drop this batch: nothing it can do makes us take it.
    fn lose(&self, host: &Host, intake: &Intake, cause: &str) {
        host.counters.refused.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        intake.gap(&Stretch { from: now, to: now, count: None, cause });
    }
}

// === impl Host ===

impl Host {
    fn put_off(&self, status: StatusCode, seconds: &'static str, message: &str) -> Answer {
        self.counters.put_off.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%status, message, "an audit batch is put off");
        let mut answer = text(status, message);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        answer
    }
}
