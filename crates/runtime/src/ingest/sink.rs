//! Where event records go.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use proofstream_ledger::time::Time;
use proofstream_ledger::writer::{AppendError, BlobError, Draft, Loss, Source, Writer};
use proofstream_model::{Entry, Timestamp};

/// Where a record of a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The source's epoch.
    pub epoch: u64,
    /// The number within it.
    pub number: u64,
}

/// A stretch of a source that is missing, or late.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// How many events are missing, where that is known; 0 where they came late.
    pub count: Option<u64>,
    /// Why.
    pub cause: &'a str,
}

/// Resolves when the records are on disk; `false`: they may not be, the writer ended.
pub type Durable = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Entries that were taken in.
pub struct Taken {
    /// Where the first of them stands.
    pub first: Point,
    /// When they are on disk.
    pub durable: Durable,
}

/// Why entries were not taken in. Nothing of them was.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The queue is full: to be tried again.
    #[error("the ledger's queue is full")]
    Full,
    /// The writer ended.
    #[error("the ledger's writer has ended")]
    Stopped,
    /// A blob could not be stored: to be tried again.
    #[error("a request's body cannot be stored")]
    Blob(#[source] BlobError),
    /// The entries make no records.
    #[error("audit events make no record")]
    Entry(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The ledger, as one source of audit events sees it. Only one [`super::Intake`] writes in its name.
pub trait EventSink: Send + Sync {
    /// The source's name, `audit-file/HOST` or `audit-webhook/HOST`.
    fn source(&self) -> &str;

    /// Where the next record will stand.
    fn next(&self) -> Point;

    /// Takes entries in, all or none, without waiting.
    fn append(&self, entries: &[Entry]) -> Result<Taken, SinkError>;

    /// Stores a payload beside the records; it is durable when this returns. Blocks on the disk.
    fn put_blob(&self, payload: &[u8], media: &str) -> Result<serde_json::Value, SinkError>;

    /// Has a `gap` record written, as soon as one can be.
    fn report_gap(&self, gap: &Stretch<'_>) -> Result<(), SinkError>;

    /// The body of the source's last record in the ledger.
    fn last_body(&self) -> Option<Vec<u8>>;
}

/// The sink of a real ledger.
pub struct LedgerSink {
    writer: Arc<Writer>,
    source: Source,
    next: Mutex<Point>,
}

// === impl LedgerSink ===

impl LedgerSink {
    /// Writes in the name of `source`, in which nobody else writes.
    pub fn new(writer: Arc<Writer>, source: Source) -> Self {
        let epoch = source.epoch();
        let number = source
            .position()
            .filter(|position| position.epoch == epoch)
            .map_or(0, |position| position.next);
        Self { writer, source, next: Mutex::new(Point { epoch, number }) }
    }
}

impl EventSink for LedgerSink {
    fn source(&self) -> &str {
        self.source.name()
    }

    fn next(&self) -> Point {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, entries: &[Entry]) -> Result<Taken, SinkError> {
        let drafts = entries.iter().map(draft).collect::<Result<Vec<_>, _>>()?;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = self.source.append(drafts)?;
        let first = Point { epoch: ticket.epoch(), number: ticket.first_source_seq() };
        *next = Point { epoch: first.epoch, number: first.number + entries.len() as u64 };
        Ok(Taken { first, durable: Box::pin(async move { ticket.await.is_ok() }) })
    }

    fn put_blob(&self, payload: &[u8], media: &str) -> Result<serde_json::Value, SinkError> {
        let blob = self.writer.put_blob(payload, media).map_err(SinkError::Blob)?;
        serde_json::to_value(blob).map_err(|error| SinkError::Entry(error.into()))
    }

    fn report_gap(&self, gap: &Stretch<'_>) -> Result<(), SinkError> {
        let time = |time: Timestamp| Time::from_unix_microseconds(time.micros());
        let (from, to) = (time(gap.from), time(gap.to));
        let loss = Loss { count: gap.count, from, to, cause: gap.cause.to_owned() };
        Ok(self.source.report_gap(loss)?)
    }

    fn last_body(&self) -> Option<Vec<u8>> {
        self.source.last_body()
    }
}

fn draft(entry: &Entry) -> Result<Draft, SinkError> {
    let body = proofstream_canonical::value_to_vec(&entry.body)
        .map_err(|error| SinkError::Entry(error.into()))?;
    Ok(Draft {
        kind: entry.kind.word().to_owned(),
        controls: entry.controls.iter().map(ToString::to_string).collect(),
        body,
    })
}

impl From<AppendError> for SinkError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::Full,
            AppendError::Stopped => Self::Stopped,
            other => Self::Entry(Box::new(other)),
        }
    }
}
