//! What comes out of mutation: the responses of the rules, and the object as they left it.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::response::RuleResponse;

/// What the mutate rules of a set did to the object of a request.
#[derive(Debug, Clone, Default)]
pub struct Mutation {
    /// What each rule that matched said: `Pass` where it changed the object, `Skip` where it did
    /// not, `Error` where it could not. A policy in CEL that comes to no change has passed.
    pub responses: Vec<RuleResponse>,
    /// The object as the rules left it; `None` where none changed it.
    pub object: Option<Value>,
    /// Places in `responses` of the rules that changed the object.
    pub changes: Vec<usize>,
}

impl Mutation {
    /// What the rules that changed the object said.
    pub fn changed_by(&self) -> impl Iterator<Item = &RuleResponse> {
        self.changes.iter().filter_map(|place| self.responses.get(*place))
    }

    /// The changes to the object as it was, as RFC 6902 operations; none where nothing changed.
    pub fn patch(&self, original: &Value) -> Vec<PatchOperation> {
        let changed = self.object.as_ref();
        changed.map(|object| json_patch::diff(original, object).0).unwrap_or_default()
    }
}

/// What one rule said of one existing object, or of all of its targets where it has none to speak of.
#[derive(Debug, Clone)]
pub struct TargetMutation {
    /// What the rule said; its resource is the target (the request's object where no target is
    /// known).
    pub response: RuleResponse,
    /// The target as the caller found it; `None` where the rule came to no target.
    pub target: Option<Value>,
    /// The target as the rule left it; `None` where it was not changed.
    pub object: Option<Value>,
}
