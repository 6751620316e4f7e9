//! Operators, comparison, and questions about types.

use super::Builtin;
use crate::error::Fault;
use crate::value::{Number, Value};

pub(super) const ALL: &[Builtin] = &[
    Builtin::quick("equal", 2, |pair| compared(pair, |left, right| left == right)),
    Builtin::quick("neq", 2, |pair| compared(pair, |left, right| left != right)),
    Builtin::quick("lt", 2, |pair| compared(pair, |left, right| left < right)),
    Builtin::quick("lte", 2, |pair| compared(pair, |left, right| left <= right)),
    Builtin::quick("gt", 2, |pair| compared(pair, |left, right| left > right)),
    Builtin::quick("gte", 2, |pair| compared(pair, |left, right| left >= right)),
    Builtin::quick("plus", 2, |pair| calculated(pair, i64::checked_add, |a, b| a + b)),
    Builtin::linear("minus", 2, minus),
    Builtin::quick("mul", 2, |pair| calculated(pair, i64::checked_mul, |a, b| a * b)),
    Builtin::quick("div", 2, divide),
    Builtin::quick("rem", 2, remainder),
    Builtin::linear("and", 2, and),
    Builtin::linear("or", 2, or),
    Builtin::linear("member", 2, member),
    Builtin::quick("member_of", 3, member_of),
    Builtin::linear("internal.member_2", 2, member),
    Builtin::quick("internal.member_3", 3, member_of),
    Builtin::quick("is_null", 1, |one| is(one, "null")),
    Builtin::quick("is_boolean", 1, |one| is(one, "boolean")),
    Builtin::quick("is_number", 1, |one| is(one, "number")),
    Builtin::quick("is_string", 1, |one| is(one, "string")),
    Builtin::quick("is_array", 1, |one| is(one, "array")),
    Builtin::quick("is_object", 1, |one| is(one, "object")),
    Builtin::quick("is_set", 1, |one| is(one, "set")),
    Builtin::quick("type_name", 1, |one| Some(Value::text(one.first()?.type_name()))),
    // What they write goes nowhere; they hold.
    Builtin { name: "print", arity: None, run: super::Run::Quick(|_| Some(Value::Bool(true))) },
    Builtin::quick("trace", 1, |_| Some(Value::Bool(true))),
    Builtin::metered("external_data", 1, |_, _| Err(Fault::Outside { function: "external_data" })),
    Builtin::quick("opa.runtime", 0, |_| Some(Value::object([]))),
];

fn compared(pair: &[Value], holds: impl Fn(&Value, &Value) -> bool) -> Option<Value> {
    let [left, right] = pair else { return None };
    Some(Value::Bool(holds(left, right)))
}

fn is(one: &[Value], name: &str) -> Option<Value> {
    Some(Value::Bool(one.first()?.type_name() == name))
}

fn calculated(
    pair: &[Value],
    whole: fn(i64, i64) -> Option<i64>,
    broken: fn(f64, f64) -> f64,
) -> Option<Value> {
    let [left, right] = pair else { return None };
    let (left, right) = (left.as_number()?, right.as_number()?);
    if let (Number::Integer(left), Number::Integer(right)) = (left, right)
        && let Some(whole) = whole(left, right)
    {
        return Some(Value::integer(whole));
    }
    Value::float(broken(left.as_f64(), right.as_f64()))
}

/// A difference of numbers, or of sets.
fn minus(pair: &[Value]) -> Option<Value> {
    let [left, right] = pair else { return None };
    if let (Value::Set(left), Value::Set(_)) = (left, right) {
        let kept = left.iter().filter(|item| right.get(item).is_none());
        return Some(Value::Set(kept.cloned().collect()));
    }
    calculated(pair, i64::checked_sub, |a, b| a - b)
}

fn divide(pair: &[Value]) -> Option<Value> {
    let [left, right] = pair else { return None };
    let (left, right) = (left.as_number()?, right.as_number()?);
    if let (Number::Integer(left), Number::Integer(right)) = (left, right)
        && left.checked_rem(right) == Some(0)
    {
        return left.checked_div(right).map(Value::integer);
    }
    Value::float(left.as_f64() / right.as_f64())
}

fn remainder(pair: &[Value]) -> Option<Value> {
    let [left, right] = pair else { return None };
    left.as_integer()?.checked_rem(right.as_integer()?).map(Value::integer)
}

pub(super) fn and(pair: &[Value]) -> Option<Value> {
    let [Value::Set(left), right @ Value::Set(_)] = pair else { return None };
    let kept = left.iter().filter(|item| right.get(item).is_some());
    Some(Value::Set(kept.cloned().collect()))
}

pub(super) fn or(pair: &[Value]) -> Option<Value> {
    let [Value::Set(left), Value::Set(right)] = pair else { return None };
    Some(Value::set(left.iter().chain(right.iter()).cloned()))
}

fn member(pair: &[Value]) -> Option<Value> {
    let [item, collection] = pair else { return None };
    Some(Value::Bool(match collection {
        Value::Set(_) => collection.get(item).is_some(),
        Value::Array(items) => items.contains(item),
        Value::Object(members) => members.iter().any(|(_, value)| value == item),
        _ => false,
    }))
}

fn member_of(three: &[Value]) -> Option<Value> {
    let [key, item, collection] = three else { return None };
    Some(Value::Bool(collection.get(key).is_some_and(|found| found == item)))
}
