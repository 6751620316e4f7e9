//! A sample that anyone can draw again: of each population, the rows whose
//! SHA-256 of `SEED:SEQ` is smallest.

use std::collections::{BTreeMap, BTreeSet};

use proofstream_ledger::tree::Hash;
use proofstream_model::{Kind, Record};

use crate::bundle::Bundle;
use crate::cells::{Column, row};
use crate::tables::Table;
use crate::{ExportError, Sample};

/// Where the sample stands in a bundle.
pub(crate) const PATH: &str = "tables/sample.csv";
/// Populations that are sampled.
pub(crate) const POPULATIONS: [Kind; 3] = [Kind::Block, Kind::Decision, Kind::Finding];

const COLUMNS: &[Column] = &[
    ("seq", "/seq"),
    ("time", "/time"),
    ("user", "/body/user"),
    ("kind", "/body/subject/kind"),
    ("namespace", "/body/subject/namespace"),
    ("name", "/body/subject/name"),
    ("controls", "/controls"),
    ("requirements", "/body/requirements"),
    ("message", "/body/message"),
];

/// Draws from the populations as they pass.
pub(crate) struct Sampler<'a> {
    sample: &'a Sample,
    drawn: BTreeMap<Kind, BTreeSet<(String, Vec<String>)>>,
}

// === impl Sampler ===

impl<'a> Sampler<'a> {
    pub(crate) fn new(sample: &'a Sample) -> Self {
        Self { sample, drawn: BTreeMap::new() }
    }

    /// Considers one record of a population.
    pub(crate) fn consider(&mut self, kind: Kind, record: &Record) {
        if !POPULATIONS.contains(&kind) {
            return;
        }
        let draw = Hash::of(format!("{}:{}", self.sample.seed, record.seq).as_bytes()).to_hex();
        let drawn = self.drawn.entry(kind).or_default();
        let full = drawn.len() as u64 >= u64::from(self.sample.size);
        if full && drawn.last().is_some_and(|(last, _)| *last < draw) {
            return;
        }
        drawn.insert((draw, row(record, COLUMNS)));
        if full {
            drawn.pop_last();
        }
    }

    /// Writes what was drawn, in the order of the draw.
    pub(crate) fn write(self, bundle: &mut Bundle<'_>) -> Result<(), ExportError> {
        let headings = ["population", "rank", "draw_sha256"];
        let columns = COLUMNS.iter().map(|(heading, _)| *heading);
        let mut table = Table::new(bundle, PATH, headings.into_iter().chain(columns))?;
        for (kind, drawn) in self.drawn {
            for (rank, (draw, cells)) in drawn.into_iter().enumerate() {
                let mut whole = vec![kind.to_string(), (rank + 1).to_string(), draw];
                whole.extend(cells);
                table.guarded(&whole)?;
            }
        }
        table.close(bundle)
    }
}
