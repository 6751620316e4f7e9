//! Patches of objects: strategic merge as kustomize does it, with the field's anchors
//! (<https://kubectl.docs.kubernetes.io/references/kustomize/patchesstrategicmerge/>), and RFC 6902
//! with the field's leniencies (<https://datatracker.ietf.org/doc/html/rfc6902>).

mod anchors;
mod json;
mod merge;
mod merge_keys;

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::error::ParseError;
use crate::jmespath::type_name;
pub(crate) use json::{
    Manner, Operation, read as read_operations, read_list as read_operation_list,
};

/// Deepest nesting that an object may get by a patch.
const MAX_DEPTH: usize = 192;

/// Why a patch cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{place}`: {message}")]
pub(crate) struct PatchError {
    place: String,
    message: String,
    failed_test: bool,
}

/// What became of a strategic merge patch.
pub(crate) enum Merged {
    /// It was laid over the object.
    Applied,
    /// Nothing of it was left to apply, or a condition does not hold: the object is as it was.
    Unmet(String),
}

/// Where in an object a patch is at work; printed for errors only.
#[derive(Clone, Copy)]
struct Place<'p> {
    above: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl PatchError {
    pub(crate) fn new(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { place: place.to_string(), message: message.into(), failed_test: false }
    }

    /// Whether an operation of the kind `test` found what it was not to find.
    pub(crate) fn is_failed_test(&self) -> bool {
        self.failed_test
    }
}

impl Place<'_> {
    const ROOT: Self = Self { above: None, step: Step::Root };

    fn key<'c>(&'c self, key: &'c str) -> Place<'c> {
        Place { above: Some(self), step: Step::Key(key) }
    }

    fn index(&self, index: usize) -> Place<'_> {
        Place { above: Some(self), step: Step::Index(index) }
    }

    fn error(&self, message: impl Into<String>) -> PatchError {
        PatchError::new(self, message)
    }

    /// An error about two values that cannot be merged.
    fn mismatch(&self, patch: &Value, found: &Value) -> PatchError {
        let (wanted, found) = (type_name(patch), type_name(found));
        self.error(format!("the patch has {wanted} where the object has {found}"))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let above = self.above.filter(|above| !matches!(above.step, Step::Root));
        if let Some(above) = above {
            above.fmt(f)?;
        }
        match self.step {
            Step::Root => f.write_str("."),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) if above.is_some() => write!(f, ".{key}"),
            Step::Key(key) => f.write_str(key),
        }
    }
}

/// Checks a strategic merge patch that has no variables, as far as no object is needed for it.
pub(crate) fn check_strategic(patch: &Value, path: &str) -> Result<(), ParseError> {
    if !patch.is_object() {
        return Err(crate::fields::wrong_type(path, "an object", patch));
    }
    anchors::check(patch, path)
}

/// Lays a strategic merge patch over an object. After an error the object is to be thrown away.
pub(crate) fn merge_strategic(
    patch: &Value,
    object: &mut Cow<'_, Value>,
) -> Result<Merged, PatchError> {
    if !patch.is_object() {
        return Err(Place::ROOT.error("a strategic merge patch must be an object"));
    }
    if depth(patch) > MAX_DEPTH {
        return Err(Place::ROOT.error(format!("the patch is nested deeper than {MAX_DEPTH}")));
    }
    let keys = merge_keys::of_object(object);
    let prepared = match anchors::prepare(patch, object, keys) {
        Ok(prepared) => prepared,
        Err(anchors::Unmet::Condition(reason) | anchors::Unmet::Global(reason)) => {
            return Ok(Merged::Unmet(reason));
        }
        Err(anchors::Unmet::Failure(error)) => return Err(error),
    };
    let Some(prepared) = prepared else {
        return Ok(Merged::Unmet("nothing of the patch is left to apply".to_owned()));
    };
    let base = std::mem::take(object.to_mut());
    let merged = merge::merge(Some(base), &prepared, keys, Place::ROOT)?;
    match merged {
        Some(made @ Value::Object(_)) => {
            *object = Cow::Owned(made);
            Ok(Merged::Applied)
        }
        _ => Err(Place::ROOT.error("the patch deletes the whole object")),
    }
}

/// Applies operations in order; `charge` takes what they make from a budget. After an error the
/// object is to be thrown away.
pub(crate) fn apply_operations<E: From<PatchError>>(
    operations: &[Operation],
    object: &mut Cow<'_, Value>,
    manner: Manner,
    charge: &dyn Fn(usize) -> Result<(), E>,
) -> Result<(), E> {
    for (number, operation) in operations.iter().enumerate() {
        charge(1 + operation.weight(object))?;
        json::apply(operation, object.to_mut(), manner).map_err(|message| PatchError {
            failed_test: operation.is_test(),
            ..PatchError::new(format_args!("[{number}]"), message)
        })?;
    }
    if !object.is_object() {
        return Err(PatchError::new(".", "the patch leaves no object").into());
    }
    Ok(())
}

/// How many values a value is made of.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(weight).sum::<usize>(),
        Value::String(text) => 1 + text.len() / 64,
        _ => 1,
    }
}

/// How deep a value is nested.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
