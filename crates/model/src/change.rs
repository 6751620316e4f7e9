//! What we changed in the cluster ourselves, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Subject;

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeAction {
    /// It is made.
    Create,
    /// It is brought to what a policy says.
    Update,
    /// It is deleted.
    Delete,
    /// It is left to itself: we made it, and from now on nothing follows from that.
    Release,
    /// Nothing is done to it: a rule has done all that follows from it as it is.
    Settle,
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeState {
    /// It is about to be made. The record is durable before the request is sent.
    Begun,
    /// The API server accepted it.
    Done,
    /// The API server, or something before it, refused.
    Failed,
}

/// Why something is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeCause {
    /// A generate rule.
    Generate,
    /// A mutate rule that changes objects that exist.
    Mutate,
    /// A cleanup policy.
    Cleanup,
    /// The object's own label.
    Ttl,
}

/// The body of a `change` record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeBody {
    /// Why.
    pub cause: ChangeCause,
    /// What is done.
    pub action: ChangeAction,
    /// How far it has come.
    pub state: ChangeState,
    /// The object that is changed.
    pub object: Subject,
    /// The policy; a namespaced one is `NAMESPACE/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// For what a rule does: the object that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// For a copy: what it is a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Subject>,
    /// Whether a generated object follows its rule, trigger and source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synchronize: bool,
    /// Whether a generated object stays when its policy goes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub orphan: bool,
    /// For what is settled: SHA-256 (hex) of what the rule has looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Why it failed, or what to know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The object that started a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trigger {
    /// Its name, namespace and kind.
    pub subject: Subject,
    /// Its `metadata.uid`.
    pub uid: String,
}
