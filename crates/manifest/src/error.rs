//! What can be wrong with a manifest, always with the place and what to do about it.

use std::fmt;
use std::sync::Arc;

/// A document that cannot be read. It displays as `FILE:LINE:COLUMN: MESSAGE`; where the place is
/// not known (an input that cannot be read at all), line and column are 0 and left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// The file as the caller named it; `-` for standard input.
    pub file: Arc<str>,
    /// Line, from 1; 0 where unknown.
    pub line: u64,
    /// Column in characters, from 1; 0 where unknown.
    pub column: u64,
    /// What is wrong, in lower case, the offending input in backticks.
    pub message: String,
    /// What to do about it, one sentence without a full stop; empty where there is nothing to say.
    pub help: String,
}

/// A problem inside one document: the place counts from the document's first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Problem {
    pub(crate) fn new(
        line: usize,
        column: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { line, column, message: message.into(), help: help.into() }
    }

    /// The problem in terms of the whole file; the document begins at `first_line` (from 1).
    pub(crate) fn in_file(self, file: &Arc<str>, first_line: u64) -> ManifestError {
        let line = first_line.saturating_add(self.line as u64).saturating_sub(1);
        ManifestError {
            file: Arc::clone(file),
            line,
            column: self.column as u64,
            message: self.message,
            help: self.help,
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(formatter, "{}: {}", self.file, self.message)
        } else {
            write!(formatter, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
        }
    }
}

impl std::error::Error for ManifestError {}
