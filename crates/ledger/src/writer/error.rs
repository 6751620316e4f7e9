//! Why a writer, a source or an append is refused.

use std::io;

use crate::record::RecordError;
use crate::wal::WalError;

/// Why a ledger cannot be opened for writing. Nothing is signed when it cannot.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another writer of this one, has it.
    #[error("`{place}` of this ledger is being written by process `{holder}`; stop that one first")]
    Locked {
        /// Which storage.
        place: &'static str,
        /// Its process id, or `unknown`.
        holder: String,
    },
    /// A later state than the one that is here was signed: a restored backup, or a second writer.
    #[error(
        "this ledger holds {have} segments, but {signed} were signed according to `{place}`: it is \
         a restored backup, or another process wrote in its name. Bring the missing files back \
         from a mirror, or start a new log (`--new-log`), which names this one and the gap"
    )]
    Behind {
        /// Segments here.
        have: u64,
        /// Segments signed.
        signed: u64,
        /// The file that says so.
        place: String,
    },
    /// Two different histories were signed.
    #[error(
        "`{place}` names another root for the first {size} segments than this ledger's files have: \
         two histories exist. Find out which one was given away before starting a new log"
    )]
    Fork {
        /// The file that says so.
        place: String,
        /// At which size.
        size: u64,
    },
    /// A file of the ledger is not what it must be.
    #[error("`{path}` of the ledger is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The write-ahead log cannot be replayed.
    #[error("the write-ahead log cannot be replayed")]
    Wal(#[from] WalError),
    /// The ledger's key is not there.
    #[error(
        "the key `{path}` that signs `{origin}` is missing or another one: put it back, or start a \
         new log (`--new-log`)"
    )]
    Key {
        /// The private file.
        path: String,
        /// The log.
        origin: String,
    },
    /// The ledger belongs to another cluster.
    #[error("the ledger here is `{found}`, which is not one of cluster `{cluster}`")]
    OtherCluster {
        /// The ledger's origin.
        found: String,
        /// The cluster that was asked for.
        cluster: String,
    },
    /// A storage failed.
    #[error("cannot use `{path}`")]
    Storage {
        /// The file.
        path: String,
        /// What the storage said.
        #[source]
        source: io::Error,
    },
    /// No randomness for a key.
    #[error("no randomness for a new key")]
    Random(#[source] io::Error),
    /// The first records could not be made durable.
    #[error("the ledger's first records could not be written: {reason}")]
    First {
        /// Why.
        reason: String,
    },
}

/// Why an append was not taken in. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// As much waits to be written, or to be sealed, as may: the disk is slow, full or failing. The
    /// caller tries again, or reports the loss ([`Source::report_gap`](super::Source::report_gap)).
    #[error("the ledger's queue is full")]
    Full,
    /// The writer ended.
    #[error("the ledger's writer has ended")]
    Stopped,
    /// No drafts, or more than one group holds.
    #[error("an append of `{records}` records and `{bytes}` bytes is not between 1 and {limit}")]
    Size {
        /// Its records.
        records: usize,
        /// Its bytes.
        bytes: usize,
        /// What is allowed.
        limit: &'static str,
    },
    /// A draft that does not make a record.
    #[error("draft `{index}` is no record")]
    Draft {
        /// Which one.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
}

/// Why a source cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A name no source may have.
    #[error("`{name}` is no name of a source: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Its `source` or `gap` record was not taken in.
    #[error("the record that opens source `{name}` was not taken in")]
    Append {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: AppendError,
    },
}

/// Why a seal, or the close that ends in one, did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The writer ended before it was done. What was acknowledged is in the write-ahead log.
    #[error("the ledger's writer ended before the seal was done: {reason}")]
    Stopped {
        /// The last failure.
        reason: String,
    },
    /// It is not done yet, and goes on being tried.
    #[error("the seal is not done yet; the storage is slow or failing")]
    Unfinished,
}

/// Why a blob was not stored.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Longer than a blob may be.
    #[error("a payload of `{size}` bytes is longer than {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The most.
        limit: usize,
    },
    /// No randomness to blind it with.
    #[error("no randomness to blind a blob with")]
    Random(#[source] io::Error),
    /// The storage failed.
    #[error("cannot store blob `{path}`")]
    Storage {
        /// The file.
        path: String,
        /// What the storage said.
        #[source]
        source: io::Error,
    },
}

/// Why the log's key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// A change is under way: its key record is not sealed yet.
    #[error("a change of the log's key is under way already")]
    UnderWay,
    /// No randomness for the key.
    #[error("no randomness for a new key")]
    Random(#[source] io::Error),
    /// The new key cannot be kept.
    #[error("cannot keep the new key")]
    Keep(#[source] OpenError),
    /// The key record was not taken in.
    #[error("the key record was not taken in")]
    Append(#[from] AppendError),
}

impl OpenError {
    pub(super) fn storage(path: &str, source: io::Error) -> Self {
        Self::Storage { path: path.to_owned(), source }
    }

    pub(super) fn damaged(path: &str, reason: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), reason: format!("{reason}") }
    }
}
