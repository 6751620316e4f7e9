//! What can keep a bundle from being written.

use proofstream_catalog::{UnknownControl, UnknownFramework};
use proofstream_model::Timestamp;

use crate::LedgerFault;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The framework is not in the catalog.
    #[error(transparent)]
    Framework(#[from] UnknownFramework),
    /// A control is not in the catalog.
    #[error(transparent)]
    Control(#[from] UnknownControl),
    /// A control that carries nothing of the framework.
    #[error("control `{control}` is mapped to no requirement of `{framework}`")]
    Unmapped {
        /// The control.
        control: String,
        /// The framework.
        framework: String,
    },
    /// A period that is none.
    #[error("the period is empty: `{from}` is not before `{to}`")]
    Period {
        /// Its start.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
    /// A sample that is none, or larger than a sample is.
    #[error("a sample of `{0}` is not between 1 and 1000")]
    SampleSize(u32),
    /// Nothing is sealed, so nothing can be proven.
    #[error("the ledger has no sealed segment yet, so there is nothing to prove")]
    Empty,
    /// No record names the key that is to sign.
    #[error("no `key` record of the ledger names the export key `{0}`")]
    UnnamedKey(String),
    /// The ledger cannot be read.
    #[error("the ledger cannot be read: {0}")]
    Ledger(#[from] LedgerFault),
    /// A segment does not hold what its manifest says.
    #[error("segment `{segment}` holds {found} records of kind `{kind}`, its manifest says {said}")]
    Inconsistent {
        /// Its position in the log.
        segment: u64,
        /// The kind.
        kind: String,
        /// How many are there.
        found: u64,
        /// How many should be.
        said: u64,
    },
    /// A record that cannot be read.
    #[error("record in segment `{segment}` at index {index} cannot be read: {source}")]
    Record {
        /// The segment's position in the log.
        segment: u64,
        /// The record's position in the segment.
        index: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// More different values than a bundle can count apart.
    #[error("more than {0} different counts: narrow the period or name controls")]
    TooManyCounts(usize),
    /// A file of the bundle cannot be written.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the bundle cannot be put into its form.
    #[error("`{path}` cannot be put into its form: {message}")]
    Form {
        /// Which.
        path: String,
        /// Why.
        message: String,
    },
}

impl ExportError {
    pub(crate) fn form(path: &str, error: impl std::fmt::Display) -> Self {
        Self::Form { path: path.to_owned(), message: error.to_string() }
    }

    /// Whether the person who asked can mend it by asking otherwise.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Self::Framework(_)
                | Self::Control(_)
                | Self::Unmapped { .. }
                | Self::Period { .. }
                | Self::SampleSize(_)
                | Self::TooManyCounts(_)
        )
    }
}
