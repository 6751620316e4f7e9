//! Writing a ledger: one writer, many sources, every append durable before it is acknowledged.
//!
//! Two threads. One takes what waits, writes it ahead as one group with one sync, and acknowledges
//! it. The other makes segments, tiles and checkpoints of what was written ahead, so that sealing
//! never holds up an append. Both try again for as long as the storage fails: what was taken in is
//! not dropped, what does not fit the bounded queue is refused.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ed25519_dalek::SigningKey;

mod blob;
mod commit;
mod edge;
mod error;
mod head;
mod keys;
mod observer;
mod open;
mod options;
mod positions;
mod restart;
mod seal;
mod shared;
mod source;
mod ticket;

pub use blob::BlobRef;
pub use error::{AppendError, BlobError, OpenError, RotateError, SealError, SourceError};
pub use observer::{ObserveError, Observed, Observer};
pub use options::{Begin, Clock, Event, Limits, Random, SystemClock, SystemRandom, WriterOptions};
pub use positions::Position;
pub use restart::OldLog;
pub use source::{Draft, Loss, Source, Start};
pub use ticket::{Appended, NotDurable, Ticket};

pub use crate::wal::WalError;

use crate::checkpoint::Checkpoint;
use crate::note::VerifierKey;
use crate::storage::Storage;
use seal::Sealer;
use shared::{Ending, Shared, lock};
use source::{GapBody, KeyBody, LEDGER, SourceBody, own};

/// How long a seal is waited for.
const SEAL_PATIENCE: Duration = Duration::from_mins(1);
/// The longest name of a source.
const NAME_BYTES: usize = 256;

/// What was found when a ledger was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The `seq` of the next record.
    pub next_seq: u64,
    /// Segments that are sealed and published.
    pub size: u64,
    /// Records that were written ahead and not sealed.
    pub replayed: u64,
    /// Bytes of a torn group, never acknowledged, that were cut off.
    pub torn: u64,
    /// Whether a seal that had died before its checkpoint was published was finished.
    pub finished_seal: bool,
    /// The log that was moved aside.
    pub replaced: Option<OldLog>,
}

/// The one writer of a ledger. Dropping it writes what was taken in, and leaves what is not sealed
/// to the next start; [`Writer::close`] seals it.
pub struct Writer {
    shared: Arc<Shared>,
    sealer: Arc<Sealer>,
    keys: Arc<Mutex<keys::LogKeys>>,
    export_key: SigningKey,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    locks: Mutex<Vec<Box<dyn Send>>>,
}

impl Writer {
    /// Opens a ledger, or begins one. Takes the exclusive lock, holds the head against everything
    /// that says what was signed, replays what was written ahead, and only then goes on.
    pub fn open(
        ledger: Arc<dyn Storage>,
        options: WriterOptions,
    ) -> Result<(Self, Recovered), OpenError> {
        open::open(ledger, options)
    }

    /// The log's origin, `proofstream/<cluster>/<8 hex>`.
    pub fn origin(&self) -> String {
        lock(&self.keys).origin.clone()
    }

    /// The key that the log's checkpoints are signed with.
    pub fn log_key(&self) -> VerifierKey {
        lock(&self.keys).current.verifier().clone()
    }

    /// The key that signs bundles; a `key` record names its public half.
    pub fn export_key(&self) -> &SigningKey {
        &self.export_key
    }

    /// Opens a source. One the ledger does not know is enrolled by a `source` record; with
    /// [`Start::NewEpoch`] one it knows begins a new epoch, and a `gap` record says so.
    pub fn source(&self, name: &str, start: Start) -> Result<Source, SourceError> {
        let wrong = if name.is_empty() {
            Some("it is empty")
        } else if name.len() > NAME_BYTES {
            Some("it is longer than 256 bytes")
        } else if name.chars().any(char::is_control) {
            Some("it has control characters")
        } else if name == LEDGER {
            Some("it is the writer's own")
        } else {
            None
        };
        if let Some(reason) = wrong {
            return Err(SourceError::Name { name: name.chars().take(80).collect(), reason });
        }
        self.shared
            .begin_epoch(name, |known| self.announcement(name, start, known))
            .map_err(|source| SourceError::Append { name: name.to_owned(), source })?;
        Ok(Source { name: name.into(), shared: Arc::clone(&self.shared) })
    }

    fn announcement(&self, name: &str, start: Start, known: Option<(u64, u64)>) -> Option<Draft> {
        match (known, start) {
            (None, _) => own("source", &SourceBody { source: name, state: "enrolled" }).ok(),
            (Some(_), Start::Resume) => None,
            (Some((epoch, next)), Start::NewEpoch) => {
                let now = self.shared.options.clock.now();
                let last = self.shared.position(name).and_then(|position| position.last_time);
                let body = GapBody {
                    source: name,
                    epoch,
                    after: next.checked_sub(1),
                    from: last.unwrap_or(now).to_string(),
                    to: now.to_string(),
                    count: None,
                    cause: "restart",
                    replaces: None,
                };
                own("gap", &body).ok()
            }
        }
    }

    /// Retires a source: from here on its silence is no gap.
    pub fn retire(&self, source: &Source) -> Result<Ticket, AppendError> {
        let body = SourceBody { source: source.name(), state: "retired" };
        self.append_own("source", &body)
    }

    fn append_own(&self, kind: &str, body: &impl serde::Serialize) -> Result<Ticket, AppendError> {
        // INVARIANT: the writer's own bodies have ASCII keys and integer numbers, so they have a
        // canonical form.
        let draft = own(kind, body).map_err(|_| AppendError::Stopped)?;
        self.shared.append(&LEDGER.into(), vec![draft])
    }

    /// Stores a payload beside the records. It is durable when this returns, so that the record that
    /// refers to it comes after it.
    pub fn put_blob(&self, payload: &[u8], media: &str) -> Result<BlobRef, BlobError> {
        let options = &self.shared.options;
        blob::put(&*self.shared.ledger, &*options.random, &options.limits, payload, media)
    }

    /// Removes a payload, by the name that records have for it. One that is not there is removed. The
    /// `erasure` record that names it comes first and is the caller's.
    pub fn remove_blob(&self, blob: &str) -> std::io::Result<()> {
        let hash = crate::tree::Hash::from_hex(blob).ok_or_else(|| {
            std::io::Error::new(std::io::ErrorKind::InvalidInput, "not the name of a blob")
        })?;
        match self.shared.ledger.remove(&crate::reader::blob_path(&hash)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Follows the ledger from record `from` on: what is durable already, then what becomes so.
    pub fn observe(&self, from: u64) -> Observer {
        Observer { shared: Arc::clone(&self.shared), next: from, reader: None }
    }

    /// The seq behind the last durable record.
    pub fn durable_end(&self) -> u64 {
        self.shared.durable_end()
    }

    /// Seals everything taken in so far and returns the checkpoint that covers it; waits a minute
    /// where the storage fails.
    pub fn seal(&self) -> Result<Checkpoint, SealError> {
        self.seal_within(SEAL_PATIENCE)
    }

    /// As [`Writer::seal`], waiting at most `patience`. A seal that was asked for is made even when
    /// nobody waits for it any more.
    pub fn seal_within(&self, patience: Duration) -> Result<Checkpoint, SealError> {
        self.shared.request_seal().wait(patience)
    }

    /// Replaces the log's key: a `key` record, in the old key's name, announces the new one, and the
    /// next seal's checkpoint, the first to cover that record, is signed by both. Returns the new
    /// public key; it signs alone from the seal after that.
    pub fn rotate_log_key(&self) -> Result<VerifierKey, RotateError> {
        let options = &self.shared.options;
        let key = keys::generate(&*options.random).map_err(RotateError::Random)?;
        let public_key = keys::base64(key.verifying_key().as_bytes());
        let mut keys = lock(&self.keys);
        if keys.next.is_some() {
            return Err(RotateError::UnderWay);
        }
        let announced = keys.announce(&*options.private, &key).map_err(RotateError::Keep)?;
        // INVARIANT: the sealing thread needs this lock before it can look for the record.
        match self.append_own("key", &KeyBody { public_key, r#use: "log" }) {
            Ok(_) => Ok(announced),
            Err(error) => {
                keys.withdraw(&*options.private).map_err(RotateError::Keep)?;
                Err(error.into())
            }
        }
    }

    /// Takes nothing in any more, writes and seals everything, ends, and gives the lock back. On an
    /// error what was acknowledged is in the write-ahead log, for the next start.
    pub fn close(&self) -> Result<Checkpoint, SealError> {
        let promise = self.shared.end(Ending::Close);
        self.join();
        promise.wait(Duration::ZERO)
    }

    fn join(&self) {
        for thread in lock(&self.threads).drain(..) {
            // A thread that panicked has told everyone who waits when it was unwound.
            let _ = thread.join();
            self.sealer.finish();
        }
        lock(&self.locks).clear();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.end(Ending::Drop);
        self.join();
    }
}
