//! References within a pattern: `$(./../limits/memory)`, `$(<=./../../max)`, resolved when it is read.

use serde_json::Value;

use crate::error::ParseError;

const OPERATORS: [&str; 5] = [">=", "<=", ">", "<", "!"];

/// A copy of the document with its references replaced by what they point to.
pub(crate) fn resolve(document: &Value, path: &str) -> Result<Value, ParseError> {
    let mut made = document.clone();
    if contains_reference(document) {
        walk(&mut made, document, &mut Vec::new(), path)?;
    }
    Ok(made)
}

fn contains_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("$("),
        Value::Array(items) => items.iter().any(contains_reference),
        Value::Object(members) => members.values().any(contains_reference),
        _ => false,
    }
}

fn walk(
    value: &mut Value,
    document: &Value,
    place: &mut Vec<String>,
    path: &str,
) -> Result<(), ParseError> {
    match value {
        Value::String(text) => {
            if let Some(made) = fill(text, document, place, path)? {
                *text = made;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                place.push(index.to_string());
                walk(item, document, place, path)?;
                place.pop();
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                place.push(bare(key).to_owned());
                walk(member, document, place, path)?;
                place.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// A key without its anchor.
fn bare(key: &str) -> &str {
    let inner = key.strip_suffix(')').and_then(|key| key.split_once('('));
    match inner {
        Some(("" | "<" | "=" | "^" | "X" | "+", key)) => key,
        _ => key,
    }
}

fn fill(
    text: &str,
    document: &Value,
    place: &[String],
    path: &str,
) -> Result<Option<String>, ParseError> {
    if !text.contains("$(") {
        return Ok(None);
    }
    let mut made = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let (head, tail) = rest.split_at(start);
        made.push_str(head);
        let body = tail.get(2..).unwrap_or_default();
        // A reference reaches to the last bracket before a space.
        let run = body.split(' ').next().unwrap_or_default();
        let end = run.rfind(')').filter(|end| *end > 0 && !head.ends_with('\\'));
        let Some(end) = end else {
            made.push_str("$(");
            rest = body;
            continue;
        };
        let reference = body.get(..end).unwrap_or_default();
        made.push_str(&target(reference, document, place).ok_or_else(|| {
            ParseError::new(path, format!("reference `$({reference})` leads to no value"))
        })?);
        rest = body.get(end + 1..).unwrap_or_default();
    }
    made.push_str(rest);
    Ok(Some(made.replace("\\$(", "$(")))
}

fn target(reference: &str, document: &Value, place: &[String]) -> Option<String> {
    let operator = OPERATORS.into_iter().find(|sign| reference.starts_with(sign)).unwrap_or("");
    let reference = reference.strip_prefix(operator)?;
    let mut at: Vec<&str> = if reference.starts_with('/') {
        Vec::new()
    } else {
        place.iter().map(String::as_str).collect()
    };
    for part in reference.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                at.pop();
            }
            part => at.push(part),
        }
    }
    let mut value = document;
    for part in at {
        value = match value {
            Value::Object(members) => {
                members.iter().find(|(key, _)| bare(key) == part).map(|(_, member)| member)?
            }
            Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match value {
        Value::String(text) => Some(format!("{operator}{text}")),
        Value::Number(number) if !operator.is_empty() => Some(format!("{operator}{number}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_followed() {
        let pattern = json!({"spec": {"=(limits)": {"memory": "1Gi"}, "requests": {
            "memory": "$(<=./../../limits/memory)",
            "absolute": "$(/spec/limits/memory)",
            "escaped": "\\$(HOME)",
        }}});
        let made = resolve(&pattern, "pattern").unwrap();
        assert_eq!(
            made["spec"]["requests"],
            json!({"memory": "<=1Gi", "absolute": "1Gi", "escaped": "$(HOME)"})
        );
        let broken = resolve(&json!({"a": "$(./../b)"}), "pattern").unwrap_err();
        assert_eq!(broken.to_string(), "`pattern`: reference `$(./../b)` leads to no value");
    }
}
