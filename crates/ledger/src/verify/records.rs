//! The order of a ledger's records: `seq` without a hole, sources and their epochs without one.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::Report;
use crate::record::Envelope;

/// Where a source stands.
struct Position {
    epoch: u64,
    next: u64,
    /// Records before this one that are gone; positions noted before it only bound from below.
    losses: u64,
}

/// Follows every record of a ledger in order.
#[derive(Default)]
pub(crate) struct Order {
    sources: HashMap<String, Position>,
    enrolled: HashSet<String>,
    /// Epochs that began without a `gap` record so far.
    unexplained: HashSet<(String, u64)>,
    explained: HashSet<(String, u64)>,
    losses: u64,
    records: u64,
}

impl Order {
    /// A segment's records are not there: what follows cannot be expected to connect.
    pub(crate) fn lost_segment(&mut self) {
        self.losses += 1;
    }

    /// Checks one record's place; `body` is given for the kinds that matter here.
    pub(crate) fn record(
        &mut self,
        expected_seq: u64,
        envelope: &Envelope<'_>,
        body: Option<&Value>,
        report: &mut Report,
    ) {
        self.records += 1;
        if envelope.seq != expected_seq {
            let place = format!("seq {}", envelope.seq);
            report.fail(place, format!("stands where seq {expected_seq} belongs"));
        }
        self.follow(envelope, report);
        let Some(body) = body else { return };
        let text = |key| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match envelope.kind.as_ref() {
            "source" => {
                self.enrolled.insert(text("source"));
            }
            "gap" => {
                if let Some(epoch) = body.get("epoch").and_then(Value::as_u64) {
                    let key = (text("source"), epoch);
                    self.unexplained.remove(&key);
                    self.explained.insert(key);
                }
            }
            _ => {}
        }
    }

    fn follow(&mut self, envelope: &Envelope<'_>, report: &mut Report) {
        let (epoch, number) = (envelope.source_epoch, envelope.source_seq);
        let source = envelope.source.as_ref();
        let Some(position) = self.sources.get_mut(source) else {
            if number != 0 && self.losses == 0 {
                let place = format!("seq {}", envelope.seq);
                report.fail(place, format!("source `{source}` begins with source_seq {number}"));
            }
            if epoch > 1 && self.losses == 0 {
                report.note(format!("source `{source}` begins with epoch {epoch}"));
            }
            let position = Position { epoch, next: number.saturating_add(1), losses: self.losses };
            self.sources.insert(source.to_owned(), position);
            return;
        };
        let (last, next) = (position.epoch, position.next);
        let whole = position.losses == self.losses;
        let continues = epoch == last && (number == next || (!whole && number > next));
        let begins = epoch > last && (!whole || (epoch == last.saturating_add(1) && number == 0));
        if !continues && !begins {
            report.fail(
                format!("seq {}", envelope.seq),
                format!(
                    "source `{source}` goes from epoch {last} to {epoch} with source_seq {number} \
                     where {next} (or 0 in a new epoch) belongs"
                ),
            );
        }
        *position = Position { epoch, next: number.saturating_add(1), losses: self.losses };
        if epoch != last {
            let key = (source.to_owned(), epoch);
            if !self.explained.contains(&key) {
                self.unexplained.insert(key);
            }
        }
    }

    /// Says what was counted, and mentions sources and epochs that the records do not explain.
    pub(crate) fn finish(self, report: &mut Report) {
        report.checked("records: canonical, typed, in order, each source without a hole", {
            self.records
        });
        report.checked("sources", self.sources.len() as u64);
        let mut strangers: Vec<_> = self
            .sources
            .keys()
            .filter(|source| *source != "ledger" && !self.enrolled.contains(*source))
            .collect();
        strangers.sort_unstable();
        for source in strangers {
            report.note(format!("source `{source}` has records and no record enrols it"));
        }
        let mut unexplained: Vec<_> = self.unexplained.into_iter().collect();
        unexplained.sort_unstable();
        for (source, epoch) in unexplained {
            report.note(format!("epoch {epoch} of source `{source}` has no gap record"));
        }
    }
}
