//! The sealing thread: a file's records become a segment, tiles and a checkpoint, then the file goes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::edge::Edge;
use super::error::OpenError;
use super::head::{self, Places, names_next_key};
use super::keys::LogKeys;
use super::options::Event;
use super::positions::{self, Positions};
use super::shared::{Ending, SealPromise, Shared, lock};
use crate::checkpoint::Checkpoint;
use crate::record::Envelope;
use crate::segment::{Builder, Sealed};
use crate::wal::Group;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often a seal is tried when the writer is to end.
const LAST_ATTEMPTS: u32 = 3;

/// Records to seal, or only promises to keep once all before are sealed.
pub(super) struct Job {
    /// The write-ahead files to remove afterwards.
    pub(super) paths: Vec<String>,
    pub(super) groups: Vec<Arc<Group>>,
    pub(super) promises: Vec<Arc<SealPromise>>,
}

/// The queue before the thread. Bounded by the limit on unsealed bytes: each job that comes without
/// being asked for has records.
#[derive(Default)]
pub(super) struct Sealer {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    busy: bool,
    /// The writer's thread has ended: end after the jobs at hand.
    last: bool,
}

/// The state of the thread.
pub(super) struct SealThread {
    pub(super) shared: Arc<Shared>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) keys: Arc<Mutex<LogKeys>>,
    pub(super) edge: Edge,
    pub(super) head: Checkpoint,
    /// As of the last sealed record.
    pub(super) positions: Positions,
}

/// A segment ready to be written.
struct Prepared {
    sealed: Sealed,
    edge: Edge,
    head: Checkpoint,
    changes_key: bool,
    positions: Positions,
}

impl Sealer {
    pub(super) fn push(&self, job: Job) {
        lock(&self.state).jobs.push_back(job);
        self.changed.notify_all();
    }

    /// Whether something is still to be sealed.
    pub(super) fn is_behind(&self) -> bool {
        let state = lock(&self.state);
        state.busy || !state.jobs.is_empty()
    }

    /// No job comes any more.
    pub(super) fn finish(&self) {
        lock(&self.state).last = true;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<Job> {
        let mut state = self
            .changed
            .wait_while(lock(&self.state), |state| state.jobs.is_empty() && !state.last)
            .unwrap_or_else(PoisonError::into_inner);
        let job = state.jobs.pop_front();
        state.busy = job.is_some();
        job
    }

    fn done(&self) {
        lock(&self.state).busy = false;
    }

    fn pause(&self, pause: Duration) {
        drop(self.changed.wait_timeout_while(lock(&self.state), pause, |state| !state.last));
    }
}

impl SealThread {
    /// Seals until the writer has ended.
    pub(super) fn run(mut self) {
        let sealer = Arc::clone(&self.sealer);
        let mut failure: Option<String> = None;
        while let Some(job) = sealer.next() {
            // Segments are contiguous: after one that could not be sealed none can be.
            if failure.is_none() {
                failure = self.seal(&job).err();
            }
            let outcome = failure.clone().map_or_else(|| Ok(self.head.clone()), Err);
            for promise in job.promises {
                promise.resolve(outcome.clone());
            }
            sealer.done();
        }
    }

    /// Seals a job's records, trying again until it succeeds or the writer is to end.
    fn seal(&mut self, job: &Job) -> Result<(), String> {
        let mut pause = FIRST_PAUSE;
        let mut attempts = 0;
        let mut prepared = None;
        while !job.groups.is_empty() {
            let result = match prepared.take() {
                Some(prepared) => Ok(prepared),
                None => self.prepare(&job.groups),
            };
            let result = result.and_then(|ready: Prepared| {
                let written = self.write(&ready);
                prepared = Some(ready);
                written
            });
            let Err(error) = result else { break };
            let error = describe(&error);
            self.shared.say(&Event::SealFailed { error: error.clone() });
            attempts += 1;
            let give_up = match self.shared.ending() {
                Some(Ending::Drop) => true,
                Some(Ending::Close) => attempts >= LAST_ATTEMPTS,
                None => false,
            };
            if give_up {
                return Err(error);
            }
            self.sealer.pause(pause);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
        if let Some(prepared) = prepared {
            self.adopt(prepared);
        }
        for path in &job.paths {
            self.clean(path, &*self.shared.options.private);
        }
        Ok(())
    }

    /// The segment of a file's records and what the log looks like with it.
    fn prepare(&self, groups: &[Arc<Group>]) -> Result<Prepared, OpenError> {
        let first = groups.first().map_or(0, |group| group.first());
        let wrong = |error: &dyn std::fmt::Display| OpenError::damaged("wal", error);
        let mut builder = Builder::new(first).map_err(|error| wrong(&error))?;
        let mut changes_key = false;
        let mut last: HashMap<String, &[u8]> = HashMap::new();
        for line in groups.iter().flat_map(|group| group.lines()) {
            let record = Envelope::parse(line).map_err(|error| wrong(&error))?;
            builder.push(&record.kind, record.time, line).map_err(|error| wrong(&error))?;
            if record.kind == "key" {
                changes_key |= names_next_key(&record.kind, record.body, &lock(&self.keys));
            }
            match last.get_mut(record.source.as_ref()) {
                Some(known) => *known = line,
                None => drop(last.insert(record.source.into_owned(), line)),
            }
        }
        let mut positions = self.positions.clone();
        for line in last.into_values() {
            let record = Envelope::parse(line).map_err(|error| wrong(&error))?;
            positions::advance(&mut positions, &record);
        }
        let sealed = builder.finish().map_err(|error| wrong(&error))?;
        let manifest = sealed.manifest.to_canonical().map_err(|error| wrong(&error))?;
        let edge = self.edge.grown(&manifest);
        let head =
            Checkpoint { origin: self.head.origin.clone(), size: edge.size(), root: edge.root() };
        Ok(Prepared { sealed, edge, head, changes_key, positions })
    }

    /// Segment, tiles, guard, checkpoint: each durable before the next.
    fn write(&self, ready: &Prepared) -> Result<(), OpenError> {
        let ledger = &*self.shared.ledger;
        let path = &ready.sealed.manifest.segment;
        // INVARIANT: its first record is behind every sealed one, so a file of that name is what an
        // attempt left that never was committed to.
        ledger
            .replace(path, &ready.sealed.bytes)
            .map_err(|source| OpenError::storage(path, source))?;
        ready.edge.write(ledger)?;
        let options = &self.shared.options;
        let places = Places { ledger, private: &*options.private, guard: &*options.guard };
        head::publish(places, &mut lock(&self.keys), &ready.head, ready.changes_key)
    }

    /// The segment is part of the log.
    fn adopt(&mut self, prepared: Prepared) {
        let manifest = &prepared.sealed.manifest;
        self.edge = prepared.edge;
        self.head = prepared.head;
        self.positions = prepared.positions;
        let private = &*self.shared.options.private;
        let written = positions::encode(&self.positions, self.head.size, self.head.root)
            .map_err(std::io::Error::other)
            .and_then(|bytes| private.replace(positions::PATH, &bytes));
        if let Err(error) = written {
            // It is derived: the next start reads what it lacks from the segments.
            let (path, error) = (positions::PATH.to_owned(), error.to_string());
            self.shared.say(&Event::CleanupFailed { path, error });
        }
        self.shared.sealed(manifest.end());
        for folder in self.edge.superfluous() {
            for path in self.shared.ledger.list(&folder).unwrap_or_default() {
                self.clean(&path, &*self.shared.ledger);
            }
        }
        self.shared.say(&Event::Sealed {
            size: self.head.size,
            first: manifest.first,
            count: manifest.count,
        });
    }

    fn clean(&self, path: &str, storage: &dyn crate::storage::Storage) {
        if let Err(error) = storage.remove(path) {
            let (path, error) = (path.to_owned(), error.to_string());
            self.shared.say(&Event::CleanupFailed { path, error });
        }
    }
}

/// An error with what it was caused by.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
