//! Triggers that are to be looked at again, each at its time: bounded, each at most once.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use proofstream_model::Trigger;
use tokio::time::Instant;

/// Most triggers that wait; what does not fit is found again by the next pass over everything.
const MAX_WAITING: usize = 100_000;
/// The first pause after a failure; it doubles with each.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_mins(5);
/// Failures after which a trigger waits for the next pass.
const MAX_ATTEMPTS: u32 = 12;

/// A trigger that waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) trigger: Trigger,
    /// Whether something was done to it since it was last looked at.
    pub(crate) fresh: bool,
    pub(crate) attempts: u32,
}

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    by_time: BTreeMap<(Instant, u64), Waiting>,
    by_uid: HashMap<String, (Instant, u64)>,
    counter: u64,
}

// === impl Queue ===

impl Queue {
    /// Has a trigger looked at.
    pub(crate) fn push(&mut self, trigger: Trigger, due: Instant) {
        self.insert(Waiting { trigger, fresh: false, attempts: 0 }, due);
    }

    /// Has a trigger looked at again after a failure, later each time.
    pub(crate) fn again(&mut self, mut waiting: Waiting, now: Instant) {
        let factor = 2_u32.saturating_pow(waiting.attempts);
        waiting.attempts += 1;
        if waiting.attempts > MAX_ATTEMPTS {
            let trigger = &waiting.trigger.subject;
            tracing::warn!(%trigger, "given up until something changes or the next pass");
            return;
        }
        let pause = PAUSE.saturating_mul(factor).min(LONGEST);
        self.insert(waiting, now + pause);
    }

    /// Forgets a trigger.
    pub(crate) fn remove(&mut self, uid: &str) -> Option<Waiting> {
        self.by_time.remove(&self.by_uid.remove(uid)?)
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next one that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Waiting> {
        if self.next()? > now {
            return None;
        }
        let (_, waiting) = self.by_time.pop_first()?;
        self.by_uid.remove(&waiting.trigger.uid);
        Some(waiting)
    }

    fn insert(&mut self, mut waiting: Waiting, mut due: Instant) {
        if let Some(place) = self.by_uid.get(&waiting.trigger.uid).copied()
            && let Some(before) = self.remove(&waiting.trigger.uid)
        {
            waiting.fresh |= before.fresh;
            waiting.attempts = waiting.attempts.max(before.attempts);
            due = due.min(place.0);
        }
        if self.by_time.len() >= MAX_WAITING {
            tracing::warn!(trigger = %waiting.trigger.subject, "too many triggers wait");
            return;
        }
        self.counter += 1;
        let place = (due, self.counter);
        self.by_uid.insert(waiting.trigger.uid.clone(), place);
        self.by_time.insert(place, waiting);
    }
}

#[cfg(test)]
mod tests {
    use proofstream_model::Subject;

    use super::*;

    fn waiting(uid: &str, fresh: bool) -> Waiting {
        let trigger = Trigger { subject: Subject::default(), uid: uid.to_owned() };
        Waiting { trigger, fresh, attempts: 0 }
    }

    #[test]
    fn each_waits_once_and_pauses_grow() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.again(waiting("a", true), now);
        let soon = now + Duration::from_millis(10);
        queue.push(waiting("a", false).trigger, soon);
        assert!(queue.pop(now).is_none());
        let first = queue.pop(soon).unwrap();
        assert!(first.fresh && first.attempts == 1);
        assert!(queue.next().is_none());
        queue.again(first, now);
        assert_eq!(queue.next().unwrap() - now, 2 * PAUSE);
        assert!(queue.remove("a").is_some() && queue.next().is_none());
        let tired = Waiting { attempts: MAX_ATTEMPTS, ..waiting("b", false) };
        queue.again(tired, now);
        assert!(queue.next().is_none());
    }
}
