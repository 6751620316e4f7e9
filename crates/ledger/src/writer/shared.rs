//! What the writer's threads, its sources and its observers share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::{AppendError, SealError};
use super::options::{Event, WriterOptions};
use super::positions::Positions;
use super::source::{Draft, Loss};
use super::ticket::{NotDurable, Promise, Ticket};
use crate::checkpoint::Checkpoint;
use crate::record::{self, Parts};
use crate::storage::Storage;
use crate::time::Time;
use crate::wal::Group;

/// The most records one append may have; they become durable together.
const APPEND_RECORDS: usize = 4096;
/// The most bytes of bodies one append may have.
const APPEND_BYTES: usize = 4 << 20;
/// The most records of one group, but for a single append.
const GROUP_RECORDS: usize = 8192;
/// The most bytes of bodies of one group, but for a single append.
const GROUP_BYTES: usize = 4 << 20;
/// The first epoch of a source.
pub(super) const FIRST_EPOCH: u64 = 1;

/// Everything that is shared. Locks are taken one at a time, but for `admission` before `positions`.
pub(super) struct Shared {
    pub(super) options: WriterOptions,
    pub(super) ledger: Arc<dyn Storage>,
    admission: Mutex<Admission>,
    work: Condvar,
    positions: Mutex<Positions>,
    tail: Mutex<Tail>,
    grown: Condvar,
    /// Bytes in the write-ahead log that are not sealed.
    backlog: AtomicUsize,
}

/// What waits to be written.
#[derive(Default)]
struct Admission {
    batches: VecDeque<Batch>,
    records: usize,
    bytes: usize,
    sources: BTreeMap<String, Next>,
    losses: BTreeMap<String, Loss>,
    seals: Vec<Arc<SealPromise>>,
    end: Option<Ending>,
    stopped: bool,
}

/// What a source's next record is called.
#[derive(Clone, Copy)]
struct Next {
    epoch: u64,
    seq: u64,
}

/// One append.
pub(super) struct Batch {
    pub(super) source: Arc<str>,
    pub(super) epoch: u64,
    pub(super) first_source_seq: u64,
    pub(super) drafts: Vec<Draft>,
    pub(super) bytes: usize,
    pub(super) promise: Arc<Promise>,
}

impl Drop for Batch {
    /// Whatever becomes of it, whoever waits is told; after an acknowledgement this changes nothing.
    fn drop(&mut self) {
        self.promise.resolve(Err(NotDurable));
    }
}

/// How the writer is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Write what waits, seal, end.
    Close,
    /// Write what waits, end.
    Drop,
}

/// What there is to do for the writer's thread.
#[derive(Default)]
pub(super) struct Work {
    pub(super) batches: Vec<Batch>,
    pub(super) seals: Vec<Arc<SealPromise>>,
    pub(super) end: Option<Ending>,
}

/// Where a seal's outcome is waited for.
#[derive(Default)]
pub(super) struct SealPromise {
    outcome: Mutex<Option<Result<Checkpoint, String>>>,
    kept: Condvar,
}

/// Durable records that are not sealed yet, for observers.
struct Tail {
    groups: VecDeque<Arc<Group>>,
    end: u64,
    ended: bool,
}

/// What an observer finds.
pub(super) enum Seen {
    Group(Arc<Group>),
    /// It is sealed: the ledger has it.
    Sealed,
    Nothing,
    Ended,
}

impl Shared {
    pub(super) fn new(
        options: WriterOptions,
        ledger: Arc<dyn Storage>,
        positions: Positions,
        unsealed: impl IntoIterator<Item = Arc<Group>>,
        end: u64,
    ) -> Self {
        let next = |position: &super::Position| Next { epoch: position.epoch, seq: position.next };
        let sources = positions.iter().map(|(name, at)| (name.clone(), next(at))).collect();
        let groups: VecDeque<_> = unsealed.into_iter().collect();
        let backlog = groups.iter().map(|group| group.size()).sum();
        Self {
            options,
            ledger,
            admission: Mutex::new(Admission { sources, ..Admission::default() }),
            work: Condvar::new(),
            positions: Mutex::new(positions),
            tail: Mutex::new(Tail { groups, end, ended: false }),
            grown: Condvar::new(),
            backlog: AtomicUsize::new(backlog),
        }
    }

    pub(super) fn say(&self, event: &Event) {
        (self.options.events)(event);
    }

    /// Takes an append in, under the present epoch of its source.
    pub(super) fn append(
        &self,
        source: &Arc<str>,
        mut drafts: Vec<Draft>,
    ) -> Result<Ticket, AppendError> {
        let mut bytes = 0_usize;
        for (index, draft) in drafts.iter_mut().enumerate() {
            draft.controls.sort_unstable();
            draft.controls.dedup();
            bytes = bytes.saturating_add(draft.body.len());
            check(&self.options.cluster, source, draft)
                .map_err(|source| AppendError::Draft { index, source })?;
        }
        if drafts.is_empty() || drafts.len() > APPEND_RECORDS || bytes > APPEND_BYTES {
            let limit = "4096 records of 4 MiB together";
            return Err(AppendError::Size { records: drafts.len(), bytes, limit });
        }
        let mut admission = lock(&self.admission);
        self.has_room(&admission, drafts.len(), bytes)?;
        let ticket = admission.push(source, drafts, bytes);
        drop(admission);
        self.work.notify_one();
        Ok(ticket)
    }

    fn has_room(
        &self,
        admission: &Admission,
        records: usize,
        bytes: usize,
    ) -> Result<(), AppendError> {
        let limits = &self.options.limits;
        if admission.stopped || admission.end.is_some() {
            return Err(AppendError::Stopped);
        }
        // An append larger than the queue is taken when nothing else waits, else it never would be.
        let fits = |have: usize, more: usize, limit: usize| {
            have == 0 || have.saturating_add(more) <= limit
        };
        let room = fits(admission.records, records, limits.queue_records)
            && fits(admission.bytes, bytes, limits.queue_bytes)
            && self.backlog.load(Ordering::Relaxed) < limits.backlog_bytes;
        if room { Ok(()) } else { Err(AppendError::Full) }
    }

    /// The present epoch of a source and the number of its next record; `None` for an unknown one.
    pub(super) fn next_of(&self, source: &str) -> Option<(u64, u64)> {
        lock(&self.admission).sources.get(source).map(|next| (next.epoch, next.seq))
    }

    /// Begins a source's next epoch, or its first one, and takes in the records that say so (by
    /// source `ledger`), before any record of that epoch.
    pub(super) fn begin_epoch(
        &self,
        name: &str,
        announcement: impl FnOnce(Option<(u64, u64)>) -> Option<Draft>,
    ) -> Result<(), AppendError> {
        let mut admission = lock(&self.admission);
        self.has_room(&admission, 1, 0)?;
        let known = admission.sources.get(name).map(|next| (next.epoch, next.seq));
        let Some(draft) = announcement(known) else { return Ok(()) };
        let ledger: Arc<str> = super::source::LEDGER.into();
        check(&self.options.cluster, &ledger, &draft)
            .map_err(|source| AppendError::Draft { index: 0, source })?;
        let bytes = draft.body.len();
        let epoch = known.map_or(FIRST_EPOCH, |(epoch, _)| epoch.saturating_add(1));
        admission.sources.insert(name.to_owned(), Next { epoch, seq: 0 });
        admission.push(&ledger, vec![draft], bytes);
        drop(admission);
        self.work.notify_one();
        Ok(())
    }

    /// Notes a loss, to be written as a `gap` record with the next group; several before that become
    /// one, so that there is at most one a source.
    pub(super) fn lose(&self, source: &str, loss: Loss) -> Result<(), AppendError> {
        let mut admission = lock(&self.admission);
        if admission.stopped || admission.end.is_some() {
            return Err(AppendError::Stopped);
        }
        match admission.losses.get_mut(source) {
            Some(earlier) => earlier.merge(&loss),
            None => {
                admission.losses.insert(source.to_owned(), loss);
            }
        }
        drop(admission);
        self.work.notify_one();
        Ok(())
    }

    pub(super) fn request_seal(&self) -> Arc<SealPromise> {
        let promise = Arc::new(SealPromise::default());
        let mut admission = lock(&self.admission);
        if admission.stopped {
            promise.resolve(Err("it had ended before".to_owned()));
        } else {
            admission.seals.push(Arc::clone(&promise));
        }
        drop(admission);
        self.work.notify_one();
        promise
    }

    /// Takes nothing in any more, and has the writer end. With [`Ending::Close`] a seal comes first,
    /// and its promise is returned.
    pub(super) fn end(&self, ending: Ending) -> Arc<SealPromise> {
        let promise = Arc::new(SealPromise::default());
        let mut admission = lock(&self.admission);
        admission.end.get_or_insert(ending);
        if admission.stopped || ending == Ending::Drop {
            promise.resolve(Err("it had ended before".to_owned()));
        } else {
            admission.seals.push(Arc::clone(&promise));
        }
        drop(admission);
        self.work.notify_all();
        promise
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        lock(&self.admission).end
    }

    /// Waits for something to do, at most `timeout`.
    pub(super) fn next_work(&self, timeout: Duration) -> Work {
        let mut admission = lock(&self.admission);
        if admission.is_idle() {
            admission = self
                .work
                .wait_timeout_while(admission, timeout, |admission| admission.is_idle())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        admission.push_losses();
        let mut work = Work { end: admission.end, ..Work::default() };
        let (mut records, mut bytes) = (0, 0);
        while let Some(batch) = admission.batches.front() {
            records += batch.drafts.len();
            bytes += batch.bytes;
            let over = records > GROUP_RECORDS || bytes > GROUP_BYTES;
            if over && !work.batches.is_empty() {
                break;
            }
            let Some(batch) = admission.batches.pop_front() else { break };
            admission.records = admission.records.saturating_sub(batch.drafts.len());
            admission.bytes = admission.bytes.saturating_sub(batch.bytes);
            work.batches.push(batch);
        }
        // A seal covers everything taken in before it was asked for.
        if admission.batches.is_empty() {
            work.seals = std::mem::take(&mut admission.seals);
        }
        work
    }

    /// Waits out a pause before trying again; returns early when the writer is to end.
    pub(super) fn pause(&self, pause: Duration) {
        let admission = lock(&self.admission);
        drop(self.work.wait_timeout_while(admission, pause, |admission| admission.end.is_none()));
    }

    /// Takes a durable group into account: its records are acknowledged after this.
    pub(super) fn durable(&self, group: Arc<Group>, batches: &mut [Batch], time: Time) {
        let mut positions = lock(&self.positions);
        for batch in batches {
            let next = batch.first_source_seq.saturating_add(batch.drafts.len() as u64);
            let position = super::Position {
                epoch: batch.epoch,
                next,
                last_time: Some(time),
                last_body: batch.drafts.pop().map(|draft| draft.body),
            };
            match positions.get_mut(&*batch.source) {
                Some(known) => *known = position,
                None => drop(positions.insert(batch.source.to_string(), position)),
            }
        }
        drop(positions);
        self.backlog.fetch_add(group.size(), Ordering::Relaxed);
        let mut tail = lock(&self.tail);
        tail.end = group.end();
        tail.groups.push_back(group);
        drop(tail);
        self.grown.notify_all();
    }

    /// Records below `seq` are sealed: observers find them in the ledger.
    pub(super) fn sealed(&self, seq: u64) {
        let mut tail = lock(&self.tail);
        while tail.groups.front().is_some_and(|group| group.end() <= seq) {
            if let Some(group) = tail.groups.pop_front() {
                self.backlog.fetch_sub(group.size(), Ordering::Relaxed);
            }
        }
    }

    pub(super) fn position(&self, source: &str) -> Option<super::Position> {
        lock(&self.positions).get(source).cloned()
    }

    /// The seq behind the last durable record.
    pub(super) fn durable_end(&self) -> u64 {
        lock(&self.tail).end
    }

    /// What stands at `seq`, waiting at most `timeout` for it to be durable.
    pub(super) fn look(&self, seq: u64, timeout: Duration) -> Seen {
        let tail = self
            .grown
            .wait_timeout_while(lock(&self.tail), timeout, |tail| seq >= tail.end && !tail.ended)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        if seq >= tail.end {
            return if tail.ended { Seen::Ended } else { Seen::Nothing };
        }
        let at = tail.groups.partition_point(|group| group.end() <= seq);
        match tail.groups.get(at) {
            Some(group) if group.first() <= seq => Seen::Group(Arc::clone(group)),
            _ => Seen::Sealed,
        }
    }

    /// The writer's thread ends: nothing is taken in any more, and what waits is told so.
    pub(super) fn stop(&self, reason: &str) {
        let mut admission = lock(&self.admission);
        admission.stopped = true;
        let batches = std::mem::take(&mut admission.batches);
        let seals = std::mem::take(&mut admission.seals);
        drop(admission);
        drop(batches);
        for seal in seals {
            seal.resolve(Err(reason.to_owned()));
        }
        lock(&self.tail).ended = true;
        self.grown.notify_all();
    }
}

impl Admission {
    fn is_idle(&self) -> bool {
        self.batches.is_empty()
            && self.losses.is_empty()
            && self.seals.is_empty()
            && self.end.is_none()
    }

    /// The numbers of a source's next records.
    fn claim(&mut self, source: &str, records: usize) -> u64 {
        let next = match self.sources.get_mut(source) {
            Some(next) => next,
            None => {
                self.sources.entry(source.to_owned()).or_insert(Next { epoch: FIRST_EPOCH, seq: 0 })
            }
        };
        let first = next.seq;
        next.seq = next.seq.saturating_add(records as u64);
        first
    }

    /// Queues the `gap` records of the losses that were reported.
    fn push_losses(&mut self) {
        for (source, loss) in std::mem::take(&mut self.losses) {
            let next = self.sources.get(&source);
            let (epoch, next) = next.map_or((FIRST_EPOCH, 0), |next| (next.epoch, next.seq));
            if let Ok(draft) = loss.draft(&source, epoch, next) {
                let bytes = draft.body.len();
                self.push(&super::source::LEDGER.into(), vec![draft], bytes);
            }
        }
    }

    fn push(&mut self, source: &Arc<str>, drafts: Vec<Draft>, bytes: usize) -> Ticket {
        let first_source_seq = self.claim(source, drafts.len());
        let epoch = self.sources.get(&**source).map_or(FIRST_EPOCH, |next| next.epoch);
        let promise = Arc::new(Promise::default());
        self.records = self.records.saturating_add(drafts.len());
        self.bytes = self.bytes.saturating_add(bytes);
        self.batches.push_back(Batch {
            source: Arc::clone(source),
            epoch,
            first_source_seq,
            drafts,
            bytes,
            promise: Arc::clone(&promise),
        });
        Ticket { epoch, first_source_seq, promise }
    }
}

impl SealPromise {
    pub(super) fn resolve(&self, outcome: Result<Checkpoint, String>) {
        lock(&self.outcome).get_or_insert(outcome);
        self.kept.notify_all();
    }

    pub(super) fn wait(&self, patience: Duration) -> Result<Checkpoint, SealError> {
        let outcome = self
            .kept
            .wait_timeout_while(lock(&self.outcome), patience, |outcome| outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        match outcome.as_ref() {
            Some(Ok(checkpoint)) => Ok(checkpoint.clone()),
            Some(Err(reason)) => Err(SealError::Stopped { reason: reason.clone() }),
            None => Err(SealError::Unfinished),
        }
    }
}

/// Whether a draft makes a record, whatever its numbers will be.
fn check(cluster: &str, source: &str, draft: &Draft) -> Result<(), record::RecordError> {
    let line = record::compose(&Parts {
        body: &draft.body,
        cluster,
        controls: &draft.controls,
        kind: &draft.kind,
        seq: proofstream_canonical::MAX_INTEGER,
        source,
        source_epoch: proofstream_canonical::MAX_INTEGER,
        source_seq: proofstream_canonical::MAX_INTEGER,
        time: Time::from_unix_microseconds(0),
    })?;
    proofstream_canonical::check_record_line(&line)?;
    Ok(())
}

/// A lock whose content stays usable when a thread died holding it: every change under it is whole
/// before anything that could fail.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
