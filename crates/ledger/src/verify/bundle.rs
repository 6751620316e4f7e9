//! Verifies a bundle: what an export hands over, with nothing of the ledger at hand.
//!
//! Two shapes that LEDGER.md leaves open: a line of `consistency.jsonl` is
//! `{"checkpoint":NOTE,"proof":[BASE64…]}`, and a bundle is a SELECTION when the first line of its
//! README.md has that word. One file is an addition: `export-key.json` may hold the stand-alone
//! proof (see [`crate::proof`]) of the `key` record that names the export key, for ranges that do
//! not hold that record.

use std::collections::HashMap;

use serde::Deserialize;

use super::anchors::Anchors;
use super::claims::{CLAIMS, Claims};
use super::content::Content;
use super::envelope::{check_envelope, check_inventory};
use super::keys::KeyChain;
use super::lines::for_each_line;
use super::proofs::{Range, Records};
use super::{Grade, Options, Report, VerifyError};
use crate::bundle::EXPORT_KEY;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::proof::{RecordProof, decode_hashes};
use crate::storage::Storage;
use crate::tree::{Hash, verify_consistency};

const CONSISTENCY: &str = "consistency.jsonl";

/// Verifies the bundle in `storage`, line by line.
///
/// # Errors
/// When a file is there and the machine cannot read it; what does not hold is in the report.
pub fn verify_bundle(storage: &dyn Storage, options: &Options) -> Result<Report, VerifyError> {
    let mut report = Report::new();
    let Some((inventory, files)) = check_inventory(storage, &mut report)? else {
        return Ok(report);
    };
    let Some(chain) = KeyChain::read(storage, &mut report)? else { return Ok(report) };
    let authenticated = chain.authenticated(options, &mut report);
    let Some(bytes) = report.require(storage, "checkpoint")? else { return Ok(report) };
    let signed = match SignedCheckpoint::parse(&bytes) {
        Ok(signed) => signed,
        Err(error) => {
            report.fail("checkpoint", error);
            return Ok(report);
        }
    };
    let checkpoint = signed.checkpoint();
    report.size = Some(checkpoint.size);
    if chain.check_signed("checkpoint", &signed, &mut report) {
        report.checked("checkpoint's signature and origin", 1);
    }
    let anchors = Anchors::collect(storage, &chain, &signed, options, &mut report)?;
    let mut content = Content::of_bundle(storage);
    let range = Range::read(storage, checkpoint, &anchors.sizes(), &mut report)?;
    check_records(storage, &files, &range, checkpoint, &mut content, &mut report)?;
    let mut export_keys: Vec<_> = content
        .keys()
        .iter()
        .filter(|key| key.purpose == "export")
        .map(|key| key.public_key)
        .collect();
    let stand_alone = export_key(storage, checkpoint, &mut content, &mut report)?;
    export_keys.extend(stand_alone);
    check_envelope(storage, &inventory, &export_keys, chain.keys(), &mut report)?;
    check_key_records(&chain, &content, &mut report);
    let mut roots = consistency(storage, &chain, checkpoint, &mut report)?;
    roots.extend(range.roots.iter().copied());
    roots.insert(checkpoint.size, checkpoint.root);
    let anchored = resolve(anchors, &roots, &mut report)?;
    report.grade = match anchored {
        Some(size) => Grade::Anchored { size },
        None if authenticated => Grade::Authenticated,
        None => Grade::SelfConsistent,
    };
    remarks(&mut report);
    Ok(report)
}

fn remarks(report: &mut Report) {
    report.unchecked("numbers in README.md, tables and reports that claims.json does not state");
    report.unchecked("whether the sources are without a hole: a bundle holds some kinds only");
    report.unchecked("segment files: a bundle holds records and proofs, not segments");
    report.unchecked("whether consistency.jsonl names every earlier export");
}

/// Records, proofs, completeness and claims.
fn check_records(
    storage: &dyn Storage,
    files: &std::collections::BTreeSet<String>,
    range: &Range,
    checkpoint: &Checkpoint,
    content: &mut Content<'_>,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let mut claims = None;
    if let Some(bytes) = report.require(storage, CLAIMS)? {
        match Claims::parse(&bytes) {
            Ok(parsed) => claims = Some(parsed),
            Err(reason) => report.fail(CLAIMS, reason),
        }
    }
    let readme = report.require(storage, "README.md")?.unwrap_or_default();
    let first_line = readme.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let selection = String::from_utf8_lossy(first_line).contains("SELECTION");
    let mut records = Records::read(storage, files, content, &mut claims, report)?;
    records.prove(storage, range, report)?;
    records.completeness(range, selection, report);
    if let Some(claims) = claims {
        let exported = |kind: &str| records.exported(kind, range);
        claims.finish(exported, range.begins(), range.ends(checkpoint.size), report);
    }
    if selection {
        report.note("SELECTION: the claims count what is in the bundle, not all there was");
    }
    content.finish(report);
    for path in files.iter().filter(|path| path.starts_with("blobs/")) {
        let name = path.rsplit('/').next().and_then(Hash::from_hex);
        let bytes = report.read(storage, path)?.unwrap_or_default();
        if name.is_none_or(|name| Hash::of(&bytes) != name) {
            report.fail(path.as_str(), "is not the blob that its name says");
        }
    }
    Ok(())
}

/// The export key that `export-key.json` proves, where the file is there.
fn export_key(
    storage: &dyn Storage,
    checkpoint: &Checkpoint,
    content: &mut Content<'_>,
    report: &mut Report,
) -> Result<Option<[u8; 32]>, VerifyError> {
    let Some(bytes) = report.read(storage, EXPORT_KEY)? else { return Ok(None) };
    let proof = match RecordProof::parse(&bytes) {
        Ok(proof) => proof,
        Err(error) => {
            report.fail(EXPORT_KEY, error);
            return Ok(None);
        }
    };
    match proof.verify(checkpoint) {
        Ok(envelope) if envelope.kind == "key" => {
            content.record(&envelope, report)?;
            report.checked("export key's record by its own proof", 1);
            let named = content.keys().last();
            Ok(named.filter(|key| key.purpose == "export").map(|key| key.public_key))
        }
        Ok(envelope) => {
            report.fail(EXPORT_KEY, format!("seq {} is no key record", envelope.seq));
            Ok(None)
        }
        Err(error) => {
            report.fail(EXPORT_KEY, error);
            Ok(None)
        }
    }
}

fn check_key_records(chain: &KeyChain, content: &Content<'_>, report: &mut Report) {
    for key in content.keys() {
        let of_log = chain.keys().iter().any(|log| *log.public_key() == key.public_key);
        if key.purpose == "export" && of_log {
            report.fail(format!("seq {}", key.seq), "names a key of the log as an export key");
        }
    }
    for (key, change) in chain.successors() {
        if !content.keys().iter().any(|record| record.public_key == *key.public_key()) {
            report.unchecked(format!(
                "keys/{change}: the record that names the new key is outside the bundle's range"
            ));
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsistencyLine {
    checkpoint: String,
    proof: Vec<String>,
}

/// Reads `consistency.jsonl` and gives the roots it proves, by size.
fn consistency(
    storage: &dyn Storage,
    chain: &KeyChain,
    checkpoint: &Checkpoint,
    report: &mut Report,
) -> Result<HashMap<u64, Hash>, VerifyError> {
    let mut roots = HashMap::new();
    let read = for_each_line(storage, CONSISTENCY, report, |report, number, line| {
        let place = format!("{CONSISTENCY} line {number}");
        match consistent(line, checkpoint) {
            Ok(signed) => {
                if chain.check_signed(&place, &signed, report) {
                    roots.insert(signed.checkpoint().size, signed.checkpoint().root);
                }
            }
            Err(reason) => report.fail(place, reason),
        }
        Ok(())
    })?;
    if read.is_some() {
        report.checked("earlier exports' checkpoints by their proof to this one", {
            roots.len() as u64
        });
    }
    Ok(roots)
}

pub(super) fn consistent(line: &[u8], checkpoint: &Checkpoint) -> Result<SignedCheckpoint, String> {
    let line: ConsistencyLine =
        serde_json::from_slice(line).map_err(|error| format!("has another shape: {error}"))?;
    let earlier =
        SignedCheckpoint::parse(line.checkpoint.as_bytes()).map_err(|error| error.to_string())?;
    let proof = decode_hashes(&line.proof).map_err(|error| error.to_string())?;
    let old = earlier.checkpoint();
    verify_consistency(old.size, &old.root, checkpoint.size, &checkpoint.root, &proof)
        .map_err(|error| format!("from size {}: {error}", old.size))?;
    Ok(earlier)
}

/// Compares every earlier state with a root that the bundle proves for its size, where it does.
fn resolve(
    mut anchors: Anchors<'_>,
    roots: &HashMap<u64, Hash>,
    report: &mut Report,
) -> Result<Option<u64>, VerifyError> {
    while let Some(size) = anchors.next_size() {
        if let Some(root) = roots.get(&size) {
            anchors.reached(size, *root, report)?;
            continue;
        }
        for point in anchors.take(size, report)? {
            report.unchecked(format!(
                "{}: the bundle has no proof from its size {size} to the checkpoint",
                point.place
            ));
        }
    }
    Ok(anchors.finish(report))
}
