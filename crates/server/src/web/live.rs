//! The console over the running system: the projection for what is shown, the ledger for what is
//! proven.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proofstream_catalog::{Catalog, ShownBy};
use proofstream_evidence::{DirectorySink, ExportRequest, Sample, SealedLedger, export};
use proofstream_ledger::note::Signer;
use proofstream_ledger::reader::{ReadError, Reader};
use proofstream_ledger::storage::Storage;
use proofstream_ledger::writer::Writer;
use proofstream_model::{Entry, Timestamp};
use proofstream_runtime::clock::Clock;
use proofstream_runtime::metrics::Metrics;
use proofstream_runtime::projection::{Overview, Projection};
use proofstream_runtime::recorder::Recorder;
use serde_json::json;
use tokio::sync::watch;

use super::console::{Console, ConsoleError, ControlCard, ExportAsk, Health, LedgerStatus};

/// How long the record of an export may take to become durable.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);
/// What the envelope of a bundle calls the export key; a verifier goes by the `key` record.
const EXPORT_KEY_NAME: &str = "export";

/// What the console is made of.
pub struct Parts {
    /// The cluster's identity.
    pub cluster: String,
    /// The time.
    pub clock: Clock,
    /// The ledger's writer, which seals before an export.
    pub writer: Arc<Writer>,
    /// The ledger's files.
    pub ledger: Arc<dyn Storage>,
    /// Where they lie, for people.
    pub folder: PathBuf,
    /// Where bundles are put together before they are sent; the same disk as the ledger.
    pub spool: PathBuf,
    /// What is shown.
    pub projection: Arc<Projection>,
    /// What controls and requirements are called.
    pub catalog: Arc<Catalog>,
    /// Writes the records of exports.
    pub exports: Recorder,
    /// The number of the next record to be shown.
    pub changes: watch::Receiver<u64>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// How each part does.
    pub health: Box<dyn Fn() -> Vec<Health> + Send + Sync>,
}

/// The console of `proofstream up`.
pub struct LiveConsole(Parts);

// === impl LiveConsole ===

impl LiveConsole {
    /// Over these parts.
    pub fn new(parts: Parts) -> Self {
        Self(parts)
    }

    fn reader(&self) -> Result<Option<Reader>, ConsoleError> {
        Reader::open(Arc::clone(&self.0.ledger)).map_err(failed)
    }
}

/// Both or neither: a draw that nobody can repeat is no sample.
fn sample(size: Option<u32>, seed: Option<String>) -> Result<Option<Sample>, ConsoleError> {
    match (size, seed) {
        (None, None) => Ok(None),
        (Some(size), Some(seed)) => Ok(Some(Sample { size, seed })),
        _ => Err(ConsoleError::Bad("`sample` and `seed` go together".to_owned())),
    }
}

/// A tar archive: `summary.json`, then the folder as `bundle/…` in the order of its paths, with
/// nothing of this machine in it.
fn archive(summary: &[u8], folder: &std::path::Path, out: &mut dyn Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    let mut header = tar::Header::new_ustar();
    header.set_size(summary.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "summary.json", summary)?;
    builder.mode(tar::HeaderMode::Deterministic);
    builder.follow_symlinks(false);
    let mut waiting = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    for file in files {
        let name = file.strip_prefix(folder).map_err(io::Error::other)?;
        builder.append_path_with_name(&file, std::path::Path::new("bundle").join(name))?;
    }
    builder.finish()
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> ConsoleError {
    ConsoleError::Failed(Box::new(error))
}

impl Console for LiveConsole {
    fn cluster(&self) -> String {
        self.0.cluster.clone()
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn overview(&self, since: Timestamp, rows: u32) -> Result<Overview, ConsoleError> {
        self.0.projection.overview(since, rows).map_err(failed)
    }

    fn controls(&self) -> Vec<ControlCard> {
        let catalog = &self.0.catalog;
        let card = |control: &proofstream_catalog::Control| ControlCard {
            id: control.id.to_string(),
            title: control.title.clone(),
            claim: control.claim.clone(),
            requirements: catalog
                .requirements_of(&control.id)
                .map(|mapping| mapping.requirement.clone())
                .collect(),
            shown_by: match control.shown_by {
                ShownBy::Trail => vec!["audit-file/", "audit-webhook/"],
                ShownBy::Seal => vec!["ledger"],
                ShownBy::Scans => vec!["background"],
                ShownBy::Policies | ShownBy::Enforcer | ShownBy::Nothing => Vec::new(),
            },
            not_evaluated: control
                .checks
                .iter()
                .chain(&control.probes)
                .map(|planned| format!("{}: {}", planned.name, planned.reason))
                .collect(),
        };
        catalog.controls().map(card).collect()
    }

    fn health(&self) -> Vec<Health> {
        (self.0.health)()
    }

    fn metrics(&self) -> String {
        self.0.metrics.text()
    }

    fn ledger(&self) -> Result<LedgerStatus, ConsoleError> {
        let sealed = self.reader()?;
        let mut status = LedgerStatus {
            origin: self.0.writer.origin(),
            segments: 0,
            sealed_records: 0,
            checkpoint_time: None,
            checkpoint: None,
            folder: self.0.folder.display().to_string(),
        };
        if let Some(reader) = sealed {
            status.segments = reader.size();
            status.sealed_records = reader.record_count().map_err(failed)?;
            status.checkpoint =
                Some(String::from_utf8_lossy(reader.checkpoint_bytes()).into_owned());
            let last = reader.size().saturating_sub(1);
            let manifest = reader.manifest(last).map_err(failed)?;
            status.checkpoint_time = manifest.time_to.to_string().parse().ok();
        }
        Ok(status)
    }

    fn record(&self, seq: u64) -> Result<serde_json::Value, ConsoleError> {
        let missing = || {
            let end = self.0.writer.durable_end();
            ConsoleError::Missing(if seq < end {
                format!("record {seq} is durable and not sealed yet: ask again in ten seconds")
            } else {
                format!("there is no record {seq}: the next one will be {end}")
            })
        };
        let reader = self.reader()?.ok_or_else(missing)?;
        if seq >= reader.record_count().map_err(failed)? {
            return Err(missing());
        }
        let read = || -> Result<_, ReadError> { Ok((reader.record(seq)?, reader.prove(seq)?)) };
        let (line, proof) = read().map_err(failed)?;
        let proof: serde_json::Value =
            serde_json::from_slice(&proof.to_json().map_err(failed)?).map_err(failed)?;
        let (segment, _) = reader.locate(seq).map_err(failed)?;
        let manifest = reader.manifest(segment).map_err(failed)?;
        Ok(json!({
            "record": String::from_utf8_lossy(&line),
            "proof": proof,
            "segment": manifest.segment,
            "line": seq.saturating_sub(manifest.first),
            "checkpoint": String::from_utf8_lossy(reader.checkpoint_bytes()),
            "how": "SHA-256(0x00 ‖ record) is the leaf; `inner` leads to the segment's root, which \
                    its manifest names; `outer` leads from the manifest to the checkpoint's root",
        }))
    }

    fn export(
        &self,
        ask: ExportAsk,
        requested_by: &str,
        out: &mut dyn Write,
    ) -> Result<(), ConsoleError> {
        self.0.writer.seal().map_err(failed)?;
        let ledger = SealedLedger::open(Arc::clone(&self.0.ledger))
            .map_err(failed)?
            .ok_or_else(|| ConsoleError::Missing("the ledger is empty".to_owned()))?;
        let request = ExportRequest {
            framework: ask.framework,
            controls: ask.controls,
            from: ask.from,
            to: ask.to,
            requested_by: requested_by.to_owned(),
            extracted: self.now(),
            sample: sample(ask.sample, ask.seed)?,
        };
        let key = self.0.writer.export_key().to_bytes();
        let signer = Signer::new(EXPORT_KEY_NAME, &key).map_err(failed)?;
        // A tar archive states each file's size before its content: the bundle is made on disk first.
        let spool = tempfile::tempdir_in(&self.0.spool).map_err(failed)?;
        let place = spool.path().join("bundle");
        let mut sink = DirectorySink::new(&place).map_err(failed)?;
        let summary =
            export(&ledger, &self.0.catalog, &request, &signer, &mut sink).map_err(|error| {
                if error.is_bad_input() {
                    ConsoleError::Bad(error.to_string())
                } else {
                    failed(error)
                }
            })?;
        sink.publish().map_err(failed)?;
        let entry = Entry::new(&summary.record, Vec::new()).map_err(failed)?;
        let ticket = self.0.exports.record(&[entry]).map_err(failed)?;
        match ticket.wait(DURABLE_WITHIN) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                return Err(ConsoleError::Failed("the record of the export is not durable".into()));
            }
        }
        let summary = serde_json::to_vec(&summary).map_err(failed)?;
        archive(&summary, &place, out).map_err(failed)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.clone()
    }
}
