//! What a verification says: counts of what was checked, what was not, what failed, and the grade.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;

use super::VerifyError;
use crate::storage::Storage;

/// How many failures are kept; further ones are counted.
const MAX_FAILURES: usize = 100;
/// How many remarks of a sort are kept.
const MAX_REMARKS: usize = 200;

/// How far the proof reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// The files agree with each other; anyone could have made them.
    SelfConsistent,
    /// The holder of a key known from elsewhere signed them; they could have rewritten history.
    Authenticated,
    /// What stood at this size has not been rewritten since someone else saw it.
    Anchored {
        /// In segments.
        size: u64,
    },
}

/// One thing that was checked, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The file, or `seq N` for a record.
    pub place: String,
    /// What does not hold there.
    pub message: String,
}

/// The outcome of a verification.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How far the proof reaches; it means nothing where there are failures.
    pub grade: Grade,
    /// How many segments the checkpoint commits to, once it was read.
    pub size: Option<u64>,
    /// What was checked.
    pub checked: Vec<Checked>,
    /// What was not checked, and why.
    pub unchecked: Vec<String>,
    /// What the reader should know that is no failure.
    pub notes: Vec<String>,
    /// What does not hold, the first hundred.
    pub failures: Vec<Failure>,
    /// Failures beyond those.
    pub more_failures: u64,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            grade: Grade::SelfConsistent,
            size: None,
            checked: Vec::new(),
            unchecked: Vec::new(),
            notes: Vec::new(),
            failures: Vec::new(),
            more_failures: 0,
        }
    }

    /// Whether nothing failed.
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    /// The first line of what a verifier says.
    pub fn verdict(&self) -> String {
        if !self.holds() {
            let count = self.failures.len() as u64 + self.more_failures;
            let plural = if count == 1 { "" } else { "s" };
            return format!("TAMPERING OR INCONSISTENCY FOUND: {count} failure{plural}");
        }
        match self.grade {
            Grade::SelfConsistent => "SELF-CONSISTENT, NOT AUTHENTICATED: the files agree with \
                                      each other; give --key to know who signed them"
                .to_owned(),
            Grade::Authenticated => "AUTHENTICATED, HISTORY NOT ANCHORED: the holder of the key \
                                     could have rewritten it"
                .to_owned(),
            Grade::Anchored { size } => format!(
                "AUTHENTICATED, HISTORY ANCHORED at segment {size} of {}",
                self.size.unwrap_or(size)
            ),
        }
    }

    /// The whole report as text, the verdict first.
    pub fn to_text(&self) -> String {
        let mut text = self.verdict();
        text.push('\n');
        let mut section = |title: &str, lines: &mut dyn Iterator<Item = String>| {
            for (index, line) in lines.enumerate() {
                if index == 0 {
                    let _ = write!(text, "\n{title}:\n");
                }
                let _ = writeln!(text, "  {line}");
            }
        };
        section(
            "failed",
            &mut self
                .failures
                .iter()
                .map(|failure| format!("{}: {}", failure.place, failure.message)),
        );
        section(
            "failed further",
            &mut (self.more_failures > 0).then(|| self.more_failures.to_string()).into_iter(),
        );
        section(
            "checked",
            &mut self.checked.iter().map(|checked| format!("{} {}", checked.count, checked.what)),
        );
        section("not checked", &mut self.unchecked.iter().cloned());
        section("to know", &mut self.notes.iter().cloned());
        text
    }

    pub(crate) fn fail(&mut self, place: impl Into<String>, message: impl std::fmt::Display) {
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(Failure { place: place.into(), message: message.to_string() });
        } else {
            self.more_failures += 1;
        }
    }

    pub(crate) fn checked(&mut self, what: impl Into<String>, count: u64) {
        self.checked.push(Checked { what: what.into(), count });
    }

    pub(crate) fn unchecked(&mut self, what: impl Into<String>) {
        if self.unchecked.len() < MAX_REMARKS {
            self.unchecked.push(what.into());
        }
    }

    pub(crate) fn note(&mut self, what: impl Into<String>) {
        if self.notes.len() < MAX_REMARKS {
            self.notes.push(what.into());
        }
    }

    /// Reads a file if it is there; one that must not be followed (a symbolic link) is a failure.
    pub(crate) fn read(
        &mut self,
        storage: &dyn Storage,
        path: &str,
    ) -> Result<Option<Vec<u8>>, VerifyError> {
        match storage.read(path) {
            Ok(bytes) => Ok(bytes),
            Err(error) => self.refuse(path, error).map(|()| None),
        }
    }

    /// Opens a file to stream it, under the same rule.
    pub(crate) fn open(
        &mut self,
        storage: &dyn Storage,
        path: &str,
    ) -> Result<Option<Box<dyn io::Read>>, VerifyError> {
        match storage.open(path) {
            Ok(file) => Ok(file),
            Err(error) => self.refuse(path, error).map(|()| None),
        }
    }

    /// Reads a file that must be there; its absence is a failure.
    pub(crate) fn require(
        &mut self,
        storage: &dyn Storage,
        path: &str,
    ) -> Result<Option<Vec<u8>>, VerifyError> {
        let before = self.failures.len();
        let bytes = self.read(storage, path)?;
        if bytes.is_none() && self.failures.len() == before {
            self.fail(path, "missing");
        }
        Ok(bytes)
    }

    /// Lists files, under the same rule.
    pub(crate) fn list(
        &mut self,
        storage: &dyn Storage,
        prefix: &str,
    ) -> Result<Vec<String>, VerifyError> {
        match storage.list(prefix) {
            Ok(paths) => Ok(paths),
            Err(error) => self.refuse(prefix, error).map(|()| Vec::new()),
        }
    }

    pub(crate) fn refuse(&mut self, path: &str, error: io::Error) -> Result<(), VerifyError> {
        if error.kind() == io::ErrorKind::InvalidData {
            self.fail(path, error);
            return Ok(());
        }
        Err(VerifyError::Unreadable { path: path.to_owned(), source: error })
    }
}
