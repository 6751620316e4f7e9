//! Anchors of strategic merge patches, worked out against the object before the merge:
//! `(key)` a condition (in an element of a list: for that element; elsewhere: for the patch),
//! `<(key)` a condition for the whole patch, `+(key)` a member to add where it is absent.
//!
//! An element with anchors stands for every element of the object's list that meets its conditions,
//! and is merged with each by `name`. What was only a condition is not part of what is merged.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::merge_keys::{Keys, List};
use super::{PatchError, Place};
use crate::error::ParseError;
use crate::pattern::{Anchor, Pattern, Verdict, split_anchor};

/// Why a patch, or an element of it, does not apply.
pub(super) enum Unmet {
    /// A condition does not hold: the element is passed over; outside of lists the whole patch.
    Condition(String),
    /// A global condition does not hold: the whole patch is passed over.
    Global(String),
    /// The patch is broken.
    Failure(PatchError),
}

/// Refuses the anchors that mean nothing in a patch.
pub(super) fn check(patch: &Value, path: &str) -> Result<(), ParseError> {
    match patch {
        Value::Object(members) => {
            for (key, member) in members {
                let path = format!("{path}.{key}");
                if !is_known(split_anchor(key).0) {
                    let message = format!("anchor `{key}` means nothing in a patch{KNOWN}");
                    return Err(ParseError::new(path, message));
                }
                check(member, &path)?;
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(place, item)| check(item, &format!("{path}[{place}]"))),
        _ => Ok(()),
    }
}

const KNOWN: &str = "; `(key)`, `<(key)` and `+(key)` do";

fn is_known(anchor: Anchor) -> bool {
    matches!(anchor, Anchor::None | Anchor::Condition | Anchor::Global | Anchor::Add)
}

/// The patch without its anchors, as it is to be merged with an object; `None` where nothing is left.
pub(super) fn prepare(patch: &Value, object: &Value, keys: Keys) -> Result<Option<Value>, Unmet> {
    work_out(patch, Some(object), keys, Place::ROOT)
}

fn work_out(
    patch: &Value,
    found: Option<&Value>,
    keys: Keys,
    place: Place<'_>,
) -> Result<Option<Value>, Unmet> {
    match patch {
        Value::Object(members) => work_out_members(members, found, keys, place),
        Value::Array(items) => work_out_list(items, found, keys, place),
        scalar => Ok(Some(scalar.clone())),
    }
}

fn work_out_members(
    members: &Map<String, Value>,
    found: Option<&Value>,
    keys: Keys,
    place: Place<'_>,
) -> Result<Option<Value>, Unmet> {
    let there = |key: &str| found.and_then(|found| found.get(key));
    // Whether a member holds others that are to be added makes it more than a condition.
    let adds = |member: &Value| {
        member
            .as_object()
            .is_some_and(|inner| inner.keys().any(|key| split_anchor(key).0 == Anchor::Add))
    };
    for (wanted, unmet) in [
        (Anchor::Global, Unmet::Global as fn(String) -> Unmet),
        (Anchor::Condition, Unmet::Condition),
    ] {
        for (written, member) in members {
            let (anchor, key) = split_anchor(written);
            if anchor != wanted {
                continue;
            }
            let place = place.key(key);
            let Some(value) = there(key) else {
                return Err(unmet(format!("condition `{place}` is not in the resource")));
            };
            if !adds(member) && !holds(member, value) {
                return Err(unmet(format!("condition `{place}` does not hold")));
            }
        }
    }
    let mut made = Map::new();
    for (written, member) in members {
        let (anchor, key) = split_anchor(written);
        let (below, place) = (keys.member(key), place.key(key));
        let worked_out = match anchor {
            Anchor::None => work_out(member, there(key), below, place)?,
            Anchor::Add if there(key).is_some() => None,
            Anchor::Add => work_out(member, None, below, place)?,
            Anchor::Condition | Anchor::Global if adds(member) => {
                work_out(member, there(key), below, place)?
            }
            Anchor::Condition | Anchor::Global => None,
            _ => {
                let message = format!("anchor `{written}` means nothing in a patch{KNOWN}");
                return Err(Unmet::Failure(place.error(message)));
            }
        };
        if let Some(worked_out) = worked_out {
            made.insert(key.to_owned(), worked_out);
        }
    }
    let nothing_left = made.is_empty() && !members.is_empty();
    Ok((!nothing_left).then_some(Value::Object(made)))
}

/// Whether a value meets a condition; single values are compared as texts, as the field does.
fn holds(condition: &Value, value: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::Object(_) | Value::Array(_) | Value::String(_) => None,
        scalar => Some(Value::String(scalar.to_string())),
    };
    let as_text = |value| text(value).map_or(Cow::Borrowed(value), Cow::Owned);
    // A condition that is no pattern (an empty list) holds for nothing.
    Pattern::compile(&as_text(condition), "condition")
        .is_ok_and(|pattern| matches!(pattern.judge(&as_text(value)), Verdict::Pass))
}

fn work_out_list(
    items: &[Value],
    found: Option<&Value>,
    keys: Keys,
    place: Place<'_>,
) -> Result<Option<Value>, Unmet> {
    if !items.first().is_some_and(Value::is_object) || !items.iter().any(|item| has(item, &ANY)) {
        return Ok(Some(Value::Array(items.to_vec())));
    }
    let elements = match found {
        None | Some(Value::Null) => None,
        Some(Value::Array(elements)) => Some(elements.as_slice()),
        Some(other) => {
            let error = place.mismatch(&Value::Array(Vec::new()), other);
            return Err(Unmet::Failure(error));
        }
    };
    let mut plain = Vec::new();
    let mut met = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if has(item, &ANY) {
            work_out_element(item, elements, keys, place.index(index), &mut met)?;
        } else {
            plain.push(item.clone());
        }
    }
    plain.append(&mut met);
    Ok((!plain.is_empty()).then_some(Value::Array(plain)))
}

/// Works an element out against each element of the object's list; those that meet its conditions
/// are added to `met`.
fn work_out_element(
    item: &Value,
    elements: Option<&[Value]>,
    keys: Keys,
    place: Place<'_>,
    met: &mut Vec<Value>,
) -> Result<(), Unmet> {
    // A global condition in a list asks whether some element meets it, and changes none.
    let asks = has(item, &[Anchor::Global]);
    let Some(elements) = elements else {
        return match work_out(item, None, keys.element(), place) {
            Ok(_) | Err(Unmet::Condition(_)) => Ok(()),
            Err(unmet) => Err(unmet),
        };
    };
    let (mut answered, mut refused) = (false, None);
    for element in elements {
        match work_out(item, Some(element), keys.element(), place) {
            Err(Unmet::Condition(_)) => {}
            Err(Unmet::Global(reason)) => refused = Some(reason),
            Err(failure) => return Err(failure),
            Ok(_) if asks => answered = true,
            Ok(Some(Value::Object(mut made))) => {
                let name = element.get("name").and_then(Value::as_str).unwrap_or_default();
                // Without a name there is nothing to merge it by.
                if !name.is_empty() {
                    made.insert("name".to_owned(), Value::from(name));
                    complete(&mut made, element, keys);
                    met.push(Value::Object(made));
                }
            }
            Ok(_) => {}
        }
    }
    match refused {
        Some(reason) if !answered => Err(Unmet::Global(reason)),
        _ => Ok(()),
    }
}

/// Copies the keys that a list is merged by from the element that was meant.
fn complete(made: &mut Map<String, Value>, element: &Value, keys: Keys) {
    let Some(List::By(names)) = keys.list() else { return };
    for name in names {
        if let (false, Some(value)) = (made.contains_key(*name), element.get(*name)) {
            made.insert((*name).to_owned(), value.clone());
        }
    }
}

const ANY: [Anchor; 3] = [Anchor::Condition, Anchor::Global, Anchor::Add];

/// Whether a key of a value has one of some anchors, at any depth.
fn has(value: &Value, anchors: &[Anchor]) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(key, member)| anchors.contains(&split_anchor(key).0) || has(member, anchors)),
        Value::Array(items) => items.iter().any(|item| has(item, anchors)),
        _ => false,
    }
}
