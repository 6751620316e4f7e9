//! The merge itself, once the anchors are out of the patch. Members of objects are merged, null
//! deletes; elements of a keyed list are merged with their like. In a keyed list the elements of the
//! patch come first, in the patch's order, then what the object has beside them: kustomize puts them
//! there, and the tests of the field's policies expect them there.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::merge_keys::{Keys, List};
use super::{PatchError, Place};
use crate::jmespath::type_name;

/// The member that says how an object, or a list in one of its elements, is to be patched.
const DIRECTIVE: &str = "$patch";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Merges a patch into what an object has at a place; `None` where nothing is to be there.
pub(super) fn merge(
    base: Option<Value>,
    patch: &Value,
    keys: Keys,
    place: Place<'_>,
) -> Result<Option<Value>, PatchError> {
    match patch {
        Value::Null => Ok(None),
        Value::Object(members) => {
            let directive = directive(members, place)?;
            let base = match (directive, base) {
                (Directive::Delete, _) => return Ok(None),
                (Directive::Replace, _) | (Directive::Merge, None | Some(Value::Null)) => {
                    Map::new()
                }
                (Directive::Merge, Some(Value::Object(members))) => members,
                (Directive::Merge, Some(other)) => return Err(place.mismatch(patch, &other)),
            };
            merge_members(base, members, keys, place).map(|made| Some(Value::Object(made)))
        }
        Value::Array(items) => {
            let base = match base {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(items)) => items,
                Some(other) => return Err(place.mismatch(patch, &other)),
            };
            merge_list(base, items, keys, place).map(|made| made.map(Value::Array))
        }
        scalar => match base {
            Some(other @ (Value::Object(_) | Value::Array(_))) => {
                Err(place.mismatch(patch, &other))
            }
            _ => Ok(Some(scalar.clone())),
        },
    }
}

fn merge_members(
    mut base: Map<String, Value>,
    patch: &Map<String, Value>,
    keys: Keys,
    place: Place<'_>,
) -> Result<Map<String, Value>, PatchError> {
    for (key, member) in patch.iter().filter(|(key, _)| *key != DIRECTIVE) {
        let (below, place) = (keys.member(key), place.key(key));
        match base.get_mut(key) {
            Some(slot) => match merge(Some(slot.take()), member, below, place)? {
                Some(made) => *slot = made,
                None => {
                    base.remove(key);
                }
            },
            None => {
                if let Some(made) = merge(None, member, below, place)? {
                    base.insert(key.clone(), made);
                }
            }
        }
    }
    Ok(base)
}

/// What `$patch` says. Other directives would end up in the object as members: they are refused.
fn directive(members: &Map<String, Value>, place: Place<'_>) -> Result<Directive, PatchError> {
    let foreign = members.keys().find(|key| key.starts_with('$') && *key != DIRECTIVE);
    if let Some(foreign) = foreign {
        return Err(place.error(format!("`{foreign}` is no directive; only `{DIRECTIVE}` is")));
    }
    match members.get(DIRECTIVE) {
        None => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "merge" => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "replace" => Ok(Directive::Replace),
        Some(Value::String(word)) if word == "delete" => Ok(Directive::Delete),
        Some(other) => {
            let message = format!("`{DIRECTIVE}` is {other}, not merge, replace or delete");
            Err(place.error(message))
        }
    }
}

/// Whether an element holds nothing but a directive, which then is the list's.
fn speaks_for_the_list(item: &Value) -> bool {
    item.as_object().is_some_and(|members| members.len() == 1 && members.contains_key(DIRECTIVE))
}

fn merge_list(
    base: Vec<Value>,
    patch: &[Value],
    keys: Keys,
    place: Place<'_>,
) -> Result<Option<Vec<Value>>, PatchError> {
    let mut said = Directive::Merge;
    for item in patch.iter().filter(|item| speaks_for_the_list(item)) {
        if let Some(members) = item.as_object() {
            said = directive(members, place)?;
        }
    }
    let items = patch.iter().filter(|item| !speaks_for_the_list(item));
    let base = match said {
        Directive::Delete => return Ok(None),
        Directive::Replace => Vec::new(),
        Directive::Merge => base,
    };
    Ok(Some(match keys.list() {
        None => items.cloned().collect(),
        Some(List::Texts) => {
            let mut made: Vec<Value> = Vec::new();
            for item in items {
                if !made.contains(item) {
                    made.push(item.clone());
                }
            }
            let rest = base.into_iter().filter(|item| !made.contains(item));
            let rest: Vec<Value> = rest.collect();
            made.extend(rest);
            made
        }
        Some(List::By(names)) => merge_keyed(base, items, names, keys.element(), place)?,
    }))
}

fn merge_keyed<'v>(
    base: Vec<Value>,
    patch: impl Iterator<Item = &'v Value>,
    names: &[&str],
    keys: Keys,
    place: Place<'_>,
) -> Result<Vec<Value>, PatchError> {
    let mut rest = Elements::new(names);
    for item in base {
        rest.push(item);
    }
    let mut made = Elements::new(names);
    for (index, item) in patch.enumerate() {
        let place = place.index(index);
        let first = names.first().copied().unwrap_or_default();
        if !item.is_object() {
            let found = type_name(item);
            return Err(place.error(format!("the elements of this list are objects, not {found}")));
        }
        if key_text(item, first).is_none() {
            let message = format!("has no `{first}`, by which the elements of this list are told");
            return Err(place.error(message));
        }
        // Of two elements of a patch for one element of the object, the later is laid over the first.
        let (slot, old) = match made.take(item) {
            Some((slot, old)) => (Some(slot), Some(old)),
            None => (None, rest.take(item).map(|(_, old)| old)),
        };
        let merged = merge(old, item, keys, place)?;
        let merged = merged.filter(|made| made.as_object().is_none_or(|made| !made.is_empty()));
        match (slot, merged) {
            (Some(slot), Some(merged)) => made.put(slot, merged),
            (None, Some(merged)) => made.push(merged),
            (_, None) => {}
        }
    }
    let mut all: Vec<Value> = made.items.into_iter().flatten().collect();
    all.extend(rest.items.into_iter().flatten());
    Ok(all)
}

/// Elements of a keyed list, found by the text of their first key.
struct Elements<'n> {
    names: &'n [&'n str],
    items: Vec<Option<Value>>,
    places: HashMap<String, Vec<usize>>,
}

impl<'n> Elements<'n> {
    fn new(names: &'n [&'n str]) -> Self {
        Self { names, items: Vec::new(), places: HashMap::new() }
    }

    fn push(&mut self, item: Value) {
        let first = self.names.first().and_then(|name| key_text(&item, name));
        if let Some(first) = first {
            self.places.entry(first.into_owned()).or_default().push(self.items.len());
        }
        self.items.push(Some(item));
    }

    fn put(&mut self, slot: usize, item: Value) {
        if let Some(place) = self.items.get_mut(slot) {
            *place = Some(item);
        }
    }

    /// Takes the element that is the same as another: by all keys, or where there is none by those
    /// that both have (a port without a protocol is the port).
    fn take(&mut self, like: &Value) -> Option<(usize, Value)> {
        let first = self.names.first().and_then(|name| key_text(like, name))?;
        let places = self.places.get(first.as_ref())?;
        let found = [false, true].into_iter().find_map(|loosely| {
            places.iter().copied().find(|place| {
                let item = self.items.get(*place).and_then(Option::as_ref);
                item.is_some_and(|item| self.are_same(item, like, loosely))
            })
        })?;
        let item = self.items.get_mut(found)?.take()?;
        Some((found, item))
    }

    fn are_same(&self, left: &Value, right: &Value, loosely: bool) -> bool {
        self.names.iter().all(|name| match (key_text(left, name), key_text(right, name)) {
            (Some(left), Some(right)) => left == right,
            (None, None) => true,
            _ => loosely,
        })
    }
}

/// The text of a key; `80` and `"80"` are the same key.
fn key_text<'v>(item: &'v Value, name: &str) -> Option<Cow<'v, str>> {
    match item.get(name)? {
        Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        _ => None,
    }
}
