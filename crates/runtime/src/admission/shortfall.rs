//! What the trail lacks of our decisions, gathered until it can be said.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use proofstream_model::Timestamp;

use crate::recorder::Recorder;

/// Counts by cause, since the last report.
#[derive(Debug, Default)]
pub(super) struct Shortfall(Mutex<BTreeMap<&'static str, Tally>>);

#[derive(Debug, Clone, Copy)]
struct Tally {
    count: u64,
    from: Timestamp,
}

impl Shortfall {
    /// One more is lacking.
    pub(super) fn add(&self, cause: &'static str, now: Timestamp) {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.entry(cause).or_insert(Tally { count: 0, from: now }).count += 1;
    }

    /// Reports everything so far, one gap a cause.
    pub(super) fn report(&self, recorder: &Recorder) {
        let tallies = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (cause, tally) in tallies {
            recorder.gap(tally.from, Some(tally.count), cause);
        }
    }
}
