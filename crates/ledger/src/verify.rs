//! Verification of a ledger or a bundle from its files alone: no server, no network, no trust in
//! who wrote them. What it says is what LEDGER.md's "What a verifier says" asks for.
//!
//! Bytes on which a verdict does not depend, and which are therefore not tampering when changed:
//! signatures by keys nobody here knows, stale partial tiles, files that nothing names (in a
//! ledger; in a bundle each is a failure), and in a bundle's envelope the `keyid`, signatures by
//! other keys and white space between JSON tokens.

mod ahead;
mod anchors;
mod bundle;
mod claims;
pub mod command;
mod content;
mod envelope;
mod folder;
mod keys;
mod ledger;
mod lines;
mod proofs;
mod records;
mod report;
mod tiles;

use std::io;

use crate::checkpoint::SignedCheckpoint;
use crate::note::VerifierKey;

pub use bundle::verify_bundle;
pub use folder::Folder;
pub use ledger::verify_ledger;
pub use report::{Checked, Failure, Grade, Report};

/// What the person who verifies brings along, from elsewhere than the files under test.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The log's keys, got from elsewhere.
    pub keys: Vec<VerifierKey>,
    /// Earlier checkpoints of this log, each with the name it is spoken of by.
    pub checkpoints: Vec<(String, SignedCheckpoint)>,
    /// Keys of witnesses who cosign this log's checkpoints.
    pub witnesses: Vec<VerifierKey>,
}

/// Why no verdict can be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file is there and the machine cannot read it.
    #[error("`{path}` cannot be read: {source}")]
    Unreadable {
        /// Which.
        path: String,
        /// What the machine says.
        source: io::Error,
    },
    /// The folder holds neither.
    #[error("`{0}` is neither a ledger (no `log.pub`) nor a bundle (no `manifest.json`)")]
    Neither(String),
}
