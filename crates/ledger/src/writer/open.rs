//! Opening a ledger for writing: the locks, the keys, the head, what was written ahead, the threads.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

use ed25519_dalek::SigningKey;

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
use crate::record::{self, Envelope, Parts};
use crate::storage::Storage;
use crate::time::Time;
use crate::wal::{self, AppendFailure, Group, Log, Owner, Replayed, WalFile};

const LOCK: &str = "writer";

/// What was read of a ledger, before anything is written to it.
struct Found {
    keys: LogKeys,
    export_key: SigningKey,
    settled: Settled,
    edge: Edge,
    /// As of the last sealed record.
    sealed_positions: Positions,
    /// As of the last record.
    positions: Positions,
    owner: Owner,
    replayed: Replayed,
}

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
    let mut found = find(places, &options)?;
    let mut next_seq = found.replayed.files.last().map_or(found.settled.next_seq, WalFile::end);
    let mut recovered = Recovered {
        next_seq,
        size: found.settled.head.size,
        replayed: next_seq.saturating_sub(found.settled.next_seq),
        torn: found.replayed.torn,
        finished_seal: found.settled.finished,
        replaced: None,
    };
    let number = found.replayed.next_number;
    let mut log = Log::create(places.private, found.owner, number, next_seq)
        .map_err(|source| OpenError::storage(&wal::path(number), source))?;
    let mut segment = Segment::default();
    if next_seq == 0 {
        let positions = &mut found.positions;
        let old = old_log.as_ref();
        let group = write_first(&mut log, &options, &found.export_key, old, positions)?;
        next_seq = group.end();
        segment.add(Arc::new(group), options.clock.elapsed());
        recovered.next_seq = next_seq;
        recovered.replaced.clone_from(&old_log);
    }
    for path in &found.replayed.spent {
        places.private.remove(path).map_err(|source| OpenError::storage(path, source))?;
    }
    if old_log.is_some() {
        restart::forget(places)?;
    }
    let writer = start(ledger, options, found, log, segment, next_seq, locks)?;
    Ok((writer, recovered))
}

/// Reads keys, head, sources and the write-ahead log, and holds them against each other.
fn find(places: Places<'_>, options: &WriterOptions) -> Result<Found, OpenError> {
    let mut keys =
        LogKeys::open(&options.cluster, places.ledger, places.private, &*options.random)?;
    let export_key = keys::export_key(places.private, &*options.random)?;
    let settled = head::settle(places, &mut keys)?;
    let head = &settled.head;
    let sealed_positions = positions::load(places.private, places.ledger, head, |index| {
        read_manifest(places.ledger, head.size, index)
    })?;
    let edge = Edge::load(places.ledger, head.size)?;
    let owner = Owner::of(&keys.origin);
    let replayed = wal::replay(places.private, owner, settled.next_seq)?;
    let mut positions = sealed_positions.clone();
    let key_announced = take_into_account(&replayed, &keys, &mut positions)?;
    if keys.next.is_some() && !key_announced {
        // Its record never became durable.
        keys.withdraw(places.private)?;
    }
    Ok(Found { keys, export_key, settled, edge, sealed_positions, positions, owner, replayed })
}

/// Starts the threads.
fn start(
    ledger: Arc<dyn Storage>,
    options: WriterOptions,
    found: Found,
    log: Log,
    segment: Segment,
    next_seq: u64,
    locks: Vec<Box<dyn Send>>,
) -> Result<Writer, OpenError> {
    let jobs = jobs(found.replayed);
    let waiting = jobs.iter().flat_map(|job| job.groups.iter()).chain(segment.groups());
    let waiting: Vec<Arc<Group>> = waiting.map(Arc::clone).collect();
    let shared = Arc::new(Shared::new(options, ledger, found.positions, waiting, next_seq));
    let sealer = Arc::new(Sealer::default());
    for job in jobs {
        sealer.push(job);
    }
    let keys = Arc::new(Mutex::new(found.keys));
    let seal_thread = SealThread {
        shared: Arc::clone(&shared),
        sealer: Arc::clone(&sealer),
        keys: Arc::clone(&keys),
        edge: found.edge,
        head: found.settled.head,
        positions: found.sealed_positions,
    };
    let committer = Committer {
        shared: Arc::clone(&shared),
        sealer: Arc::clone(&sealer),
        owner: found.owner,
        log,
        next_seq,
        segment,
    };
    let export_key = found.export_key;
    let threads = vec![
        spawn("ledger-commit", move || committer.run())?,
        spawn("ledger-seal", move || seal_thread.run())?,
    ];
    let (threads, locks) = (Mutex::new(threads), Mutex::new(locks));
    Ok(Writer { shared, sealer, keys, export_key, threads, locks })
}

/// The first records of a new log, durable: what it replaces, its own source, the key of its exports.
fn write_first(
    log: &mut Log,
    options: &WriterOptions,
    export_key: &SigningKey,
    old: Option<&OldLog>,
    positions: &mut Positions,
) -> Result<Group, OpenError> {
    let wrong = |error: &dyn std::fmt::Display| OpenError::First { reason: error.to_string() };
    let time = options.clock.now();
    let drafts = first_drafts(time, export_key, old).map_err(|error| wrong(&error))?;
    let mut group = Group::new(0);
    for (index, draft) in (0_u64..).zip(drafts) {
        let line = record::compose(&Parts {
            body: &draft.body,
            cluster: &options.cluster,
            controls: &draft.controls,
            kind: &draft.kind,
            seq: index,
            source: LEDGER,
            source_epoch: FIRST_EPOCH,
            source_seq: index,
            time,
        });
        let line = line.map_err(|error| wrong(&error))?;
        let record = Envelope::parse(&line).map_err(|error| wrong(&error))?;
        positions::advance(positions, &record);
        group.push(&line);
    }
    log.append(&mut group).map_err(|failure| match failure {
        AppendFailure::Write(error) | AppendFailure::Sync(error) => wrong(&error),
    })?;
    Ok(group)
}

fn first_drafts(
    now: Time,
    export_key: &SigningKey,
    old: Option<&OldLog>,
) -> Result<Vec<Draft>, proofstream_canonical::CanonicalError> {
    let mut drafts = Vec::new();
    if let Some(old) = old {
        let body = GapBody {
            source: LEDGER,
            epoch: FIRST_EPOCH,
            after: None,
            from: old.until.clone().unwrap_or_else(|| now.to_string()),
            to: now.to_string(),
            count: None,
            cause: "new-log",
            replaces: Some(old),
        };
        drafts.push(own("gap", &body)?);
    }
    drafts.push(own("source", &SourceBody { source: LEDGER, state: "enrolled" })?);
    let public_key = keys::base64(export_key.verifying_key().as_bytes());
    drafts.push(own("key", &KeyBody { public_key, r#use: "export" })?);
    Ok(drafts)
}

/// Each file's records are one segment: a seal of them that died half-way is done again with the
/// same content.
fn jobs(replayed: Replayed) -> Vec<Job> {
    let job = |file: WalFile| Job {
        paths: file.paths,
        groups: file.groups.into_iter().map(Arc::new).collect(),
        promises: Vec::new(),
    };
    replayed.files.into_iter().map(job).collect()
}

/// Moves the sources on; whether a record announces the log's next key.
fn take_into_account(
    replayed: &Replayed,
    keys: &LogKeys,
    positions: &mut Positions,
) -> Result<bool, OpenError> {
    let mut key_announced = false;
    for file in &replayed.files {
        for line in file.groups.iter().flat_map(Group::lines) {
            let record =
                Envelope::parse(line).map_err(|error| OpenError::damaged(&file.path, error))?;
            key_announced |= head::names_next_key(&record.kind, record.body, keys);
            positions::advance(positions, &record);
        }
    }
    Ok(key_announced)
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
