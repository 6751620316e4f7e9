//! What comes out of a judgement.

use std::sync::Arc;

use serde::Serialize;

use crate::environment::Lookup;

/// What a rule says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The rule holds.
    Pass,
    /// The rule is broken.
    Fail,
    /// The rule does not apply (preconditions, anchors, exceptions, existing violations).
    Skip,
    /// The rule is broken and its policy only warns.
    Warn,
    /// The rule could not be judged.
    Error,
    /// The rule asks for something that this engine does not do yet: never a pass.
    NotSupported,
}

impl Status {
    /// Whether the rule came to a judgement.
    pub(crate) fn is_decided(self) -> bool {
        matches!(self, Self::Pass | Self::Fail | Self::Warn)
    }

    /// The word used in test files and tables, as in `pass`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::NotSupported => "not-supported",
        }
    }
}

/// What a broken rule does to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The request is refused.
    Enforce,
    /// The request goes through and is reported.
    Audit,
}

/// What a rule that could not be judged does to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum FailurePolicy {
    /// The request is refused.
    #[default]
    Fail,
    /// The request goes through.
    Ignore,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// Judges the object.
    Validate,
    /// Changes the object.
    Mutate,
    /// Makes other objects.
    Generate,
    /// Verifies signatures of images.
    VerifyImages,
}

/// The object that a response is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ResourceName {
    /// `apiVersion` of the object.
    pub api_version: String,
    /// Kind of the object.
    pub kind: String,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name, or its `generateName` where it has no name yet.
    pub name: String,
}

/// What one rule said of one request.
#[derive(Debug, Clone, Serialize)]
pub struct RuleResponse {
    /// Position of the policy in the set (`PolicySet::policies`).
    pub policy_index: usize,
    /// Name of the policy.
    pub policy: Arc<str>,
    /// Namespace of the policy, for namespaced ones.
    pub policy_namespace: Option<Arc<str>>,
    /// Name of the rule; `autogen-…` for derived ones.
    pub rule: Arc<str>,
    /// What the rule does.
    pub kind: RuleKind,
    /// What it says.
    pub status: Status,
    /// What a failure does to this request (overrides by namespace applied).
    pub mode: Mode,
    /// What an error does to this request.
    pub failure_policy: FailurePolicy,
    /// Why, for a person to read.
    pub message: String,
    /// Where the object differs from the pattern, as in
    /// `spec.containers[0].securityContext.runAsNonRoot`.
    pub path: Option<String>,
    /// The exception (`NAMESPACE/NAME`) for which the rule is skipped.
    pub exception: Option<Arc<str>>,
    /// What is said one by one, where a rule (a constraint) can be broken in several ways at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
    /// The object that was judged.
    pub resource: Arc<ResourceName>,
}

impl RuleResponse {
    /// Whether this response alone refuses the request. A rule that cannot be judged follows its
    /// failure policy; one that only changes or makes objects never refuses.
    pub fn refuses(&self) -> bool {
        match self.status {
            Status::Fail => self.mode == Mode::Enforce,
            // An object that should have been changed and was not: no mode makes that right.
            Status::Error if self.kind == RuleKind::Mutate => {
                self.failure_policy == FailurePolicy::Fail
            }
            Status::NotSupported if matches!(self.kind, RuleKind::Mutate | RuleKind::Generate) => {
                false
            }
            Status::Error | Status::NotSupported => {
                self.mode == Mode::Enforce && self.failure_policy == FailurePolicy::Fail
            }
            Status::Pass | Status::Skip | Status::Warn => false,
        }
    }
}

/// The outcome of a judgement.
#[derive(Debug, Clone)]
pub enum Evaluation<T = Vec<RuleResponse>> {
    /// Every rule that matched has spoken, in the order of policies and rules.
    Done(T),
    /// The caller must find these out, put the answers into the environment and ask again.
    Needs(Vec<Lookup>),
}
