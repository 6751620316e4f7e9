//! `proofstream audit-policy`: what an API server's audit policy logs, and what it misses.

mod lint;
mod simulate;

use std::path::Path;

use clap::{Args, Subcommand};
use proofstream_audit::{AuditPolicy, PolicyError, check_text};
use proofstream_manifest::{Document, documents, locate};

use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::offline::files;

#[derive(Debug, Subcommand)]
pub(super) enum AuditPolicyCommand {
    /// Find what a policy misses that an auditor will ask for, with a correction for each finding.
    Lint(lint::Lint),
    /// Say at which level a request is logged, and by which rule.
    Simulate(simulate::Simulate),
    /// Print a policy that has no findings, with its reasons.
    Recommend(Recommend),
}

#[derive(Debug, Args)]
pub(super) struct Recommend {}

pub(super) fn run(
    command: &AuditPolicyCommand,
    console: &mut Console,
) -> Result<ExitCode, Failure> {
    match command {
        AuditPolicyCommand::Lint(command) => lint::run(command, console),
        AuditPolicyCommand::Simulate(command) => simulate::run(command, console),
        AuditPolicyCommand::Recommend(Recommend {}) => {
            write!(console.out(), "{}", proofstream_audit::recommended())?;
            Ok(ExitCode::Done)
        }
    }
}

/// A policy file: its text for places in it, and the document.
struct PolicyFile {
    text: Vec<u8>,
    document: Document,
}

// === impl PolicyFile ===

impl PolicyFile {
    fn read(path: &Path, console: &mut Console) -> Result<Self, Failure> {
        let text = files::read_whole(path)?;
        let shown = path.display().to_string();
        check_text(&text).map_err(|problem| {
            Failure::input(format!("{shown}: {problem}"))
                .help("the API server does not start with such a file: write it as JSON, or as YAML of lines")
        })?;
        let mut all = documents(&text, &shown);
        let Some(document) = all.next() else {
            return Err(Failure::input(format!("{shown}: there is no document in it")));
        };
        let document = document?;
        let more = all.count();
        if more > 0 {
            console.warn(&format!(
                "{shown}: the API server reads the first document alone, and so does this"
            ));
        }
        Ok(Self { text, document })
    }

    /// The policy; what the API server passes over in it is warned of.
    fn policy(&self, console: &mut Console) -> Result<AuditPolicy, Failure> {
        let (policy, ignored) =
            AuditPolicy::parse(&self.document.value).map_err(|error| self.refused(&error))?;
        for problem in ignored {
            console.warn(&format!("{}: {}", self.place(&problem.path), problem.message));
        }
        Ok(policy)
    }

    /// `FILE:LINE:COLUMN` of a field.
    fn place(&self, path: &str) -> String {
        let file = &self.document.file;
        match locate(&self.text, &self.document, path) {
            Some(place) => format!("{file}:{}:{}", place.line, place.column),
            None => format!("{file}:{}", self.document.line),
        }
    }

    fn refused(&self, error: &PolicyError) -> Failure {
        let said = error
            .problems
            .iter()
            .map(|problem| format!("{}: {problem}", self.place(&problem.path)));
        Failure::input(said.collect::<Vec<_>>().join("\n       "))
            .help("the API server does not start with such a policy")
    }
}
