//! `proofstream completions`: completions for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that will read them.
    shell: Shell,
}

pub(super) fn run(command: &Completions, console: &mut Console) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(command.shell, &mut Cli::command(), "proofstream", &mut text);
    console.out().write_all(&text)?;
    Ok(ExitCode::Done)
}
