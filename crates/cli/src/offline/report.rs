//! What `policy apply` reports: rule results and their counts.

use proofstream_model::Subject;
use proofstream_policy::{Mode, RuleResponse, Status};
use serde::Serialize;

/// What one rule says of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleResult {
    /// The policy; a namespaced one is `NAMESPACE/NAME`.
    pub policy: String,
    /// The rule; `autogen-…` for derived ones.
    pub rule: String,
    /// The object, with the field at which it differs.
    pub resource: Subject,
    /// What the rule says. A rule that this version cannot run is an error.
    pub result: Word,
    /// Why.
    pub message: String,
    /// What a failure does at admission: `enforce` or `audit`.
    pub mode: Mode,
}

/// The words of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The rule holds.
    Pass,
    /// The rule is broken.
    Fail,
    /// The rule does not apply.
    Skip,
    /// The rule is broken and its policy only warns.
    Warn,
    /// The rule could not be judged.
    Error,
}

/// How many results there are of each word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rules that hold.
    pub pass: u64,
    /// Rules that are broken.
    pub fail: u64,
    /// Rules that do not apply.
    pub skip: u64,
    /// Rules that are broken and only warn.
    pub warn: u64,
    /// Rules that could not be judged.
    pub error: u64,
}

// === impl RuleResult ===

impl From<RuleResponse> for RuleResult {
    fn from(response: RuleResponse) -> Self {
        let policy = match &response.policy_namespace {
            Some(namespace) => format!("{namespace}/{}", response.policy),
            None => response.policy.to_string(),
        };
        let resource = Subject {
            cluster: None,
            api_version: response.resource.api_version.clone(),
            kind: response.resource.kind.clone(),
            namespace: response.resource.namespace.clone(),
            name: response.resource.name.clone(),
            path: response.path,
        };
        Self {
            policy,
            rule: response.rule.to_string(),
            resource,
            result: response.status.into(),
            message: response.message,
            mode: response.mode,
        }
    }
}

impl From<Status> for Word {
    fn from(status: Status) -> Self {
        match status {
            Status::Pass => Self::Pass,
            Status::Fail => Self::Fail,
            Status::Skip => Self::Skip,
            Status::Warn => Self::Warn,
            Status::Error | Status::NotSupported => Self::Error,
        }
    }
}

impl Word {
    /// The word itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

// === impl Summary ===

impl Summary {
    /// Counts one more result.
    pub fn count(&mut self, word: Word) {
        let counter = match word {
            Word::Pass => &mut self.pass,
            Word::Fail => &mut self.fail,
            Word::Skip => &mut self.skip,
            Word::Warn => &mut self.warn,
            Word::Error => &mut self.error,
        };
        *counter += 1;
    }

    /// The counts in words, those that are zero left out.
    pub fn in_words(&self) -> String {
        let counts = [
            (self.pass, "passed"),
            (self.fail, "failed"),
            (self.warn, "warned"),
            (self.skip, "skipped"),
            (self.error, "could not be judged"),
        ];
        let words: Vec<_> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        if words.is_empty() { "no rule matched".to_owned() } else { words.join(", ") }
    }
}

/// A count with its noun: `1 policy`, `2 policies`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}
