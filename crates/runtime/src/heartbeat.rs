//! Whether an audit trail is complete: requests of ours that must come back as events.
//!
//! Each beat is a small request to one API server with an audit ID that only we know. Every source of that API
//! server (its log file, its webhook) has to bring the event back within some time. One that does not has
//! fallen silent: a `gap` record says since when, another one until when and what of it came late after all.
//! Beats are summed up in `probe` records, so that "the trail was tested every minute" is itself evidence.
//!
//! A policy of the API server that logs no such requests makes beats say nothing. That is told from silence by
//! what else the source brings, and is never a gap.

mod counters;
mod pulse;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use proofstream_model::{ControlId, Entry, ProbeBody, Timestamp};
use tokio::time::{Instant, sleep, timeout};

use crate::clock::Clock;
use crate::ingest::{BEAT, Intake, Stretch};
use crate::recorder::Recorder;

use counters::Lost;

pub use pulse::{Change, Pulse, Sum};

/// The probe's name in `probe` records.
pub const PROBE: &str = "audit-heartbeat";

/// How often what came back is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long the API server may take to answer a beat.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often beats are summed up in a record.
const SUMMED: Duration = Duration::from_hours(1);
/// The API server is asked for what it could not deliver with one beat of so many: the answer is long.
const COUNTED: u64 = 5;
/// Allowed to everybody who is signed in, and changes nothing.
const PATH: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const BODY: &str = r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"nonResourceAttributes":{"path":"/healthz","verb":"get"}}}"#;

/// How one API server's sources are watched.
pub struct Options {
    /// Between two beats.
    pub every: Duration,
    /// How long an event may take to come back.
    pub patience: Duration,
    /// What the beats are evidence for.
    pub controls: Vec<ControlId>,
}

/// How each source is, for whoever shows it.
#[derive(Default)]
pub struct Pulses(Mutex<BTreeMap<String, Pulse>>);

/// The sources of one API server, and the way to it.
pub struct Heartbeat {
    /// A client of this API server and no other.
    pub client: Client,
    /// Its sources.
    pub intakes: Vec<Arc<Intake>>,
    /// How they are watched.
    pub options: Options,
    /// Writes the probes.
    pub recorder: Recorder,
    /// Tells the time.
    pub clock: Clock,
    /// Where it is shown.
    pub shown: Arc<Pulses>,
}

// === impl Pulses ===

impl Pulses {
    /// How a source is; `None` for one that no beats are sent for.
    pub fn of(&self, source: &str) -> Option<Pulse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(source).cloned()
    }

    fn with<T>(&self, source: &str, work: impl FnOnce(&mut Pulse) -> T) -> T {
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(pulses.entry(source.to_owned()).or_default())
    }
}

// === impl Heartbeat ===

impl Heartbeat {
    /// Sends beats and follows what comes back. Runs until dropped.
    pub async fn run(self) {
        let mut number = 0_u64;
        let mut lost: Option<(Lost, Timestamp)> = None;
        let mut summed = Instant::now();
        loop {
            let began = Instant::now();
            number += 1;
            self.beat(number).await;
            if number % COUNTED == 1 {
                lost = self.undelivered(lost).await;
            }
            loop {
                self.look();
                if summed.elapsed() >= SUMMED {
                    self.sum_up(self.clock.now());
                    summed = Instant::now();
                }
                if began.elapsed() >= self.options.every {
                    break;
                }
                sleep(LOOK.min(self.options.every)).await;
            }
        }
    }

    /// Sends one. An API server that does not answer is no silence of its trail.
    async fn beat(&self, number: u64) {
        let random = uuid();
        let id = format!("{BEAT}{number}-{random}");
        let sent = self.clock.now();
        let request = http::Request::post(PATH)
            .header("Audit-ID", &id)
            .header("Content-Type", "application/json")
            .body(BODY.as_bytes().to_vec());
        let Ok(request) = request else { return };
        match timeout(PATIENCE, self.client.request_text(request)).await {
            Ok(Ok(_)) => {
                for intake in &self.intakes {
                    self.shown.with(intake.source(), |pulse| pulse.sent(&id, sent));
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "no heartbeat could be sent"),
            Err(_) => tracing::debug!("no heartbeat could be sent: no answer"),
        }
    }

    /// Asks the API server how many events it could not deliver; those since the last time are a gap of the
    /// source that should have had them. May it not be asked, nothing is said: heartbeats show silence.
    async fn undelivered(&self, before: Option<(Lost, Timestamp)>) -> Option<(Lost, Timestamp)> {
        let request = http::Request::get("/metrics").body(Vec::new()).ok()?;
        let text = match timeout(PATIENCE, self.client.request_text(request)).await {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the API server's own counters cannot be read");
                return before;
            }
            Err(_) => return before,
        };
        let (now, read) = (Lost::parse(&text), self.clock.now());
        if let Some((before, from)) = &before {
            for (plugin, count) in now.since(before) {
                let Some(intake) = self.source_of(plugin) else { continue };
                let cause = format!(
                    "undelivered: the API server counts {count} events that its `{plugin}` could not deliver \
                     (apiserver_audit_error_total)"
                );
                intake.gap(&Stretch { from: *from, to: read, count: Some(count), cause: &cause });
            }
        }
        Some((now, read))
    }

    /// The source that an API server's plugin feeds; what lies before both is the webhook's in most clusters.
    fn source_of(&self, plugin: &str) -> Option<&Arc<Intake>> {
        let like = |prefix| self.intakes.iter().find(|intake| intake.source().starts_with(prefix));
        match plugin {
            "log" => like("audit-file/"),
            "webhook" => like("audit-webhook/"),
            _ => like("audit-webhook/").or_else(|| like("audit-file/")),
        }
    }

    fn look(&self) {
        let now = self.clock.now();
        for intake in &self.intakes {
            let events = intake.counters().events.load(std::sync::atomic::Ordering::Relaxed);
            let patience = self.options.patience;
            let mut changes = Vec::new();
            self.shown.with(intake.source(), |pulse| {
                for id in intake.beats() {
                    changes.extend(pulse.came_back(&id, now));
                }
                changes.extend(pulse.overdue(now, patience, events));
            });
            for change in &changes {
                record(intake, change);
            }
        }
    }

    /// Writes down what became of the beats since the last time.
    fn sum_up(&self, to: Timestamp) {
        for intake in &self.intakes {
            let taken = self.shown.with(intake.source(), Pulse::take_sum);
            let Some((from, Sum { sent, held, late, slowest })) = taken else { continue };
            let body = ProbeBody {
                probe: PROBE.to_owned(),
                about: intake.source().to_owned(),
                from,
                to,
                sent,
                held,
                late,
                slowest_ms: (held > 0).then_some(slowest),
            };
            let recorded = Entry::new(&body, self.options.controls.clone())
                .map_err(|error| error.to_string())
                .and_then(|entry| {
                    self.recorder.record(&[entry]).map_err(|error| error.to_string())
                });
            if let Err(error) = recorded {
                tracing::error!(error, "a probe cannot be recorded");
            }
        }
    }
}

impl Drop for Heartbeat {
    /// What was not summed up yet is, and a silence that lasts is a gap up to now.
    fn drop(&mut self) {
        let now = self.clock.now();
        self.sum_up(now);
        for intake in &self.intakes {
            if let Some(change) = self.shown.with(intake.source(), |pulse| pulse.stopped(now)) {
                record(intake, &change);
            }
        }
    }
}

fn record(intake: &Intake, change: &Change) {
    let Change { from, to, count, cause } = change;
    intake.gap(&Stretch { from: *from, to: *to, count: *count, cause });
}

/// Sixteen hexadecimal digits that nobody can guess.
fn uuid() -> String {
    let mut bytes = [0; 8];
    // Without randomness an ID can be guessed, and no worse comes of it than a beat that is not ours.
    let _ = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}
