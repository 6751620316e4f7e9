//! One source of audit events, written to the ledger in order.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use proofstream_model::{Entry, EventBody};
use proofstream_observe::audit::{AuditLine, webhook};
use tokio::sync::Semaphore;

use super::prepare::{Prepared, prepare};
use super::recent::{self, Key};
use super::{Durable, EventSink, Ingest, Remembered, SinkError, Stretch, host};

/// Bodies of one webhook that are read at the same time; others are told to come again.
const AT_ONCE: usize = 4;
/// Heartbeats that are kept for whoever asks.
const BEATS: usize = 1024;
/// Records in one append, at most.
const BATCH: usize = 1024;

/// A source of audit events: `audit-file/HOST` or `audit-webhook/HOST`, HOST from configuration.
pub struct Intake {
    pub(super) ingest: Arc<Ingest>,
    pub(super) sink: Arc<dyn EventSink>,
    /// Held while an append is numbered: a block names its event's number.
    order: Mutex<()>,
    /// Whether the sender repeats what it does not know to have arrived.
    repeats: bool,
    places: Arc<Semaphore>,
    /// Heartbeats that came and were not asked for yet.
    beats: Mutex<Vec<String>>,
    counters: SourceCounters,
}

/// What one source brought since the start.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Event records.
    pub events: AtomicU64,
    /// Block records.
    pub blocks: AtomicU64,
    /// Stretches that are missing.
    pub gaps: AtomicU64,
}

/// Why a webhook's events were not taken in. The API server sends them again after any of these.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// No audit events: HTTP 400.
    #[error(transparent)]
    Body(#[from] webhook::WebhookError),
    /// As much is being written as may be: HTTP 429, with `Retry-After`.
    #[error("the ledger cannot take more audit events now")]
    Busy,
    /// The ledger does not take them: HTTP 503.
    #[error("the ledger does not take audit events")]
    Sink(#[source] SinkError),
    /// They may not be on disk: HTTP 503.
    #[error("the ledger's writer ended before the audit events were on disk")]
    NotDurable,
}

// === impl Intake ===

impl Intake {
    /// The source behind `sink`.
    pub fn new(ingest: Arc<Ingest>, sink: Arc<dyn EventSink>) -> Arc<Self> {
        let repeats = sink.source().starts_with("audit-webhook/");
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let counters = SourceCounters::default();
        Arc::new(Self {
            ingest,
            sink,
            order: Mutex::new(()),
            repeats,
            places,
            beats: Mutex::default(),
            counters,
        })
    }

    /// The source's name.
    pub fn source(&self) -> &str {
        self.sink.source()
    }

    /// What it brought.
    pub fn counters(&self) -> &SourceCounters {
        &self.counters
    }

    /// The audit IDs of heartbeats that came since this was asked last.
    pub fn beats(&self) -> Vec<String> {
        std::mem::take(&mut *self.beats.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads, redacts and classifies lines. Takes processor time, and the disk's for bodies.
    pub(super) fn prepare(&self, lines: &[AuditLine]) -> Result<Vec<Prepared>, SinkError> {
        lines.iter().map(|line| prepare(&self.ingest, &*self.sink, line)).collect()
    }

    /// Appends what was prepared, all or none, without waiting; none where all of it is known.
    pub(super) fn append(&self, events: &[Prepared]) -> Result<Option<Durable>, SinkError> {
        let host = host(self.sink.source()).to_owned();
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        // INVARIANT: this lock is held over the append. What one transport has handed to the ledger
        // is durable before what another hands over later, so a block left out here as known is
        // never lost while the event that counts on it stays.
        let mut recent = self.ingest.recent();
        let first = self.sink.next();
        let mut entries = Vec::with_capacity(events.len());
        let mut news = Vec::new();
        let (mut new_events, mut new_blocks): (Vec<Key>, Vec<Key>) = (Vec::new(), Vec::new());
        let (mut repeated, mut doubled) = (0, 0);
        for event in events {
            let key = self.repeats.then(|| recent::event_key(&host, &event.body));
            if key.is_some_and(|key| recent.events.contains(&key) || new_events.contains(&key)) {
                repeated += 1;
                continue;
            }
            new_events.extend(key);
            news.push(event);
            if let Some(found) = &event.block {
                let key = recent::block_key(&host, &found.block.event.sha256);
                if recent.blocks.contains(&key) || new_blocks.contains(&key) {
                    doubled += 1;
                } else {
                    new_blocks.push(key);
                    let mut block = found.block.clone();
                    self.sink.source().clone_into(&mut block.event.source);
                    block.event.epoch = first.epoch;
                    block.event.number = first.number + entries.len() as u64 + 1;
                    entries.push(entry(Entry::new(&block, found.controls.clone()))?);
                }
            }
            entries.push(entry(Entry::new(&event.body, Vec::new()))?);
        }
        if entries.is_empty() {
            Ingest::count(&self.ingest.counters.repeated_events, repeated);
            return Ok(None);
        }
        let taken = self.sink.append(&entries)?;
        debug_assert_eq!(taken.first, first, "another writer uses this source's name");
        let counters = &self.ingest.counters;
        for (of_all, own, by) in [
            (&counters.blocks, &self.counters.blocks, new_blocks.len()),
            (&counters.events, &self.counters.events, entries.len() - new_blocks.len()),
        ] {
            Ingest::count(of_all, by);
            Ingest::count(own, by);
        }
        Ingest::count(&counters.doubled_blocks, doubled);
        Ingest::count(&counters.repeated_events, repeated);
        for key in new_blocks {
            recent.blocks.insert(key);
        }
        for key in new_events {
            recent.events.insert(key);
        }
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.extend(news.iter().filter_map(|event| event.beat.clone()));
        // Where nobody asks, the newest are enough.
        let many = beats.len().saturating_sub(BEATS);
        beats.drain(..many);
        drop(beats);
        for event in news {
            self.note_lapses(&host, event, &mut recent);
        }
        drop(recent);
        drop(order);
        Ok(Some(taken.durable))
    }

    /// Counts the webhooks that could not be asked, once an event whichever transport is first.
    fn note_lapses(&self, host: &str, event: &Prepared, recent: &mut Remembered) {
        let Some(identity) = event.identity.as_deref().filter(|_| !event.lapses.is_empty()) else {
            return;
        };
        let key = recent::block_key(host, identity);
        if recent.lapses.contains(&key) {
            return;
        }
        recent.lapses.insert(key);
        for lapse in &event.lapses {
            recent.uncalled.add(lapse, event.time);
            let (counter, then) = if lapse.refused {
                (&self.ingest.counters.failed_closed, "refused")
            } else {
                (&self.ingest.counters.failed_open, "let pass")
            };
            Ingest::count(counter, 1);
            tracing::warn!(webhook = lapse.webhook, host, then, "a webhook could not be asked");
        }
    }

    /// Where the source's last event stood, as the ledger has it.
    pub(super) fn last_event(&self) -> Option<EventBody> {
        serde_json::from_slice(&self.sink.last_body()?).ok()
    }

    /// Has a gap recorded: events of this source between these times are or may be missing, or came late.
    pub fn gap(&self, gap: &Stretch<'_>) {
        Ingest::count(&self.ingest.counters.gaps, 1);
        Ingest::count(&self.counters.gaps, 1);
        let cause = gap.cause;
        tracing::warn!(source = self.sink.source(), cause, "the audit trail has a gap");
        if let Err(error) = self.sink.report_gap(gap) {
            tracing::error!(%error, cause, "a gap cannot be recorded");
        }
    }
}

/// Takes in the body of one call of the API server's audit webhook; returns how many events it had.
/// They are on disk when this returns.
pub async fn accept(intake: &Arc<Intake>, body: Bytes) -> Result<usize, IntakeError> {
    let place = Arc::clone(&intake.places);
    let Ok(_place) = place.try_acquire() else { return Err(IntakeError::Busy) };
    let worker = Arc::clone(intake);
    let work = tokio::task::spawn_blocking(move || {
        let lines = webhook::events(&body)?;
        let count = lines.len();
        Ok::<_, IntakeError>((count, worker.prepare(&lines)?))
    });
    let (count, events) = match work.await {
        Ok(prepared) => prepared?,
        Err(_) => return Err(IntakeError::NotDurable),
    };
    for batch in events.chunks(BATCH) {
        if let Some(durable) = intake.append(batch)?
            && !durable.await
        {
            return Err(IntakeError::NotDurable);
        }
    }
    Ok(count)
}

impl From<SinkError> for IntakeError {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Full => Self::Busy,
            other => Self::Sink(other),
        }
    }
}

fn entry(entry: Result<Entry, serde_json::Error>) -> Result<Entry, SinkError> {
    entry.map_err(|error| SinkError::Entry(error.into()))
}
