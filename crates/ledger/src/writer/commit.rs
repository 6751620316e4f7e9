//! The writer's thread: one group of records, one write, one sync, then the acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use super::options::{Event, Limits};
use super::seal::{Job, Sealer};
use super::shared::{Batch, Ending, SealPromise, Shared, Work};
use super::ticket::Appended;
use crate::record::{self, Parts};
use crate::wal::{self, AppendFailure, Group, Log, Owner};

/// How long the thread sleeps when nothing is due.
const IDLE: Duration = Duration::from_hours(1);
/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How soon something due that cannot be done yet is tried again.
const RETRY: Duration = Duration::from_millis(20);
/// How often a writer that is to end tries to write what waits.
const LAST_ATTEMPTS: u32 = 3;

/// The state of the thread.
pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) owner: Owner,
    pub(super) log: Log,
    /// The seq of the next record.
    pub(super) next_seq: u64,
    pub(super) segment: Segment,
}

/// The records of the present file: those of the next segment.
#[derive(Default)]
pub(super) struct Segment {
    groups: Vec<Arc<Group>>,
    records: usize,
    bytes: usize,
    /// When the first record was written, by the clock that never goes back.
    since: Option<Duration>,
    /// Asked for, and waiting for a new file.
    seals: Vec<Arc<SealPromise>>,
    /// Not to be tried before this moment.
    not_before: Option<Duration>,
}

/// Tells everyone who waits that the thread has ended, even where it panicked.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.stop("it failed");
    }
}

/// The writer is to end and cannot write what waits.
struct GaveUp;

impl Committer {
    /// Runs until the writer is to end, and whatever happens tells everyone who waits.
    pub(super) fn run(mut self) {
        let farewell = Farewell(Arc::clone(&self.shared));
        let ending = self.work();
        let reason = match ending {
            Ok(()) => "it was closed",
            Err(GaveUp) => "the write-ahead log could not be written",
        };
        self.shared.stop(reason);
        drop(farewell);
        for seal in self.segment.seals.drain(..) {
            seal.resolve(Err(reason.to_owned()));
        }
    }

    fn work(&mut self) -> Result<(), GaveUp> {
        loop {
            let work = self.shared.next_work(self.until_due());
            let Work { batches, seals, end } = work;
            let idle = batches.is_empty();
            if !idle {
                self.commit(batches)?;
            }
            self.segment.seals.extend(seals);
            let due = self.is_due() && !self.sealer.is_behind();
            if self.may_try() && (due || !self.segment.seals.is_empty()) {
                self.rotate();
            }
            if idle && end.is_some() && (self.segment.seals.is_empty() || end == Some(Ending::Drop))
            {
                return Ok(());
            }
        }
    }

    fn now(&self) -> Duration {
        self.shared.options.clock.elapsed()
    }

    /// How long nothing but new work is to be done.
    fn until_due(&self) -> Duration {
        let limits = &self.shared.options.limits;
        let due = match self.segment.since {
            _ if !self.segment.seals.is_empty() => self.segment.not_before,
            Some(since) => Some(since.saturating_add(limits.seal_after)),
            None => return IDLE,
        };
        let wait = due.max(self.segment.not_before).unwrap_or_default().saturating_sub(self.now());
        // What is due and cannot be done yet (the segment before is still being sealed) is looked
        // at again soon.
        wait.max(RETRY)
    }

    fn is_due(&self) -> bool {
        let after = self.shared.options.limits.seal_after;
        self.segment.since.is_some_and(|since| self.now() >= since.saturating_add(after))
    }

    fn may_try(&self) -> bool {
        self.segment.not_before.is_none_or(|moment| self.now() >= moment)
    }

    /// Writes a group until it is durable, then acknowledges it.
    fn commit(&mut self, mut batches: Vec<Batch>) -> Result<(), GaveUp> {
        let time = self.shared.options.clock.now();
        let group = self.compose(&mut batches, time);
        if group.count() == 0 {
            return Ok(());
        }
        let mut group = group;
        let fits = self.segment.has_room(&group, &self.shared.options.limits);
        let written = if !fits && !self.rotate() {
            // The present file may take no more: the group is the first of the next one, whenever
            // that can be made.
            self.write_elsewhere(&mut group)
        } else {
            self.write(&mut group)
        };
        // Batches that are dropped unacknowledged say so.
        written?;
        let mut seq = group.first();
        let firsts: Vec<u64> = batches
            .iter()
            .map(|batch| {
                let first = seq;
                seq = seq.saturating_add(batch.drafts.len() as u64);
                first
            })
            .collect();
        self.next_seq = group.end();
        self.segment.add(Arc::new(group), self.shared.options.clock.elapsed());
        if let Some(group) = self.segment.groups.last() {
            self.shared.durable(Arc::clone(group), &mut batches, time);
        }
        for (batch, first_seq) in batches.iter().zip(firsts) {
            batch.promise.resolve(Ok(Appended { first_seq, time }));
        }
        Ok(())
    }

    /// The lines of a group. Batches that make no lines are taken out.
    fn compose(&self, batches: &mut Vec<Batch>, time: crate::time::Time) -> Group {
        let mut group = Group::new(self.next_seq);
        let mut whole = Vec::with_capacity(batches.len());
        for batch in batches.drain(..) {
            let lines: Result<Vec<_>, _> = (0_u64..)
                .zip(&batch.drafts)
                .map(|(index, draft)| {
                    record::compose(&Parts {
                        body: &draft.body,
                        cluster: &self.shared.options.cluster,
                        controls: &draft.controls,
                        kind: &draft.kind,
                        seq: group.end().saturating_add(index),
                        source: &batch.source,
                        source_epoch: batch.epoch,
                        source_seq: batch.first_source_seq.saturating_add(index),
                        time,
                    })
                })
                .collect();
            // INVARIANT: drafts were composed once with the longest numbers when they were taken
            // in, so this fails for none of them.
            if let Ok(lines) = lines {
                for line in &lines {
                    group.push(line);
                }
                whole.push(batch);
            }
        }
        *batches = whole;
        group
    }

    fn write(&mut self, group: &mut Group) -> Result<(), GaveUp> {
        let failure = match self.log.append(group) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let (sync, error) = match failure {
            AppendFailure::Write(error) => (false, error),
            AppendFailure::Sync(error) => (true, error),
        };
        let path = wal::path(self.log.number());
        self.shared.say(&Event::LogFailed { path, sync, error: error.to_string() });
        self.write_elsewhere(group)
    }

    /// Goes on in a new file, until that succeeds or the writer is to end: reads what the present one
    /// truly holds, writes again what it should hold and does not, then the group.
    fn write_elsewhere(&mut self, group: &mut Group) -> Result<(), GaveUp> {
        let mut pause = FIRST_PAUSE;
        let mut attempts = 0;
        loop {
            match self.move_on(group) {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(error) => {
                    self.shared.say(&Event::LogUnavailable { error: error.to_string() });
                }
            }
            attempts += 1;
            if self.shared.ending().is_some() && attempts >= LAST_ATTEMPTS {
                return Err(GaveUp);
            }
            self.shared.pause(pause);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// One attempt at it. False when what had to be written again leaves no room for the group in
    /// this segment: it belongs in one more file.
    fn move_on(&mut self, group: &mut Group) -> std::io::Result<bool> {
        let first = self.readable_end();
        let number = self.log.number().saturating_add(1);
        let storage = &*self.shared.options.private;
        // Emptied first if an attempt before left it: nothing in it was acknowledged.
        let mut log = Log::create(storage, self.owner, number, first)?;
        let kept = self.segment.groups.partition_point(|group| group.end() <= first);
        let mut next = Segment::default();
        for group in self.segment.groups.get(kept..).unwrap_or_default() {
            log.append_unsynced(&mut Group::clone(group))?;
            next.add(Arc::clone(group), self.now());
        }
        let rewritten = next.records as u64;
        let fits = next.has_room(group, &self.shared.options.limits);
        if fits {
            log.append_unsynced(group)?;
        }
        log.sync()?;
        // INVARIANT: the file before is given up only now that all it lacks is durable elsewhere.
        let old = std::mem::replace(&mut self.log, log);
        let mut before = std::mem::replace(&mut self.segment, next);
        before.groups.truncate(kept);
        self.segment.seals = std::mem::take(&mut before.seals);
        self.sealer.push(Job {
            paths: vec![wal::path(old.number())],
            groups: before.groups,
            promises: Vec::new(),
        });
        self.shared.say(&Event::LogResumed { path: wal::path(number), rewritten });
        Ok(fits)
    }

    /// The seq up to which acknowledged records can be read from the present file.
    fn readable_end(&self) -> u64 {
        let path = wal::path(self.log.number());
        let first = self.segment.groups.first().map_or(self.next_seq, |group| group.first());
        let bytes = self.shared.options.private.read(&path).ok().flatten().unwrap_or_default();
        let file = wal::read_file(&bytes, &path, self.owner, self.log.number()).ok().flatten();
        let readable = file.map_or(first, |file| file.end_of_prefix(&self.segment.groups));
        readable.clamp(first, self.next_seq)
    }

    /// Begins a new file and hands the records of the present one to the sealer; without records it
    /// only has the promises kept. False where no file could be made: it is tried again.
    fn rotate(&mut self) -> bool {
        if self.segment.groups.is_empty() {
            let promises = std::mem::take(&mut self.segment.seals);
            self.sealer.push(Job { paths: Vec::new(), groups: Vec::new(), promises });
            return true;
        }
        match self.next_log() {
            Ok(log) => {
                let old = std::mem::replace(&mut self.log, log);
                let sealed = std::mem::take(&mut self.segment);
                self.sealer.push(Job {
                    paths: vec![wal::path(old.number())],
                    groups: sealed.groups,
                    promises: sealed.seals,
                });
                true
            }
            Err(error) => {
                self.shared.say(&Event::LogUnavailable { error: error.to_string() });
                self.segment.not_before = Some(self.now().saturating_add(LONGEST_PAUSE));
                if self.shared.ending().is_some() {
                    // It was tried often enough: the records stay written ahead.
                    let reason = error.to_string();
                    for seal in self.segment.seals.drain(..) {
                        seal.resolve(Err(reason.clone()));
                    }
                }
                false
            }
        }
    }

    /// Makes the next file; tried again at once only where there is no later.
    fn next_log(&self) -> std::io::Result<Log> {
        let number = self.log.number().saturating_add(1);
        let mut attempts = 1;
        loop {
            let storage = &*self.shared.options.private;
            match Log::create(storage, self.owner, number, self.next_seq) {
                Err(_) if self.shared.ending().is_some() && attempts < LAST_ATTEMPTS => {
                    attempts += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

impl Segment {
    /// Whether a group may be added; the first one always may.
    fn has_room(&self, group: &Group, limits: &Limits) -> bool {
        self.groups.is_empty()
            || self.records.saturating_add(group.count()) <= limits.segment_records
                && self.bytes.saturating_add(group.size()) <= limits.segment_bytes
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.iter()
    }

    pub(super) fn add(&mut self, group: Arc<Group>, now: Duration) {
        self.records = self.records.saturating_add(group.count());
        self.bytes = self.bytes.saturating_add(group.size());
        self.since.get_or_insert(now);
        self.groups.push(group);
    }
}
