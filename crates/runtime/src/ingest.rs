//! Audit events become `event` records and, where policy refused the request, `block` records.
//!
//! The block stands in the same atomic batch as its event, just before it, so that the last record of
//! a batch is always an event: where a file's reader resumes is read from there
//! ([`resume_from`]), and nothing else is stored. A source that the ledger does not know starts at
//! the beginning of the current file.
//!
//! Both transports of one API server may carry the same event. Both copies are kept as events; the
//! block is written once, known by the API server (HOST) and the event's identity hash. Which were
//! written is remembered for the last [`Options::remembered`] blocks and, after a restart, read back
//! from as many of the ledger's last records as the caller hands to [`Ingest::seed`].
//! Nothing is dropped: what is too much noise is for the audit policy to say.

mod blocks;
mod controls;
mod decisions;
mod expected;
mod follow;
mod intake;
mod prepare;
mod recent;
mod sink;
mod uncalled;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proofstream_model::{Block, ControlRef, Decision, DecisionRef, Enforcer, EventBody, Record};

pub use controls::StoreControls;
pub use decisions::{DecisionLookup, Known, RecentDecisions};
pub use expected::Expected;
pub use follow::{follow, resume_from};
pub use intake::{Intake, IntakeError, SourceCounters, accept};
pub use prepare::BEAT;
pub use sink::{Durable, EventSink, LedgerSink, Point, SinkError, Stretch, Taken};
pub use uncalled::Uncalled;

use recent::Recent;

/// Says what a policy of any enforcer stands for.
pub trait PolicyControls: Send + Sync {
    /// Controls and requirements of the policy that `enforcer` calls `policy`.
    fn controls(&self, enforcer: Enforcer, policy: &str) -> ControlRef;
}

/// What ingestion needs from its surroundings.
pub struct Options {
    /// The cluster's identity, for subjects.
    pub cluster: Option<String>,
    /// Our own decisions, by reference.
    pub decisions: Arc<dyn DecisionLookup>,
    /// What policies stand for.
    pub controls: Arc<dyn PolicyControls>,
    /// The API server's audit policy, if it is known.
    pub expected: Arc<Expected>,
    /// How many blocks, and how many events of webhooks, are remembered against doubles.
    pub remembered: usize,
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Event records taken in.
    pub events: AtomicU64,
    /// Block records taken in.
    pub blocks: AtomicU64,
    /// Blocks that the other transport had brought already.
    pub doubled_blocks: AtomicU64,
    /// Events that a webhook sent again after it had our answer.
    pub repeated_events: AtomicU64,
    /// Lines that are no audit event, kept as they are.
    pub unreadable: AtomicU64,
    /// Our blocks whose decision was not found: their policies are those that the answer names.
    pub unjoined: AtomicU64,
    /// Blocks of deletes whose event cannot tell whether they were dry runs.
    pub uncertain_dry_runs: AtomicU64,
    /// Requests refused because a webhook could not be asked.
    pub failed_closed: AtomicU64,
    /// Requests that went on although a webhook could not be asked.
    pub failed_open: AtomicU64,
    /// Stretches of the trail that could not be read.
    pub gaps: AtomicU64,
}

/// What all transports share.
pub struct Ingest {
    options: Options,
    counters: Counters,
    recent: Mutex<Remembered>,
}

struct Remembered {
    blocks: Recent,
    events: Recent,
    lapses: Recent,
    uncalled: uncalled::Book,
}

// === impl Ingest ===

impl Ingest {
    /// Remembers nothing yet.
    pub fn new(options: Options) -> Self {
        let recent = Remembered {
            blocks: Recent::new(options.remembered),
            events: Recent::new(options.remembered),
            lapses: Recent::new(options.remembered),
            uncalled: uncalled::Book::default(),
        };
        Self { options, counters: Counters::default(), recent: Mutex::new(recent) }
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Webhooks that could not be asked, by name; each request once, whichever transports tell it.
    pub fn uncalled(&self) -> Vec<Uncalled> {
        self.recent().uncalled.all()
    }

    /// Takes one of the ledger's last records into account: blocks and webhook events that are
    /// already there are not written again. Records of other kinds say nothing here.
    pub fn seed(&self, record: &Record) {
        if let Some(Ok(block)) = record.body::<Block>() {
            let key = recent::block_key(host(&block.event.source), &block.event.sha256);
            self.recent().blocks.insert(key);
        } else if record.source.starts_with("audit-webhook/")
            && let Some(Ok(event)) = record.body::<EventBody>()
        {
            let key = recent::event_key(host(&record.source), &event);
            self.recent().events.insert(key);
        }
    }

    fn recent(&self) -> MutexGuard<'_, Remembered> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }
}

/// HOST of `audit-file/HOST` and `audit-webhook/HOST`.
fn host(source: &str) -> &str {
    source.split_once('/').map_or(source, |(_, host)| host)
}

/// A decision with the reference under which it was recorded, taken from its record.
pub fn decision_of(record: &Record) -> Option<(DecisionRef, Known)> {
    let decision = record.body::<Decision>()?.ok()?;
    let reference = DecisionRef {
        source: record.source.clone(),
        epoch: record.source_epoch,
        number: record.source_seq,
    };
    let controls = record.controls.iter().filter_map(|id| id.parse().ok()).collect();
    Some((reference, Known::of(decision, controls)))
}

#[cfg(test)]
mod tests;
