//! Equality, which knows numbers across their types, and order.

use std::cmp::Ordering;

use super::{List, Map, Message, Opaque, Value};
use crate::error::Fault;
use crate::machine::Meter;
use crate::number;

/// Whether two values are one. Values of different types are not, numbers apart.
pub(crate) fn equal(meter: &Meter, left: &Value<'_>, right: &Value<'_>) -> Result<bool, Fault> {
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::String(left), Value::String(right)) => {
            meter.charge_text(left.len().min(right.len()))?;
            left == right
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            meter.charge_text(left.len().min(right.len()))?;
            left == right
        }
        (Value::List(left), Value::List(right)) => equal_lists(meter, left, right)?,
        (Value::Map(left), Value::Map(right)) => equal_maps(meter, left, right)?,
        (Value::Duration(left), Value::Duration(right)) => left == right,
        (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
        (Value::Type(left), Value::Type(right)) => left == right,
        (Value::Optional(left), Value::Optional(right)) => match (left, right) {
            (None, None) => true,
            (Some(left), Some(right)) => equal(meter, left, right)?,
            _ => false,
        },
        (Value::Opaque(left), Value::Opaque(right)) => left == right,
        (Value::Message(left), Value::Message(right)) => equal_messages(meter, left, right)?,
        _ => number::compare(left, right) == Some(Ordering::Equal),
    })
}

fn equal_messages(meter: &Meter, left: &Message<'_>, right: &Message<'_>) -> Result<bool, Fault> {
    if left.name != right.name || left.fields.len() != right.fields.len() {
        return Ok(false);
    }
    for (name, value) in &left.fields {
        meter.charge(1)?;
        let same = match right.fields.get(name) {
            Some(other) => equal(meter, value, other)?,
            None => false,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_lists(meter: &Meter, left: &List<'_>, right: &List<'_>) -> Result<bool, Fault> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.iter().zip(right.iter()) {
        meter.charge(1)?;
        if !equal(meter, &left, &right)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_maps(meter: &Meter, left: &Map<'_>, right: &Map<'_>) -> Result<bool, Fault> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (key, value) in left.entries() {
        meter.charge(1)?;
        let other = key.as_key().and_then(|key| right.get(&key));
        let same = match other {
            Some(other) => equal(meter, &value, &other)?,
            None => false,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How two values of ordered types stand to each other; `None` in the inner place for NaN.
pub(crate) fn order(
    meter: &Meter,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<Option<Ordering>, Fault> {
    Ok(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::String(left), Value::String(right)) => {
            meter.charge_text(left.len().min(right.len()))?;
            Some(left.cmp(right))
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            meter.charge_text(left.len().min(right.len()))?;
            Some(left.cmp(right))
        }
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
        (Value::Timestamp(left), Value::Timestamp(right)) => Some(left.cmp(right)),
        (
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => number::compare(left, right),
        (Value::Opaque(one), Value::Opaque(other)) => match (&**one, &**other) {
            (Opaque::Quantity(one), Opaque::Quantity(other)) => Some(one.cmp(other)),
            (Opaque::Semver(one), Opaque::Semver(other)) => Some(one.cmp_precedence(other)),
            _ => return Err(no_order(left, right)),
        },
        _ => return Err(no_order(left, right)),
    })
}

fn no_order(left: &Value<'_>, right: &Value<'_>) -> Fault {
    Fault::NoSuchOverload(format!(
        "`{}` and `{}` have no order",
        left.type_name(),
        right.type_name()
    ))
}
