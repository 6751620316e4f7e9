//! The verifier against ledgers and bundles that are right, and against every way of being wrong
//! that LEDGER.md speaks of: changed bytes, and forgeries signed again with the real keys.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what went wrong by panicking"
)]

mod fixture;
mod forged;
mod graded;
mod outcome;
mod script;
mod tampered;
