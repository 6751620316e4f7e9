//! RFC 6902, strictly or with the field's leniencies: there indices count from the end where they are negative (`-1`
//! adds at the end), removing what is not there is fine, and adding makes what is missing on the way.

use serde_json::{Map, Value};

use super::{MAX_DEPTH, depth, weight};
use crate::error::ParseError;
use crate::fields::{Fields, wrong_type};
use crate::jmespath::{same, type_name};
use crate::spelling;

/// Most operations of one patch.
const MAX_OPERATIONS: usize = 1_000;
/// Longest patch as text, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Most steps of a path.
const MAX_STEPS: usize = 96;
/// Longest list that is made on the way to an index.
const MAX_PADDING: usize = 1_000;

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operation {
    kind: Kind,
    path: Pointer,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Add(Value),
    Remove,
    Replace(Value),
    Move(Pointer),
    Copy(Pointer),
    Test(Value),
}

/// How operations are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As written.
    Strict,
    /// Removing what is not there is fine, and adding makes what is missing on the way.
    Lenient,
}

/// A JSON pointer (RFC 6901), decoded.
#[derive(Debug, Clone, PartialEq)]
struct Pointer {
    text: String,
    steps: Vec<String>,
}

const WORDS: [&str; 6] = ["add", "remove", "replace", "move", "copy", "test"];

/// Reads a patch: a list of operations, as YAML or JSON text.
pub(crate) fn read(text: &str, path: &str) -> Result<Vec<Operation>, ParseError> {
    if text.len() > MAX_TEXT {
        return Err(ParseError::new(path, format!("longer than {MAX_TEXT} bytes")));
    }
    let json = text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok());
    let document: Value = match json.flatten() {
        Some(document) => document,
        None => serde_yaml_ng::from_str(text)
            .map_err(|cause| ParseError::new(path, format!("neither YAML nor JSON: {cause}")))?,
    };
    let Value::Array(items) = &document else {
        return Err(wrong_type(path, "a list of operations", &document));
    };
    read_list(items, path)
}

/// Reads operations that are JSON already.
pub(crate) fn read_list(items: &[Value], path: &str) -> Result<Vec<Operation>, ParseError> {
    if items.len() > MAX_OPERATIONS {
        return Err(ParseError::new(path, format!("more than {MAX_OPERATIONS} operations")));
    }
    let read = |(place, item)| Operation::read(item, &format!("{path}[{place}]"));
    items.iter().enumerate().map(read).collect()
}

impl Operation {
    fn read(item: &Value, path: &str) -> Result<Self, ParseError> {
        let fields = Fields::new(item, path, &["op", "path", "from", "value"])?;
        let word = fields.required_text("op")?;
        let from = || match fields.text("from")? {
            Some(text) => Pointer::read(text, &fields.path("from")),
            None => Err(fields.error("from", format!("`{word}` needs it"))),
        };
        // A value that is there and null is a value.
        let value = || {
            let value = item.get("value").cloned();
            value.ok_or_else(|| fields.error("value", format!("`{word}` needs it")))
        };
        let kind = match word {
            "add" => Kind::Add(value()?),
            "remove" => Kind::Remove,
            "replace" => Kind::Replace(value()?),
            "move" => Kind::Move(from()?),
            "copy" => Kind::Copy(from()?),
            "test" => Kind::Test(item.get("value").cloned().unwrap_or(Value::Null)),
            other => {
                let hint = spelling::hint(other, WORDS);
                return Err(fields.error("op", format!("unknown operation `{other}`{hint}")));
            }
        };
        let text = fields.text("path")?.ok_or_else(|| fields.error("path", "is required"))?;
        Ok(Self { kind, path: Pointer::read(text, &fields.path("path"))? })
    }

    /// Whether it changes nothing and only looks.
    pub(super) fn is_test(&self) -> bool {
        matches!(self.kind, Kind::Test(_))
    }

    /// What the operation adds to an object, in values.
    pub(super) fn weight(&self, object: &Value) -> usize {
        match &self.kind {
            Kind::Add(value) | Kind::Replace(value) | Kind::Test(value) => weight(value),
            Kind::Copy(from) => find(object, &from.steps).map_or(0, weight),
            Kind::Remove | Kind::Move(_) => 0,
        }
    }
}

impl Pointer {
    fn read(text: &str, path: &str) -> Result<Self, ParseError> {
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(rest) => {
                rest.split('/').map(|s| s.replace("~1", "/").replace("~0", "~")).collect()
            }
            None if text.is_empty() => Vec::new(),
            None => return Err(ParseError::new(path, format!("`{text}` does not begin with `/`"))),
        };
        if steps.len() > MAX_STEPS {
            return Err(ParseError::new(path, format!("more than {MAX_STEPS} steps")));
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

/// Applies one operation; an error says why it cannot be.
pub(super) fn apply(
    operation: &Operation,
    object: &mut Value,
    manner: Manner,
) -> Result<(), String> {
    let Operation { kind, path } = operation;
    match kind {
        Kind::Add(value) => {
            bounded(path, value)?;
            if let Some((_, above)) = path.steps.split_last()
                && manner == Manner::Lenient
            {
                make_way(object, above, &path.steps)?;
            }
            add(object, path, value.clone())
        }
        Kind::Remove => match (remove(object, path)?, manner) {
            (None, Manner::Strict) => Err(missing(path)),
            _ => Ok(()),
        },
        Kind::Replace(value) => {
            bounded(path, value)?;
            let place = find_mut(object, &path.steps).ok_or_else(|| missing(path))?;
            *place = value.clone();
            Ok(())
        }
        Kind::Move(from) => {
            let value = remove(object, from)?.ok_or_else(|| missing(from))?;
            bounded(path, &value)?;
            add(object, path, value)
        }
        Kind::Copy(from) => {
            let value = find(object, &from.steps).ok_or_else(|| missing(from))?.clone();
            bounded(path, &value)?;
            add(object, path, value)
        }
        Kind::Test(wanted) => {
            // What is missing is as good as null here.
            let found = find(object, &path.steps).unwrap_or(&Value::Null);
            if same(found, wanted) {
                return Ok(());
            }
            Err(format!("test failed: `{}` is {found}, not {wanted}", path.text))
        }
    }
}

fn missing(path: &Pointer) -> String {
    format!("`{}` is not in the object", path.text)
}

fn bounded(path: &Pointer, value: &Value) -> Result<(), String> {
    if path.steps.len() + depth(value) > MAX_DEPTH {
        return Err(format!("`{}` would be nested deeper than {MAX_DEPTH}", path.text));
    }
    Ok(())
}

/// An index that names an element of a list.
fn index(step: &str, length: usize) -> Option<usize> {
    let index: i64 = step.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { index + length } else { index };
    usize::try_from(index).ok().filter(|_| index < length)
}

fn find<'v>(object: &'v Value, steps: &[String]) -> Option<&'v Value> {
    steps.iter().try_fold(object, |value, step| match value {
        Value::Object(members) => members.get(step),
        Value::Array(items) => items.get(index(step, items.len())?),
        _ => None,
    })
}

fn find_mut<'v>(object: &'v mut Value, steps: &[String]) -> Option<&'v mut Value> {
    steps.iter().try_fold(object, |value, step| match value {
        Value::Object(members) => members.get_mut(step),
        Value::Array(items) => {
            let index = index(step, items.len())?;
            items.get_mut(index)
        }
        _ => None,
    })
}

/// Makes the containers on the way to the last step of `all`: lists where the next step is an index.
fn make_way(object: &mut Value, above: &[String], all: &[String]) -> Result<(), String> {
    let mut value = object;
    for (step, next) in above.iter().zip(all.iter().skip(1)) {
        let there = find(value, std::slice::from_ref(step)).is_some_and(|found| !found.is_null());
        if !there {
            let container = container_for(next)?;
            match value {
                Value::Object(members) => {
                    members.insert(step.clone(), container);
                }
                Value::Array(items) => make_element(items, step, container)?,
                other => return Err(format!("`{step}` cannot be in {}", type_name(other))),
            }
        }
        let found = find_mut(value, std::slice::from_ref(step));
        value = found.ok_or_else(|| format!("`{step}` is no place in the object"))?;
    }
    Ok(())
}

/// An empty container that the next step leads into, padded up to that step if it is an index.
fn container_for(next: &str) -> Result<Value, String> {
    match next.parse::<i64>() {
        Ok(-1) => Ok(Value::Array(Vec::new())),
        Ok(index) => padding(index, 0).map(|length| Value::Array(vec![Value::Null; length])),
        Err(_) if next == "-" => Ok(Value::Array(Vec::new())),
        Err(_) => Ok(Value::Object(Map::new())),
    }
}

fn padding(index: i64, length: usize) -> Result<usize, String> {
    let wanted = usize::try_from(index).map_err(|_| format!("index `{index}` is out of range"))?;
    let missing = wanted.saturating_sub(length);
    if missing > MAX_PADDING {
        return Err(format!("index `{index}` is more than {MAX_PADDING} beyond the list"));
    }
    Ok(missing)
}

fn make_element(items: &mut Vec<Value>, step: &str, container: Value) -> Result<(), String> {
    if let Some(index) = index(step, items.len()) {
        // Only null is made anew, where it stands.
        if let Some(item) = items.get_mut(index) {
            *item = container;
        }
        return Ok(());
    }
    let index: i64 = step.parse().map_err(|_| format!("`{step}` is no index of a list"))?;
    if index != -1 {
        let missing = padding(index, items.len())?;
        items.extend(std::iter::repeat_n(Value::Null, missing));
    }
    items.push(container);
    Ok(())
}

fn add(object: &mut Value, path: &Pointer, value: Value) -> Result<(), String> {
    let Some((last, above)) = path.steps.split_last() else {
        *object = value;
        return Ok(());
    };
    match find_mut(object, above).ok_or_else(|| missing(path))? {
        Value::Object(members) => {
            members.insert(last.clone(), value);
            Ok(())
        }
        Value::Array(items) if last == "-" => {
            items.push(value);
            Ok(())
        }
        Value::Array(items) => {
            let place = index(last, items.len() + 1)
                .ok_or_else(|| format!("`{}`: `{last}` is no index of the list", path.text))?;
            items.insert(place, value);
            Ok(())
        }
        other => {
            let found = type_name(other);
            Err(format!("`{}`: nothing can be added to {found}", path.text))
        }
    }
}

/// Removes what is at a path, if it is there.
fn remove(object: &mut Value, path: &Pointer) -> Result<Option<Value>, String> {
    let Some((last, above)) = path.steps.split_last() else {
        return Err("the whole object cannot be removed".to_owned());
    };
    match find_mut(object, above) {
        Some(Value::Object(members)) => Ok(members.remove(last)),
        Some(Value::Array(items)) => {
            last.parse::<i64>()
                .map_err(|_| format!("`{}`: `{last}` is no index of the list", path.text))?;
            Ok(index(last, items.len()).map(|place| items.remove(place)))
        }
        None | Some(_) => Ok(None),
    }
}
