//! Numbers.

use super::{Builtin, Meter, Outcome};
use crate::value::{Number, Value};

pub(super) const ALL: &[Builtin] = &[
    Builtin::quick("abs", 1, |one| whole_or(one, i64::checked_abs, f64::abs)),
    Builtin::quick("round", 1, |one| whole_or(one, Some, f64::round)),
    Builtin::quick("ceil", 1, |one| whole_or(one, Some, f64::ceil)),
    Builtin::quick("floor", 1, |one| whole_or(one, Some, f64::floor)),
    Builtin::quick("to_number", 1, to_number),
    Builtin::metered("numbers.range", 2, range),
    Builtin::metered("numbers.range_step", 3, range),
    Builtin::quick("bits.or", 2, |pair| bits(pair, |a, b| Some(a | b))),
    Builtin::quick("bits.and", 2, |pair| bits(pair, |a, b| Some(a & b))),
    Builtin::quick("bits.xor", 2, |pair| bits(pair, |a, b| Some(a ^ b))),
    Builtin::quick("bits.negate", 1, |one| Some(Value::integer(!one.first()?.as_integer()?))),
    Builtin::quick("bits.lsh", 2, |pair| {
        bits(pair, |a, b| {
            let by = u32::try_from(b).ok().filter(|by| *by < 63)?;
            a.checked_mul(1_i64.checked_shl(by)?)
        })
    }),
    Builtin::quick("bits.rsh", 2, |pair| {
        bits(pair, |a, b| Some(a.checked_shr(u32::try_from(b).ok()?).unwrap_or(0)))
    }),
];

fn whole_or(one: &[Value], whole: fn(i64) -> Option<i64>, broken: fn(f64) -> f64) -> Option<Value> {
    match one.first()?.as_number()? {
        Number::Integer(integer) => whole(integer).map(Value::integer),
        Number::Float(float) => Value::float(broken(float)),
    }
}

fn bits(pair: &[Value], make: fn(i64, i64) -> Option<i64>) -> Option<Value> {
    let [left, right] = pair else { return None };
    make(left.as_integer()?, right.as_integer()?).map(Value::integer)
}

fn to_number(one: &[Value]) -> Option<Value> {
    match one.first()? {
        Value::Null | Value::Bool(false) => Some(Value::integer(0)),
        Value::Bool(true) => Some(Value::integer(1)),
        number @ Value::Number(_) => Some(number.clone()),
        Value::String(text) => match text.parse::<i64>() {
            Ok(integer) if !text.starts_with('+') => Some(Value::integer(integer)),
            _ => {
                let looks = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
                text.parse().ok().filter(|_| looks).and_then(Value::float)
            }
        },
        _ => None,
    }
}

fn range(arguments: &[Value], meter: &mut Meter) -> Outcome {
    let numbers: Option<Vec<i64>> = arguments.iter().map(Value::as_integer).collect();
    let (start, end, step) = match numbers.as_deref() {
        Some([start, end]) => (*start, *end, 1),
        Some([start, end, step]) if *step > 0 => (*start, *end, *step),
        _ => return Ok(None),
    };
    let count = end.abs_diff(start) / step.unsigned_abs() + 1;
    meter.spend(count)?;
    let step = if end < start { -step } else { step };
    let mut items = Vec::new();
    let mut next = Some(start);
    while let Some(number) = next.filter(|n| if step > 0 { *n <= end } else { *n >= end }) {
        items.push(Value::integer(number));
        next = number.checked_add(step);
    }
    Ok(Some(Value::Array(items.into())))
}
