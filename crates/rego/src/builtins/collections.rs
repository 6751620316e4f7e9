//! Arrays, sets, and what is said of many values.

use std::collections::BTreeSet;

use super::{Builtin, Meter, Outcome, operators};
use crate::value::{Number, Value};

pub(super) const ALL: &[Builtin] = &[
    Builtin::quick("count", 1, count),
    Builtin::linear("sum", 1, |one| total(one, Number::Integer(0), i64::checked_add, |a, b| a + b)),
    Builtin::linear("product", 1, |one| {
        total(one, Number::Integer(1), i64::checked_mul, |a, b| a * b)
    }),
    Builtin::linear("max", 1, |one| one.first()?.items()?.iter().max().cloned()),
    Builtin::linear("min", 1, |one| one.first()?.items()?.iter().min().cloned()),
    Builtin::metered("sort", 1, sort),
    Builtin::linear("all", 1, |one| Some(Value::Bool(one.first()?.items()?.iter().all(is_true)))),
    Builtin::linear("any", 1, |one| Some(Value::Bool(one.first()?.items()?.iter().any(is_true)))),
    Builtin::linear("array.concat", 2, |pair| {
        let [Value::Array(left), Value::Array(right)] = pair else { return None };
        Some(Value::array(left.iter().chain(right.iter()).cloned()))
    }),
    Builtin::linear("array.reverse", 1, |one| {
        let [Value::Array(items)] = one else { return None };
        Some(Value::array(items.iter().rev().cloned()))
    }),
    Builtin::linear("array.slice", 3, slice),
    Builtin::linear("array.flatten", 1, flatten),
    Builtin::linear("intersection", 1, |one| of_sets(one, operators::and)),
    Builtin::linear("union", 1, |one| of_sets(one, operators::or)),
    Builtin::linear("set_diff", 2, |pair| {
        let [Value::Set(left), right @ Value::Set(_)] = pair else { return None };
        Some(Value::Set(left.iter().filter(|item| right.get(item).is_none()).cloned().collect()))
    }),
    Builtin::linear("cast_array", 1, |one| Some(Value::array(one.first()?.items()?.to_vec()))),
    Builtin::linear("cast_set", 1, |one| Some(Value::set(one.first()?.items()?.to_vec()))),
    Builtin::quick(super::WALK, 1, |_| None),
    Builtin::metered("graph.reachable", 2, reachable),
];

fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true))
}

fn count(one: &[Value]) -> Option<Value> {
    let count = match one.first()? {
        Value::String(text) => text.chars().count(),
        Value::Array(items) | Value::Set(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => return None,
    };
    Some(Value::count(count))
}

fn total(
    one: &[Value],
    start: Number,
    whole: fn(i64, i64) -> Option<i64>,
    broken: fn(f64, f64) -> f64,
) -> Option<Value> {
    let sum = one.first()?.items()?.iter().try_fold(start, |sum, item| {
        let item = item.as_number()?;
        if let (Number::Integer(left), Number::Integer(right)) = (sum, item)
            && let Some(whole) = whole(left, right)
        {
            return Some(Number::Integer(whole));
        }
        Number::from_f64(broken(sum.as_f64(), item.as_f64()))
    })?;
    Some(Value::Number(sum))
}

fn sort(one: &[Value], meter: &mut Meter) -> Outcome {
    let Some(items) = one.first().and_then(Value::items) else { return Ok(None) };
    meter.spend(2 * items.len() as u64)?;
    let mut items = items.to_vec();
    items.sort();
    Ok(Some(Value::Array(items.into())))
}

fn slice(three: &[Value]) -> Option<Value> {
    let [Value::Array(items), start, end] = three else { return None };
    let place = |value: &Value| {
        let place = value.as_integer()?.max(0);
        Some(usize::try_from(place).unwrap_or(usize::MAX).min(items.len()))
    };
    let (start, end) = (place(start)?, place(end)?);
    Some(Value::array(items.get(start..end).unwrap_or_default().iter().cloned()))
}

fn flatten(one: &[Value]) -> Option<Value> {
    fn into(items: &[Value], flat: &mut Vec<Value>) {
        for item in items {
            match item {
                Value::Array(inner) => into(inner, flat),
                other => flat.push(other.clone()),
            }
        }
    }
    let [Value::Array(items)] = one else { return None };
    let mut flat = Vec::new();
    into(items, &mut flat);
    Some(Value::Array(flat.into()))
}

fn of_sets(one: &[Value], join: fn(&[Value]) -> Option<Value>) -> Option<Value> {
    let [Value::Set(sets)] = one else { return None };
    let mut sets = sets.iter();
    let Some(first) = sets.next() else { return Some(Value::set([])) };
    if !matches!(first, Value::Set(_)) {
        return None;
    }
    sets.try_fold(first.clone(), |made, next| join(&[made, next.clone()]))
}

fn reachable(pair: &[Value], meter: &mut Meter) -> Outcome {
    let [graph, start] = pair else { return Ok(None) };
    let mut waiting: Vec<Value> = start.items().unwrap_or_default().to_vec();
    let mut found = BTreeSet::new();
    while let Some(next) = waiting.pop() {
        meter.spend(1)?;
        let Some(edges) = graph.get(&next) else { continue };
        if found.insert(next) {
            let edges = edges.items().unwrap_or_default();
            meter.spend(edges.len() as u64)?;
            waiting.extend(edges.iter().cloned());
        }
    }
    Ok(Some(Value::set(found)))
}
