//! Expressions compiled and evaluated.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what went wrong by panicking"
)]

mod hostile;
mod language;
mod library;
mod messages;
mod table;
