//! Fields of maps, elements of lists; through optionals, what is reached is optional too.

use crate::error::Fault;
use crate::library::Outcome;
use crate::number;
use crate::value::{Map, Value};

/// `operand.field`.
pub(super) fn field<'v>(operand: &Value<'v>, field: &str) -> Outcome<'v> {
    match operand {
        Value::Map(map) => map.field(field).ok_or_else(|| Fault::NoSuchKey(field.to_owned())),
        Value::Message(message) => {
            let found = message.fields.get(field).cloned();
            found.ok_or_else(|| Fault::NoSuchKey(field.to_owned()))
        }
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(held)) => Ok(Value::optional(field_if_there(held, field))),
        _ => Err(Fault::NoSuchKey(field.to_owned())),
    }
}

/// `has(operand.field)`: what is no map has no fields.
pub(super) fn has_field(operand: &Value<'_>, field: &str) -> bool {
    match operand {
        Value::Map(Map::Json(members)) => members.contains_key(field),
        Value::Map(map) => map.field(field).is_some(),
        Value::Message(message) => message.fields.contains_key(field),
        Value::Optional(Some(held)) => has_field(held, field),
        _ => false,
    }
}

/// `operand.?field`.
pub(super) fn field_if_there<'v>(operand: &Value<'v>, field: &str) -> Option<Value<'v>> {
    match operand {
        Value::Map(map) => map.field(field),
        Value::Message(message) => message.fields.get(field).cloned(),
        Value::Optional(Some(held)) => field_if_there(held, field),
        _ => None,
    }
}

/// `operand[key]`.
pub(super) fn index<'v>(operand: &Value<'v>, key: &Value<'v>) -> Outcome<'v> {
    match operand {
        Value::Optional(held) => {
            let found = held.as_ref().and_then(|held| element_if_there(held, key));
            Ok(Value::optional(found))
        }
        Value::List(list) => {
            let place = place(key)
                .ok_or_else(|| super::no_overload("[]", &[operand.clone(), key.clone()]))?;
            let found = usize::try_from(place).ok().and_then(|place| list.get(place));
            found.ok_or_else(|| Fault::invalid(format!("index out of bounds: {place}")))
        }
        Value::Map(map) => {
            let key = super::as_key(key)?;
            map.get(&key).ok_or_else(|| Fault::NoSuchKey(key.to_string()))
        }
        _ => Err(super::no_overload("[]", &[operand.clone(), key.clone()])),
    }
}

/// `operand[?key]`.
pub(super) fn element_if_there<'v>(operand: &Value<'v>, key: &Value<'v>) -> Option<Value<'v>> {
    match operand {
        Value::Optional(held) => element_if_there(held.as_ref()?, key),
        Value::List(list) => list.get(usize::try_from(place(key)?).ok()?),
        Value::Map(map) => map.get(&key.as_key()?),
        _ => None,
    }
}

/// A number that is whole, as a place in a list.
fn place(key: &Value<'_>) -> Option<i64> {
    match key {
        Value::Int(place) => Some(*place),
        Value::Uint(place) => i64::try_from(*place).ok(),
        Value::Double(place) => number::whole(*place),
        _ => None,
    }
}
