//! The bundle of a running server: it sends a tar archive, which is unpacked beside its place and
//! checked to be whole before it appears there.

use std::io::{self, Read};
use std::path::{Component, Path};

use proofstream_evidence::{BundleSink as _, DirectorySink, ExportRequest, ExportSummary};
use serde_json::json;

use super::backend::{ExportBackend, not_written};
use crate::console::Console;
use crate::exit::Failure;
use crate::server::Server;

/// The longest summary, in bytes.
const SUMMARY_BYTES: u64 = 16 << 20;

/// A server that runs on the data folder.
pub(super) struct Running(Server);

// === impl Running ===

impl Running {
    pub(super) fn new(server: Server) -> Self {
        Self(server)
    }
}

impl ExportBackend for Running {
    fn export(
        &self,
        request: &ExportRequest,
        out: &Path,
        _: &mut Console,
    ) -> Result<ExportSummary, Failure> {
        let mut sink = DirectorySink::new(out).map_err(|error| not_written(&error))?;
        let question = json!({
            "framework": request.framework,
            "from": request.from,
            "to": request.to,
            "controls": request.controls,
            "sample": request.sample.as_ref().map(|sample| sample.size),
            "seed": request.sample.as_ref().map(|sample| sample.seed.as_str()),
        });
        let answer = self.0.post("/api/v1/exports", &question)?;
        let summary = unpack(answer, &mut sink).map_err(|error| {
            Failure::not_evaluated(format!("the bundle did not arrive whole: {error}"))
                .help("nothing was written; try again, and see the server's log")
        })?;
        sink.publish().map_err(|error| not_written(&error))?;
        Ok(summary)
    }
}

/// Unpacks `summary.json` and `bundle/…`; anything else is refused.
fn unpack(answer: impl Read, sink: &mut DirectorySink) -> io::Result<ExportSummary> {
    let strange = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut archive = tar::Archive::new(answer);
    let (mut summary, mut inventory) = (None, false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if path == Path::new("summary.json") {
            let mut text = Vec::new();
            entry.take(SUMMARY_BYTES).read_to_end(&mut text)?;
            summary = Some(serde_json::from_slice(&text)?);
            continue;
        }
        let inside = path.strip_prefix("bundle").ok().and_then(Path::to_str).filter(|name| {
            Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
        });
        let Some(inside) = inside.filter(|_| entry.header().entry_type().is_file()) else {
            return Err(strange(format!("`{}` does not belong in it", path.display())));
        };
        inventory |= inside == "manifest.dsse.json";
        let mut file = sink.create(inside)?;
        io::copy(&mut entry, &mut file)?;
        file.finish()?;
    }
    match summary {
        Some(summary) if inventory => Ok(summary),
        _ => Err(strange("it ended early".to_owned())),
    }
}
