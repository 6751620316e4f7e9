//! Objects, and parts of JSON.

use super::Builtin;
use crate::value::Value;

pub(super) const ALL: &[Builtin] = &[
    Builtin::quick("object.get", 3, get),
    Builtin::linear("object.keys", 1, |one| {
        Some(Value::set(one.first()?.members()?.iter().map(|(key, _)| key.clone())))
    }),
    Builtin::linear("object.remove", 2, |pair| chosen(pair, |is_named| !is_named)),
    Builtin::linear("object.filter", 2, |pair| chosen(pair, |is_named| is_named)),
    Builtin::linear("object.union", 2, |pair| {
        let [left @ Value::Object(_), right @ Value::Object(_)] = pair else { return None };
        Some(merged(left, right))
    }),
    Builtin::linear("object.union_n", 1, |one| {
        let [Value::Array(items)] = one else { return None };
        let start = Value::object([]);
        Some(items.iter().fold(start, |made, next| merged(&made, next)))
    }),
    Builtin::linear("object.subset", 2, |pair| {
        let [of, part] = pair else { return None };
        Some(Value::Bool(contains(of, part)))
    }),
    Builtin::linear("json.filter", 2, |pair| {
        let [of, paths] = pair else { return None };
        Some(filtered(of, &paths_of(paths)?))
    }),
    Builtin::linear("json.remove", 2, |pair| {
        let [of, paths] = pair else { return None };
        Some(removed(of, &paths_of(paths)?))
    }),
];

/// What stands under a key, or at a path of keys; a default otherwise.
fn get(three: &[Value]) -> Option<Value> {
    let [of, key, default] = three else { return None };
    of.members()?;
    let found = match key {
        Value::Array(path) => path.iter().try_fold(of, |at, key| at.get(key)),
        key => of.get(key),
    };
    Some(found.unwrap_or(default).clone())
}

fn chosen(pair: &[Value], keep: fn(bool) -> bool) -> Option<Value> {
    let [of, keys] = pair else { return None };
    let named = |key: &Value| match keys {
        Value::Object(_) | Value::Set(_) => keys.get(key).is_some(),
        Value::Array(items) => items.contains(key),
        _ => false,
    };
    let members = of.members()?.iter().filter(|(key, _)| keep(named(key)));
    Some(Value::Object(members.cloned().collect()))
}

/// Both, where objects meet their members, otherwise the right one.
fn merged(left: &Value, right: &Value) -> Value {
    let (Value::Object(own), Value::Object(others)) = (left, right) else { return right.clone() };
    let both = others.iter().map(|(key, value)| {
        let value = left.get(key).map_or_else(|| value.clone(), |own| merged(own, value));
        (key.clone(), value)
    });
    Value::object(own.iter().cloned().chain(both))
}

fn contains(of: &Value, part: &Value) -> bool {
    match (of, part) {
        (Value::Object(_), Value::Object(members)) => members.iter().all(|(key, value)| {
            of.get(key).is_some_and(|own| own == value || contains(own, value))
        }),
        (Value::Set(_), Value::Set(items)) => items.iter().all(|item| of.get(item).is_some()),
        (Value::Array(items), Value::Set(parts)) => parts.iter().all(|part| items.contains(part)),
        (Value::Array(items), Value::Array(parts)) => {
            parts.is_empty() || items.windows(parts.len()).any(|window| window == &**parts)
        }
        _ => of == part,
    }
}

/// Paths are texts with slashes, or arrays of keys.
fn paths_of(paths: &Value) -> Option<Vec<Vec<Value>>> {
    paths.items()?.iter().map(path_of).collect()
}

fn path_of(path: &Value) -> Option<Vec<Value>> {
    match path {
        Value::Array(keys) => Some(keys.to_vec()),
        Value::String(text) => {
            let parts = text.trim_start_matches('/').split('/');
            Some(
                parts
                    .map(|part| Value::text(&part.replace("~1", "/").replace("~0", "~")))
                    .collect(),
            )
        }
        _ => None,
    }
}

/// Whether a part of a path names this key or position.
fn names(part: &Value, key: &Value) -> bool {
    part == key
        || part
            .as_text()
            .is_some_and(|text| key.as_integer().is_some_and(|n| text == n.to_string()))
}

/// The paths below a key, and whether one of them ends there.
fn below(paths: &[Vec<Value>], key: &Value) -> (Vec<Vec<Value>>, bool) {
    let own = paths.iter().filter_map(|path| path.split_first());
    let rests: Vec<&[Value]> =
        own.filter(|(first, _)| names(first, key)).map(|(_, rest)| rest).collect();
    let ends = rests.iter().any(|rest| rest.is_empty());
    (rests.into_iter().map(<[Value]>::to_vec).collect(), ends)
}

fn filtered(of: &Value, paths: &[Vec<Value>]) -> Value {
    let keep = |key: &Value, value: &Value| {
        let (below, ends) = below(paths, key);
        match (ends, below.is_empty()) {
            (true, _) => Some(value.clone()),
            (false, true) => None,
            (false, false) => Some(filtered(value, &below)),
        }
    };
    apply(of, keep)
}

fn removed(of: &Value, paths: &[Vec<Value>]) -> Value {
    let keep = |key: &Value, value: &Value| {
        let (below, ends) = below(paths, key);
        (!ends).then(|| removed(value, &below))
    };
    apply(of, keep)
}

fn apply(of: &Value, keep: impl Fn(&Value, &Value) -> Option<Value>) -> Value {
    match of {
        Value::Object(members) => Value::object(
            members.iter().filter_map(|(key, value)| Some((key.clone(), keep(key, value)?))),
        ),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            Value::array(items.filter_map(|(place, item)| keep(&Value::count(place), item)))
        }
        other => other.clone(),
    }
}
