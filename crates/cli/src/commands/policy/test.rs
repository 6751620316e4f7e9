//! `proofstream policy test`: the tests that policies come with.

use std::io;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::commands::policy::ResultFormat;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::junit::{self, Case, Outcome, Suite};
use crate::offline::expectation::{self, Expectation, Report};
use crate::offline::report::counted;

/// Run the tests (kyverno-test.yaml, gator Suites) found below some paths, strictly.
///
/// An expectation holds only where the rule it names says something of the resource it names, and
/// says what is expected. A rule that says nothing is not taken for one that passes. What this version
/// cannot run (such as some of the CEL policy kinds) counts as unsupported and
/// is named, never as held.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 1 if an expectation does not hold, 2 for tests that cannot be read, 3 if some were not run.")]
pub(crate) struct Test {
    /// Folders to look in for kyverno-test.yaml and for Suites of Gatekeeper's gator, or test files.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// List expectations that hold, too.
    #[arg(long)]
    all: bool,
    /// How to write the results; a table unless asked otherwise, also into a pipe.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: ResultFormat,
}

pub(super) fn run(command: &Test, console: &mut Console) -> Result<ExitCode, Failure> {
    let mut progress = console.progress("test files");
    let report = expectation::run(&command.paths, Timestamp::now(), &mut || progress.step());
    progress.finish();
    let report = report?;
    match command.output {
        ResultFormat::Json => {
            let Report { expectations, summary, .. } = &report;
            let document = json!({"expectations": expectations, "summary": summary});
            writeln!(console.out(), "{document:#}")?;
        }
        ResultFormat::Junit => junit(&report, console.out())?,
        ResultFormat::Table => table(&report, command.all, console)?,
    }
    console.flush()?;
    let mut code = ExitCode::Done;
    for warning in &report.warnings {
        console.warn(warning);
    }
    for failure in &report.failures {
        console.failure(failure);
        code = code.and(failure.code);
    }
    if report.summary.unsupported > 0 {
        code = code.and(ExitCode::NotEvaluated);
    }
    if report.summary.fail > 0 {
        code = code.and(ExitCode::Failed);
    }
    Ok(code)
}

/// Every expectation as a case, a suite for each file; what was not run is skipped.
fn junit(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    junit::begin(out)?;
    for of_file in report.expectations.chunk_by(|left, right| left.file == right.file) {
        let mut suite = Suite::new(of_file.first().map_or("", |each| each.file.as_str()));
        for each in of_file {
            let outcome = match (each.holds, &each.unsupported) {
                (true, _) => Outcome::Passed,
                (false, Some(_)) => Outcome::Skipped(each.reason.clone()),
                (false, None) => Outcome::Failed(outcome(each)),
            };
            let rule = if each.rule.is_empty() { "*" } else { &each.rule };
            let name = format!("{rule} {} {}: {}", each.kind, each.resource, each.expected);
            suite.push(Case { class: each.policy.clone(), name, outcome });
        }
        suite.write(out)?;
    }
    junit::end(out)
}

/// Expectations that do not hold, below their files, and the counts.
fn table(report: &Report, all: bool, console: &mut Console) -> io::Result<()> {
    let mut file = "";
    for each in report.expectations.iter().filter(|each| all || !each.holds) {
        if each.file != file {
            if !file.is_empty() {
                writeln!(console.out())?;
            }
            file = &each.file;
            let heading = console.paint().strong(file);
            writeln!(console.out(), "{heading}")?;
        }
        row(each, console)?;
    }
    if !file.is_empty() {
        writeln!(console.out())?;
    }
    let summary = &report.summary;
    let total = counted(summary.total, "expectation", "expectations");
    let files = counted(summary.files, "file", "files");
    let (hold, fail) = (summary.hold, summary.fail);
    write!(console.out(), "{total} in {files}: {hold} hold, {fail} do not")?;
    if summary.unsupported > 0 {
        write!(console.out(), ", {} not run", summary.unsupported)?;
    }
    writeln!(console.out())
}

fn row(each: &Expectation, console: &mut Console) -> io::Result<()> {
    let paint = console.paint();
    let word = match (each.holds, &each.unsupported) {
        (true, _) => paint.good("holds  "),
        (false, Some(_)) => paint.doubtful("not run"),
        (false, None) => paint.bad("fails  "),
    };
    let rule = if each.rule.is_empty() { "*" } else { &each.rule };
    let kind = if each.kind.is_empty() { "*" } else { &each.kind };
    let case = each.case.as_ref().map_or(String::new(), |case| format!("{} / {case}: ", each.test));
    let what = format!("{case}{} / {rule}  {kind} {}", each.policy, each.resource);
    writeln!(console.out(), "  {word}  {what}: {}", outcome(each))
}

fn outcome(each: &Expectation) -> String {
    match (each.holds, &each.actual) {
        (true, _) => each.expected.clone(),
        (false, Some(actual)) => {
            let reason = each.reason.lines().next().unwrap_or_default();
            format!("expected {}, got {actual}: {reason}", each.expected)
        }
        (false, None) => format!("expected {}; {}", each.expected, each.reason),
    }
}
