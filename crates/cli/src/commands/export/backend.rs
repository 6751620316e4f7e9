//! Who makes the bundle: here this process, on a data folder that no server holds; `remote.rs` has
//! the running server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proofstream_catalog::Catalog;
use proofstream_evidence::{
    DirectorySink, ExportError, ExportRequest, ExportSummary, OutputError, SealedLedger, export,
};
use proofstream_ledger::note::{Signer, VerifierKey};
use proofstream_ledger::storage::{Directory, Storage};
use proofstream_ledger::writer::{Draft, OpenError, Start, Writer, WriterOptions};
use proofstream_model::Entry;

use crate::console::Console;
use crate::exit::{ExitCode, Failure};

/// How long the record of an export may take to become durable.
const PATIENCE: Duration = Duration::from_mins(1);

/// Something that can make a bundle and record that it did.
pub(super) trait ExportBackend {
    /// Seals what there is, writes the bundle to `out`, and records the export before the bundle
    /// appears there.
    fn export(
        &self,
        request: &ExportRequest,
        out: &Path,
        console: &mut Console,
    ) -> Result<ExportSummary, Failure>;
}

/// The ledger of a data folder, opened by this process alone.
pub(super) struct DataFolder<'a> {
    data: PathBuf,
    catalog: &'a Catalog,
}

// === impl DataFolder ===

impl<'a> DataFolder<'a> {
    pub(super) fn new(data: &Path, catalog: &'a Catalog) -> Self {
        Self { data: data.to_owned(), catalog }
    }

    /// Checks what can be checked without touching the ledger.
    fn check(&self, request: &ExportRequest) -> Result<(), Failure> {
        let bad = |error: String| Err(Failure::input(error));
        if let Err(error) = self.catalog.framework(&request.framework) {
            return bad(error.to_string());
        }
        for control in &request.controls {
            if let Err(error) = self.catalog.control(control) {
                return bad(error.to_string());
            }
        }
        if request.from >= request.to {
            return bad(format!(
                "the period is empty: `{}` is not before `{}`",
                request.from, request.to
            ));
        }
        Ok(())
    }

    fn open(&self) -> Result<(Writer, Arc<dyn Storage>), Failure> {
        let place = |name: &str| self.data.join(name);
        let ledger: Arc<dyn Storage> = Arc::new(Directory::new(place("ledger")));
        let keys = ledger
            .read("log.pub")
            .map_err(|error| unreadable(&format!("`{}`: {error}", place("ledger").display())))?;
        let Some(keys) = keys else {
            let message = format!("there is no ledger in `{}`", self.data.display());
            return Err(Failure::input(message)
                .help("name the --data folder that `proofstream up` was started with"));
        };
        let keys = VerifierKey::parse_lines(&String::from_utf8_lossy(&keys))
            .map_err(|error| unreadable(&format!("log.pub: {error}")))?;
        let cluster = keys.first().and_then(|key| key.name().split('/').nth(1));
        let cluster = cluster.ok_or_else(|| unreadable("log.pub names no cluster"))?;
        let options = WriterOptions::new(
            cluster,
            Arc::new(Directory::private(place("private"))),
            Arc::new(Directory::private(place("guard"))),
        );
        let (writer, _) =
            Writer::open(Arc::clone(&ledger), options).map_err(|error| not_opened(&error))?;
        Ok((writer, ledger))
    }
}

impl ExportBackend for DataFolder<'_> {
    fn export(
        &self,
        request: &ExportRequest,
        out: &Path,
        _console: &mut Console,
    ) -> Result<ExportSummary, Failure> {
        self.check(request)?;
        let mut sink = DirectorySink::new(out).map_err(|error| not_written(&error))?;
        let (writer, ledger) = self.open()?;
        writer.seal().map_err(|error| unreadable(&error.to_string()))?;
        let sealed = SealedLedger::open(ledger)
            .map_err(|error| unreadable(&error.to_string()))?
            .ok_or_else(|| unreadable("nothing is sealed yet"))?;
        let signer = Signer::new("export", &writer.export_key().to_bytes())
            .map_err(|error| unreadable(&error.to_string()))?;
        let summary = export(&sealed, self.catalog, request, &signer, &mut sink)
            .map_err(|error| not_exported(&error))?;
        record(&writer, &request.requested_by, &summary)?;
        sink.publish().map_err(|error| not_written(&error))?;
        writer.close().map_err(|error| unreadable(&error.to_string()))?;
        Ok(summary)
    }
}

/// The export is itself a record, durable before the bundle is handed out.
fn record(writer: &Writer, by: &str, summary: &ExportSummary) -> Result<(), Failure> {
    let failed = |error: String| unreadable(&format!("the export cannot be recorded: {error}"));
    let entry =
        Entry::new(&summary.record, Vec::new()).map_err(|error| failed(error.to_string()))?;
    let body =
        proofstream_canonical::to_vec(&entry.body).map_err(|error| failed(error.to_string()))?;
    let source = writer.source(by, Start::Resume).map_err(|error| failed(error.to_string()))?;
    let draft = Draft { kind: entry.kind.to_string(), controls: Vec::new(), body };
    let ticket = source.append(vec![draft]).map_err(|error| failed(error.to_string()))?;
    match ticket.wait(PATIENCE) {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(failed(error.to_string())),
        None => Err(failed("the disk does not answer".to_owned())),
    }
}

fn unreadable(message: &str) -> Failure {
    Failure::not_evaluated(format!("the ledger cannot be read: {message}"))
}

fn not_opened(error: &OpenError) -> Failure {
    let locked = matches!(error, OpenError::Locked { .. });
    let failure = Failure::not_evaluated(error.to_string());
    if locked {
        failure.help("a server is running on this folder: stop it, or export through it")
    } else {
        failure
    }
}

pub(super) fn not_written(error: &OutputError) -> Failure {
    match error {
        OutputError::Write { .. } => Failure::not_evaluated(error.to_string()),
        _ => Failure::input(error.to_string()),
    }
}

fn not_exported(error: &ExportError) -> Failure {
    if error.is_bad_input() {
        return Failure::input(error.to_string());
    }
    let code = match error {
        ExportError::Inconsistent { .. } => ExitCode::Tampered,
        _ => ExitCode::NotEvaluated,
    };
    Failure { code, message: error.to_string(), help: String::new() }
}
