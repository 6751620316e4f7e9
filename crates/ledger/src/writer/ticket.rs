//! What an append hands back: a promise that resolves once the records are on disk.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::time::Time;

/// Where durable records came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's `seq`; the others follow it without a gap.
    pub first_seq: u64,
    /// The `time` of all of them.
    pub time: Time,
}

/// The writer ended before the records were durable. They may be in the ledger after the next start,
/// whole, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the writer ended before the records were durable")]
pub struct NotDurable;

/// One append's promise. A [`Future`] for whoever has an executor, and [`Ticket::wait`] for whoever
/// has none. Dropping it changes nothing.
#[derive(Debug)]
pub struct Ticket {
    pub(super) epoch: u64,
    pub(super) first_source_seq: u64,
    pub(super) promise: Arc<Promise>,
}

/// The writer's end of a ticket.
#[derive(Debug, Default)]
pub(super) struct Promise {
    state: Mutex<State>,
    kept: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Result<Appended, NotDurable>>,
    waker: Option<Waker>,
}

impl Ticket {
    /// The source's epoch in which the records are.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The `source_seq` of the first record; the others follow it. Known before the records are
    /// durable: with source and epoch it names a record for good, unless the process dies first and
    /// the source resumes its epoch.
    pub fn first_source_seq(&self) -> u64 {
        self.first_source_seq
    }

    /// The outcome, if there is one yet.
    pub fn outcome(&self) -> Option<Result<Appended, NotDurable>> {
        self.promise.lock().outcome
    }

    /// Waits until the records are durable, at most `timeout`; `None` when that has passed (they are
    /// still being written, and the ticket can still be waited on).
    pub fn wait(&self, timeout: Duration) -> Option<Result<Appended, NotDurable>> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.promise.lock();
        while state.outcome.is_none() {
            let left = deadline.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            state = self
                .promise
                .kept
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.outcome
    }
}

impl Future for Ticket {
    type Output = Result<Appended, NotDurable>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.promise.lock();
        if let Some(outcome) = state.outcome {
            return Poll::Ready(outcome);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Promise {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves the ticket; only the first outcome counts.
    pub(super) fn resolve(&self, outcome: Result<Appended, NotDurable>) {
        let waker = {
            let mut state = self.lock();
            if state.outcome.is_some() {
                return;
            }
            state.outcome = Some(outcome);
            state.waker.take()
        };
        self.kept.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
