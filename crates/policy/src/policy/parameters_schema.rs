//! Parameters of constraints against the schema of their template: types, required members, enumerations.

use serde_json::Value;

use crate::error::ParseError;
use crate::jmespath::type_name;

/// Deepest nesting that is looked at.
const MAX_DEPTH: usize = 32;

/// Checks a value against a schema of OpenAPI's; what the schema does not speak of is allowed.
pub(super) fn check(schema: &Value, value: &Value, path: &str) -> Result<(), ParseError> {
    checked(schema, value, path, 0)
}

fn checked(schema: &Value, value: &Value, path: &str, depth: usize) -> Result<(), ParseError> {
    let wrong = |message: String| Err(ParseError::new(path, message));
    if depth > MAX_DEPTH || (value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)))
    {
        return Ok(());
    }
    let either = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    let fits = match schema.get("type").and_then(Value::as_str) {
        _ if either => value.is_i64() || value.is_string(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !fits {
        let wanted = schema.get("type").and_then(Value::as_str).unwrap_or("int or string");
        return wrong(format!("must be of type {wanted}, found {}", type_name(value)));
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        return wrong(format!("{value} is none of {}", allowed.join(", ")));
    }
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if value.as_object().is_some_and(|members| !members.contains_key(name)) {
            return wrong(format!("`{name}` is required"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let own = schema.pointer("/properties").and_then(|all| all.get(name));
        if let Some(schema) = own.or(schema.get("additionalProperties")) {
            checked(schema, member, &format!("{path}.{name}"), depth + 1)?;
        }
    }
    if let Some(schema) = schema.get("items") {
        for (place, item) in value.as_array().into_iter().flatten().enumerate() {
            checked(schema, item, &format!("{path}[{place}]"), depth + 1)?;
        }
    }
    Ok(())
}
