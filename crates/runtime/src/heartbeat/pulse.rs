//! What is known of one source by its heartbeats. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use proofstream_model::{GapBody, Timestamp};

/// Beats that are waited for at a time; the oldest go first.
const WAITING: usize = 256;
/// A silence is recorded again after this long, so that its end is never far behind.
const AGAIN: Duration = Duration::from_hours(1);

/// How a source is.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    waiting: VecDeque<Waiting>,
    /// When the last beat came back that was sent last, and how long it took.
    last: Option<(Timestamp, Duration)>,
    silence: Option<Silence>,
    /// Whether the API server's policy logs no beats: the source brings other events and none of them.
    unlogged: bool,
    sum: Sum,
    summed_from: Option<Timestamp>,
}

/// What became of beats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many were sent.
    pub sent: u64,
    /// How many came back in time.
    pub held: u64,
    /// How many came back later than that.
    pub late: u64,
    /// The longest that one which held took, in milliseconds.
    pub slowest: u64,
}

#[derive(Debug, Clone)]
struct Waiting {
    id: String,
    sent: Timestamp,
    overdue: bool,
}

#[derive(Debug, Clone)]
struct Silence {
    from: Timestamp,
    told: Timestamp,
    /// Beats that were overdue in it, and those of them that came back after all.
    missed: u64,
    back: u64,
}

/// A stretch to be recorded as a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// How many are missing, where that is known: 0 where all came late.
    pub count: Option<u64>,
    /// Why.
    pub cause: String,
}

// === impl Pulse ===

impl Pulse {
    /// Since when nothing comes back; none while it does.
    pub fn silent_since(&self) -> Option<Timestamp> {
        self.silence.as_ref().map(|silence| silence.from)
    }

    /// When the last beat came back, and how long it took.
    pub fn last(&self) -> Option<(Timestamp, Duration)> {
        self.last
    }

    /// Whether beats are not logged, and so say nothing.
    pub fn is_unlogged(&self) -> bool {
        self.unlogged
    }

    /// A beat was sent and answered.
    pub fn sent(&mut self, id: &str, at: Timestamp) {
        self.sum.sent += 1;
        self.summed_from.get_or_insert(at);
        self.waiting.push_back(Waiting { id: id.to_owned(), sent: at, overdue: false });
        if self.waiting.len() > WAITING {
            self.waiting.pop_front();
        }
    }

    /// A beat's event came. The youngest of those that are waited for ends a silence: what was overdue before
    /// it and is not back by now is lost.
    pub fn came_back(&mut self, id: &str, now: Timestamp) -> Option<Change> {
        let place = self.waiting.iter().position(|waiting| waiting.id == id)?;
        let Waiting { sent, overdue, .. } = self.waiting.remove(place)?;
        let took = between(sent, now);
        self.unlogged = false;
        self.last = Some((now, took));
        if overdue {
            self.sum.late += 1;
        } else {
            self.sum.held += 1;
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.sum.slowest = self.sum.slowest.max(took);
        }
        let silence = self.silence.as_mut()?;
        silence.back += u64::from(overdue);
        if self.waiting.iter().any(|other| other.sent > sent) {
            return None;
        }
        let Silence { from, missed, back, .. } = self.silence.take()?;
        self.waiting.retain(|waiting| !waiting.overdue);
        let lost = missed.saturating_sub(back);
        let cause = if lost == 0 {
            format!("late: the source was silent and brought all {missed} heartbeats after all")
        } else {
            format!(
                "silent no more: {lost} of {missed} heartbeats did not come back, and what was logged \
                 meanwhile may be missing"
            )
        };
        let count = (lost == 0).then_some(0);
        Some(Change { from, to: now, count, cause })
    }

    /// Looks for beats that take too long. `events` is how many events the source has brought in all.
    pub fn overdue(&mut self, now: Timestamp, patience: Duration, events: u64) -> Option<Change> {
        let late = |waiting: &Waiting| !waiting.overdue && between(waiting.sent, now) > patience;
        if self.last.is_none() && events > 0 && self.waiting.iter().any(late) {
            self.unlogged = true;
            self.waiting.retain(|waiting| !late(waiting));
            return None;
        }
        let mut news = 0;
        let mut first = None;
        for waiting in self.waiting.iter_mut().filter(|waiting| late(waiting)) {
            waiting.overdue = true;
            news += 1;
            first.get_or_insert(waiting.sent);
        }
        if let Some(silence) = &mut self.silence {
            silence.missed += news;
            if between(silence.told, now) < AGAIN {
                return None;
            }
            silence.told = now;
            let (from, cause) = (silence.from, silent("still"));
            return Some(Change { from, to: now, count: None, cause });
        }
        let first = first?;
        let from = self.last.map_or(first, |(at, _)| at.min(first));
        self.silence = Some(Silence { from, told: now, missed: news, back: 0 });
        let seconds = patience.as_secs();
        let cause = silent(&format!(
            "a heartbeat sent to the API server did not come back within {seconds} s"
        ));
        Some(Change { from, to: now, count: None, cause })
    }

    /// Nobody looks any more: what is known of a silence that lasts.
    pub fn stopped(&self, now: Timestamp) -> Option<Change> {
        let from = self.silent_since()?;
        let cause = silent("still, as Proofstream stopped");
        Some(Change { from, to: now, count: None, cause })
    }

    /// What became of beats since the last time, and when the first of them was sent; none where none was.
    pub fn take_sum(&mut self) -> Option<(Timestamp, Sum)> {
        let from = self.summed_from.take()?;
        Some((from, std::mem::take(&mut self.sum)))
    }
}

fn silent(why: &str) -> String {
    format!("{}{why}", GapBody::SILENT)
}

/// Between two moments; none where the clock went back.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    let micros = to.micros().saturating_sub(from.micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn beats_that_come_back_are_counted() {
        let mut pulse = Pulse::default();
        for beat in 0..3 {
            pulse.sent(&beat.to_string(), at(beat * 5));
            assert_eq!(pulse.came_back(&beat.to_string(), at(beat * 5 + beat)), None);
            assert_eq!(pulse.overdue(at(beat * 5 + 4), PATIENCE, 0), None);
        }
        assert_eq!(pulse.came_back("somebody else's", at(20)), None);
        let sum = Sum { sent: 3, held: 3, late: 0, slowest: 2_000 };
        assert_eq!((pulse.take_sum(), pulse.take_sum()), (Some((at(0), sum)), None));
        assert_eq!(pulse.stopped(at(30)), None);
    }

    #[test]
    fn a_silence_has_a_beginning_and_an_end_and_says_what_is_lost() {
        let mut pulse = Pulse::default();
        pulse.sent("a", at(0));
        assert_eq!(pulse.came_back("a", at(1)), None);
        pulse.sent("b", at(5));
        pulse.sent("c", at(10));
        assert_eq!(pulse.overdue(at(15), PATIENCE, 9), None);
        let change = pulse.overdue(at(16), PATIENCE, 9).expect("silent");
        assert_eq!((change.from, change.to), (at(1), at(16)));
        assert!(change.cause.starts_with("silent: a heartbeat"), "{}", change.cause);
        assert_eq!(pulse.silent_since(), Some(at(1)));
        let stopped = pulse.stopped(at(40)).expect("still silent");
        assert_eq!((stopped.from, stopped.to), (at(1), at(40)));
        // Told once, and again after an hour.
        assert_eq!(pulse.overdue(at(60), PATIENCE, 9), None);
        assert!(pulse.overdue(at(16 + 3_600), PATIENCE, 9).is_some());
        pulse.sent("d", at(3_700));
        let change = pulse.came_back("d", at(3_702)).expect("ended");
        assert_eq!((change.from, change.to), (at(1), at(3_702)));
        assert!(change.cause.contains("2 of 2 heartbeats did not come back"), "{}", change.cause);
        assert_eq!(pulse.silent_since(), None);
    }

    #[test]
    fn what_comes_late_is_not_lost() {
        let mut pulse = Pulse::default();
        pulse.sent("a", at(0));
        assert_eq!(pulse.came_back("a", at(1)), None);
        pulse.sent("b", at(5));
        pulse.sent("c", at(10));
        assert!(pulse.overdue(at(30), PATIENCE, 1).is_some());
        assert_eq!(pulse.came_back("b", at(31)), None);
        let change = pulse.came_back("c", at(31)).expect("ended");
        assert!(change.cause.starts_with("late: ") && change.count == Some(0), "{change:?}");
        let sum = Sum { sent: 3, held: 1, late: 2, slowest: 1_000 };
        assert_eq!(pulse.take_sum(), Some((at(0), sum)));
        // One that is missing among others that come is a hole, and no more than that.
        pulse.sent("d", at(100));
        pulse.sent("e", at(105));
        assert_eq!(pulse.came_back("e", at(106)), None);
        let change = pulse.overdue(at(111), PATIENCE, 9).expect("a hole");
        assert_eq!((change.from, change.count), (at(100), None));
        pulse.sent("f", at(112));
        let change = pulse.came_back("f", at(113)).expect("ended");
        assert!(change.cause.contains("1 of 1 heartbeats did not come back"), "{}", change.cause);
    }

    #[test]
    fn a_policy_that_logs_no_beats_is_no_silence() {
        let mut pulse = Pulse::default();
        pulse.sent("a", at(0));
        assert_eq!(pulse.overdue(at(11), PATIENCE, 3), None);
        assert!(pulse.is_unlogged() && pulse.silent_since().is_none());
        pulse.sent("b", at(20));
        assert_eq!(pulse.came_back("b", at(21)), None);
        assert!(!pulse.is_unlogged());
        // Nothing at all came: that is silence from the beginning.
        let mut pulse = Pulse::default();
        pulse.sent("a", at(0));
        let change = pulse.overdue(at(11), PATIENCE, 0).expect("silent");
        assert_eq!(change.from, at(0));
    }
}
