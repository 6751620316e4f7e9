//! The command line: what there is to call, and the way from arguments to an exit code.

mod audit_policy;
mod audit_webhook;
mod catalog_folder;
mod completions;
mod control;
mod export;
mod ledger;
mod policy;
mod record;
mod since;
mod up;
mod webhooks;

use std::ffi::OsString;

use clap::{Parser, Subcommand, ValueEnum};

use crate::console::Console;
use crate::exit::{ExitCode, Failure};

/// Continuous Kubernetes compliance: prevent at admission, detect on every change, prove from a
/// tamper-evident trail.
///
/// Data goes to standard output; messages, warnings and progress go to standard error.
#[derive(Debug, Parser)]
#[command(name = "proofstream", version, max_term_width = 100, after_long_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  everything held, or the work is done
  1  something failed a check, was denied, or an expectation did not hold
  2  bad usage or bad input; the message names file, line and field
  3  something could not be evaluated (unreachable, unreadable, not supported)
  4  tampering or an inconsistency was found";

#[derive(Debug, Subcommand)]
enum Command {
    /// What an API server's audit policy logs of a request, and what it misses.
    #[command(subcommand)]
    AuditPolicy(audit_policy::AuditPolicyCommand),
    /// What an API server needs to send us its audit events.
    #[command(subcommand)]
    AuditWebhook(audit_webhook::AuditWebhookCommand),
    /// What the catalog claims of each framework, and by what.
    #[command(subcommand)]
    Control(control::ControlCommand),
    /// Write the evidence of a period as a bundle that an auditor can check without us.
    Export(export::Export),
    /// What the ledger holds: sources, the time that they cover, gaps.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Judge manifests with policies, and run the policies' tests; no cluster needed.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// A record of the ledger, with its proof.
    #[command(subcommand)]
    Record(record::RecordCommand),
    /// Run everything in one process: webhook, watch, ledger, API and page.
    Up(up::Up),
    /// Who enforces which kind of policy, and the way out in an emergency.
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    /// Write the completions of this command for a shell.
    Completions(completions::Completions),
}

/// How a command writes its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people. The layout may change; scripts read `json`.
    Table,
    /// For programs. Keys may be added, none is changed or removed.
    Json,
}

/// Parses arguments (the program's name first), runs the command and gives the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>, console: &mut Console) -> ExitCode {
    let result = match Cli::try_parse_from(arguments) {
        Ok(cli) => match cli.command {
            Command::AuditPolicy(command) => audit_policy::run(&command, console),
            Command::AuditWebhook(command) => audit_webhook::run(&command, console),
            Command::Control(command) => control::run(&command, console),
            Command::Export(command) => export::run(&command, console),
            Command::Ledger(command) => ledger::run(&command, console),
            Command::Record(command) => record::run(&command, console),
            Command::Policy(command) => policy::run(command, console),
            Command::Up(command) => up::run(&command, console),
            Command::Webhooks(command) => webhooks::run(&command, console),
            Command::Completions(command) => completions::run(&command, console),
        },
        Err(error) => usage(&error, console),
    };
    let result = result.and_then(|code| Ok(console.flush().map(|()| code)?));
    result.unwrap_or_else(|failure| {
        // What was written before the failure is worth having; the failure itself is what is told.
        let _ = console.flush();
        console.failure(&failure);
        failure.code
    })
}

/// Help and version, asked for, go to standard output; errors of usage to standard error.
fn usage(error: &clap::Error, console: &mut Console) -> Result<ExitCode, Failure> {
    if error.use_stderr() {
        console.note(error.render().to_string().trim_end());
        return Ok(ExitCode::BadInput);
    }
    write!(console.out(), "{}", error.render())?;
    Ok(ExitCode::Done)
}
