//! Functions of lists.

use std::cmp::Ordering;

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::machine::{Meter, add};
use crate::value::{List, Value, equal, order};

pub(crate) const ROWS: &[Row] = &[
    ("isSorted", "list<A>.()->bool", is_sorted),
    ("sum", "list<A>.()->A", sum),
    ("min", "list<A>.()->A", least),
    ("max", "list<A>.()->A", greatest),
    ("indexOf", "list<A>.(A)->int", index_of),
    ("lastIndexOf", "list<A>.(A)->int", last_index_of),
    ("distinct", "list<A>.()->list<A>", distinct),
    ("flatten", "list<list<A>>.()->list<A>", flatten),
    ("flatten", "list<A>.()->list<dyn>", flatten),
    ("flatten", "list<A>.(int)->list<dyn>", flatten),
    ("sort", "list<A>.()->list<A>", sort),
    ("reverse", "list<A>.()->list<A>", reverse),
    ("slice", "list<A>.(int,int)->list<A>", slice),
    ("first", "list<A>.()->optional<A>", first),
    ("last", "list<A>.()->optional<A>", last),
    ("lists.range", "(int)->list<int>", range),
    ("lists.concat", "(list<list<A>>)->list<A>", flatten),
];

fn list<'a, 'v>(ground: &Ground<'_>, arguments: &'a [Value<'v>]) -> Result<&'a List<'v>, Fault> {
    if let [Value::List(list), ..] = arguments {
        ground.meter.charge_count(list.len())?;
        return Ok(list);
    }
    let shown: Vec<String> = arguments.iter().map(Value::type_name).collect();
    Err(Fault::NoSuchOverload(format!("({})", shown.join(", "))))
}

fn is_sorted<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let list = list(ground, arguments)?;
    let mut before: Option<Value<'v>> = None;
    for element in list.iter() {
        // The first is compared with itself: a list of what has no order is a fault however short.
        let earlier = before.as_ref().unwrap_or(&element);
        if order(ground.meter, earlier, &element)? == Some(Ordering::Greater) {
            return Ok(Value::Bool(false));
        }
        before = Some(element);
    }
    Ok(Value::Bool(true))
}

fn sum<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let mut total: Option<Value<'v>> = None;
    for element in list(ground, arguments)?.iter() {
        if !matches!(
            element,
            Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_)
        ) {
            return mismatch(&[element]);
        }
        total = Some(match total {
            Some(total) => add(ground.meter, &total, &element)?,
            None => element,
        });
    }
    Ok(total.unwrap_or(Value::Int(0)))
}

fn extreme<'v>(
    ground: &Ground<'_>,
    arguments: &[Value<'v>],
    name: &str,
    wanted: Ordering,
) -> Outcome<'v> {
    let mut found: Option<Value<'v>> = None;
    for element in list(ground, arguments)?.iter() {
        let best = found.as_ref().unwrap_or(&element);
        if order(ground.meter, &element, best)? == Some(wanted) || found.is_none() {
            found = Some(element);
        }
    }
    found.ok_or_else(|| Fault::invalid(format!("{name} called on empty list")))
}

fn least<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    extreme(ground, arguments, "min", Ordering::Less)
}

fn greatest<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    extreme(ground, arguments, "max", Ordering::Greater)
}

fn place_of<'v>(
    ground: &Ground<'_>,
    arguments: &[Value<'v>],
    places: impl Iterator<Item = (usize, Value<'v>)>,
) -> Outcome<'v> {
    let [_, wanted] = arguments else { return mismatch(arguments) };
    for (place, element) in places {
        if equal(ground.meter, &element, wanted)? {
            return Ok(Value::length(place));
        }
    }
    Ok(Value::Int(-1))
}

fn index_of<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let list = list(ground, arguments)?;
    place_of(ground, arguments, list.iter().enumerate())
}

fn last_index_of<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let list = list(ground, arguments)?;
    place_of(ground, arguments, (0..list.len()).rev().zip(list.iter().rev()))
}

fn distinct<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let mut kept: Vec<Value<'v>> = Vec::new();
    for element in list(ground, arguments)?.iter() {
        let mut known = false;
        for other in &kept {
            ground.meter.charge(1)?;
            if equal(ground.meter, other, &element)? {
                known = true;
                break;
            }
        }
        if !known {
            kept.push(element);
        }
    }
    Ok(Value::list(kept))
}

fn flatten<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let depth = match arguments {
        [_, Value::Int(depth)] => *depth,
        _ => 1,
    };
    if depth < 0 {
        return Err(Fault::invalid("level must be non-negative"));
    }
    let mut made = Vec::new();
    flatten_into(ground, list(ground, arguments)?, depth, &mut made)?;
    Ok(Value::list(made))
}

fn flatten_into<'v>(
    ground: &Ground<'_>,
    list: &List<'v>,
    depth: i64,
    made: &mut Vec<Value<'v>>,
) -> Result<(), Fault> {
    for element in list.iter() {
        ground.meter.charge(1)?;
        match element {
            Value::List(inner) if depth > 0 => flatten_into(ground, &inner, depth - 1, made)?,
            other => made.push(other),
        }
    }
    Ok(())
}

fn sort<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let items = list(ground, arguments)?.to_items();
    sorted_by(ground.meter, items.clone(), items)
}

/// Elements in the order of their keys, which must all be of one ordered type.
pub(crate) fn sorted_by<'v>(
    meter: &Meter,
    items: Vec<Value<'v>>,
    keys: Vec<Value<'v>>,
) -> Outcome<'v> {
    let mut fault = None;
    let mut pairs: Vec<(Value<'v>, Value<'v>)> = keys.into_iter().zip(items).collect();
    pairs.sort_by(|(left, _), (right, _)| {
        let compared = meter.charge(1).and_then(|()| {
            if std::mem::discriminant(left) == std::mem::discriminant(right) {
                order(meter, left, right)
            } else {
                Err(Fault::NoSuchOverload("list elements must have the same type".to_owned()))
            }
        });
        match compared {
            Ok(order) => order.unwrap_or(Ordering::Equal),
            Err(found) => {
                fault.get_or_insert(found);
                Ordering::Equal
            }
        }
    });
    fault.map_or_else(|| Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect())), Err)
}

fn reverse<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    Ok(Value::list(list(ground, arguments)?.iter().rev().collect()))
}

fn slice<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let list = list(ground, arguments)?;
    let [_, Value::Int(start), Value::Int(end)] = arguments else { return mismatch(arguments) };
    let range = usize::try_from(*start).ok().zip(usize::try_from(*end).ok());
    match range {
        Some((start, end)) if start <= end && end <= list.len() => {
            Ok(Value::list(list.iter().skip(start).take(end - start).collect()))
        }
        _ => Err(Fault::invalid(format!(
            "cannot slice({start}, {end}), list is length {}",
            list.len()
        ))),
    }
}

fn first<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [Value::List(list)] => Ok(Value::optional(list.get(0))),
        _ => mismatch(arguments),
    }
}

fn last<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [Value::List(list)] => {
            Ok(Value::optional(list.len().checked_sub(1).and_then(|place| list.get(place))))
        }
        _ => mismatch(arguments),
    }
}

fn range<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::Int(end)] = arguments else { return mismatch(arguments) };
    ground.meter.charge(u64::try_from(*end).unwrap_or(0))?;
    Ok(Value::list((0..*end).map(Value::Int).collect()))
}
