//! Requests that the API server refused by policy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DecisionRef, EventRef, Operation, RequirementId, Subject, Timestamp};

/// Who refused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcer {
    /// Our own webhook.
    Proofstream,
    /// The API server's Pod Security admission.
    PodSecurity,
    /// The API server's ValidatingAdmissionPolicy.
    ValidatingAdmissionPolicy,
    /// Kyverno's webhook.
    Kyverno,
    /// Gatekeeper's webhook.
    Gatekeeper,
    /// Some other admission webhook.
    OtherWebhook,
}

/// The body of a `block` record: one request, not a dry run, that policy refused, read from its
/// `ResponseComplete` audit event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// Who refused, as the API server's answer names it.
    pub enforcer: Enforcer,
    /// Policies that refused, sorted.
    pub policies: Vec<String>,
    /// `POLICY/RULE` that refused, sorted.
    pub rules: Vec<String>,
    /// Requirements that those policies stood for at the time, sorted.
    pub requirements: Vec<RequirementId>,
    /// What was to be done.
    pub operation: Operation,
    /// The effective user.
    pub user: String,
    /// The effective user's groups.
    pub groups: Vec<String>,
    /// The object.
    pub subject: Subject,
    /// The controller that owns the object, `KIND/NAME`, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The HTTP status that the API server answered.
    pub code: u16,
    /// What the API server answered.
    pub message: String,
    /// When the request was received.
    pub requested: Timestamp,
    /// The audit event.
    pub event: EventRef,
    /// Our own decision, where the event carries its reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRef>,
}
