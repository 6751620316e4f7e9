//! `proofstream policy lint`: what policies will not do as their authors may think.

use std::io;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::offline::lint::{Finding, Level, Report, lint};
use crate::offline::report::counted;

/// Find what in policies is not run, has no effect, or looks past what it means to see.
///
/// Documents that cannot be used, rules that are never run or match nothing, older spellings, settings
/// without effect, policies that only audit or fail open; and for policies about pods, found out by asking them:
/// updates, ephemeral containers and lists of containers that they do not look at.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 1 if there are errors or warnings, 2 for policies that cannot be used.

Example:
  proofstream policy lint policies/")]
pub(crate) struct Lint {
    /// Policies: files, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exceptions to the policies (PolicyException): a file or a folder. May be given several times.
    #[arg(long, short, value_name = "FILE|DIR")]
    exception: Vec<PathBuf>,
    /// How to write it; a table unless asked otherwise, also into a pipe.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people. The layout may change; scripts read `json`.
    Table,
    /// For programs. Keys may be added, none is changed or removed.
    Json,
}

pub(super) fn run(command: &Lint, console: &mut Console) -> Result<ExitCode, Failure> {
    let report = lint(&command.paths, &command.exception, Timestamp::now())?;
    let mut code = ExitCode::Done;
    match command.output {
        Format::Json => {
            let count = |level| report.findings.iter().filter(|each| each.level == level).count();
            let document = json!({
                "findings": report.findings,
                "summary": {
                    "policies": report.policies,
                    "error": count(Level::Error),
                    "warning": count(Level::Warning),
                    "note": count(Level::Note),
                    "broken": report.failures.len(),
                },
            });
            writeln!(console.out(), "{document:#}")?;
        }
        Format::Table => table(&report, console)?,
    }
    console.flush()?;
    for failure in &report.failures {
        console.failure(failure);
        code = code.and(failure.code);
    }
    if report.findings.iter().any(|each| each.level != Level::Note) {
        code = code.and(ExitCode::Failed);
    }
    Ok(code)
}

fn table(report: &Report, console: &mut Console) -> io::Result<()> {
    for each in &report.findings {
        let Finding { place, level, check, policy, rule, message, fix } = each;
        let word = match level {
            Level::Error => console.paint().bad("error  "),
            Level::Warning => console.paint().doubtful("warning"),
            Level::Note => console.paint().faint("note   "),
        };
        let rule = rule.as_ref().map_or(String::new(), |rule| format!(" / {rule}"));
        writeln!(console.out(), "{word}  {place}  {policy}{rule}  [{check}]")?;
        writeln!(console.out(), "         {message}")?;
        if !fix.is_empty() {
            writeln!(console.out(), "         {fix}")?;
        }
    }
    let findings = counted(report.findings.len(), "finding", "findings");
    let policies = counted(report.policies, "policy", "policies");
    writeln!(console.out(), "{findings} in {policies}")
}
