//! `proofstream policy`: policies judged without a cluster.

mod apply;
mod explain;
mod holes;
mod lint;
mod replay;
mod test;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::offline::policies::{self, Loaded};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResultFormat {
    /// For people. The layout may change; scripts read `json`.
    Table,
    /// For programs. Keys may be added, none is changed or removed.
    Json,
    /// For build servers: JUnit's XML.
    Junit,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Judge manifests with policies and say what each rule makes of each object.
    Apply(apply::Apply),
    /// Run the tests (kyverno-test.yaml) found below some paths, strictly.
    Test(test::Test),
    /// Show, step by step, why rules say what they say of an object.
    Explain(explain::Explain),
    /// Find what in policies is not run, has no effect, or looks past what it means to see.
    Lint(lint::Lint),
    /// Find pods that break a claim and that the policies admit nevertheless.
    Holes(holes::Holes),
    /// Say what policies would have blocked of the requests that the ledger keeps.
    Replay(replay::ReplayCommand),
}

pub(super) fn run(command: PolicyCommand, console: &mut Console) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Apply(command) => apply::run(&command, console),
        PolicyCommand::Test(command) => test::run(&command, console),
        PolicyCommand::Explain(command) => explain::run(&command, console),
        PolicyCommand::Lint(command) => lint::run(&command, console),
        PolicyCommand::Holes(command) => holes::run(&command, console),
        PolicyCommand::Replay(command) => replay::run(&command, console),
    }
}

/// Loads policies, with a word about each document that is none, is broken, or cannot be judged with; the
/// code tells whether there were any.
fn usable(paths: &[PathBuf], console: &mut Console) -> Result<(Loaded, ExitCode), Failure> {
    let loaded = policies::load(paths)?;
    let mut code = ExitCode::Done;
    for failure in &loaded.failures {
        console.failure(failure);
        code = code.and(failure.code);
    }
    for warning in &loaded.warnings {
        console.warn(warning);
    }
    for each in &loaded.unsupported {
        let (place, kind, name, reason) = (&each.place, &each.kind, &each.name, each.reason());
        console.warn(&format!("{place}: {kind} `{name}` {reason}"));
        code = code.and(ExitCode::NotEvaluated);
    }
    if !loaded.policies.is_empty() {
        return Ok((loaded, code));
    }
    if code == ExitCode::Done {
        return Err(Failure::input("no policy in the given paths").help(
            "policies are Kyverno's kinds, Gatekeeper's templates with their constraints, and \
             Kubernetes' own admission policies",
        ));
    }
    // Each document was named above; there is nothing left to work with.
    Err(Failure { code, message: "no policy can be used".into(), help: String::new() })
}
