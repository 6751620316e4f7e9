//! Whether an object is what a rule wants it to be, and what to send where it is not.

use serde_json::{Map, Value};

/// Fields of `metadata` that the API server, finalizers and owners keep, whatever a rule wants.
const KEPT: [&str; 9] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "finalizers",
    "ownerReferences",
];

/// Whether what is there is what is wanted: the same content, and the wanted metadata.
pub(super) fn is_same(wanted: &Value, found: &Value) -> bool {
    content(wanted) == content(found)
        && metadata(wanted).iter().all(|(key, value)| match value {
            // Others may have labels and annotations of their own on it.
            Value::Object(members) => members
                .iter()
                .all(|(name, value)| found.pointer(&pointer(key, name)) == Some(value)),
            value => found.get("metadata").and_then(|found| found.get(key)) == Some(value),
        })
}

/// The wanted object as a replacement of what is there.
pub(super) fn replacement(wanted: &Value, found: &Value) -> Value {
    let mut made = wanted.clone();
    let Some(members) = made.as_object_mut() else { return made };
    if let (None, Some(status)) = (members.get("status"), found.get("status")) {
        members.insert("status".to_owned(), status.clone());
    }
    let level = members.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(made) = level.as_object_mut() {
        for (key, value) in metadata(found) {
            let kept = KEPT.contains(&key.as_str());
            if let (false, Value::Object(others), Some(Value::Object(own))) =
                (kept, &value, made.get_mut(&key))
            {
                for (name, value) in others {
                    own.entry(name.clone()).or_insert_with(|| value.clone());
                }
            } else {
                made.entry(key).or_insert(value);
            }
        }
        made.remove("managedFields");
    }
    made
}

/// Whether a dry run says that nothing would change: the API server fills in what a rule leaves out
/// and writes some values its own way, so what is there may differ from what is wanted and be it.
pub(super) fn is_unchanged(found: &Value, would_be: &Value) -> bool {
    let stored = |object: &Value| {
        let mut metadata = metadata(object);
        for key in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(key);
        }
        (content(object), metadata)
    };
    stored(found) == stored(would_be)
}

/// Whether an object carries the labels of the rule and the trigger that made it: nothing else is
/// ever deleted.
pub(super) fn is_marked(found: &Value, rule: &str, trigger_uid: &str) -> bool {
    let label = |key: &str| {
        found.pointer("/metadata/labels")?.get(format!("generate.kyverno.io/{key}"))?.as_str()
    };
    label("rule-name").is_some_and(|name| !name.is_empty() && rule.starts_with(name))
        && label("trigger-uid") == Some(trigger_uid)
}

fn pointer(key: &str, name: &str) -> String {
    format!("/metadata/{key}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn metadata(object: &Value) -> Map<String, Value> {
    object.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// All but metadata and status; what says nothing does not count.
fn content(object: &Value) -> Map<String, Value> {
    let members = object.as_object().into_iter().flatten();
    members
        .filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status"))
        .filter(|(_, value)| !is_nothing(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn others_may_add_metadata_and_nobody_may_change_content() {
        let wanted = json!({"kind": "ConfigMap", "metadata": {"name": "m", "labels": {"a/b": "1"}},
            "data": {"x": "1"}});
        let mut found = json!({"kind": "ConfigMap", "data": {"x": "1"}, "metadata": {"name": "m",
            "uid": "u", "resourceVersion": "4", "labels": {"a/b": "1", "other": "2"},
            "annotations": {"note": "theirs"}, "finalizers": ["f"]}});
        assert!(is_same(&wanted, &found));
        found["data"]["y"] = json!("2");
        assert!(!is_same(&wanted, &found));
        let sent = replacement(&wanted, &found);
        assert_eq!(sent["data"], json!({"x": "1"}));
        assert_eq!(sent["metadata"]["labels"], json!({"a/b": "1", "other": "2"}));
        assert_eq!(sent["metadata"]["resourceVersion"], "4");
        assert_eq!(sent["metadata"]["finalizers"], json!(["f"]));
        found["data"] = json!({"x": "1"});
        found["metadata"]["labels"] = json!({"a/b": "2"});
        assert!(!is_same(&wanted, &found));
    }

    #[test]
    fn only_what_is_marked_is_ours() {
        let found = json!({"metadata": {"labels": {
            "generate.kyverno.io/rule-name": "r", "generate.kyverno.io/trigger-uid": "u"}}});
        assert!(is_marked(&found, "r", "u"));
        assert!(!is_marked(&found, "r", "v"));
        assert!(!is_marked(&json!({"metadata": {}}), "r", "u"));
    }
}
