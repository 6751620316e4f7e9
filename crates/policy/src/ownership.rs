//! Labels by which a generated object tells who made it and why.
//!
//! They are the field's own (`generate.kyverno.io/…`): policies and scripts that select on them keep
//! their meaning, and what another engine made under the same policies is recognised.

use serde_json::{Map, Value};

use crate::response::ResourceName;

const PREFIX: &str = "generate.kyverno.io/";
/// Who manages the object, in the words of the field.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "kyverno");
/// Longest value of a label.
const MAX_VALUE: usize = 63;

/// The rule and the trigger behind an object.
pub(crate) struct Owner<'o> {
    pub(crate) policy: &'o str,
    pub(crate) policy_namespace: &'o str,
    pub(crate) rule: &'o str,
    pub(crate) trigger: &'o Value,
}

impl Owner<'_> {
    /// Writes the labels over those that are there; `false` where labels cannot be read.
    pub(crate) fn mark(&self, object: &mut Value, source: Option<&ResourceName>) -> bool {
        let Some(labels) = labels_mut(object) else { return false };
        let mut put = |key: &str, value: &str| {
            labels.insert(format!("{PREFIX}{key}"), Value::String(label_value(value)));
        };
        let text = |pointer: &str| {
            self.trigger.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
        };
        put("policy-name", self.policy);
        put("policy-namespace", self.policy_namespace);
        put("rule-name", self.rule);
        let (group, version) = split(text("/apiVersion"));
        put("trigger-group", group);
        put("trigger-version", version);
        put("trigger-kind", text("/kind"));
        put("trigger-namespace", text("/metadata/namespace"));
        put("trigger-uid", text("/metadata/uid"));
        if let Some(source) = source {
            let (group, version) = split(&source.api_version);
            put("source-group", group);
            put("source-version", version);
            put("source-kind", &source.kind);
            put("source-namespace", source.namespace.as_deref().unwrap_or_default());
            put("source-name", &source.name);
        }
        labels.insert(MANAGED_BY.0.to_owned(), Value::from(MANAGED_BY.1));
        true
    }
}

/// Whether a rule of some policy made the object.
pub(crate) fn is_generated(object: &Value) -> bool {
    label(object, "policy-name").is_some_and(|policy| !policy.is_empty())
}

/// Whether this very rule made the object.
pub(crate) fn is_made_by(object: &Value, policy: &str, namespace: &str, rule: &str) -> bool {
    [("policy-name", policy), ("policy-namespace", namespace), ("rule-name", rule)]
        .into_iter()
        .all(|(key, wanted)| label(object, key).is_some_and(|found| found == label_value(wanted)))
}

fn label<'o>(object: &'o Value, key: &str) -> Option<&'o str> {
    object.pointer("/metadata/labels")?.get(format!("{PREFIX}{key}"))?.as_str()
}

fn labels_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let level = |parent: &mut Map<String, Value>, key: &str| {
        if parent.get(key).is_none_or(Value::is_null) {
            parent.insert(key.to_owned(), Value::Object(Map::new()));
        }
    };
    let members = object.as_object_mut()?;
    level(members, "metadata");
    let metadata = members.get_mut("metadata")?.as_object_mut()?;
    level(metadata, "labels");
    metadata.get_mut("labels")?.as_object_mut()
}

fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// A text as a label can carry it: at most 63 characters, the last of them a letter or a digit.
fn label_value(text: &str) -> String {
    let cut: String = text.chars().take(MAX_VALUE).collect();
    cut.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner(trigger: &Value) -> Owner<'_> {
        Owner { policy: "p", policy_namespace: "", rule: "r", trigger }
    }

    #[test]
    fn an_object_names_its_rule_trigger_and_source() {
        let trigger = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-1"}});
        let source = ResourceName {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            namespace: Some("vault".to_owned()),
            name: format!("{}-x", "s".repeat(62)),
        };
        let mut object = json!({"metadata": {"labels": {"mine": "kept"}}});
        assert!(owner(&trigger).mark(&mut object, Some(&source)));
        assert_eq!(
            object["metadata"]["labels"],
            json!({
                "mine": "kept",
                "app.kubernetes.io/managed-by": "kyverno",
                "generate.kyverno.io/policy-name": "p",
                "generate.kyverno.io/policy-namespace": "",
                "generate.kyverno.io/rule-name": "r",
                "generate.kyverno.io/trigger-group": "apps",
                "generate.kyverno.io/trigger-version": "v1",
                "generate.kyverno.io/trigger-kind": "Deployment",
                "generate.kyverno.io/trigger-namespace": "shop",
                "generate.kyverno.io/trigger-uid": "u-1",
                "generate.kyverno.io/source-group": "",
                "generate.kyverno.io/source-version": "v1",
                "generate.kyverno.io/source-kind": "Secret",
                "generate.kyverno.io/source-namespace": "vault",
                "generate.kyverno.io/source-name": "s".repeat(62),
            })
        );
        assert!(is_generated(&object) && is_made_by(&object, "p", "", "r"));
        assert!(!is_made_by(&object, "p", "", "other"));
        assert!(!owner(&trigger).mark(&mut json!({"metadata": {"labels": "no"}}), None));
    }
}
