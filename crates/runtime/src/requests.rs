//! Requests that policies judged, kept for a while so that policies can be replayed over them.
//!
//! They are gathered in memory and written together as one blob, off the way of the answers: what a
//! crash takes with it is at most what came in since the last blob. A `requests` record follows each
//! blob, and after the time that the operator chose an `erasure` record precedes its removal.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proofstream_ledger::writer::Writer;
use proofstream_model::{DecisionRef, Entry, ErasureBody, RequestsBody, Timestamp};
use proofstream_policy::Request;
use tokio::sync::Notify;

use crate::projection::{Projection, ProjectionError};
use crate::recorder::{RecordError, Recorder};

/// The media type of the payload.
pub const MEDIA: &str = "application/x-ndjson+zstd";
/// Bytes gathered before they are written.
const BATCH: usize = 4 << 20;
/// Most bytes that wait for the disk.
const MOST: usize = 32 << 20;
/// The longest that a request waits to be written.
const PATIENCE: Duration = Duration::from_mins(1);
/// Kinds that may carry secrets: never kept.
const SECRET: [&str; 3] = ["Secret", "TokenRequest", "TokenReview"];
/// Blobs that one erasure record names at most.
const ERASED_AT_ONCE: u32 = 500;

/// Why requests that were judged are not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The payload cannot be made.
    #[error("requests cannot be compressed")]
    Compress(#[source] std::io::Error),
    /// The blob cannot be stored.
    #[error("requests cannot be stored beside the ledger")]
    Blob(#[from] proofstream_ledger::writer::BlobError),
    /// The record cannot be made.
    #[error("a record of requests cannot be made")]
    Body(#[from] serde_json::Error),
    /// The ledger does not take the record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The ledger did not make the record durable.
    #[error("the record did not reach the disk")]
    NotDurable,
    /// What is there to be erased cannot be found out.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// A blob cannot be removed.
    #[error("blob `{blob}` cannot be removed")]
    Remove {
        /// Its name.
        blob: String,
        /// What the disk says.
        source: std::io::Error,
    },
}

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    count: u64,
    missed: u64,
    span: Option<(Timestamp, Timestamp)>,
}

/// Gathers requests and writes them.
pub struct KeptRequests {
    writer: Arc<Writer>,
    recorder: Recorder,
    pending: Mutex<Pending>,
    enough: Notify,
}

// === impl KeptRequests ===

impl KeptRequests {
    /// Writes blobs with `writer`, and records in the name of `recorder`.
    pub fn new(writer: Arc<Writer>, recorder: Recorder) -> Self {
        Self { writer, recorder, pending: Mutex::default(), enough: Notify::new() }
    }

    /// Takes in one call of the API server, of which a decision was made. Never waits.
    pub fn keep(&self, decision: &DecisionRef, request: &Request, review: &[u8]) {
        if SECRET.contains(&request.kind.kind.as_str()) {
            return;
        }
        let line = line(decision, request, review);
        let now = self.recorder.now();
        let mut pending = self.lock();
        let from = pending.span.map_or(now, |(from, _)| from);
        pending.span = Some((from, now));
        match line {
            Ok(line) if pending.lines.len() + line.len() < MOST => {
                pending.lines.extend_from_slice(&line);
                pending.lines.push(b'\n');
                pending.count += 1;
            }
            Ok(_) | Err(_) => pending.missed += 1,
        }
        if pending.lines.len() >= BATCH {
            self.enough.notify_one();
        }
    }

    /// Waits until there is enough to be written, or it has waited long enough.
    pub async fn due(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.enough.notified()).await;
    }

    /// Writes what has been gathered: the blob first, durable, then the record that names it. Blocks.
    ///
    /// # Errors
    /// The disk or the ledger refuse. What was gathered then counts as missed in the next record.
    pub fn write(&self) -> Result<(), KeepError> {
        let pending = std::mem::take(&mut *self.lock());
        let Some((from, to)) = pending.span else { return Ok(()) };
        let outcome = self.store(&pending, from, to);
        if outcome.is_err() {
            let mut later = self.lock();
            later.missed += pending.count + pending.missed;
            later.span = Some((from, later.span.map_or(to, |(_, to)| to)));
        }
        outcome
    }

    fn store(&self, pending: &Pending, from: Timestamp, to: Timestamp) -> Result<(), KeepError> {
        let payload = zstd::bulk::compress(&pending.lines, zstd::DEFAULT_COMPRESSION_LEVEL)
            .map_err(KeepError::Compress)?;
        let payload = serde_json::to_value(self.writer.put_blob(&payload, MEDIA)?)?;
        let (count, missed) = (pending.count, pending.missed);
        let body = RequestsBody { payload, count, missed, from, to };
        self.recorder.record(&[Entry::new(&body, Vec::new())?])?;
        Ok(())
    }

    /// Removes what was kept before `before`: the erasure record first, durable, then the blobs.
    /// Gives how many were removed. Blocks.
    ///
    /// # Errors
    /// The ledger or the disk refuse; what was not removed is tried again the next time.
    pub fn erase(&self, projection: &Projection, before: Timestamp) -> Result<usize, KeepError> {
        // Named in a record, but the process ended before they were gone.
        let mut gone = projection.erased_requests()?;
        let blobs = projection.kept_requests(before, ERASED_AT_ONCE)?;
        if !blobs.is_empty() {
            let body = ErasureBody {
                actor: "retention".to_owned(),
                reason: format!("requests judged before {before} are no longer kept"),
                blobs: blobs.clone(),
            };
            let ticket = self.recorder.record(&[Entry::new(&body, Vec::new())?])?;
            let patience = Duration::from_mins(1);
            ticket.wait(patience).and_then(Result::ok).ok_or(KeepError::NotDurable)?;
        }
        let count = blobs.len();
        gone.extend(blobs);
        for blob in gone {
            self.writer
                .remove_blob(&blob)
                .map_err(|source| KeepError::Remove { blob: blob.clone(), source })?;
        }
        Ok(count)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of the payload. `review` has been read as JSON before, and goes in as it is.
fn line(
    decision: &DecisionRef,
    request: &Request,
    review: &[u8],
) -> Result<Vec<u8>, serde_json::Error> {
    let review = review.trim_ascii();
    let mut line = Vec::with_capacity(review.len() + 128);
    line.extend_from_slice(b"{\"decision\":");
    serde_json::to_writer(&mut line, &decision.to_string())?;
    if let Some(labels) = &request.namespace_labels {
        line.extend_from_slice(b",\"namespaceLabels\":");
        serde_json::to_writer(&mut line, labels)?;
    }
    line.extend_from_slice(b",\"review\":");
    if review.contains(&b'\n') {
        // Written over several lines, which JSON lines may not be.
        let value: serde_json::Value = serde_json::from_slice(review)?;
        serde_json::to_writer(&mut line, &value)?;
    } else {
        line.extend_from_slice(review);
    }
    line.push(b'}');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use proofstream_ledger::storage::Directory;
    use proofstream_ledger::writer::{Start, WriterOptions};
    use proofstream_model::Record;
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Clock;
    use crate::projection::catch_up;

    struct Stand {
        kept: KeptRequests,
        writer: Arc<Writer>,
        projection: Projection,
        folder: tempfile::TempDir,
    }

    fn stand() -> Stand {
        let folder = tempfile::tempdir().unwrap();
        let files = |name: &str| Arc::new(Directory::new(folder.path().join(name)));
        let options = WriterOptions::new("c", files("private"), files("guard"));
        let writer = Arc::new(Writer::open(files("ledger"), options).unwrap().0);
        let clock = Clock::new(|| Timestamp::from_micros(1_790_000_000_000_000));
        let source = writer.source("requests", Start::Resume).unwrap();
        let kept = KeptRequests::new(Arc::clone(&writer), Recorder::new(source, clock));
        let projection = Projection::open(&folder.path().join("projection.sqlite")).unwrap();
        Stand { kept, writer, projection, folder }
    }

    impl Stand {
        fn records(&self) -> Vec<Record> {
            let mut observer = self.writer.observe(0);
            let mut found = Vec::new();
            self.writer.seal().unwrap();
            while observer.position() < self.writer.durable_end() {
                let observed = observer.next(Duration::from_secs(20)).unwrap().unwrap();
                found.extend(observed.lines().map(|line| Record::parse(line).unwrap()));
            }
            found.retain(|record| matches!(record.kind.as_str(), "requests" | "erasure"));
            found
        }

        fn verdict(&self) -> bool {
            let ledger = Directory::new(self.folder.path().join("ledger"));
            proofstream_ledger::verify::verify_ledger(
                &ledger,
                &proofstream_ledger::verify::Options::default(),
            )
            .unwrap()
            .failures
            .is_empty()
        }

        fn keep(&self, kind: &str, number: u64) {
            let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
            let review = json!({"kind": "AdmissionReview", "request": {"object": object}});
            let text = serde_json::to_string_pretty(&review).unwrap();
            let decision = DecisionRef { source: "admission/0".to_owned(), epoch: 1, number };
            self.kept.keep(&decision, &Request::create(object), text.as_bytes());
        }
    }

    fn blob(record: &Record) -> &str {
        record.body["payload"]["blob"].as_str().unwrap()
    }

    #[test]
    fn requests_are_kept_until_their_time_is_over() {
        let stand = stand();
        stand.kept.write().unwrap();
        assert!(stand.records().is_empty(), "nothing was judged");
        stand.keep("Pod", 0);
        stand.keep("Secret", 1);
        stand.keep("ConfigMap", 2);
        stand.kept.write().unwrap();
        let records = stand.records();
        let [record] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((&record.body["count"], &record.body["missed"]), (&json!(2), &json!(0)));
        let (folder, name) = (&blob(record)[..2], blob(record));
        let path = stand.folder.path().join("ledger/blobs").join(folder).join(name);
        let file = std::fs::read(&path).unwrap();
        let lines = zstd::bulk::decompress(&file[32..], 1 << 20).unwrap();
        let lines: Vec<Value> = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["decision"], "admission/0 1 0");
        assert_eq!(lines[1]["review"]["request"]["object"]["kind"], "ConfigMap");

        catch_up(&stand.projection, &stand.writer).unwrap();
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        assert_eq!(stand.kept.erase(&stand.projection, now).unwrap(), 0, "too young");
        assert!(path.exists() && stand.verdict());
        let later = Timestamp::from_micros(1_790_000_000_000_001 + 86_400_000_000);
        assert_eq!(stand.kept.erase(&stand.projection, later).unwrap(), 1);
        assert!(!path.exists());
        assert_eq!(stand.records().len(), 2);
        assert!(stand.verdict(), "what is gone is named by an erasure");
        catch_up(&stand.projection, &stand.writer).unwrap();
        assert_eq!(stand.kept.erase(&stand.projection, later).unwrap(), 0, "once");
    }

    #[test]
    fn what_a_disk_refuses_is_counted() {
        let stand = stand();
        let blobs = stand.folder.path().join("ledger/blobs");
        std::fs::write(&blobs, "in the way").unwrap();
        stand.keep("Pod", 0);
        assert!(matches!(stand.kept.write(), Err(KeepError::Blob(_))));
        std::fs::remove_file(&blobs).unwrap();
        stand.keep("Pod", 1);
        stand.kept.write().unwrap();
        let records = stand.records();
        assert_eq!(records[0].body["count"], 1);
        assert_eq!(records[0].body["missed"], 1);
    }
}
