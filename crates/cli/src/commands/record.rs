//! `proofstream record`: one record and what proves it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use proofstream_ledger::proof::RecordProof;
use proofstream_ledger::reader::{ReadError, Reader};
use proofstream_ledger::storage::Directory;
use serde_json::{Value, json};

use super::Format;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum RecordCommand {
    /// Show a record as it stands in the ledger, its proof, and how to check it without us.
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its number (`seq`), or its place: `segments/2026/12/01/….jsonl.zst:LINE`.
    #[arg(value_name = "ID")]
    id: String,
    /// The data folder of `proofstream up`, which may be running.
    #[arg(long, value_name = "DIR", env = "PROOFSTREAM_DATA")]
    data: PathBuf,
    /// How to write it.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

pub(super) fn run(command: &RecordCommand, console: &mut Console) -> Result<ExitCode, Failure> {
    let RecordCommand::Show(command) = command;
    let reader = open(&command.data)?;
    let seq = number(&reader, &command.id)?;
    let proof = reader.prove(seq).map_err(|error| failure(&error))?;
    let checkpoint = reader.checkpoint().checkpoint();
    proof.verify(checkpoint).map_err(|error| Failure {
        code: ExitCode::Tampered,
        message: format!("record {seq}: {error}"),
        help: "run `proofstream-verify` on the ledger's folder: it names all that does not hold"
            .to_owned(),
    })?;
    let unwritable = |error: &dyn std::fmt::Display| Failure::not_evaluated(error.to_string());
    let record: Value = serde_json::from_slice(&proof.line).map_err(|error| unwritable(&error))?;
    match command.output {
        Format::Json => {
            let bytes = proof.to_json().map_err(|error| unwritable(&error))?;
            let proof_json: Value =
                serde_json::from_slice(&bytes).map_err(|error| unwritable(&error))?;
            let document = json!({
                "record": record,
                "segment": proof.manifest.segment,
                "line": proof.index + 1,
                "proof": proof_json,
                "checkpoint": String::from_utf8_lossy(reader.checkpoint_bytes()),
            });
            writeln!(console.out(), "{document:#}")?;
        }
        Format::Table => table(&command.data, &record, &proof, checkpoint.size, console)?,
    }
    Ok(ExitCode::Done)
}

fn table(
    data: &std::path::Path,
    record: &Value,
    proof: &RecordProof,
    size: u64,
    console: &mut Console,
) -> std::io::Result<()> {
    let paint = console.paint();
    let line = proof.index + 1;
    let RecordProof { segment, manifest, inner, outer, .. } = proof;
    writeln!(console.out(), "{record:#}")?;
    let held = paint.good("proven");
    writeln!(
        console.out(),
        "{held}  line {line} of {} (by {} hashes), which is segment {segment} of {size} in the signed log (by {})",
        manifest.segment,
        inner.len(),
        outer.len(),
    )?;
    let path = data.join("ledger").join(&manifest.segment);
    writeln!(console.out(), "without us: zstd -dc {} | sed -n {line}p", path.display())?;
    writeln!(
        console.out(),
        "            sha256sum {}   # {}",
        path.display(),
        manifest.sha256.to_hex()
    )?;
    writeln!(console.out(), "            and up to the checkpoint as docs/verify.md says")
}

/// Opens the ledger of a data folder.
pub(super) fn open(data: &std::path::Path) -> Result<Reader, Failure> {
    let folder = data.join("ledger");
    let reader =
        Reader::open(Arc::new(Directory::new(&folder))).map_err(|error| failure(&error))?;
    reader.ok_or_else(|| {
        Failure::input(format!("there is no sealed ledger in `{}`", folder.display()))
            .help("name the --data folder that `proofstream up` was started with; it seals every ten seconds")
    })
}

fn number(reader: &Reader, id: &str) -> Result<u64, Failure> {
    if let Ok(seq) = id.parse() {
        return Ok(seq);
    }
    let wrong = || {
        Failure::input(format!("`{id}` names no record"))
            .help("a record is named by its number, or as PATH-OF-SEGMENT:LINE")
    };
    let (path, line) = id.rsplit_once(':').ok_or_else(wrong)?;
    let line: u64 = line.parse().ok().filter(|line| *line > 0).ok_or_else(wrong)?;
    let first = path.rsplit('/').next().and_then(|name| name.strip_suffix(".jsonl.zst"));
    let first: u64 = first.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    let (_, manifest) = reader.locate(first).map_err(|error| failure(&error))?;
    if manifest.segment != path || line > manifest.count {
        let message = format!("there is no line {line} of `{path}`");
        return Err(Failure::input(message));
    }
    Ok(manifest.first + line - 1)
}

/// What cannot be read is not evaluated; what does not hold is tampering.
pub(super) fn failure(error: &ReadError) -> Failure {
    let code = match error {
        ReadError::NoRecord { .. } | ReadError::NoSegment { .. } => ExitCode::BadInput,
        ReadError::Store { .. } => ExitCode::NotEvaluated,
        _ => ExitCode::Tampered,
    };
    Failure { code, message: error.to_string(), help: String::new() }
}
