//! What a writer is given: clock, randomness, storages, limits, and where it says what happens.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::segment;
use crate::storage::Storage;
use crate::time::Time;

/// The time of day, and a clock that never goes back.
pub trait Clock: Send + Sync + 'static {
    /// Now; may go back.
    fn now(&self) -> Time;
    /// Time since some moment in the past; never goes back.
    fn elapsed(&self) -> Duration;
}

/// A source of random bytes fit for keys.
pub trait Random: Send + Sync + 'static {
    /// Fills the slice.
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

/// How to go on with what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// Go on with the ledger, or begin the first one.
    #[default]
    Continue,
    /// Move the ledger that is there aside (nothing is deleted) and begin a new log under a new key,
    /// whose first record names the old head: the way out of [`OpenError::Behind`](super::OpenError).
    NewLog,
}

/// Bounds of memory and of segments.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A segment is sealed this long after its first record.
    pub seal_after: Duration,
    /// A segment is sealed before it would grow beyond this many bytes, uncompressed.
    pub segment_bytes: usize,
    /// A segment is sealed before it would grow beyond this many records.
    pub segment_records: usize,
    /// Records that may wait to be written.
    pub queue_records: usize,
    /// Bytes of bodies that may wait to be written.
    pub queue_bytes: usize,
    /// Bytes written ahead and not sealed yet, beyond which nothing more is taken in: reached only
    /// when sealing fails, or is slower than what arrives.
    pub backlog_bytes: usize,
    /// The longest payload of a blob.
    pub blob_bytes: usize,
}

/// Something an operator should be able to see. Nothing here needs an answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Writing or syncing the write-ahead log failed; nothing is acknowledged until it succeeds in
    /// another file.
    LogFailed {
        /// The file that is used no more.
        path: String,
        /// Whether it was the sync: pages may be lost.
        sync: bool,
        /// What the storage said.
        error: String,
    },
    /// The file was read again, and writing goes on in another one.
    LogResumed {
        /// The file that is used now.
        path: String,
        /// Acknowledged records that were not found on disk and were written again from memory.
        rewritten: u64,
    },
    /// The write-ahead log still cannot be written.
    LogUnavailable {
        /// What the storage said.
        error: String,
    },
    /// A seal failed and will be tried again.
    SealFailed {
        /// What went wrong.
        error: String,
    },
    /// A segment was sealed and its checkpoint published.
    Sealed {
        /// Segments in the log now.
        size: u64,
        /// First record of the segment.
        first: u64,
        /// Its records.
        count: u64,
    },
    /// A checkpoint could not be cleaned up after (a stale file stays); harmless.
    CleanupFailed {
        /// The file.
        path: String,
        /// What the storage said.
        error: String,
    },
}

/// What a writer is opened with.
#[derive(Clone)]
pub struct WriterOptions {
    /// kube-system's namespace UID, or the account for the cloud.
    pub cluster: String,
    /// Where keys and the write-ahead log are; readable by the owner alone.
    pub private: Arc<dyn Storage>,
    /// Where the last signed size and root are kept, on another volume where there is one: what makes
    /// a restored backup visible.
    pub guard: Arc<dyn Storage>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for keys and blobs.
    pub random: Arc<dyn Random>,
    /// Called on the writer's threads with what happens; must return soon.
    pub events: Arc<dyn Fn(&Event) + Send + Sync>,
    /// Bounds.
    pub limits: Limits,
    /// Whether to go on or to begin a new log.
    pub begin: Begin,
}

impl WriterOptions {
    /// The usual clock, randomness and limits; events are dropped.
    pub fn new(
        cluster: impl Into<String>,
        private: Arc<dyn Storage>,
        guard: Arc<dyn Storage>,
    ) -> Self {
        Self {
            cluster: cluster.into(),
            private,
            guard,
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(SystemRandom),
            events: Arc::new(|_| {}),
            limits: Limits::default(),
            begin: Begin::Continue,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            seal_after: Duration::from_secs(10),
            segment_bytes: segment::SEAL_BYTES,
            segment_records: usize::try_from(segment::MAX_RECORDS).unwrap_or(usize::MAX),
            queue_records: 65_536,
            queue_bytes: 32 << 20,
            backlog_bytes: 256 << 20,
            blob_bytes: 256 << 20,
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let microseconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        };
        Time::from_unix_microseconds(microseconds)
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
    }
}
