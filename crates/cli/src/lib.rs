//! The `proofstream` command as a library, so that tests can run it in their own process.
//!
//! [`run`] parses arguments, runs a command and gives its [`ExitCode`]. Data goes to the console's
//! standard output, everything else to its standard error.

mod commands;
mod console;
mod exit;
mod junit;
pub mod offline;
mod server;

pub use commands::run;
pub use console::Console;
pub use exit::{ExitCode, Failure};
