//! Who did something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user as the API server knows it. Where a request impersonated, `user` is the impersonated
/// (effective) one and `impersonated_by` the one who authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// The user name, such as `alice` or `system:serviceaccount:payments:deployer`.
    pub user: String,
    /// The user's groups, sorted as the API server gave them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The user who authenticated, if another one is in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonated_by: Option<String>,
}
