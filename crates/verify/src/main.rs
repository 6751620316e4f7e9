//! `proofstream-verify BUNDLE|LEDGER_DIR [--key FILE]… [--witness FILE]…`: the auditor's verifier.

use std::io::{stderr, stdout};
use std::process::ExitCode;

use proofstream_ledger::verify::command::{Outcome, run};

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    match run(arguments, &mut stdout().lock(), &mut stderr().lock()) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        // Nobody can be told: one of the two streams is gone.
        Err(_) => ExitCode::from(Outcome::Unreadable.code()),
    }
}
