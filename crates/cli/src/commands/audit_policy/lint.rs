//! `proofstream audit-policy lint`.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use proofstream_audit::{Finding, Flags, Report, Severity, corrected, lint};
use proofstream_manifest::documents;
use serde_json::{Value, json};

use super::PolicyFile;
use crate::commands::Format;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::offline::files;
use crate::offline::report::counted;

#[derive(Debug, Args)]
#[command(after_help = "\
The policy is asked about the requests that matter, so that it does not depend on how it is written. \
Exits with 1 if there are errors or warnings; notes are about cost alone.

Examples:
  proofstream audit-policy lint audit-policy.yaml --flags /etc/kubernetes/manifests/kube-apiserver.yaml
  proofstream audit-policy lint audit-policy.yaml --corrected > better.yaml")]
pub(crate) struct Lint {
    /// The policy (`audit.k8s.io/v1`, kind Policy).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The API server's flags: the manifest of its pod, or a file with `--name=value`.
    #[arg(long, value_name = "FILE")]
    flags: Option<PathBuf>,
    /// Print the policy with every correction made, and nothing else; comments are lost.
    #[arg(long)]
    corrected: bool,
    /// How to write it; a table unless asked otherwise, also into a pipe.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

pub(super) fn run(command: &Lint, console: &mut Console) -> Result<ExitCode, Failure> {
    let file = PolicyFile::read(&command.file, console)?;
    let flags = command.flags.as_deref().map(read_flags).transpose()?;
    let refused = |error| file.refused(&error);
    if command.corrected {
        let policy = corrected(&file.document.value).map_err(refused)?;
        let text = serde_yaml_ng::to_string(&policy);
        let text = text.map_err(|error| Failure::not_evaluated(error.to_string()))?;
        write!(console.out(), "{text}")?;
        return Ok(ExitCode::Done);
    }
    let report = lint(&file.document.value, flags.as_ref()).map_err(refused)?;
    match command.output {
        Format::Json => {
            let document = as_json(&file, &report);
            writeln!(console.out(), "{document:#}")?;
        }
        Format::Table => table(&file, &report, console)?,
    }
    let grave = report.findings.iter().any(|finding| finding.severity != Severity::Note);
    Ok(if grave { ExitCode::Failed } else { ExitCode::Done })
}

/// A manifest with a pod in it, or a plain text.
fn read_flags(path: &Path) -> Result<Flags, Failure> {
    let bytes = files::read_whole(path)?;
    let shown = path.display().to_string();
    let manifests: Vec<Value> =
        documents(&bytes, &shown).filter_map(Result::ok).map(|document| document.value).collect();
    if let Some(flags) = manifests.iter().find_map(|manifest| Flags::of_manifest(manifest).ok()) {
        return Ok(flags);
    }
    Flags::of_text(&String::from_utf8_lossy(&bytes)).map_err(|error| {
        Failure::input(format!("{shown}: {error}"))
            .help("give the manifest of the pod, or the output of `ps -o args= -C kube-apiserver`")
    })
}

fn as_json(file: &PolicyFile, report: &Report) -> Value {
    let count = |severity| report.findings.iter().filter(|it| it.severity == severity).count();
    let findings = report.findings.iter().map(|finding| {
        let mut value = json!(finding);
        if let Some(object) = value.as_object_mut() {
            let fix = json!({"place": finding.fix.place(), "yaml": finding.fix.yaml()});
            object.insert("fix".to_owned(), fix);
            object.insert("place".to_owned(), file.place(&finding.path).into());
        }
        value
    });
    json!({
        "findings": findings.collect::<Vec<_>>(),
        "notEvaluated": report.not_evaluated,
        "summary": {
            "error": count(Severity::Error),
            "warning": count(Severity::Warning),
            "note": count(Severity::Note),
        },
    })
}

fn table(file: &PolicyFile, report: &Report, console: &mut Console) -> io::Result<()> {
    for finding in &report.findings {
        one(file, finding, console)?;
    }
    for left_out in &report.not_evaluated {
        let word = console.paint().faint("not evaluated");
        writeln!(console.out(), "{word}  {left_out}")?;
    }
    writeln!(console.out(), "{}", counted(report.findings.len(), "finding", "findings"))
}

fn one(file: &PolicyFile, finding: &Finding, console: &mut Console) -> io::Result<()> {
    let word = match finding.severity {
        Severity::Error => console.paint().bad("error  "),
        Severity::Warning => console.paint().doubtful("warning"),
        Severity::Note => console.paint().faint("note   "),
    };
    let Finding { number, check, message, why, .. } = finding;
    let place =
        if finding.number == 16 { "kube-apiserver".to_owned() } else { file.place(&finding.path) };
    let rule = finding.rule.map_or_else(String::new, |rule| format!("  rules[{rule}]"));
    let paint = console.paint();
    writeln!(console.out(), "{word}  {place}{rule}  [{number} {check}]")?;
    writeln!(console.out(), "         {}", paint.strong(message))?;
    if !finding.requests.is_empty() {
        writeln!(console.out(), "         such as: {}", finding.requests.join("; "))?;
    }
    writeln!(console.out(), "         {why}")?;
    writeln!(console.out(), "         {}", finding.requirements.join(", "))?;
    let place = finding.fix.place();
    if !place.is_empty() {
        writeln!(console.out(), "         {place}:")?;
        for line in finding.fix.yaml().lines() {
            writeln!(console.out(), "           {line}")?;
        }
    }
    writeln!(console.out())
}
