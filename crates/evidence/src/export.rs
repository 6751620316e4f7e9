//! Makes a bundle: one pass over the manifests, one over the records that tell what was in force,
//! and one over the range.

use proofstream_catalog::Catalog;
use proofstream_ledger::bundle as format;
use proofstream_ledger::checkpoint::SignedCheckpoint;
use proofstream_ledger::manifest::Manifest;
use proofstream_ledger::note::Signer;
use proofstream_ledger::record::Envelope;
use proofstream_ledger::tree::{Hash, Tree, leaf_hash};
use proofstream_model::{ExportBody, Kind, Record, RequirementId};
use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, OpenFile};
use crate::history::History;
use crate::range::{KeyPlace, LANDMARKS, Span};
use crate::request::Question;
use crate::survey::{Survey, exported_kinds};
use crate::{
    BundleSink, ControlStatement, ExportError, ExportRequest, LedgerFault, LedgerRead,
    RequirementStatement, controls, range, readme, requirements, tables,
};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSummary {
    /// What is said of each requirement.
    pub requirements: Vec<RequirementStatement>,
    /// What is said of each control.
    pub controls: Vec<ControlStatement>,
    /// Segments in the bundle's range.
    pub segments: u64,
    /// Whether it holds less than all records of a kind.
    pub selection: bool,
    /// The checkpoint that it carries, as text.
    pub checkpoint: String,
    /// SHA-256 (hex) of its `manifest.json`.
    pub manifest_sha256: String,
    /// What the ledger is to record of this export.
    pub record: ExportBody,
}

/// What is known before the records of the range are read.
pub(crate) struct Ground {
    pub(crate) span: Span,
    pub(crate) key: KeyPlace,
    pub(crate) history: History,
    pub(crate) kinds: Vec<Kind>,
    /// Kinds in the range that this version does not export.
    pub(crate) left_out: Vec<String>,
    /// Origin and size of the checkpoint.
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) witnessed: Option<String>,
}

/// Writes a bundle into `sink`, signed by the export key. The same ledger, catalog and request give
/// the same bytes.
///
/// # Errors
/// When the request is bad, the ledger cannot be read or is not what its manifests say, no `key`
/// record names the export key, or the sink refuses.
pub fn export(
    ledger: &impl LedgerRead,
    catalog: &Catalog,
    request: &ExportRequest,
    signer: &Signer,
    sink: &mut dyn BundleSink,
) -> Result<ExportSummary, ExportError> {
    let question = Question::new(request, catalog)?;
    let mut ground = ground(ledger, &question, signer)?;
    let mut bundle = Bundle::new(sink);
    trust(ledger, &mut ground, &mut bundle)?;
    let mut survey = Survey::new(&question, &mut bundle, &ground.kinds)?;
    stream(ledger, &mut ground, &mut survey, &mut bundle)?;
    let requirements = requirements::statements(&question, &ground.history, &mut survey);
    let controls = controls::statements(&question, &ground.history, &mut survey);
    control_table(&controls, &mut bundle)?;
    if let Some(sampler) = survey.sampler.take() {
        sampler.write(&mut bundle)?;
    }
    let text = readme::render(&question, &ground, &requirements, &controls, &mut survey);
    bundle.put("README.md", text.as_bytes())?;
    bundle.put("claims.json", &survey.tally.claims()?)?;
    survey.tables.close(&mut bundle)?;
    let manifest_sha256 = bundle.seal(signer)?.to_hex();
    let checkpoint = String::from_utf8_lossy(ledger.checkpoint()).into_owned();
    Ok(ExportSummary {
        segments: ground.span.last - ground.span.first + 1,
        selection: question.is_selection(),
        record: ExportBody {
            framework: request.framework.clone(),
            controls: question.controls.iter().map(ToString::to_string).collect(),
            from: request.from,
            to: request.to,
            requested_by: request.requested_by.clone(),
            checkpoint: checkpoint.clone(),
            manifest_sha256: manifest_sha256.clone(),
        },
        requirements,
        controls,
        checkpoint,
        manifest_sha256,
    })
}

/// Finds the range, and reads what the whole ledger says of policies, sources, gaps, keys and
/// earlier exports.
fn ground(
    ledger: &impl LedgerRead,
    question: &Question<'_>,
    signer: &Signer,
) -> Result<Ground, ExportError> {
    let survey = range::survey(ledger, question)?;
    let mut history = History::new(survey.sealed_until);
    for segment in survey.landmarks {
        for (index, line) in (0..).zip(ledger.lines(segment)?) {
            let Some(kind) = kind_of(&line).filter(|kind| LANDMARKS.contains(kind)) else {
                continue;
            };
            let broken = |source| ExportError::Record { segment, index, source };
            let record = Record::parse(&line).map_err(broken)?;
            history.record(kind, segment, &record, question.catalog).map_err(broken)?;
        }
    }
    let public_key = Hash::from_bytes(*signer.verifier().public_key()).to_base64();
    let places = history.export_keys.get(&public_key).map(Vec::as_slice).unwrap_or_default();
    let (span, key) = survey.span.with_key(places).ok_or(ExportError::UnnamedKey(public_key))?;
    let published = SignedCheckpoint::parse(ledger.checkpoint()).map_err(LedgerFault::new)?;
    Ok(Ground {
        span,
        key,
        history,
        kinds: exported_kinds(question),
        left_out: Vec::new(),
        origin: published.checkpoint().origin.clone(),
        size: ledger.size(),
        witnessed: None,
    })
}

fn kind_of(line: &[u8]) -> Option<Kind> {
    let envelope = Envelope::parse(line).ok()?;
    Kind::ALL.into_iter().find(|kind| kind.word() == envelope.kind)
}

/// Writes what the proofs rest on: checkpoint, keys, and the way from earlier exports to here.
fn trust(
    ledger: &impl LedgerRead,
    ground: &mut Ground,
    bundle: &mut Bundle<'_>,
) -> Result<(), ExportError> {
    bundle.put("checkpoint", ledger.checkpoint())?;
    bundle.put("log.pub", &ledger.log_keys()?)?;
    for (path, bytes) in ledger.key_changes()? {
        bundle.put(&path, &bytes)?;
    }
    if let Some((path, bytes)) = ledger.witnessed()? {
        bundle.put(&path, &bytes)?;
        ground.witnessed = Some(path);
    }
    if let KeyPlace::Apart(seq) = ground.key {
        let proof = ledger.prove(seq)?.to_json();
        let proof = proof.map_err(|error| ExportError::form(format::EXPORT_KEY, error))?;
        bundle.put(format::EXPORT_KEY, &proof)?;
    }
    let path = "consistency.jsonl";
    let mut file = bundle.open(path)?;
    for checkpoint in &ground.history.exports {
        let earlier = SignedCheckpoint::parse(checkpoint.as_bytes())
            .map_err(|error| ExportError::form(path, error))?;
        let proof = ledger.consistency(earlier.checkpoint().size)?;
        let line = format::consistency_line(checkpoint, &proof)
            .map_err(|error| ExportError::form(path, error))?;
        file.put(&line)?;
    }
    bundle.close(file)
}

/// The files that records are written to as they pass.
struct Streams {
    manifests: OpenFile,
    proofs: OpenFile,
    records: Vec<(Kind, OpenFile)>,
}

/// Writes manifests, records and proofs of the range, one segment in memory at a time.
fn stream(
    ledger: &impl LedgerRead,
    ground: &mut Ground,
    survey: &mut Survey<'_>,
    bundle: &mut Bundle<'_>,
) -> Result<(), ExportError> {
    let mut records = Vec::new();
    for kind in &ground.kinds {
        records.push((*kind, bundle.open(&format!("records/{kind}.jsonl"))?));
    }
    let manifests = bundle.open("manifests.jsonl")?;
    let proofs = bundle.open("proofs.jsonl")?;
    let mut streams = Streams { manifests, proofs, records };
    for index in ground.span.first..=ground.span.last {
        let manifest = ledger.manifest(index)?;
        let outer = ledger.inclusion(index)?;
        let line = format::manifest_line(index, &manifest, &outer)
            .map_err(|error| ExportError::form("manifests.jsonl", error))?;
        streams.manifests.put(&line)?;
        let exported = |word: &str| ground.kinds.iter().any(|kind| kind.word() == word);
        for word in manifest.kinds.keys().filter(|word| !exported(word)) {
            if !ground.left_out.contains(word) {
                ground.left_out.push(word.clone());
            }
        }
        if manifest.kinds.keys().any(|word| exported(word)) {
            segment(ledger, index, &manifest, &mut streams, survey)?;
        }
    }
    ground.left_out.sort();
    bundle.close(streams.manifests)?;
    bundle.close(streams.proofs)?;
    streams.records.into_iter().try_for_each(|(_, file)| bundle.close(file))
}

/// One segment: every record of an exported kind with its proof; their numbers are held against
/// the manifest.
fn segment(
    ledger: &impl LedgerRead,
    segment: u64,
    manifest: &Manifest,
    streams: &mut Streams,
    survey: &mut Survey<'_>,
) -> Result<(), ExportError> {
    let lines = ledger.lines(segment)?;
    let tree: Tree = lines.iter().map(|line| leaf_hash(line)).collect();
    let mut found = std::collections::BTreeMap::<Kind, u64>::new();
    for (index, line) in (0..).zip(&lines) {
        let Some(kind) = kind_of(line) else { continue };
        let Some((_, file)) = streams.records.iter_mut().find(|(of, _)| *of == kind) else {
            continue;
        };
        *found.entry(kind).or_default() += 1;
        let record =
            Record::parse(line).map_err(|source| ExportError::Record { segment, index, source })?;
        if !survey.keeps(kind, &record) {
            continue;
        }
        survey.add(kind, &record)?;
        file.put(line)?;
        file.put(b"\n")?;
        let inner = tree.inclusion_proof(index).map_err(LedgerFault::new)?;
        let proof = format::proof_line(record.seq, segment, index, &inner)
            .map_err(|error| ExportError::form("proofs.jsonl", error))?;
        streams.proofs.put(&proof)?;
    }
    for (kind, _) in &streams.records {
        let said = manifest.kinds.get(kind.word()).copied().unwrap_or(0);
        let found = found.get(kind).copied().unwrap_or(0);
        if found != said {
            return Err(ExportError::Inconsistent { segment, kind: kind.to_string(), found, said });
        }
    }
    Ok(())
}

/// `tables/controls.csv`: a row a control. Its numbers are claims like all others.
fn control_table(
    controls: &[ControlStatement],
    bundle: &mut Bundle<'_>,
) -> Result<(), ExportError> {
    let headings = [
        "control",
        "title",
        "status",
        "requirements",
        "policies",
        "blocked",
        "would_have_blocked",
        "dry_runs_refused",
        "decisions_denied",
        "findings_found",
        "findings_fixed",
        "newest_seq",
        "basis",
        "lapses",
        "not_evaluated",
    ];
    let mut table = tables::Table::new(bundle, "tables/controls.csv", headings)?;
    for control in controls {
        let ids: Vec<&str> = control.requirements.iter().map(RequirementId::as_str).collect();
        let planned = control.not_evaluated.iter();
        let planned: Vec<String> =
            planned.map(|planned| format!("{}: {}", planned.name, planned.reason)).collect();
        table.guarded(&[
            control.id.to_string(),
            control.title.clone(),
            control.status.words().to_owned(),
            ids.join("; "),
            control.policies.join("; "),
            control.blocked.to_string(),
            control.would_have_blocked.to_string(),
            control.dry_runs_refused.to_string(),
            control.decisions_denied.to_string(),
            control.findings_found.to_string(),
            control.findings_fixed.to_string(),
            control.newest.map_or_else(String::new, |seq| seq.to_string()),
            control.basis.join(" "),
            control.lapses.join(" "),
            planned.join("; "),
        ])?;
    }
    table.close(bundle)
}
