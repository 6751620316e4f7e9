//! From entries of the model to records of the ledger, in one source's name.

use std::time::Duration;

use proofstream_canonical as canonical;
use proofstream_ledger::time::Time;
use proofstream_ledger::writer::{AppendError, Draft, Loss, NotDurable, Source, Ticket};
use proofstream_model::{DecisionRef, Entry, Timestamp};

use crate::clock::Clock;

/// Why entries were not taken in.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A body cannot be written as canonical JSON.
    #[error("a `{kind}` record cannot be written: {source}")]
    Body {
        /// The record's kind.
        kind: &'static str,
        /// What is wrong with it.
        source: canonical::CanonicalError,
    },
    /// The ledger does not take it.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Whether records reached the disk while somebody could wait for them.
#[derive(Debug)]
pub enum Durability {
    /// They did.
    Durable,
    /// Not yet: the ticket can still be waited for.
    Late(Ticket),
    /// They will not.
    Lost,
}

/// Writes in one source's name. Clones write in the same name.
#[derive(Clone)]
pub struct Recorder {
    source: Source,
    clock: Clock,
}

// === impl Recorder ===

impl Recorder {
    /// Writes in the name of `source`.
    pub fn new(source: Source, clock: Clock) -> Self {
        Self { source, clock }
    }

    /// The source's name.
    pub fn source(&self) -> &str {
        self.source.name()
    }

    /// The source's present epoch.
    pub fn epoch(&self) -> u64 {
        self.source.epoch()
    }

    /// The clock that this recorder goes by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Hands entries to the ledger, all or none. Returns at once; the ticket resolves when they are
    /// durable.
    pub fn record(&self, entries: &[Entry]) -> Result<Ticket, RecordError> {
        let drafts = entries.iter().map(draft).collect::<Result<Vec<_>, _>>()?;
        Ok(self.source.append(drafts)?)
    }

    /// Where the first record of a ticket stands.
    pub fn reference(&self, ticket: &Ticket) -> DecisionRef {
        DecisionRef {
            source: self.source.name().to_owned(),
            epoch: ticket.epoch(),
            number: ticket.first_source_seq(),
        }
    }

    /// Has a `gap` record written for this source, as soon as one can be. Without a `count` nobody
    /// knows how many are missing.
    pub fn gap(&self, from: Timestamp, count: Option<u64>, cause: &str) {
        let loss = Loss {
            count,
            from: ledger_time(from),
            to: ledger_time(self.now()),
            cause: cause.to_owned(),
        };
        if let Err(error) = self.source.report_gap(loss) {
            tracing::error!(%error, cause, "a gap cannot be recorded");
        }
    }
}

/// Waits until a ticket's records are durable, at most `patience`.
pub async fn durable_within(mut ticket: Ticket, patience: Duration) -> Durability {
    match tokio::time::timeout(patience, &mut ticket).await {
        Ok(Ok(_)) => Durability::Durable,
        Ok(Err(NotDurable)) => Durability::Lost,
        Err(_) => Durability::Late(ticket),
    }
}

fn draft(entry: &Entry) -> Result<Draft, RecordError> {
    let body = canonical::to_vec(&entry.body)
        .map_err(|source| RecordError::Body { kind: entry.kind.word(), source })?;
    Ok(Draft {
        kind: entry.kind.word().to_owned(),
        controls: entry.controls.iter().map(ToString::to_string).collect(),
        body,
    })
}

fn ledger_time(time: Timestamp) -> Time {
    Time::from_unix_microseconds(time.micros())
}
