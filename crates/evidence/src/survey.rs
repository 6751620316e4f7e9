//! What is gathered while the range's records pass by, one at a time.

use std::collections::{BTreeMap, BTreeSet};

use proofstream_model::{Kind, Record, Timestamp};
use serde_json::Value;

use crate::request::Question;
use crate::sample::Sampler;
use crate::tables::Tables;
use crate::tally::Tally;
use crate::{ExportError, bundle::Bundle};

/// Different (root owner, rule) pairs kept for a requirement, at most.
const MAX_PAIRS: usize = 100_000;

/// Kinds that are narrowed when controls are named.
const NARROWED: [Kind; 3] = [Kind::Block, Kind::Decision, Kind::Finding];

/// Kinds that every bundle holds whole.
const ALWAYS: [Kind; 5] = [Kind::Gap, Kind::Key, Kind::Source, Kind::Export, Kind::Erasure];

/// Passes of the background evaluation, as far as they tell how continuous it was.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    last: Option<Timestamp>,
    /// The longest stretch without one so far, in microseconds, and when it began.
    pub(crate) longest: Option<(i64, Timestamp)>,
}

/// Everything that one pass over the range gathers.
pub(crate) struct Survey<'a> {
    question: &'a Question<'a>,
    pub(crate) tally: Tally,
    pub(crate) tables: Tables,
    pub(crate) sampler: Option<Sampler<'a>>,
    pub(crate) scans: Scans,
    /// Pairs of root owner and rule that were refused, by requirement.
    pub(crate) pairs: BTreeMap<String, BTreeSet<(String, String)>>,
    /// Newest block, decision or finding of each control.
    pub(crate) newest: BTreeMap<String, u64>,
}

/// The kinds of a bundle. `event` is among them because a block is our reading of an event.
pub(crate) fn exported_kinds(question: &Question<'_>) -> Vec<Kind> {
    let wanted = |kind: &Kind| {
        ALWAYS.contains(kind)
            || NARROWED.contains(kind)
            || question.controls.is_empty()
            || question.controls.iter().any(|id| {
                question
                    .catalog
                    .control(id.as_str())
                    .is_ok_and(|control| control.records.iter().any(|word| word == kind.word()))
            })
    };
    Kind::ALL.into_iter().filter(wanted).collect()
}

// === impl Survey ===

impl<'a> Survey<'a> {
    pub(crate) fn new(
        question: &'a Question<'a>,
        bundle: &mut Bundle<'_>,
        kinds: &[Kind],
    ) -> Result<Self, ExportError> {
        let request = question.request;
        Ok(Self {
            question,
            tally: Tally::new(request.from, request.to),
            tables: Tables::new(bundle, kinds)?,
            sampler: request.sample.as_ref().map(Sampler::new),
            scans: Scans::default(),
            pairs: BTreeMap::new(),
            newest: BTreeMap::new(),
        })
    }

    /// Whether the bundle holds this record.
    pub(crate) fn keeps(&self, kind: Kind, record: &Record) -> bool {
        let asked = &self.question.controls;
        asked.is_empty()
            || !NARROWED.contains(&kind)
            || record.controls.iter().any(|name| asked.iter().any(|id| id.as_str() == name))
    }

    /// Counts and tabulates a record that the bundle holds.
    pub(crate) fn add(&mut self, kind: Kind, record: &Record) -> Result<(), ExportError> {
        self.tally.add(kind, record)?;
        if !self.question.covers(record.time) {
            return Ok(());
        }
        self.tables.add(kind, record)?;
        if let Some(sampler) = &mut self.sampler {
            sampler.consider(kind, record);
        }
        if NARROWED.contains(&kind) {
            for control in &record.controls {
                self.newest.insert(control.clone(), record.seq);
            }
        }
        match kind {
            Kind::Block => self.pair(record),
            Kind::Scan => self.scans.pass(record.time, self.question.request.from),
            _ => {}
        }
        Ok(())
    }

    fn pair(&mut self, record: &Record) {
        let texts = |key: &str| {
            let list = record.body.get(key).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
        };
        let subject = |key: &str| {
            record.body.pointer(&format!("/subject/{key}")).and_then(Value::as_str).unwrap_or("")
        };
        let owner = record
            .body
            .get("owner")
            .and_then(Value::as_str)
            .map_or_else(|| format!("{}/{}", subject("kind"), subject("name")), str::to_owned);
        let owner = format!("{} {owner}", subject("namespace"));
        let rules: Vec<String> = texts("rules").collect();
        for requirement in texts("requirements") {
            let pairs = self.pairs.entry(requirement).or_default();
            for rule in &rules {
                if pairs.len() < MAX_PAIRS {
                    pairs.insert((owner.clone(), rule.clone()));
                }
            }
        }
    }

    /// Different (root owner, rule) pairs refused for a requirement, in words.
    pub(crate) fn pairs_of(&self, requirement: &str) -> String {
        match self.pairs.get(requirement).map_or(0, BTreeSet::len) {
            MAX_PAIRS => format!("{MAX_PAIRS} or more"),
            pairs => pairs.to_string(),
        }
    }
}

// === impl Scans ===

impl Scans {
    fn pass(&mut self, time: Timestamp, from: Timestamp) {
        self.stretch(self.last.unwrap_or(from), time);
        self.last = Some(time);
    }

    /// Ends the last stretch with the period.
    pub(crate) fn end(&mut self, until: Timestamp) {
        if let Some(last) = self.last {
            self.stretch(last, until);
        }
    }

    fn stretch(&mut self, from: Timestamp, to: Timestamp) {
        let length = to.micros().saturating_sub(from.micros());
        if self.longest.is_none_or(|(longest, _)| longest < length) {
            self.longest = Some((length, from));
        }
    }
}
