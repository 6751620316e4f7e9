//! Opening a ledger for writing: the locks, the keys, the head, what was written ahead, the threads.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::commit::{Committer, Segment};
use super::edge::{Edge, read_manifest};
use super::error::OpenError;
use super::head::{self, Places, Settled};
use super::keys::{self, LogKeys};
use super::options::{Begin, WriterOptions};
use super::positions::{self, Positions};
use super::restart::{self, OldLog};
use super::seal::{Job, SealThread, Sealer};
use super::shared::{FIRST_EPOCH, Shared};
use super::source::{Draft, GapBody, KeyBody, LEDGER, SourceBody, own};
use super::{Recovered, Writer};
use crate::record::Envelope;
use crate::storage::Storage;
use crate::wal::{self, Group, Log, Owner, Replayed};

const LOCK: &str = "writer";
/// How long a new ledger's first records may take to become durable.
const FIRST_WRITE: Duration = Duration::from_secs(30);

/// Opens a ledger: see [`Writer::open`].
pub(super) fn open(
    ledger: Arc<dyn Storage>,
    options: WriterOptions,
) -> Result<(Writer, Recovered), OpenError> {
    let locks = vec![take(&*ledger, "ledger")?, take(&*options.private, "private")?];
    let places = Places { ledger: &*ledger, private: &*options.private, guard: &*options.guard };
    if options.begin == Begin::NewLog {
        restart::announce(places)?;
    }
    let old_log = restart::move_aside(places)?;
    let mut keys =
        LogKeys::open(&options.cluster, places.ledger, places.private, &*options.random)?;
    let export_key = keys::export_key(places.private, &*options.random)?;
    let Settled { head, next_seq: sealed, finished } = head::settle(places, &mut keys)?;
    let sealed_positions = positions::load(places.private, places.ledger, &head, |index| {
        read_manifest(places.ledger, head.size, index)
    })?;
    let edge = Edge::load(places.ledger, head.size)?;

    let owner = Owner::of(&keys.origin);
    let replayed = wal::replay(places.private, owner, sealed)?;
    let mut current = sealed_positions.clone();
    take_into_account(&replayed, &mut current)?;
    let next_seq = replayed.files.last().map_or(sealed, wal::WalFile::end);
    let mut recovered = Recovered {
        next_seq,
        size: head.size,
        replayed: next_seq.saturating_sub(sealed),
        torn: replayed.torn,
        finished_seal: finished,
        replaced: None,
    };
    let log = Log::create(places.private, owner, replayed.next_number, next_seq)
        .map_err(|source| OpenError::storage(&wal::path(replayed.next_number), source))?;
    for path in &replayed.spent {
        places.private.remove(path).map_err(|source| OpenError::storage(path, source))?;
    }

    let jobs = jobs(replayed);
    let unsealed: Vec<Arc<Group>> = jobs.iter().flat_map(|job| job.groups.clone()).collect();
    let shared = Shared::new(options.clone(), Arc::clone(&ledger), current, unsealed, next_seq);
    let shared = Arc::new(shared);
    let sealer = Arc::new(Sealer::default());
    for job in jobs {
        sealer.push(job);
    }
    let keys = Arc::new(Mutex::new(keys));
    let seal_thread = SealThread {
        shared: Arc::clone(&shared),
        sealer: Arc::clone(&sealer),
        keys: Arc::clone(&keys),
        edge,
        head,
        positions: sealed_positions,
    };
    let committer = Committer {
        shared: Arc::clone(&shared),
        sealer: Arc::clone(&sealer),
        owner,
        log,
        next_seq,
        segment: Segment::default(),
    };
    let threads = vec![
        spawn("ledger-commit", move || committer.run())?,
        spawn("ledger-seal", move || seal_thread.run())?,
    ];
    let writer = Writer { shared, sealer, keys, export_key, threads, locks };
    if next_seq == 0 {
        writer.write_first(old_log.as_ref())?;
        recovered.replaced.clone_from(&old_log);
        recovered.next_seq = writer.shared.durable_end();
    }
    if old_log.is_some() {
        let options = &writer.shared.options;
        restart::forget(Places {
            ledger: &*writer.shared.ledger,
            private: &*options.private,
            guard: &*options.guard,
        })?;
    }
    Ok((writer, recovered))
}

impl Writer {
    /// The first records of a new log: what it replaces, its own source, the key of its exports.
    fn write_first(&self, old: Option<&OldLog>) -> Result<(), OpenError> {
        let wrong = |error: &dyn std::fmt::Display| OpenError::First { reason: error.to_string() };
        let drafts = self.first_drafts(old).map_err(|error| wrong(&error))?;
        match self.shared.push_own(drafts).wait(FIRST_WRITE) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(wrong(&error)),
            None => Err(wrong(&"the write-ahead log does not answer")),
        }
    }

    fn first_drafts(
        &self,
        old: Option<&OldLog>,
    ) -> Result<Vec<Draft>, proofstream_canonical::CanonicalError> {
        let mut drafts = Vec::new();
        if let Some(old) = old {
            let now = self.shared.options.clock.now().to_string();
            drafts.push(own(
                "gap",
                &GapBody {
                    source: LEDGER,
                    epoch: FIRST_EPOCH,
                    after: None,
                    from: old.until.clone().unwrap_or_else(|| now.clone()),
                    to: now,
                    count: None,
                    cause: "new-log",
                    replaces: Some(old),
                },
            )?);
        }
        drafts.push(own("source", &SourceBody { source: LEDGER, state: "enrolled" })?);
        let public_key = keys::base64(self.export_key.verifying_key().as_bytes());
        drafts.push(own("key", &KeyBody { public_key, r#use: "export" })?);
        Ok(drafts)
    }
}

/// Each file's records are one segment: a seal of them that died half-way is done again with the
/// same content.
fn jobs(replayed: Replayed) -> Vec<Job> {
    let job = |file: wal::WalFile| Job {
        paths: file.paths,
        groups: file.groups.into_iter().map(Arc::new).collect(),
        promises: Vec::new(),
    };
    replayed.files.into_iter().map(job).collect()
}

fn take_into_account(replayed: &Replayed, positions: &mut Positions) -> Result<(), OpenError> {
    for file in &replayed.files {
        for line in file.groups.iter().flat_map(Group::lines) {
            let record =
                Envelope::parse(line).map_err(|error| OpenError::damaged(&file.path, error))?;
            positions::advance(positions, &record);
        }
    }
    Ok(())
}

fn take(storage: &dyn Storage, place: &'static str) -> Result<Box<dyn Send>, OpenError> {
    storage.lock(LOCK).map_err(|source| {
        if source.kind() == io::ErrorKind::WouldBlock {
            let text = source.to_string();
            let holder = if text.is_empty() { "unknown".to_owned() } else { text };
            OpenError::Locked { place, holder }
        } else {
            OpenError::storage(place, source)
        }
    })
}

fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, OpenError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|source| OpenError::storage(name, source))
}
