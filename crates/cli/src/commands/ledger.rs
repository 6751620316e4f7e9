//! `proofstream ledger`: what a ledger covers.

use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Format;
use super::record::{failure, open};
use super::since::since;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::offline::coverage::{Coverage, Source, survey};
use crate::offline::report::counted;

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Say which sources the ledger has, since when, and what of that time it lacks.
    Status(Status),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Read is what is sealed; the last seconds of a running server may not be. Exits with 1 if a source that is still \
enrolled is silent now.

Example:
  proofstream ledger status --data /var/lib/proofstream --since 90d")]
pub(super) struct Status {
    /// From when: a time (RFC 3339), or how long ago, such as 90d or 12h; from the beginning without it.
    #[arg(long, value_name = "TIME|SPAN")]
    since: Option<String>,
    /// The data folder of `proofstream up`, which may be running.
    #[arg(long, value_name = "DIR", env = "PROOFSTREAM_DATA")]
    data: PathBuf,
    /// How to write it.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

pub(super) fn run(command: &LedgerCommand, console: &mut Console) -> Result<ExitCode, Failure> {
    let LedgerCommand::Status(command) = command;
    let from = match &command.since {
        Some(text) => Some(since(text, Timestamp::now())?),
        None => None,
    };
    let reader = open(&command.data)?;
    let mut progress = console.progress("segments");
    let coverage = survey(&reader, from, &mut || progress.step());
    progress.finish();
    let coverage = coverage.map_err(|error| failure(&error))?;
    match command.output {
        Format::Json => {
            let document = document(&coverage);
            writeln!(console.out(), "{document:#}")?;
        }
        Format::Table => table(&coverage, console)?,
    }
    let silent = coverage.sources.iter().any(Source::is_silent);
    Ok(if silent { ExitCode::Failed } else { ExitCode::Done })
}

fn document(coverage: &Coverage) -> Value {
    let sources = coverage.sources.iter().map(|source| {
        let covered = source.covered(coverage.until);
        json!({
            "source": source.name,
            "enrolled": source.enrolled.map(|time| time.to_string()),
            "retired": source.retired.map(|time| time.to_string()),
            "records": source.records,
            "epoch": source.epoch,
            "first": source.first.map(|time| time.to_string()),
            "last": source.last.map(|time| time.to_string()),
            "silent": source.is_silent(),
            "covered": covered.map(|covered| json!({
                "seconds": covered.seconds,
                "missingSeconds": covered.missing,
            })),
            "heartbeats": json!({
                "sent": source.sent, "held": source.held, "late": source.late,
            }),
            "gaps": source.gaps.iter().map(|gap| json!({
                "record": gap.record,
                "from": gap.body.from.to_string(),
                "to": gap.body.to.to_string(),
                "count": gap.body.count,
                "cause": gap.body.cause,
            })).collect::<Vec<_>>(),
        })
    });
    json!({
        "origin": coverage.origin,
        "segments": coverage.segments,
        "records": coverage.records,
        "sealedUntil": coverage.until.map(|time| time.to_string()),
        "sources": sources.collect::<Vec<_>>(),
    })
}

fn table(coverage: &Coverage, console: &mut Console) -> io::Result<()> {
    let until = coverage.until.map_or_else(|| "nothing".to_owned(), |time| time.to_string());
    let segments = counted(coverage.segments, "segment", "segments");
    let records = many(coverage.records);
    writeln!(console.out(), "{}  {segments}, {records}, sealed until {until}", coverage.origin)?;
    let width = coverage.sources.iter().map(|source| source.name.len()).max().unwrap_or(0);
    for source in &coverage.sources {
        one(source, width, coverage, console)?;
    }
    Ok(())
}

/// Records in words.
fn many(records: u64) -> String {
    counted(usize::try_from(records).unwrap_or(usize::MAX), "record", "records")
}

fn one(
    source: &Source,
    width: usize,
    coverage: &Coverage,
    console: &mut Console,
) -> io::Result<()> {
    let paint = console.paint();
    let name = paint.strong(&format!("{:width$}", source.name));
    let mut said = vec![many(source.records)];
    said.extend(source.last.map(|last| format!("last {last}")));
    said.extend(source.retired.map(|retired| format!("retired {retired}")));
    if source.sent > 0 {
        let late = if source.late > 0 { format!(", {} late", source.late) } else { String::new() };
        said.push(format!("{} of {} heartbeats back{late}", source.held, source.sent));
    }
    if source.enrolled.is_some() && source.gaps.is_empty() {
        said.push("no gap recorded".to_owned());
    }
    if source.is_silent() {
        said.push(paint.bad("SILENT"));
    }
    writeln!(console.out(), "{name}  {}", said.join(", "))?;
    if let Some(covered) = source.covered(coverage.until).filter(|_| !source.gaps.is_empty()) {
        let share = covered.share();
        let text = format!(
            "enrolled {}; {share} of {} s since then without a gap",
            source.enrolled.map(|time| time.to_string()).unwrap_or_default(),
            covered.seconds
        );
        writeln!(console.out(), "{:width$}  {}", "", paint.faint(&text))?;
    }
    for gap in &source.gaps {
        let body = &gap.body;
        let missing = match body.count {
            Some(0) => "none missing".to_owned(),
            Some(count) => format!("{count} missing"),
            None => "number unknown".to_owned(),
        };
        let line = format!(
            "gap     {} to {} ({missing}): {} (record {})",
            body.from, body.to, body.cause, gap.record
        );
        writeln!(console.out(), "{:width$}  {line}", "")?;
    }
    Ok(())
}
