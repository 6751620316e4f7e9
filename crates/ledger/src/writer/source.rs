//! A source: who appends. Its records are numbered within its epoch without a hole.

use std::sync::Arc;

use serde::Serialize;

use super::error::AppendError;
use super::positions::Position;
use super::shared::Shared;
use super::ticket::Ticket;
use crate::time::Time;

/// The writer's own source: it enrols the others and records their gaps.
pub(super) const LEDGER: &str = "ledger";

/// A record before it has its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What it is: `event`, `decision`, …
    pub kind: String,
    /// Controls it is evidence for; sorted when it is taken in.
    pub controls: Vec<String>,
    /// The kind's own content: a canonical JSON object (RFC 8785).
    pub body: Vec<u8>,
}

/// How a source goes on after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Its epoch continues: it knows from the ledger where it was and has lost nothing.
    Resume,
    /// It cannot know what it lost: a new epoch, and a `gap` record that says so.
    NewEpoch,
}

/// Something a source knows it could not record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many records, if it knows.
    pub count: Option<u64>,
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
    /// Why, in a word or two: `queue-full`, `not-durable`, …
    pub cause: String,
}

/// A source of a writer. Clones are the same source.
#[derive(Clone)]
pub struct Source {
    pub(super) name: Arc<str>,
    pub(super) shared: Arc<Shared>,
}

/// The body of a `gap` record.
#[derive(Serialize)]
pub(super) struct GapBody<'a> {
    pub(super) source: &'a str,
    pub(super) epoch: u64,
    /// The last `source_seq` before the gap; null where there is none.
    pub(super) after: Option<u64>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) count: Option<u64>,
    pub(super) cause: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<&'a super::restart::OldLog>,
}

/// The body of a `source` record.
#[derive(Serialize)]
pub(super) struct SourceBody<'a> {
    pub(super) source: &'a str,
    pub(super) state: &'a str,
}

/// The body of a `key` record.
#[derive(Serialize)]
pub(super) struct KeyBody<'a> {
    pub(super) public_key: String,
    pub(super) r#use: &'a str,
}

impl Source {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its present epoch.
    pub fn epoch(&self) -> u64 {
        self.shared.next_of(&self.name).map_or(super::shared::FIRST_EPOCH, |(epoch, _)| epoch)
    }

    /// Takes records in, all or none; they become durable together, get consecutive numbers and one
    /// time, and stand in the ledger in this order. Returns at once: the ticket resolves when they
    /// are on disk.
    pub fn append(&self, drafts: Vec<Draft>) -> Result<Ticket, AppendError> {
        self.shared.append(&self.name, drafts)
    }

    /// Where it stands in what is durable; `None` before its first record.
    pub fn position(&self) -> Option<Position> {
        self.shared.position(&self.name)
    }

    /// The body of its last durable record, of whatever epoch: where a reader that keeps its own
    /// place in `body` resumes.
    pub fn last_body(&self) -> Option<Vec<u8>> {
        self.position().and_then(|position| position.last_body)
    }

    /// Has a `gap` record written, by source `ledger`, as soon as one can be. Never waits and needs no
    /// room in the queue: losses reported before that are written as one, from the earliest to the
    /// latest, their counts added.
    pub fn report_gap(&self, loss: Loss) -> Result<(), AppendError> {
        self.shared.lose(&self.name, loss)
    }
}

impl Loss {
    /// The `gap` record of it: `next` is the number of the source's next record.
    pub(super) fn draft(
        &self,
        source: &str,
        epoch: u64,
        next: u64,
    ) -> Result<Draft, proofstream_canonical::CanonicalError> {
        let body = GapBody {
            source,
            epoch,
            after: next.checked_sub(1),
            from: self.from.to_string(),
            to: self.to.to_string(),
            count: self.count,
            cause: &self.cause,
            replaces: None,
        };
        own("gap", &body)
    }

    /// One loss that stands for both.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count = self.count.zip(other.count).map(|(mine, more)| mine.saturating_add(more));
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
    }
}

/// A draft of one of the writer's own records.
pub(super) fn own(
    kind: &str,
    body: &impl Serialize,
) -> Result<Draft, proofstream_canonical::CanonicalError> {
    let body = proofstream_canonical::to_vec(body)?;
    Ok(Draft { kind: kind.to_owned(), controls: Vec::new(), body })
}
