//! The text of a policy: what its author wrote, without what the API server adds.

use std::collections::BTreeMap;

use proofstream_canonical as canonical;
use proofstream_model::Mode;
use proofstream_policy::is_constraint;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Fields of `metadata` that are not the author's.
const NOT_THE_AUTHORS: [&str; 6] =
    ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The canonical text of a policy's document, and what the records say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    canonical: String,
    sha256: String,
    created: Option<String>,
    modes: Vec<Mode>,
    annotations: BTreeMap<String, String>,
}

impl PolicyText {
    /// Takes `status` and what the API server adds out of a document.
    pub fn of(mut document: Value) -> Self {
        let created = document.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        let created = created.map(str::to_owned);
        if let Some(members) = document.as_object_mut() {
            members.remove("status");
        }
        if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in NOT_THE_AUTHORS {
                metadata.remove(field);
            }
            if let Some(annotations) =
                metadata.get_mut("annotations").and_then(Value::as_object_mut)
            {
                annotations.remove(LAST_APPLIED);
                if annotations.is_empty() {
                    metadata.remove("annotations");
                }
            }
        }
        let annotations = document
            .pointer("/metadata/annotations")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        // Numbers that canonical JSON cannot hold exactly are written as they came.
        let canonical = canonical::to_string(&document).unwrap_or_else(|_| document.to_string());
        let sha256 = hex::encode(Sha256::digest(canonical.as_bytes()));
        let modes = modes(&document);
        Self { canonical, sha256, created, modes, annotations }
    }

    /// When the API server stored it first; absent for one that is in a file.
    pub fn created(&self) -> Option<&str> {
        self.created.as_deref()
    }

    /// Its canonical text (RFC 8785).
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the canonical text, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The modes of its rules, sorted.
    pub fn modes(&self) -> Vec<Mode> {
        self.modes.clone()
    }

    /// Its annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }
}

/// The modes of its rules, sorted: a rule's own, or the policy's; `Audit` where neither says. A
/// policy in CEL enforces unless it says what else it does.
fn modes(document: &Value) -> Vec<Mode> {
    if is_constraint(document) {
        return vec![if denies(document) { Mode::Enforce } else { Mode::Audit }];
    }
    if document.pointer("/spec/validations").is_some() {
        let actions = document.pointer("/spec/validationActions").and_then(Value::as_array);
        let denies = actions
            .is_none_or(|actions| actions.is_empty() || actions.iter().any(|it| it == "Deny"));
        return vec![if denies { Mode::Enforce } else { Mode::Audit }];
    }
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).map(str::to_ascii_lowercase)
    };
    let of_policy = text(document, "/spec/validationFailureAction");
    let rules = document.pointer("/spec/rules").and_then(Value::as_array);
    let mut modes: Vec<_> = rules
        .into_iter()
        .flatten()
        .map(|rule| text(rule, "/validate/failureAction").or_else(|| of_policy.clone()))
        .map(|mode| match mode.as_deref() {
            Some("enforce") => Mode::Enforce,
            _ => Mode::Audit,
        })
        .collect();
    modes.sort();
    modes.dedup();
    modes
}

/// Whether a constraint refuses what breaks it.
fn denies(constraint: &Value) -> bool {
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or("deny").to_owned()
    };
    match text(constraint, "/spec/enforcementAction").as_str() {
        "deny" | "" => true,
        "scoped" => {
            let scoped = constraint.pointer("/spec/scopedEnforcementActions");
            let scoped = scoped.and_then(Value::as_array).into_iter().flatten();
            scoped.into_iter().any(|one| text(one, "/action") == "deny")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn says_what_a_policy_does() {
        let modes = |action: &str, rules: Value| {
            PolicyText::of(json!({"spec": {"validationFailureAction": action, "rules": rules}}))
                .modes()
        };
        let enforcing = json!({"validate": {"failureAction": "Enforce"}});
        assert_eq!(modes("enforce", json!([{}])), [Mode::Enforce]);
        assert_eq!(modes("Audit", json!([{}, enforcing])), [Mode::Enforce, Mode::Audit]);
        assert_eq!(modes("Audit", json!([enforcing])), [Mode::Enforce]);
        assert_eq!(PolicyText::of(json!({})).modes(), []);
        let cel = |actions: Value| {
            PolicyText::of(json!({"spec": {"validations": [{}], "validationActions": actions}}))
                .modes()
        };
        assert_eq!(cel(json!(["Warn", "Deny"])), [Mode::Enforce]);
        assert_eq!(cel(json!(["Audit"])), [Mode::Audit]);
        assert_eq!(cel(json!([])), [Mode::Enforce]);
        let constraint = |spec: Value| {
            PolicyText::of(json!({"apiVersion": "constraints.gatekeeper.sh/v1beta1", "spec": spec}))
                .modes()
        };
        assert_eq!(constraint(json!({})), [Mode::Enforce]);
        assert_eq!(constraint(json!({"enforcementAction": "warn"})), [Mode::Audit]);
        let scoped = json!([{"action": "dryrun"}, {"action": "deny"}]);
        let spec = json!({"enforcementAction": "scoped", "scopedEnforcementActions": scoped});
        assert_eq!(constraint(spec), [Mode::Enforce]);
    }

    #[test]
    fn what_the_api_server_adds_changes_nothing() {
        let plain = json!({"kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"a": 1}});
        let stored = json!({"kind": "ClusterPolicy", "spec": {"a": 1}, "status": {"ready": true},
            "metadata": {"name": "p", "uid": "u", "generation": 3, "resourceVersion": "9",
                "annotations": {LAST_APPLIED: "{}"}, "managedFields": []}});
        let (plain, stored) = (PolicyText::of(plain), PolicyText::of(stored));
        assert_eq!(plain.sha256(), stored.sha256());
        assert_eq!(
            plain.canonical(),
            r#"{"kind":"ClusterPolicy","metadata":{"name":"p"},"spec":{"a":1}}"#
        );
    }
}
