//! Operators between two values.

use std::cmp::Ordering;

use jiff::SignedDuration;

use super::{Meter, appended, joined, no_overload};
use crate::ast::Binary;
use crate::error::Fault;
use crate::library::Outcome;
use crate::library::time::moment;
use crate::value::{Map, Value, equal, order};

pub(super) fn binary<'v>(
    meter: &Meter,
    operator: Binary,
    left: &Value<'v>,
    right: &Value<'v>,
) -> Outcome<'v> {
    let ordered = |fits: fn(Ordering) -> bool| {
        order(meter, left, right).map(|order| Value::Bool(order.is_some_and(fits)))
    };
    match operator {
        Binary::Equal => equal(meter, left, right).map(Value::Bool),
        Binary::NotEqual => equal(meter, left, right).map(|same| Value::Bool(!same)),
        Binary::Less => ordered(Ordering::is_lt),
        Binary::LessOrEqual => ordered(Ordering::is_le),
        Binary::Greater => ordered(Ordering::is_gt),
        Binary::GreaterOrEqual => ordered(Ordering::is_ge),
        Binary::In => contained(meter, left, right).map(Value::Bool),
        Binary::Add => add(meter, left, right),
        Binary::Subtract => subtract(left, right),
        Binary::Multiply => multiply(left, right),
        Binary::Divide | Binary::Modulo => divide(operator, left, right),
    }
}

/// `value in holder`.
fn contained(meter: &Meter, value: &Value<'_>, holder: &Value<'_>) -> Result<bool, Fault> {
    match holder {
        Value::Map(Map::Json(members)) => {
            Ok(value.as_str().is_some_and(|name| members.contains_key(name)))
        }
        Value::Map(map) => Ok(value.as_key().is_some_and(|key| map.has(&key))),
        Value::List(list) => {
            for element in list.iter() {
                meter.charge(1)?;
                if equal(meter, value, &element)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(no_overload("in", &[value.clone(), holder.clone()])),
    }
}

pub(super) fn negate<'v>(value: &Value<'v>) -> Outcome<'v> {
    match value {
        Value::Int(value) => value.checked_neg().map(Value::Int).ok_or_else(|| overflow("int")),
        Value::Double(value) => Ok(Value::Double(-value)),
        Value::Duration(value) => {
            value.checked_neg().map(Value::Duration).ok_or_else(|| overflow("duration"))
        }
        other => Err(no_overload("-", std::slice::from_ref(other))),
    }
}

pub(crate) fn add<'v>(meter: &Meter, left: &Value<'v>, right: &Value<'v>) -> Outcome<'v> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => whole(left.checked_add(*right)),
        (Value::Uint(left), Value::Uint(right)) => unsigned(left.checked_add(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left + right)),
        (Value::String(left), Value::String(right)) => joined(meter, &[left, right]),
        (Value::Bytes(left), Value::Bytes(right)) => {
            meter.charge_text(left.len() + right.len())?;
            Ok(Value::bytes([&**left, &**right].concat()))
        }
        (Value::List(left), Value::List(right)) => appended(meter, left, right),
        (Value::Duration(left), Value::Duration(right)) => duration(left.checked_add(*right)),
        (Value::Timestamp(at), Value::Duration(by))
        | (Value::Duration(by), Value::Timestamp(at)) => {
            moment(at.checked_add(SignedDuration::from_nanos(*by)).ok())
        }
        _ => Err(no_overload("+", &[left.clone(), right.clone()])),
    }
}

fn subtract<'v>(left: &Value<'v>, right: &Value<'v>) -> Outcome<'v> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => whole(left.checked_sub(*right)),
        (Value::Uint(left), Value::Uint(right)) => unsigned(left.checked_sub(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left - right)),
        (Value::Duration(left), Value::Duration(right)) => duration(left.checked_sub(*right)),
        (Value::Timestamp(at), Value::Duration(by)) => {
            moment(at.checked_sub(SignedDuration::from_nanos(*by)).ok())
        }
        (Value::Timestamp(left), Value::Timestamp(right)) => {
            duration(i64::try_from(left.duration_since(*right).as_nanos()).ok())
        }
        _ => Err(no_overload("-", &[left.clone(), right.clone()])),
    }
}

fn multiply<'v>(left: &Value<'v>, right: &Value<'v>) -> Outcome<'v> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => whole(left.checked_mul(*right)),
        (Value::Uint(left), Value::Uint(right)) => unsigned(left.checked_mul(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left * right)),
        _ => Err(no_overload("*", &[left.clone(), right.clone()])),
    }
}

fn divide<'v>(operator: Binary, left: &Value<'v>, right: &Value<'v>) -> Outcome<'v> {
    let is_modulo = operator == Binary::Modulo;
    match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            Err(Fault::invalid(if is_modulo { "modulus by zero" } else { "division by zero" }))
        }
        (Value::Int(left), Value::Int(right)) if is_modulo => whole(left.checked_rem(*right)),
        (Value::Int(left), Value::Int(right)) => whole(left.checked_div(*right)),
        (Value::Uint(left), Value::Uint(right)) if is_modulo => unsigned(left.checked_rem(*right)),
        (Value::Uint(left), Value::Uint(right)) => unsigned(left.checked_div(*right)),
        (Value::Double(left), Value::Double(right)) if !is_modulo => {
            Ok(Value::Double(left / right))
        }
        _ => Err(no_overload(operator.symbol(), &[left.clone(), right.clone()])),
    }
}

fn overflow(what: &str) -> Fault {
    Fault::invalid(format!("{what} overflow"))
}

fn whole<'v>(value: Option<i64>) -> Outcome<'v> {
    value.map(Value::Int).ok_or_else(|| overflow("integer"))
}

fn unsigned<'v>(value: Option<u64>) -> Outcome<'v> {
    value.map(Value::Uint).ok_or_else(|| overflow("unsigned integer"))
}

fn duration<'v>(value: Option<i64>) -> Outcome<'v> {
    value.map(Value::Duration).ok_or_else(|| overflow("duration"))
}
