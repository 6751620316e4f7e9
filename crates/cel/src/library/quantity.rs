//! Quantities (`500m`, `1Gi`).

use std::cmp::Ordering;

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
pub(crate) use crate::quantity::Quantity;
use crate::value::{Opaque, Value};

pub(crate) const ROWS: &[Row] = &[
    ("quantity", "(string)->quantity", quantity),
    ("isQuantity", "(string)->bool", is_quantity),
    ("sign", "(quantity)->int", |_, values| read(values, |amount| Ok(Value::Int(sign(amount))))),
    ("isInteger", "quantity.()->bool", |_, values| {
        read(values, |amount| Ok(Value::Bool(amount.as_integer().is_some())))
    }),
    ("asInteger", "quantity.()->int", |_, values| {
        read(values, |amount| {
            let whole = amount.as_integer().map(Value::Int);
            whole.ok_or_else(|| Fault::invalid(format!("cannot convert `{amount}` to an integer")))
        })
    }),
    ("asApproximateFloat", "quantity.()->double", |_, values| {
        read(values, |amount| Ok(Value::Double(amount.as_f64())))
    }),
    ("add", "quantity.(quantity)->quantity", |_, values| changed(values, Quantity::add)),
    ("add", "quantity.(int)->quantity", |_, values| changed(values, Quantity::add)),
    ("sub", "quantity.(quantity)->quantity", |_, values| changed(values, Quantity::subtract)),
    ("sub", "quantity.(int)->quantity", |_, values| changed(values, Quantity::subtract)),
    ("isLessThan", "quantity.(quantity)->bool", |_, values| {
        compared(values, |order| Value::Bool(order == Ordering::Less))
    }),
    ("isGreaterThan", "quantity.(quantity)->bool", |_, values| {
        compared(values, |order| Value::Bool(order == Ordering::Greater))
    }),
    ("compareTo", "quantity.(quantity)->int", |_, values| {
        compared(values, |order| Value::Int(order as i64))
    }),
];

fn quantity<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    let amount = Quantity::parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(100).collect();
        Fault::invalid(format!("`{shown}` is no quantity"))
    })?;
    Ok(Value::opaque(Opaque::Quantity(amount)))
}

fn is_quantity<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    Ok(Value::Bool(Quantity::parse(text).is_some()))
}

fn sign(amount: &Quantity) -> i64 {
    match amount.nano.cmp(&0) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

fn amount<'a>(value: &'a Value<'_>) -> Option<&'a Quantity> {
    match value {
        Value::Opaque(opaque) => match &**opaque {
            Opaque::Quantity(amount) => Some(amount),
            _ => None,
        },
        _ => None,
    }
}

fn read<'v>(arguments: &[Value<'v>], work: impl FnOnce(&Quantity) -> Outcome<'v>) -> Outcome<'v> {
    match arguments.first().and_then(amount) {
        Some(amount) => work(amount),
        None => mismatch(arguments),
    }
}

fn changed<'v>(
    arguments: &[Value<'v>],
    change: fn(Quantity, Quantity) -> Option<Quantity>,
) -> Outcome<'v> {
    let [one, other] = arguments else { return mismatch(arguments) };
    let other = match other {
        Value::Int(whole) => Quantity::whole(*whole),
        other => match amount(other) {
            Some(amount) => *amount,
            None => return mismatch(arguments),
        },
    };
    let Some(one) = amount(one) else { return mismatch(arguments) };
    let made = change(*one, other).ok_or_else(|| Fault::invalid("quantity overflow"))?;
    Ok(Value::opaque(Opaque::Quantity(made)))
}

fn compared<'v>(arguments: &[Value<'v>], make: fn(Ordering) -> Value<'static>) -> Outcome<'v> {
    let [one, other] = arguments else { return mismatch(arguments) };
    match (amount(one), amount(other)) {
        (Some(one), Some(other)) => Ok(make(one.cmp(other))),
        _ => mismatch(arguments),
    }
}
