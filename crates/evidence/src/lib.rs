//! Populations, claims and export bundles, read from the ledger.
//!
//! A bundle (see LEDGER.md) answers one question for one period: which controls of a framework
//! operated, what they refused, and what is missing. Every number in it that counts records is a
//! claim which `proofstream-verify` recounts; numbers are stated through one door ([`tally`]), so
//! that none can be written without its claim.

mod bundle;
mod cells;
mod controls;
mod error;
mod export;
mod history;
mod range;
mod read;
mod readme;
mod request;
mod requirements;
mod sample;
mod sink;
mod survey;
mod tables;
mod tally;

pub use controls::{ControlStatement, Status};
pub use error::ExportError;
pub use export::{ExportSummary, export};
pub use read::{LedgerFault, LedgerRead, SealedLedger};
pub use request::{ExportRequest, Sample};
pub use requirements::RequirementStatement;
pub use sink::{BundleFile, BundleSink, DirectorySink, OutputError};
