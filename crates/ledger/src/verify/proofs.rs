//! A bundle's records and their proofs: every record stands where its proof says, and none is
//! missing of a kind that is exported.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::claims::Claims;
use super::content::Content;
use super::lines::for_each_line;
use super::{Report, VerifyError};
use crate::bundle::ALWAYS;
use crate::checkpoint::Checkpoint;
use crate::manifest::Manifest;
use crate::proof::decode_hashes;
use crate::record::Envelope;
use crate::storage::Storage;
use crate::time::Time;
use crate::tree::{Frontier, Hash, leaf_hash, verify_inclusion};

const MANIFESTS: &str = "manifests.jsonl";
const PROOFS: &str = "proofs.jsonl";

/// What is kept of a manifest to check records against.
struct Leaf {
    first: u64,
    count: u64,
    root: Hash,
    time_from: Time,
    time_to: Time,
}

/// The bundle's contiguous range of segments.
#[derive(Default)]
pub(crate) struct Range {
    /// Position in the log of the first segment.
    start: u64,
    leaves: Vec<Leaf>,
    kinds: BTreeMap<String, u64>,
    /// Roots of the log at sizes that someone asked for, where the range begins with segment 0.
    pub(crate) roots: Vec<(u64, Hash)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestLine<'a> {
    index: u64,
    #[serde(borrow)]
    manifest: &'a RawValue,
    outer: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofLine {
    seq: u64,
    segment: u64,
    index: u64,
    inner: Vec<String>,
}

impl Range {
    /// Reads `manifests.jsonl`: each manifest is in the log, and they follow each other.
    pub(crate) fn read(
        storage: &dyn Storage,
        checkpoint: &Checkpoint,
        wanted: &[u64],
        report: &mut Report,
    ) -> Result<Self, VerifyError> {
        let mut range = Self::default();
        let mut tree = Frontier::new();
        let read = for_each_line(storage, MANIFESTS, report, |report, number, line| {
            if let Err(reason) = range.line(line, checkpoint, &mut tree) {
                report.fail(MANIFESTS, format!("line {number}: {reason}"));
            } else if wanted.contains(&tree.size()) {
                range.roots.push((tree.size(), tree.root()));
            }
            Ok(())
        })?;
        match read {
            None => report.fail(MANIFESTS, "missing"),
            Some(0) => report.fail(MANIFESTS, "holds no manifest"),
            Some(_) => report.checked("manifests by their proof to the checkpoint", {
                range.leaves.len() as u64
            }),
        }
        Ok(range)
    }

    fn line(
        &mut self,
        line: &[u8],
        checkpoint: &Checkpoint,
        tree: &mut Frontier,
    ) -> Result<(), String> {
        let line: ManifestLine<'_> =
            serde_json::from_slice(line).map_err(|error| format!("has another shape: {error}"))?;
        let bytes = line.manifest.get().as_bytes();
        let manifest = Manifest::parse(bytes).map_err(|error| error.to_string())?;
        let outer = decode_hashes(&line.outer).map_err(|error| error.to_string())?;
        let leaf = leaf_hash(bytes);
        verify_inclusion(&leaf, line.index, checkpoint.size, &outer, &checkpoint.root)
            .map_err(|error| format!("manifest {}: {error}", line.index))?;
        if self.leaves.is_empty() {
            self.start = line.index;
        }
        let expected = self.start + self.leaves.len() as u64;
        let follows = self
            .leaves
            .last()
            .is_none_or(|last| last.first.saturating_add(last.count) == manifest.first);
        if line.index != expected || !follows {
            return Err(format!("manifest {} does not follow the one before", line.index));
        }
        if self.start == 0 {
            tree.append(leaf);
        }
        for (kind, count) in manifest.kinds {
            let sum = self.kinds.entry(kind).or_default();
            *sum = sum.saturating_add(count);
        }
        self.leaves.push(Leaf {
            first: manifest.first,
            count: manifest.count,
            root: manifest.root,
            time_from: manifest.time_from,
            time_to: manifest.time_to,
        });
        Ok(())
    }

    /// The earliest time of the first segment, where the log has segments before it.
    pub(crate) fn begins(&self) -> Option<Time> {
        self.leaves.first().filter(|_| self.start > 0).map(|leaf| leaf.time_from)
    }

    /// The latest time of the last segment, where the log has segments after it.
    pub(crate) fn ends(&self, size: u64) -> Option<Time> {
        let end = self.start + self.leaves.len() as u64;
        self.leaves.last().filter(|_| end < size).map(|leaf| leaf.time_to)
    }

    fn leaf(&self, segment: u64) -> Option<&Leaf> {
        self.leaves.get(usize::try_from(segment.checked_sub(self.start)?).ok()?)
    }
}

/// A record that was read and is still to be proven. Forty-eight bytes each stay in memory, and
/// eight more for the time.
struct Unproven {
    seq: u64,
    leaf: Hash,
    time: Time,
    proven: bool,
}

/// Everything about the records of a bundle.
pub(crate) struct Records {
    unproven: Vec<Unproven>,
    counts: BTreeMap<String, u64>,
}

impl Records {
    /// Reads every `records/<kind>.jsonl`.
    pub(crate) fn read(
        storage: &dyn Storage,
        files: &BTreeSet<String>,
        content: &mut Content<'_>,
        claims: &mut Option<Claims>,
        report: &mut Report,
    ) -> Result<Self, VerifyError> {
        let mut records = Self { unproven: Vec::new(), counts: BTreeMap::new() };
        for path in files.iter().filter(|path| path.starts_with("records/")) {
            let kind = path.strip_prefix("records/").and_then(|name| name.strip_suffix(".jsonl"));
            let Some(kind) = kind.filter(|kind| !kind.contains('/')) else {
                report.fail(path.as_str(), "is not records/<kind>.jsonl");
                continue;
            };
            let count = for_each_line(storage, path, report, |report, number, line| {
                records.line(path, kind, number, line, content, claims, report)
            })?;
            records.counts.insert(kind.to_owned(), count.unwrap_or(0));
        }
        records.unproven.sort_unstable_by_key(|record| record.seq);
        for pair in records.unproven.windows(2) {
            if let [left, right] = pair
                && left.seq == right.seq
            {
                report.fail(format!("seq {}", left.seq), "is in the bundle twice");
            }
        }
        Ok(records)
    }

    #[allow(clippy::too_many_arguments, reason = "one line needs all that a bundle gathers")]
    fn line(
        &mut self,
        path: &str,
        kind: &str,
        number: u64,
        line: &[u8],
        content: &mut Content<'_>,
        claims: &mut Option<Claims>,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let envelope = match Envelope::parse(line) {
            Ok(envelope) => envelope,
            Err(error) => {
                report.fail(path, format!("line {number}: {error}"));
                return Ok(());
            }
        };
        if envelope.kind != kind {
            report.fail(
                format!("seq {}", envelope.seq),
                format!("is a record of kind `{}` in {path}", envelope.kind),
            );
        }
        self.unproven.push(Unproven {
            seq: envelope.seq,
            leaf: leaf_hash(line),
            time: envelope.time,
            proven: false,
        });
        if let Some(claims) = claims {
            claims.count(line, &envelope);
        }
        content.record(&envelope, report)?;
        Ok(())
    }

    /// Whether there is a file of this kind, or nothing of it in the range.
    pub(crate) fn exported(&self, kind: &str, range: &Range) -> bool {
        self.counts.contains_key(kind) || !range.kinds.contains_key(kind)
    }

    /// Reads `proofs.jsonl`: every record is in its segment, and every proof is of a record here.
    pub(crate) fn prove(
        &mut self,
        storage: &dyn Storage,
        range: &Range,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let mut proven = 0;
        let read = for_each_line(storage, PROOFS, report, |report, number, line| {
            match self.proof(line, range) {
                Ok(()) => proven += 1,
                Err((seq, reason)) => {
                    let record = seq.map_or_else(String::new, |seq| format!("seq {seq}: "));
                    report.fail(PROOFS, format!("line {number}: {record}{reason}"));
                }
            }
            Ok(())
        })?;
        if read.is_none() {
            report.fail(PROOFS, "missing");
        }
        for record in self.unproven.iter().filter(|record| !record.proven) {
            report.fail(format!("seq {}", record.seq), format!("no proof in {PROOFS} shows it"));
        }
        report.checked("records by their proof to a manifest", proven);
        Ok(())
    }

    fn proof(&mut self, line: &[u8], range: &Range) -> Result<(), (Option<u64>, String)> {
        let line: ProofLine = serde_json::from_slice(line)
            .map_err(|error| (None, format!("has another shape: {error}")))?;
        let fail = |reason: String| (Some(line.seq), reason);
        let record = self
            .unproven
            .binary_search_by_key(&line.seq, |record| record.seq)
            .ok()
            .and_then(|position| self.unproven.get_mut(position))
            .ok_or_else(|| fail("the record is not in the bundle".to_owned()))?;
        let leaf = range
            .leaf(line.segment)
            .ok_or_else(|| fail(format!("segment {} is not in {MANIFESTS}", line.segment)))?;
        if leaf.first.checked_add(line.index) != Some(line.seq) {
            return Err(fail(format!("is not record {} of that segment", line.index)));
        }
        let inner = decode_hashes(&line.inner).map_err(|error| fail(error.to_string()))?;
        verify_inclusion(&record.leaf, line.index, leaf.count, &inner, &leaf.root)
            .map_err(|error| fail(error.to_string()))?;
        if !(leaf.time_from..=leaf.time_to).contains(&record.time) {
            return Err(fail("its time is outside of its segment's".to_owned()));
        }
        if record.proven {
            return Err(fail("is proven twice".to_owned()));
        }
        record.proven = true;
        Ok(())
    }

    /// Compares the numbers of records with what the manifests say there are.
    pub(crate) fn completeness(&self, range: &Range, selection: bool, report: &mut Report) {
        let mut whole = 0;
        for (kind, count) in &self.counts {
            let expected = range.kinds.get(kind).copied().unwrap_or(0);
            let always = ALWAYS.contains(&kind.as_str());
            if *count == expected {
                whole += 1;
            } else if selection && !always && *count < expected {
                report.unchecked(format!(
                    "completeness of `{kind}`: a SELECTION of {count} out of {expected}"
                ));
            } else {
                report.fail(
                    format!("records/{kind}.jsonl"),
                    format!("holds {count} records, the manifests say {expected}"),
                );
            }
        }
        for kind in ALWAYS {
            let expected = range.kinds.get(kind).copied().unwrap_or(0);
            if expected > 0 && !self.counts.contains_key(kind) {
                report.fail(
                    format!("records/{kind}.jsonl"),
                    format!("missing: every bundle holds these, the manifests say {expected}"),
                );
            }
        }
        report.checked("kinds whose records are all of their range", whole);
        let absent: Vec<_> =
            range.kinds.keys().filter(|kind| !self.counts.contains_key(*kind)).cloned().collect();
        if !absent.is_empty() {
            report.unchecked(format!("records of kinds not exported: {}", absent.join(", ")));
        }
    }
}
