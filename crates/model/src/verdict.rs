//! What a judgement can say.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The result of a check or a rule for one subject. Only `Pass` is a pass.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The subject was evaluated and meets the claim.
    Pass,
    /// The subject was evaluated and breaks the claim.
    Fail,
    /// It breaks the claim, and a waiver in force covers it.
    Waived,
    /// The claim says nothing about this subject.
    NotApplicable,
    /// It could not be looked at; the message says why.
    NotEvaluated,
    /// The evaluation itself failed; the message says why.
    Error,
}

impl Verdict {
    /// The word used in every output: `pass`, `not-evaluated`, …
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Waived => "waived",
            Self::NotApplicable => "not-applicable",
            Self::NotEvaluated => "not-evaluated",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}
