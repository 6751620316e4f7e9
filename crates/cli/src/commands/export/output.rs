//! What is told of a bundle that was written.

use std::path::Path;

use proofstream_evidence::{ExportRequest, ExportSummary};
use serde_json::{Value, json};

use crate::console::Console;
use crate::exit::Failure;
use crate::offline::report::counted;

/// For people: a line a requirement, a line a control, and what to do next.
pub(super) fn table(
    request: &ExportRequest,
    summary: &ExportSummary,
    out: &Path,
    console: &mut Console,
) -> Result<(), Failure> {
    let paint = console.paint();
    let period = format!("{} to {}", request.from, request.to);
    writeln!(console.out(), "{}  {period}\n", paint.strong(&request.framework))?;
    for one in &summary.requirements {
        let id = format!("{:10}", one.id.id());
        writeln!(
            console.out(),
            "{} blocked {} times; would have blocked {}; dry runs refused {}; findings {} found, {} fixed",
            paint.strong(&id),
            one.blocked,
            one.would_have_blocked,
            one.dry_runs_refused,
            one.findings_found,
            one.findings_fixed
        )?;
    }
    writeln!(console.out())?;
    let width = summary.controls.iter().map(|one| one.id.as_str().len()).max().unwrap_or(0);
    for one in &summary.controls {
        let id = format!("{:width$}", one.id.as_str());
        let lapses = match one.lapses.len() {
            0 => String::new(),
            count => format!(" ({})", counted(count, "lapse", "lapses")),
        };
        writeln!(console.out(), "{id}  {}{lapses}", one.status.words())?;
    }
    let kind = if summary.selection { "SELECTION" } else { "bundle" };
    writeln!(console.out(), "\n{kind} of {} segments in {}", summary.segments, out.display())?;
    console.note(&format!("check it with: proofstream-verify {}", out.display()));
    Ok(())
}

/// For programs.
pub(super) fn json(
    request: &ExportRequest,
    summary: &ExportSummary,
    out: &Path,
    console: &mut Console,
) -> Result<(), Failure> {
    let requirements: Vec<Value> = summary
        .requirements
        .iter()
        .map(|one| {
            json!({
                "id": one.id, "title": one.title, "blocked": one.blocked,
                "wouldHaveBlocked": one.would_have_blocked,
                "dryRunsRefused": one.dry_runs_refused,
                "decisionsDenied": one.decisions_denied,
                "findingsFound": one.findings_found, "findingsFixed": one.findings_fixed,
            })
        })
        .collect();
    let controls: Vec<Value> = summary
        .controls
        .iter()
        .map(|one| {
            json!({
                "id": one.id, "status": one.status.words(), "blocked": one.blocked,
                "basis": one.basis, "lapses": one.lapses, "policies": one.policies,
                "notEvaluated": one.not_evaluated,
            })
        })
        .collect();
    let whole = json!({
        "out": out.display().to_string(),
        "framework": request.framework, "from": request.from, "to": request.to,
        "selection": summary.selection, "segments": summary.segments,
        "manifestSha256": summary.manifest_sha256, "checkpoint": summary.checkpoint,
        "requirements": requirements, "controls": controls,
    });
    let text = serde_json::to_string_pretty(&whole);
    let text = text.map_err(|error| {
        Failure::not_evaluated(format!("the output cannot be written: {error}"))
    })?;
    writeln!(console.out(), "{text}")?;
    Ok(())
}
