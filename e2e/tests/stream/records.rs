//! The ledger's records, read from its files alone.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use proofstream_ledger::reader::Reader;
use proofstream_ledger::storage::Directory;
use proofstream_model::{Answer, Block, Body, Decision, EventBody, GapBody, Record};
use serde::de::DeserializeOwned;

/// Every sealed record.
pub(crate) struct Ledger(Vec<Record>);

// === impl Ledger ===

impl Ledger {
    /// Reads them, and checks that no number is missing.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let reader =
            Reader::open(Arc::new(Directory::new(folder)))?.context("nothing is sealed")?;
        let mut records = Vec::new();
        for index in 0..reader.size() {
            for line in reader.lines(index)? {
                records.push(Record::parse(&line)?);
            }
        }
        for (number, record) in (0..).zip(&records) {
            ensure!(record.seq == number, "record {number} is called {}", record.seq);
        }
        Ok(Self(records))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those of one kind, in order.
    pub(crate) fn of<B: Body + DeserializeOwned>(&self) -> Result<Vec<(&Record, B)>> {
        let of_kind = self.0.iter().filter(|record| record.kind == B::KIND.word());
        let read = of_kind.map(|record| {
            let body = serde_json::from_value(record.body.clone());
            Ok((record, body.with_context(|| format!("record {}", record.seq))?))
        });
        read.collect()
    }

    /// The record that stands at a place of a source.
    fn at(&self, source: &str, epoch: u64, number: u64) -> Result<&Record> {
        let found = self.0.iter().find(|record| {
            record.source == source && record.source_epoch == epoch && record.source_seq == number
        });
        found.with_context(|| format!("no record {source} {epoch} {number}"))
    }

    /// Gaps of one source.
    pub(crate) fn gaps(&self, source: &str) -> Result<Vec<GapBody>> {
        let gaps = self.of::<GapBody>()?.into_iter().map(|(_, gap)| gap);
        Ok(gaps.filter(|gap| gap.source == source).collect())
    }

    /// The decision and the audit event that a block names, checked to speak of the same request.
    pub(crate) fn joined(&self, block: &Block) -> Result<(Decision, EventBody)> {
        let reference = block.decision.as_ref().context("the block names no decision")?;
        let record = self.at(&reference.source, reference.epoch, reference.number)?;
        let decision: Decision = record.body().context("not a decision")??;
        ensure!(decision.decision == Answer::Deny && !decision.dry_run, "{decision:?}");
        ensure!(decision.subject == block.subject, "{:?} {:?}", decision.subject, block.subject);
        let event = &block.event;
        let record = self.at(&event.source, event.epoch, event.number)?;
        let event_body: EventBody = record.body().context("not an event")??;
        let raw = event_body.raw.as_deref().unwrap_or_default();
        ensure!(raw.contains(&event.audit_id) && raw.contains(&reference.to_string()), "{raw}");
        Ok((decision, event_body))
    }

    /// Checks that each source numbers its records densely within an epoch, and its epochs too.
    pub(crate) fn check_numbers(&self) -> Result<()> {
        let mut next = std::collections::BTreeMap::new();
        for record in &self.0 {
            let place = (record.source_epoch, record.source_seq);
            let expected: &mut (u64, u64) = next.entry(&record.source).or_insert(place);
            let follows = place == *expected || place == (expected.0 + 1, 0);
            ensure!(follows, "{} goes from {expected:?} to {place:?}", record.source);
            *expected = (place.0, place.1 + 1);
        }
        Ok(())
    }
}
