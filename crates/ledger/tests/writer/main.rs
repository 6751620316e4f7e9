//! The write side of the ledger: what it promises, under every single fault and any crash.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are tests: what cannot be is a failure, and they say which case it was"
)]

mod basics;
mod disk;
mod faults;
mod harness;
mod kill;
mod properties;
