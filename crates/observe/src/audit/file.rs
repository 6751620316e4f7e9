//! Tails the API server's audit log file across rotation, truncation and restarts.
//!
//! The API server rotates by renaming (`audit.log` becomes `audit-2026-11-24T12-00-00.000.log`);
//! other tools rename to `audit.log.1` or copy and truncate. A file is known by its first line (an
//! audit event's first bytes hold its audit ID and time), so that renames, copies and reused inodes
//! neither lose nor double a line. Positions come back from the ledger: nothing is stored here.
//!
//! Compressed rotated files (`.gz`) are unpacked into a file without a name when it is their turn; places in
//! them are those of the plain file.
//!
//! Not covered: lines written between a truncation and the last read where nobody made a copy (a gap).

mod folder;
mod id;
mod open;
mod reader;

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;

pub use id::FileId;
pub use reader::Reader;

use super::{AuditGap, AuditLine};
use proofstream_model::{EventPlace, Timestamp};

/// What to tail, and in which steps.
#[derive(Debug, Clone)]
pub struct TailOptions {
    /// The file that the API server writes.
    pub path: PathBuf,
    /// How often the file is looked at while nothing new is in it.
    pub poll: Duration,
    /// Lines longer than this many bytes are gaps.
    pub line_limit: usize,
    /// A batch has at most this many lines…
    pub batch_lines: usize,
    /// …and about this many bytes (at least one line).
    pub batch_bytes: usize,
}

/// Where an earlier run stopped, as its last `event` record says.
#[derive(Debug, Clone)]
pub struct Resume {
    /// The last line that is in the ledger.
    pub place: EventPlace,
    /// Bytes that this line must contain, such as its audit ID: a guard against another file of the
    /// same name.
    pub witness: Vec<u8>,
    /// When that line was written, at the earliest: files last written before are older.
    pub written: Timestamp,
}

/// What the file said since it was last asked, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tailed {
    /// A line.
    Line(AuditLine),
    /// A stretch that could not be read.
    Gap(AuditGap),
}

/// The file cannot be read; the next call tries again.
#[derive(Debug, thiserror::Error)]
#[error("audit log `{path}` cannot be read: {source}")]
pub struct TailError {
    path: String,
    #[source]
    source: std::io::Error,
}

/// A reader of one audit log. Dropping it forgets nothing: positions are in the ledger.
#[derive(Debug)]
pub struct Tail {
    state: State,
    poll: Duration,
}

/// The reader, and what it said.
type Look = (Box<Reader>, Result<Vec<Tailed>, TailError>);

#[derive(Debug)]
enum State {
    Idle(Box<Reader>),
    Reading(JoinHandle<Look>),
    /// The reading thread panicked or the runtime is going down.
    Lost,
}

// === impl TailOptions ===

impl TailOptions {
    /// The defaults for `path`: looked at ten times a second, lines of up to 4 MiB, batches of up to
    /// 512 lines and 4 MiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            poll: Duration::from_millis(100),
            line_limit: 4 << 20,
            batch_lines: 512,
            batch_bytes: 4 << 20,
        }
    }
}

// === impl TailError ===

impl TailError {
    pub(crate) fn new(path: &std::path::Path, source: std::io::Error) -> Self {
        Self { path: path.display().to_string(), source }
    }
}

// === impl Tail ===

impl Tail {
    /// Starts after `resume`, or, where there is none, at the beginning of the file that is there
    /// now (its history counts; files rotated before are not read). A file that is not there yet is
    /// waited for.
    pub fn new(options: TailOptions, resume: Option<Resume>) -> Self {
        let poll = options.poll;
        Self { state: State::Idle(Box::new(Reader::new(options, resume))), poll }
    }

    /// The next lines and gaps, at least one, in order; waits for them. May be dropped and called
    /// again without losing any.
    pub async fn next(&mut self) -> Result<Vec<Tailed>, TailError> {
        loop {
            let items = self.read().await?;
            if !items.is_empty() {
                return Ok(items);
            }
            tokio::time::sleep(self.poll).await;
        }
    }

    /// One look at the file, on a thread that may block.
    async fn read(&mut self) -> Result<Vec<Tailed>, TailError> {
        if let State::Idle(_) = self.state
            && let State::Idle(mut reader) = std::mem::replace(&mut self.state, State::Lost)
        {
            self.state = State::Reading(tokio::task::spawn_blocking(move || {
                let items = reader.poll();
                (reader, items)
            }));
        }
        let lost = || TailError {
            path: String::new(),
            source: std::io::Error::other("the reading thread is gone"),
        };
        let State::Reading(handle) = &mut self.state else { return Err(lost()) };
        let Ok((reader, items)) = handle.await else {
            self.state = State::Lost;
            return Err(lost());
        };
        self.state = State::Idle(reader);
        items
    }
}

#[cfg(test)]
mod tests;
