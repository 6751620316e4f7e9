//! Facts, and what checks found in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ControlId, RequirementId, Subject, Timestamp, Verdict};

/// A projected piece of observed state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// What it is about.
    pub subject: Subject,
    /// Which reader saw it: `watch`, `node/NAME`, `aws/ACCOUNT`.
    pub source: String,
    /// When it was seen.
    pub time: Timestamp,
    /// What was seen, such as `pod.securityContext`.
    pub name: String,
    /// Its value; absent where the object does not have it.
    pub value: Option<serde_json::Value>,
}

/// What one check says of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Controls that the check stands for, sorted.
    pub controls: Vec<ControlId>,
    /// Requirements that those map to, sorted.
    pub requirements: Vec<RequirementId>,
    /// The policy or check, such as `require-hardened-securitycontext`.
    pub check: String,
    /// The rule within it.
    pub rule: String,
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub verdict: Verdict,
    /// Why.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Whether a finding came or went.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// Seen for the first time, or with another verdict or message than before.
    Found,
    /// The subject meets the claim now.
    Fixed,
    /// The subject, the check or its scope is gone.
    Gone,
}

/// The body of a `finding` record: written when a finding changes, not each time it is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingBody {
    /// What happened to it.
    pub state: FindingState,
    /// The finding as it is (for `fixed` and `gone`: as it was last).
    #[serde(flatten)]
    pub finding: Finding,
    /// The object's UID, so that a new object of the same name is another subject.
    pub uid: String,
    /// The controller that owns the object, `KIND/NAME`.
    pub owner: String,
    /// When it was first found.
    pub first_seen: Timestamp,
}
