//! What counts as the data of a Secret or a token, and where it hides.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::audit::event::ObjectRef;

/// Bodies nested deeper than this lose what lies below.
const DEPTH: usize = 64;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What a body is known to be from the request's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Secret,
    Token,
    Any,
}

/// Removes secret data from `requestObject` and `responseObject`; says what was removed.
pub(super) fn remove(
    object: Option<&ObjectRef<'_>>,
    event: &mut Map<String, Value>,
) -> Vec<String> {
    let expected = object.map_or(Expected::Any, expected);
    let mut removed = BTreeSet::new();
    for name in super::BODIES {
        let Some(body) = event.get_mut(name) else { continue };
        match (expected, &mut *body) {
            // Neither an object nor a patch: nothing tells where the data is.
            (Expected::Secret | Expected::Token, Value::String(_)) => {
                removed.insert(name.to_owned());
                *body = Value::Null;
            }
            (Expected::Secret | Expected::Token, Value::Array(patch)) => {
                redact_json_patch(patch, name, &mut removed);
            }
            // Whatever kind the client wrote into the body: other kinds lose nothing by this.
            (Expected::Secret, Value::Object(fields)) => {
                secret(fields, name, &mut removed);
                items(fields, name, &mut removed);
            }
            (Expected::Token, Value::Object(fields)) => token(fields, name, &mut removed),
            _ => {}
        }
        walk(body, name, DEPTH, &mut removed);
    }
    removed.into_iter().collect()
}

fn expected(object: &ObjectRef<'_>) -> Expected {
    match (&*object.api_group, &*object.resource, &*object.subresource) {
        ("", "secrets", _) => Expected::Secret,
        ("", "serviceaccounts", "token") | ("authentication.k8s.io", "tokenreviews", _) => {
            Expected::Token
        }
        _ => Expected::Any,
    }
}

/// Removes what any object within `value` says of itself that it is a secret.
fn walk(value: &mut Value, path: &str, depth: usize, removed: &mut BTreeSet<String>) {
    if depth == 0 {
        if value.is_array() || value.is_object() {
            removed.insert(path.to_owned());
            *value = Value::Null;
        }
        return;
    }
    match value {
        Value::Array(items) => {
            let path = format!("{path}[*]");
            for item in items {
                walk(item, &path, depth - 1, removed);
            }
        }
        Value::Object(fields) => {
            match fields.get("kind").and_then(Value::as_str).unwrap_or_default() {
                "Secret" => secret(fields, path, removed),
                "SecretList" => items(fields, path, removed),
                "TokenRequest" | "TokenReview" => token(fields, path, removed),
                _ => {}
            }
            applied(fields, path, removed);
            for (name, child) in fields.iter_mut() {
                if child.is_array() || child.is_object() {
                    walk(child, &format!("{path}.{name}"), depth - 1, removed);
                }
            }
        }
        _ => {}
    }
}

/// The items of a `SecretList` do not name their kind.
fn items(fields: &mut Map<String, Value>, path: &str, removed: &mut BTreeSet<String>) {
    let Some(Value::Array(items)) = fields.get_mut("items") else { return };
    let path = format!("{path}.items[*]");
    for item in items {
        if let Value::Object(fields) = item {
            secret(fields, &path, removed);
        }
    }
}

fn secret(fields: &mut Map<String, Value>, path: &str, removed: &mut BTreeSet<String>) {
    for name in ["data", "stringData"] {
        if fields.remove(name).is_some() {
            removed.insert(format!("{path}.{name}"));
        }
    }
    let Some(Value::Object(metadata)) = fields.get_mut("metadata") else { return };
    if metadata.remove("managedFields").is_some() {
        removed.insert(format!("{path}.metadata.managedFields"));
    }
    let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else { return };
    // Whatever tool applied it, a copy of the manifest carries the data.
    annotations.retain(|name, value| {
        let copy = name == LAST_APPLIED
            || value.as_str().is_some_and(|text| {
                text.contains("data\"") || text.contains("stringData") || text.contains("data:")
            });
        if copy {
            removed.insert(format!("{path}.metadata.annotations[{name}]"));
        }
        !copy
    });
}

fn token(fields: &mut Map<String, Value>, path: &str, removed: &mut BTreeSet<String>) {
    for part in ["spec", "status"] {
        if let Some(Value::Object(inner)) = fields.get_mut(part)
            && inner.remove("token").is_some()
        {
            removed.insert(format!("{path}.{part}.token"));
        }
    }
}

/// Removes a last-applied copy of a manifest that has a secret in it.
fn applied(fields: &mut Map<String, Value>, path: &str, removed: &mut BTreeSet<String>) {
    let Some(Value::Object(metadata)) = fields.get_mut("metadata") else { return };
    let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else { return };
    let copy = annotations.get(LAST_APPLIED).and_then(Value::as_str);
    if copy.is_some_and(|text| text.contains("Secret") && text.contains("ata\"")) {
        annotations.remove(LAST_APPLIED);
        removed.insert(format!("{path}.metadata.annotations[{LAST_APPLIED}]"));
    }
}

/// The values of a JSON patch of a secret; its operations and paths stay.
fn redact_json_patch(operations: &mut [Value], path: &str, removed: &mut BTreeSet<String>) {
    for operation in operations {
        match operation {
            Value::Object(fields) => {
                if fields.remove("value").is_some() {
                    removed.insert(format!("{path}[*].value"));
                }
            }
            other => {
                removed.insert(format!("{path}[*]"));
                *other = Value::Null;
            }
        }
    }
}
