//! How a command ends.

use std::fmt;

/// The exit codes, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: everything held, or the work is done.
    Done,
    /// 1: something failed a check, was denied, or an expectation did not hold.
    Failed,
    /// 2: bad usage or bad input; the message names file, line and field.
    BadInput,
    /// 3: something could not be evaluated (unreachable, unreadable, not supported).
    NotEvaluated,
    /// 4: tampering or an inconsistency was found.
    Tampered,
}

/// Why a command ends before its work is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What is wrong, in lower case, the offending input in backticks.
    pub message: String,
    /// What to do about it; empty where there is nothing to say.
    pub help: String,
}

// === impl ExitCode ===

impl ExitCode {
    /// The number that the process ends with.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::BadInput => 2,
            Self::NotEvaluated => 3,
            Self::Tampered => 4,
        }
    }

    /// Of two outcomes the one that the process ends with: tampering before bad input, bad input
    /// before a failed check (the check may have missed something), a failed check before one that
    /// could not be made.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let weight = |code: Self| match code {
            Self::Done => 0,
            Self::NotEvaluated => 1,
            Self::Failed => 2,
            Self::BadInput => 3,
            Self::Tampered => 4,
        };
        if weight(other) > weight(self) { other } else { self }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

// === impl Failure ===

impl Failure {
    /// Bad usage or bad input.
    pub fn input(message: impl Into<String>) -> Self {
        Self { code: ExitCode::BadInput, message: message.into(), help: String::new() }
    }

    /// Something that could not be looked at.
    pub fn not_evaluated(message: impl Into<String>) -> Self {
        Self { code: ExitCode::NotEvaluated, message: message.into(), help: String::new() }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<proofstream_manifest::ManifestError> for Failure {
    fn from(error: proofstream_manifest::ManifestError) -> Self {
        Self::input(error.to_string()).help(error.help)
    }
}

/// Standard output cannot be written.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Whoever reads the output has seen enough (`| head`): nothing is wrong.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { code: ExitCode::Done, message: String::new(), help: String::new() };
        }
        Self::not_evaluated(format!("the output cannot be written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graver_outcome_is_the_one_that_is_told() {
        let order = [
            ExitCode::Done,
            ExitCode::NotEvaluated,
            ExitCode::Failed,
            ExitCode::BadInput,
            ExitCode::Tampered,
        ];
        for (weight, graver) in order.into_iter().enumerate() {
            for lighter in order.into_iter().take(weight) {
                assert_eq!(lighter.and(graver), graver);
                assert_eq!(graver.and(lighter), graver);
            }
        }
        assert_eq!(order.map(ExitCode::number), [0, 3, 1, 2, 4]);
    }
}
