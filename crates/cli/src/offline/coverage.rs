//! What each source of a ledger covers, by its records.

use std::collections::BTreeMap;

use jiff::Timestamp as Moment;
use proofstream_ledger::reader::{ReadError, Reader};
use proofstream_ledger::record::Envelope;
use proofstream_model::{GapBody, ProbeBody, SourceBody, SourceState, Timestamp};

/// Gaps that are kept for each source; there is something wrong with a source that has more.
const MAX_GAPS: usize = 10_000;

/// A ledger and its sources.
#[derive(Debug)]
pub struct Coverage {
    /// The log's name.
    pub origin: String,
    /// Sealed segments.
    pub segments: usize,
    /// Records in them.
    pub records: u64,
    /// The newest record's time.
    pub until: Option<Timestamp>,
    /// By name.
    pub sources: Vec<Source>,
}

/// One source. Counts are of the time that is asked about.
#[derive(Debug, Default)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Since when it is expected to speak, or since when it is asked about, if that is later.
    pub enrolled: Option<Timestamp>,
    /// Since when it is not, if it is not.
    pub retired: Option<Timestamp>,
    /// Its records.
    pub records: u64,
    /// The newest epoch.
    pub epoch: u64,
    /// The first record's time.
    pub first: Option<Timestamp>,
    /// The last record's time.
    pub last: Option<Timestamp>,
    /// Heartbeats that were sent for it.
    pub sent: u64,
    /// How many came back in time.
    pub held: u64,
    /// How many came back later.
    pub late: u64,
    /// Stretches that are missing, or came late.
    pub gaps: Vec<Gap>,
}

/// A gap record.
#[derive(Debug)]
pub struct Gap {
    /// Its number.
    pub record: u64,
    /// What it says.
    pub body: GapBody,
}

/// How much of its time a source covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covered {
    /// Seconds in which it was enrolled.
    pub seconds: u64,
    /// Seconds of them that lie in a gap.
    pub missing: u64,
}

// === impl Covered ===

impl Covered {
    /// The share without a gap, in per cent, cut and never rounded up.
    pub fn share(self) -> String {
        if self.seconds == 0 {
            return "100.00%".to_owned();
        }
        let whole = self.seconds - self.missing.min(self.seconds);
        let hundredths = u128::from(whole) * 10_000 / u128::from(self.seconds);
        format!("{}.{:02}%", hundredths / 100, hundredths % 100)
    }
}

// === impl Source ===

impl Source {
    /// Whether the last that is known of it is that it does not speak: it fell silent, and brought nothing since.
    pub fn is_silent(&self) -> bool {
        let since = |gap: &Gap| self.last.is_none_or(|last| last <= gap.body.to);
        let silent = self.gaps.iter().any(|gap| gap.body.is_silence() && since(gap));
        self.retired.is_none() && silent
    }

    /// How much of the time since its enrolment it covers; none for one that nobody enrolled. Gaps may overlap,
    /// and those of which nothing is missing are none.
    pub fn covered(&self, until: Option<Timestamp>) -> Option<Covered> {
        let from = self.enrolled?.micros();
        let to = self.retired.or(until)?.micros();
        let missing = |gap: &&Gap| gap.body.count != Some(0);
        let mut parts: Vec<(i64, i64)> = self
            .gaps
            .iter()
            .filter(missing)
            .map(|gap| (gap.body.from.micros().max(from), gap.body.to.micros().min(to)))
            .filter(|(begins, ends)| begins < ends)
            .collect();
        parts.sort_unstable();
        let (mut sum, mut reached) = (0, i64::MIN);
        for (begins, ends) in parts {
            sum += (ends - begins.max(reached)).max(0);
            reached = reached.max(ends);
        }
        let seconds = |micros: i64| u64::try_from(micros.max(0) / 1_000_000).unwrap_or(0);
        // A part of a second that is missing is a second.
        let missing = seconds(sum.saturating_add(999_999));
        Some(Covered { seconds: seconds(to.saturating_sub(from)), missing })
    }
}

/// Reads a ledger's records, those before `from` only for what they say of sources.
///
/// # Errors
/// At the first part of the ledger that cannot be read.
pub fn survey(
    reader: &Reader,
    from: Option<Moment>,
    step: &mut dyn FnMut(),
) -> Result<Coverage, ReadError> {
    let from = from.map(|moment| Timestamp::from_micros(moment.as_microsecond()));
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    let mut until: Option<Timestamp> = None;
    for index in 0..reader.size() {
        step();
        let manifest = reader.manifest(index)?;
        let ends = Timestamp::from_micros(manifest.time_to.unix_microseconds());
        until = until.max(Some(ends));
        let old = from.is_some_and(|from| ends < from);
        let says = ["source", "gap"].iter().any(|kind| manifest.kinds.contains_key(*kind));
        if old && !says {
            continue;
        }
        for line in reader.lines(index)? {
            // INVARIANT: the reader checked the segment against the log; its lines are records.
            if let Ok(envelope) = Envelope::parse(&line) {
                take(&mut sources, &envelope, from);
            }
        }
    }
    for (name, source) in &mut sources {
        source.name.clone_from(name);
        if let (Some(enrolled), Some(from)) = (source.enrolled, from) {
            source.enrolled = Some(enrolled.max(from));
        }
    }
    Ok(Coverage {
        origin: reader.checkpoint().checkpoint().origin.clone(),
        segments: usize::try_from(reader.size()).unwrap_or(usize::MAX),
        records: reader.record_count()?,
        until,
        sources: sources.into_values().collect(),
    })
}

fn take(sources: &mut BTreeMap<String, Source>, record: &Envelope<'_>, from: Option<Timestamp>) {
    let time = Timestamp::from_micros(record.time.unix_microseconds());
    let asked = from.is_none_or(|from| from <= time);
    if asked {
        let source = sources.entry(record.source.to_string()).or_default();
        source.records += 1;
        source.epoch = source.epoch.max(record.source_epoch);
        source.first.get_or_insert(time);
        source.last = source.last.max(Some(time));
    }
    match record.kind.as_ref() {
        "source" => {
            let Ok(body) = serde_json::from_str::<SourceBody>(record.body) else { return };
            let source = sources.entry(body.source).or_default();
            match body.state {
                SourceState::Enrolled => {
                    source.enrolled = Some(time);
                    source.retired = None;
                }
                SourceState::Retired => source.retired = Some(time),
            }
        }
        "gap" => {
            let Ok(body) = serde_json::from_str::<GapBody>(record.body) else { return };
            let reaches = from.is_none_or(|from| from <= body.to);
            let source = sources.entry(body.source.clone()).or_default();
            if reaches && source.gaps.len() < MAX_GAPS {
                source.gaps.push(Gap { record: record.seq, body });
            }
        }
        "probe" if asked => {
            let Ok(body) = serde_json::from_str::<ProbeBody>(record.body) else { return };
            let source = sources.entry(body.about).or_default();
            source.sent += body.sent;
            source.held += body.held;
            source.late += body.late;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000 + seconds * 1_000_000)
    }

    fn gap(from: i64, to: i64, count: Option<u64>, cause: &str) -> Gap {
        let body = GapBody {
            source: "audit-file/a".to_owned(),
            epoch: 1,
            after: None,
            from: at(from),
            to: at(to),
            count,
            cause: cause.to_owned(),
        };
        Gap { record: 7, body }
    }

    #[test]
    fn gaps_that_overlap_are_counted_once_and_late_ones_not() {
        let mut source = Source { enrolled: Some(at(0)), ..Source::default() };
        let covered = |source: &Source| source.covered(Some(at(1_000))).expect("enrolled");
        assert_eq!(covered(&source).share(), "100.00%");
        source.gaps.push(gap(-50, 10, None, "silent: a"));
        source.gaps.push(gap(5, 20, Some(3), "silent no more: b"));
        source.gaps.push(gap(100, 900, Some(0), "late: c"));
        source.gaps.push(gap(990, 1_500, None, "x"));
        assert_eq!(covered(&source), Covered { seconds: 1_000, missing: 30 });
        assert_eq!(covered(&source).share(), "97.00%");
        source.last = Some(at(991));
        assert!(!source.is_silent());
        // Whatever else is missing after it.
        source.gaps.push(gap(992, 1_000, None, "silent: d"));
        source.gaps.push(gap(992, 1_000, Some(2), "undelivered: e"));
        assert!(source.is_silent());
        source.last = Some(at(1_001));
        assert!(!source.is_silent());
        // A thousandth that is missing shows.
        let little = Covered { seconds: 1_000_000, missing: 1 };
        assert_eq!(little.share(), "99.99%");
    }
}
