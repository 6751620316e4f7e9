//! One object of a manifest, and lists taken apart into the objects they hold.

use std::sync::Arc;

use serde_json::Value;

/// One object, with where it stood.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The object.
    pub value: Value,
    /// The file as the caller named it; `-` for standard input.
    pub file: Arc<str>,
    /// Position among the objects of the input, from 0; items of a list count one by one.
    pub index: usize,
    /// The line of the file on which the object begins, from 1.
    pub line: u64,
    /// For an item of a list: its position in `items`.
    pub item: Option<usize>,
}

/// A parsed document before lists are taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) value: Value,
    /// Line within the document's text on which the value begins, from 1.
    pub(crate) line: usize,
    /// The lines of the elements of a top-level `items`; empty where unknown.
    pub(crate) item_lines: Vec<usize>,
}

/// An object with its line within the document's text, and its position in the list it came from.
pub(crate) type Placed = (Value, usize, Option<usize>);

/// Takes a list (`v1 List`, `PodList`, …) apart; anything else stays as it is. Items without a kind
/// of their own, as in the typed lists that the API server answers, take it from the list.
pub(crate) fn flatten(mut parsed: Parsed) -> Vec<Placed> {
    let Some((api_version, kind)) = list_type(&parsed.value) else {
        return vec![(parsed.value, parsed.line, None)];
    };
    let Some(Value::Array(items)) = parsed.value.get_mut("items").map(Value::take) else {
        return vec![(parsed.value, parsed.line, None)];
    };
    let mut placed = Vec::with_capacity(items.len());
    for (position, mut item) in items.into_iter().enumerate() {
        if item.is_null() {
            continue;
        }
        if let Some(object) = item.as_object_mut()
            && !kind.is_empty()
            && !object.contains_key("kind")
        {
            object.insert("kind".to_owned(), Value::from(kind.as_str()));
            object.entry("apiVersion").or_insert_with(|| Value::from(api_version.as_str()));
        }
        let line = parsed.item_lines.get(position).copied().unwrap_or(parsed.line);
        placed.push((item, line, Some(position)));
    }
    placed
}

/// The API version of a list and the kind of its items (empty for the untyped `List`).
fn list_type(value: &Value) -> Option<(String, String)> {
    let kind = value.get("kind")?.as_str()?.strip_suffix("List")?;
    value.get("items")?.as_array()?;
    let api_version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    Some((api_version.to_owned(), kind.to_owned()))
}
