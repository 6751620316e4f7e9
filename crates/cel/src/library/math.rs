//! `math`.

use std::cmp::Ordering;

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::number;
use crate::value::Value;

pub(crate) const ROWS: &[Row] = &[
    ("math.greatest", "(list<A>)->A", greatest),
    ("math.greatest", "(A...)->A", greatest),
    ("math.greatest", "(dyn...)->dyn", greatest),
    ("math.least", "(list<A>)->A", least),
    ("math.least", "(A...)->A", least),
    ("math.least", "(dyn...)->dyn", least),
    ("math.ceil", "(double)->double", |_, values| rounded(values, f64::ceil)),
    ("math.floor", "(double)->double", |_, values| rounded(values, f64::floor)),
    ("math.round", "(double)->double", |_, values| rounded(values, f64::round)),
    ("math.trunc", "(double)->double", |_, values| rounded(values, f64::trunc)),
    ("math.sqrt", "(double)->double", square_root),
    ("math.sqrt", "(int)->double", square_root),
    ("math.sqrt", "(uint)->double", square_root),
    ("math.abs", "(int)->int", abs),
    ("math.abs", "(uint)->uint", abs),
    ("math.abs", "(double)->double", abs),
    ("math.sign", "(int)->int", sign),
    ("math.sign", "(uint)->uint", sign),
    ("math.sign", "(double)->double", sign),
    ("math.isNaN", "(double)->bool", |_, values| tested(values, f64::is_nan)),
    ("math.isInf", "(double)->bool", |_, values| tested(values, f64::is_infinite)),
    ("math.isFinite", "(double)->bool", |_, values| tested(values, f64::is_finite)),
    ("math.bitAnd", "(int,int)->int", |_, values| bits(values, |a, b| a & b, |a, b| a & b)),
    ("math.bitAnd", "(uint,uint)->uint", |_, values| bits(values, |a, b| a & b, |a, b| a & b)),
    ("math.bitOr", "(int,int)->int", |_, values| bits(values, |a, b| a | b, |a, b| a | b)),
    ("math.bitOr", "(uint,uint)->uint", |_, values| bits(values, |a, b| a | b, |a, b| a | b)),
    ("math.bitXor", "(int,int)->int", |_, values| bits(values, |a, b| a ^ b, |a, b| a ^ b)),
    ("math.bitXor", "(uint,uint)->uint", |_, values| bits(values, |a, b| a ^ b, |a, b| a ^ b)),
    ("math.bitNot", "(int)->int", bit_not),
    ("math.bitNot", "(uint)->uint", bit_not),
    ("math.bitShiftLeft", "(int,int)->int", shift_left),
    ("math.bitShiftLeft", "(uint,int)->uint", shift_left),
    ("math.bitShiftRight", "(int,int)->int", shift_right),
    ("math.bitShiftRight", "(uint,int)->uint", shift_right),
];

fn greatest<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    extreme(ground, arguments, Ordering::Greater)
}

fn least<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    extreme(ground, arguments, Ordering::Less)
}

fn extreme<'v>(ground: &Ground<'_>, arguments: &[Value<'v>], wanted: Ordering) -> Outcome<'v> {
    let given = match arguments {
        [Value::List(list)] => list.to_items(),
        values => values.to_vec(),
    };
    ground.meter.charge_count(given.len())?;
    let mut found: Option<Value<'v>> = None;
    for value in given {
        if !matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_)) {
            return mismatch(&[value]);
        }
        let better = match &found {
            Some(found) => number::compare(&value, found) == Some(wanted),
            None => true,
        };
        if better {
            found = Some(value);
        }
    }
    found.ok_or_else(|| Fault::invalid("an empty list has no extreme"))
}

fn rounded<'v>(values: &[Value<'v>], round: fn(f64) -> f64) -> Outcome<'v> {
    match values {
        [Value::Double(value)] => Ok(Value::Double(round(*value))),
        _ => mismatch(values),
    }
}

fn tested<'v>(values: &[Value<'v>], test: fn(f64) -> bool) -> Outcome<'v> {
    match values {
        [Value::Double(value)] => Ok(Value::Bool(test(*value))),
        _ => mismatch(values),
    }
}

fn square_root<'v>(_: &Ground<'_>, values: &[Value<'v>]) -> Outcome<'v> {
    Ok(Value::Double(match values {
        [Value::Double(value)] => value.sqrt(),
        [Value::Int(value)] => number::double(*value).sqrt(),
        [Value::Uint(value)] => number::double_unsigned(*value).sqrt(),
        _ => return mismatch(values),
    }))
}

fn abs<'v>(_: &Ground<'_>, values: &[Value<'v>]) -> Outcome<'v> {
    match values {
        [Value::Int(value)] => {
            value.checked_abs().map(Value::Int).ok_or_else(|| Fault::invalid("integer overflow"))
        }
        [Value::Uint(value)] => Ok(Value::Uint(*value)),
        [Value::Double(value)] => Ok(Value::Double(value.abs())),
        _ => mismatch(values),
    }
}

fn sign<'v>(_: &Ground<'_>, values: &[Value<'v>]) -> Outcome<'v> {
    match values {
        [Value::Int(value)] => Ok(Value::Int(value.signum())),
        [Value::Uint(value)] => Ok(Value::Uint(u64::from(*value > 0))),
        [Value::Double(value)] if *value == 0.0 || value.is_nan() => Ok(Value::Double(*value)),
        [Value::Double(value)] => Ok(Value::Double(value.signum())),
        _ => mismatch(values),
    }
}

fn bits<'v>(
    values: &[Value<'v>],
    signed: fn(i64, i64) -> i64,
    unsigned: fn(u64, u64) -> u64,
) -> Outcome<'v> {
    match values {
        [Value::Int(one), Value::Int(other)] => Ok(Value::Int(signed(*one, *other))),
        [Value::Uint(one), Value::Uint(other)] => Ok(Value::Uint(unsigned(*one, *other))),
        _ => mismatch(values),
    }
}

fn bit_not<'v>(_: &Ground<'_>, values: &[Value<'v>]) -> Outcome<'v> {
    match values {
        [Value::Int(value)] => Ok(Value::Int(!value)),
        [Value::Uint(value)] => Ok(Value::Uint(!value)),
        _ => mismatch(values),
    }
}

/// How far to shift; from 64 on nothing is left.
fn distance(by: i64) -> Result<Option<u32>, Fault> {
    if by < 0 {
        return Err(Fault::invalid(format!("negative offset: {by}")));
    }
    Ok(u32::try_from(by).ok().filter(|by| *by < 64))
}

fn shift_left<'v>(_: &Ground<'_>, values: &[Value<'v>]) -> Outcome<'v> {
    match values {
        [Value::Int(value), Value::Int(by)] => {
            Ok(Value::Int(distance(*by)?.map_or(0, |by| value << by)))
        }
        [Value::Uint(value), Value::Int(by)] => {
            Ok(Value::Uint(distance(*by)?.map_or(0, |by| value << by)))
        }
        _ => mismatch(values),
    }
}

/// Zeros come in from the left, for negative integers too.
fn shift_right<'v>(_: &Ground<'_>, values: &[Value<'v>]) -> Outcome<'v> {
    match values {
        [Value::Int(value), Value::Int(by)] => {
            let shifted = distance(*by)?.map_or(0, |by| value.cast_unsigned() >> by);
            Ok(Value::Int(shifted.cast_signed()))
        }
        [Value::Uint(value), Value::Int(by)] => {
            Ok(Value::Uint(distance(*by)?.map_or(0, |by| value >> by)))
        }
        _ => mismatch(values),
    }
}
