//! What our webhook answered, and why.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{RequirementId, Subject, Verdict};

/// What is done to an object.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// A removed object.
    Delete,
    /// A stream to an object: exec, attach, port-forward, proxy.
    Connect,
}

/// Whether a rule's failure refuses a request or is only noted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A failure refuses the request.
    Enforce,
    /// A failure warns and is recorded as "would have blocked".
    Audit,
}

/// The webhook's answer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The request may go on.
    Allow,
    /// The request is refused.
    Deny,
}

/// What one rule said of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleOutcome {
    /// The policy's name; a namespaced one is `NAMESPACE/NAME`.
    pub policy: String,
    /// The rule's name, autogen prefix included.
    pub rule: String,
    /// Whether a failure refuses.
    pub mode: Mode,
    /// What the rule said.
    pub verdict: Verdict,
    /// Why; empty for a pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The body of a `decision` record: one answer of our validating webhook to a request that at
/// least one policy matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// What we answered.
    pub decision: Answer,
    /// No rule in Enforce refused, but at least one in Audit would have.
    pub would_block: bool,
    /// The request was a server-side dry run.
    pub dry_run: bool,
    /// What was to be done.
    pub operation: Operation,
    /// The effective user.
    pub user: String,
    /// The effective user's groups.
    pub groups: Vec<String>,
    /// The object.
    pub subject: Subject,
    /// `exec`, `status`, …; absent for the object itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// The kind as the client sent it, where it differs from the one that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_kind: Option<String>,
    /// The controller that owns the object, `KIND/NAME`; the object itself where nothing owns it.
    pub owner: String,
    /// Names of the policies whose rules failed, sorted; those in Enforce refused.
    pub policies: Vec<String>,
    /// Every rule that matched.
    pub rules: Vec<RuleOutcome>,
    /// Requirements that the failed policies stand for, sorted.
    pub requirements: Vec<RequirementId>,
    /// The `uid` of the admission request.
    pub uid: String,
    /// From the request's arrival to the answer being ready, without waiting for the disk.
    pub latency_us: u64,
}

/// Where a decision stands: known before the ledger numbers it. Written
/// `SOURCE EPOCH NUMBER`, for instance `admission/0 3 17`, in the audit annotation.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct DecisionRef {
    /// The record's `source`.
    pub source: String,
    /// The record's `source_epoch`.
    pub epoch: u64,
    /// The record's `source_seq`.
    pub number: u64,
}

impl fmt::Display for DecisionRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.source, self.epoch, self.number)
    }
}

/// An annotation that is no decision reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a decision reference (SOURCE EPOCH NUMBER)")]
pub struct DecisionRefError(String);

impl FromStr for DecisionRef {
    type Err = DecisionRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || DecisionRefError(text.to_owned());
        let mut words = text.split(' ');
        let (Some(source), Some(epoch), Some(number), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad());
        };
        Ok(Self {
            source: source.to_owned(),
            epoch: epoch.parse().map_err(|_| bad())?,
            number: number.parse().map_err(|_| bad())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_reference_reads_back() {
        let reference = DecisionRef { source: "admission/0".to_owned(), epoch: 3, number: 17 };
        assert_eq!(reference.to_string(), "admission/0 3 17");
        assert_eq!("admission/0 3 17".parse(), Ok(reference));
        assert!("admission/0 3".parse::<DecisionRef>().is_err());
        assert!("admission/0 3 17 4".parse::<DecisionRef>().is_err());
    }
}
