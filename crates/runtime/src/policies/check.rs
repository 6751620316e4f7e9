//! Whether a document of one of our kinds can be used, and what its author should know of it.

use std::sync::Arc;

use proofstream_policy::{
    CleanupPolicy, ConstraintTemplate, GlobalEntry, ParseError, Policy, PolicyException,
    deprecations, is_policy, is_template, parse, unknown_settings,
};
use serde_json::Value;

/// What a document says, read and compiled. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Said {
    /// A policy.
    Policy(Arc<Policy>),
    /// An exception to policies.
    Exception(Arc<PolicyException>),
    /// What policies may refer to.
    Global(Arc<GlobalEntry>),
    /// What deletes on a schedule.
    Cleanup(Arc<CleanupPolicy>),
    /// What makes a kind of constraints.
    Template(Arc<ConstraintTemplate>),
}

/// Reads a document as what it says it is.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(document: &Value) -> Result<Said, ParseError> {
    if PolicyException::is_exception(document) {
        return PolicyException::parse(document).map(Arc::new).map(Said::Exception);
    }
    if GlobalEntry::is_entry(document) {
        return GlobalEntry::parse(document).map(Arc::new).map(Said::Global);
    }
    if CleanupPolicy::is_cleanup_policy(document) {
        return CleanupPolicy::parse(document).map(Arc::new).map(Said::Cleanup);
    }
    if is_template(document) {
        return ConstraintTemplate::parse(document).map(Arc::new).map(Said::Template);
    }
    parse(document).map(Arc::new).map(Said::Policy)
}

/// What the author of a document that can be read should know: what this version does not evaluate,
/// and spellings that have a successor.
pub fn advice(document: &Value) -> Vec<String> {
    if !is_policy(document) {
        return Vec::new();
    }
    let old = deprecations(document)
        .into_iter()
        .map(|old| format!("`{}` is deprecated: {}", old.path, old.instead));
    not_evaluated(document).into_iter().chain(old).collect()
}

/// What in a policy this version does not evaluate: settings that it does not know, and a line a rule as
/// it was written.
pub(crate) fn not_evaluated(document: &Value) -> Vec<String> {
    let Ok(policy) = parse(document) else { return Vec::new() };
    let unknown = unknown_settings(document)
        .into_iter()
        .map(|path| format!("`{path}` is not known to this version and has no effect"));
    policy
        .not_supported()
        .filter(|(rule, _)| !rule.starts_with("autogen-"))
        .map(|(rule, what)| format!("rule `{rule}`: `{what}` is not evaluated by this version"))
        .chain(unknown)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn says_what_is_wrong_and_what_to_know() {
        let policy = |rule: Value| {
            json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
                "spec": {"failurePolicy": "Ignore", "rules": [rule]}})
        };
        let pods = json!({"any": [{"resources": {"kinds": ["Secret"]}}]});
        let broken = policy(json!({"name": "r", "match": pods, "validate": {"patern": {}}}));
        assert!(read(&broken).unwrap_err().to_string().contains("spec.rules[0].validate"));
        let images =
            json!({"name": "r", "match": pods, "verifyImages": [{"imageReferences": ["*"]}]});
        assert!(read(&policy(images.clone())).is_ok());
        let advice = advice(&policy(images));
        assert_eq!(
            advice,
            [
                "rule `r`: `verifyImages` is not evaluated by this version",
                "`spec.failurePolicy` is deprecated: write `spec.webhookConfiguration.failurePolicy`",
            ]
        );
        let mut newer = policy(json!({"name": "r", "match": pods, "validate": {"deny": {}},
            "auditTrail": true}));
        newer["spec"].as_object_mut().unwrap().remove("failurePolicy");
        newer["spec"]["shardKey"] = json!("a");
        assert_eq!(
            super::advice(&newer),
            [
                "`spec.shardKey` is not known to this version and has no effect",
                "`spec.rules[0].auditTrail` is not known to this version and has no effect",
            ]
        );
        newer["spec"]["backgrund"] = json!(true);
        assert!(read(&newer).unwrap_err().to_string().contains("did you mean `background`?"));
        let exception = json!({"apiVersion": "kyverno.io/v2", "kind": "PolicyException",
            "metadata": {"name": "e"}, "spec": {}});
        assert_eq!(read(&exception).unwrap_err().to_string(), "`spec.match`: is required");
    }
}
