//! Spellings that the field has moved on from: they are read, and whoever writes them is told.

use serde_json::Value;

/// A spelling that still works and has a successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecation {
    /// Path of the field.
    pub path: String,
    /// What to write instead.
    pub instead: &'static str,
}

/// Fields of a policy's `spec`.
const OF_SPEC: [(&str, &str); 8] = [
    ("validationFailureAction", "write `validate.failureAction` in each rule"),
    ("validationFailureActionOverrides", "write `validate.failureActionOverrides` in each rule"),
    ("failurePolicy", "write `spec.webhookConfiguration.failurePolicy`"),
    ("webhookTimeoutSeconds", "write `spec.webhookConfiguration.timeoutSeconds`"),
    ("generateExisting", "write `generate.generateExisting` in each rule"),
    ("generateExistingOnPolicyUpdate", "write `generate.generateExisting` in each rule"),
    ("mutateExistingOnPolicyUpdate", "write `mutate.mutateExistingOnPolicyUpdate` in each rule"),
    ("schemaValidation", "leave it out: it does nothing any more"),
];
const FLAT: &str = "write it as an entry of `any` or `all`";
const OPERATORS: [(&str, &str); 2] =
    [("In", "write `AnyIn` or `AllIn`"), ("NotIn", "write `AnyNotIn` or `AllNotIn`")];
/// Most that are named.
const MOST: usize = 20;
/// How deep conditions are looked for.
const DEPTH: usize = 64;

/// Deprecated spellings in the document of a policy.
pub fn deprecations(document: &Value) -> Vec<Deprecation> {
    let mut found = Vec::new();
    let Some(spec) = document.get("spec") else { return found };
    for (field, instead) in OF_SPEC {
        if spec.get(field).is_some() {
            found.push(Deprecation { path: format!("spec.{field}"), instead });
        }
    }
    let rules = spec.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (place, rule) in rules.iter().enumerate() {
        for field in ["match", "exclude"] {
            let flat = ["resources", "subjects", "roles", "clusterRoles"]
                .into_iter()
                .find(|name| rule.get(field).is_some_and(|filter| filter.get(name).is_some()));
            if let Some(name) = flat {
                let path = format!("spec.rules[{place}].{field}.{name}");
                found.push(Deprecation { path, instead: FLAT });
            }
        }
        operators(rule, &format!("spec.rules[{place}]"), 0, &mut found);
    }
    found.truncate(MOST);
    found
}

/// Operators of conditions; a label selector's expression has `values` where a condition has `value`.
fn operators(value: &Value, path: &str, depth: usize, found: &mut Vec<Deprecation>) {
    if depth > DEPTH || found.len() > MOST {
        return;
    }
    match value {
        Value::Object(members) => {
            let word = members.get("operator").and_then(Value::as_str);
            let old = OPERATORS.into_iter().find(|(old, _)| Some(*old) == word);
            if let Some((_, instead)) = old.filter(|_| !members.contains_key("values")) {
                found.push(Deprecation { path: format!("{path}.operator"), instead });
            }
            for (key, member) in members {
                operators(member, &format!("{path}.{key}"), depth + 1, found);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                operators(item, &format!("{path}[{place}]"), depth + 1, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_old_spelling_is_named_with_its_place() {
        let found = deprecations(&json!({"spec": {"validationFailureAction": "Audit", "rules": [
            {"match": {"any": [{"resources": {"selector": {"matchExpressions": [
                {"key": "a", "operator": "In", "values": ["b"]}]}}}]},
             "exclude": {"resources": {"kinds": ["Pod"]}},
             "preconditions": {"all": [{"key": "a", "operator": "NotIn", "value": ["b"]}]}}]}}));
        let paths: Vec<_> = found.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "spec.validationFailureAction",
                "spec.rules[0].exclude.resources",
                "spec.rules[0].preconditions.all[0].operator"
            ]
        );
        assert_eq!(deprecations(&json!({"spec": {"rules": [{"match": {"any": []}}]}})), []);
    }
}
