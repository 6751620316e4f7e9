//! Optional values. `or` and `orValue` are the machine's own.

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::Value;

pub(crate) const ROWS: &[Row] = &[
    ("optional.of", "(A)->optional<A>", of),
    ("optional.none", "()->optional<A>", |_, _| Ok(Value::Optional(None))),
    ("optional.ofNonZeroValue", "(A)->optional<A>", of_non_zero),
    ("hasValue", "optional<A>.()->bool", has_value),
    ("value", "optional<A>.()->A", value),
    ("optional.unwrap", "(list<optional<A>>)->list<A>", unwrap),
    ("unwrapOpt", "list<optional<A>>.()->list<A>", unwrap),
];

fn of<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [value] => Ok(value.clone().some()),
        _ => mismatch(arguments),
    }
}

fn of_non_zero<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [value] = arguments else { return mismatch(arguments) };
    let zero = match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => {
            true
        }
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Optional(held) => held.is_none(),
        _ => false,
    };
    Ok(if zero { Value::Optional(None) } else { value.clone().some() })
}

fn has_value<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [Value::Optional(held)] => Ok(Value::Bool(held.is_some())),
        _ => mismatch(arguments),
    }
}

fn value<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [Value::Optional(Some(held))] => Ok((**held).clone()),
        [Value::Optional(None)] => Err(Fault::invalid("optional.none() dereference")),
        _ => mismatch(arguments),
    }
}

fn unwrap<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::List(list)] = arguments else { return mismatch(arguments) };
    ground.meter.charge_count(list.len())?;
    let mut items = Vec::new();
    for element in list.iter() {
        match element {
            Value::Optional(Some(held)) => items.push((*held).clone()),
            Value::Optional(None) => {}
            other => return mismatch(&[other]),
        }
    }
    Ok(Value::list(items))
}
