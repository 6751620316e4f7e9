//! Which segments a bundle carries: a contiguous range that covers the period, reaches past both of
//! its ends where the log does, and holds the record that names the export key.

use proofstream_ledger::manifest::Manifest;
use proofstream_model::{Kind, Timestamp};

use crate::request::Question;
use crate::{ExportError, LedgerFault, LedgerRead};

/// Segments by which a range is widened so as to hold the export key's record, at most; beyond
/// that the record is proven in a file of its own.
const MAX_WIDENING: u64 = 20_000;

/// Kinds whose records are read from the whole ledger, before the range is.
pub(crate) const LANDMARKS: [Kind; 5] =
    [Kind::Policy, Kind::Source, Kind::Gap, Kind::Export, Kind::Key];

/// Segments of a ledger that matter to one period.
pub(crate) struct Survey {
    /// The range that covers the period.
    pub(crate) span: Span,
    /// Segments with a record of a landmark kind, ascending.
    pub(crate) landmarks: Vec<u64>,
    /// When the last sealed record was appended.
    pub(crate) sealed_until: Timestamp,
}

/// A contiguous range of segments, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// How the bundle shows which key signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyPlace {
    /// Its record is in the range.
    InRange,
    /// Its record, of this number, is proven apart.
    Apart(u64),
}

/// Looks at every manifest once.
pub(crate) fn survey(
    ledger: &impl LedgerRead,
    question: &Question<'_>,
) -> Result<Survey, ExportError> {
    let (from, to) = (question.request.from.micros(), question.request.to.micros());
    let size = ledger.size();
    let mut landmarks = Vec::new();
    let mut first = None;
    let mut last = None;
    let mut before = None;
    let mut sealed_until = i64::MIN;
    for index in 0..size {
        let manifest = ledger.manifest(index)?;
        if LANDMARKS.iter().any(|kind| manifest.kinds.contains_key(kind.word())) {
            landmarks.push(index);
        }
        let (begins, ends) = times(&manifest);
        sealed_until = sealed_until.max(ends);
        if ends < from {
            before = Some(index);
        } else if begins < to {
            first = first.or(Some(index));
            last = Some(index);
        }
    }
    if size == 0 {
        return Err(ExportError::Empty);
    }
    // Without a segment in the period the range is what stands on both sides of it.
    let core = Span { first: first.or(before).unwrap_or(0), last: last.or(before).unwrap_or(0) };
    let span = reach_past(ledger, core, from, to)?;
    Ok(Survey { span, landmarks, sealed_until: Timestamp::from_micros(sealed_until) })
}

/// Takes in neighbours until the range begins before the period and ends after it, as far as the
/// log goes: only then does it show that nothing of the period is missing at its ends.
fn reach_past(
    ledger: &impl LedgerRead,
    core: Span,
    from: i64,
    to: i64,
) -> Result<Span, LedgerFault> {
    let Span { mut first, mut last } = core;
    while first > 0 && times(&ledger.manifest(first)?).0 >= from {
        first -= 1;
    }
    while last + 1 < ledger.size() && times(&ledger.manifest(last)?).1 < to {
        last += 1;
    }
    Ok(Span { first, last })
}

fn times(manifest: &Manifest) -> (i64, i64) {
    (manifest.time_from.unix_microseconds(), manifest.time_to.unix_microseconds())
}

// === impl Span ===

impl Span {
    pub(crate) fn contains(self, index: u64) -> bool {
        (self.first..=self.last).contains(&index)
    }

    /// Widens the range to the nearest of the `key` records that name the export key, given as
    /// segment and number; or says which of them to prove apart.
    pub(crate) fn with_key(self, records: &[(u64, u64)]) -> Option<(Self, KeyPlace)> {
        let distance = |segment: u64| {
            if segment < self.first {
                self.first - segment
            } else {
                segment.saturating_sub(self.last)
            }
        };
        let (segment, seq) =
            records.iter().copied().min_by_key(|(segment, seq)| (distance(*segment), *seq))?;
        if distance(segment) > MAX_WIDENING {
            return Some((self, KeyPlace::Apart(seq)));
        }
        let wide = Self { first: self.first.min(segment), last: self.last.max(segment) };
        Some((wide, KeyPlace::InRange))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_record_is_taken_in() {
        let span = Span { first: 100, last: 200 };
        let widened = |records: &[(u64, u64)]| span.with_key(records);
        assert_eq!(widened(&[]), None);
        assert_eq!(widened(&[(0, 1), (150, 700)]), Some((span, KeyPlace::InRange)));
        assert_eq!(
            widened(&[(0, 1), (230, 900)]),
            Some((Span { first: 100, last: 230 }, KeyPlace::InRange))
        );
        assert_eq!(widened(&[(90, 400)]), Some((Span { first: 90, last: 200 }, KeyPlace::InRange)));
        assert_eq!(widened(&[(20_201, 5)]), Some((span, KeyPlace::Apart(5))));
    }
}
