//! Lists as sets.

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::{List, Value, equal};

pub(crate) const ROWS: &[Row] = &[
    ("sets.contains", "(list<A>,list<A>)->bool", contains),
    ("sets.equivalent", "(list<A>,list<A>)->bool", equivalent),
    ("sets.intersects", "(list<A>,list<A>)->bool", intersects),
];

fn holds(ground: &Ground<'_>, list: &List<'_>, wanted: &Value<'_>) -> Result<bool, Fault> {
    for element in list.iter() {
        ground.meter.charge(1)?;
        if equal(ground.meter, &element, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds_all(ground: &Ground<'_>, list: &List<'_>, wanted: &List<'_>) -> Result<bool, Fault> {
    for element in wanted.iter() {
        if !holds(ground, list, &element)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::List(list), Value::List(wanted)] = arguments else { return mismatch(arguments) };
    holds_all(ground, list, wanted).map(Value::Bool)
}

fn equivalent<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::List(one), Value::List(other)] = arguments else { return mismatch(arguments) };
    Ok(Value::Bool(holds_all(ground, one, other)? && holds_all(ground, other, one)?))
}

fn intersects<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::List(one), Value::List(other)] = arguments else { return mismatch(arguments) };
    for element in one.iter() {
        if holds(ground, other, &element)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
