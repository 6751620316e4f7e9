//! The `proofstream` command.

use std::process::ExitCode;

use proofstream_cli::Console;

fn main() -> ExitCode {
    proofstream_cli::run(std::env::args_os(), &mut Console::standard()).into()
}
