//! Conversions between types, `size`, `type`, `dyn`.

use std::sync::Arc;

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::number;
use crate::types::Type;
use crate::value::{Opaque, Text, Value};

pub(crate) const ROWS: &[Row] = &[
    ("size", "(string)->int", size),
    ("size", "(bytes)->int", size),
    ("size", "(list<A>)->int", size),
    ("size", "(map<A,B>)->int", size),
    ("size", "string.()->int", size),
    ("size", "bytes.()->int", size),
    ("size", "list<A>.()->int", size),
    ("size", "map<A,B>.()->int", size),
    ("type", "(dyn)->type", type_of),
    ("dyn", "(dyn)->dyn", same),
    ("bool", "(bool)->bool", same),
    ("bool", "(string)->bool", to_bool),
    ("int", "(int)->int", same),
    ("int", "(uint)->int", to_int),
    ("int", "(double)->int", to_int),
    ("int", "(string)->int", to_int),
    ("int", "(timestamp)->int", to_int),
    ("int", "(duration)->int", to_int),
    ("uint", "(uint)->uint", same),
    ("uint", "(int)->uint", to_uint),
    ("uint", "(double)->uint", to_uint),
    ("uint", "(string)->uint", to_uint),
    ("double", "(double)->double", same),
    ("double", "(int)->double", to_double),
    ("double", "(uint)->double", to_double),
    ("double", "(string)->double", to_double),
    ("bytes", "(bytes)->bytes", same),
    ("bytes", "(string)->bytes", to_bytes),
    ("string", "(string)->string", same),
    ("string", "(bool)->string", to_text),
    ("string", "(int)->string", to_text),
    ("string", "(uint)->string", to_text),
    ("string", "(double)->string", to_text),
    ("string", "(bytes)->string", to_text),
    ("string", "(timestamp)->string", to_text),
    ("string", "(duration)->string", to_text),
    ("string", "(ip)->string", to_text),
    ("string", "(cidr)->string", to_text),
    ("string", "(quantity)->string", to_text),
    ("string", "(semver)->string", to_text),
    ("string", "(url)->string", to_text),
    ("string", "(image)->string", to_text),
];

fn size<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    Ok(Value::length(match arguments {
        [Value::String(text)] => {
            ground.meter.charge_text(text.len())?;
            text.chars().count()
        }
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(list)] => list.len(),
        [Value::Map(map)] => map.len(),
        _ => return mismatch(arguments),
    }))
}

fn same<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [value] => Ok(value.clone()),
        _ => mismatch(arguments),
    }
}

fn type_of<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [value] => Ok(Value::Type(Arc::new(Type::of(value)))),
        _ => mismatch(arguments),
    }
}

fn to_bool<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    match &**text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
        other => Err(no_such("bool", other)),
    }
}

fn to_int<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let made = match arguments {
        [Value::Uint(value)] => i64::try_from(*value).ok(),
        [Value::Double(value)] => number::truncated(*value),
        [Value::Duration(value)] => Some(*value),
        [Value::Timestamp(moment)] => Some(moment.as_second()),
        [Value::String(text)] => {
            return text.parse().map(Value::Int).map_err(|_| no_such("int", text));
        }
        _ => return mismatch(arguments),
    };
    made.map(Value::Int).ok_or_else(|| Fault::invalid("integer overflow"))
}

fn to_uint<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let made = match arguments {
        [Value::Int(value)] => u64::try_from(*value).ok(),
        [Value::Double(value)] => number::truncated_unsigned(*value),
        [Value::String(text)] => {
            return text.parse().map(Value::Uint).map_err(|_| no_such("uint", text));
        }
        _ => return mismatch(arguments),
    };
    made.map(Value::Uint).ok_or_else(|| Fault::invalid("unsigned integer overflow"))
}

fn to_double<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    Ok(Value::Double(match arguments {
        [Value::Int(value)] => number::double(*value),
        [Value::Uint(value)] => number::double_unsigned(*value),
        [Value::String(text)] => text.parse().map_err(|_| no_such("double", text))?,
        _ => return mismatch(arguments),
    }))
}

fn to_bytes<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    ground.meter.charge_text(text.len())?;
    Ok(Value::bytes(text.as_bytes().to_vec()))
}

fn to_text<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [value] = arguments else { return mismatch(arguments) };
    let text = match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => number::double_text(*value),
        Value::Timestamp(moment) => moment.to_string(),
        Value::Duration(nanoseconds) => number::duration_text(*nanoseconds),
        Value::Opaque(opaque) if !matches!(**opaque, Opaque::Authorizer | Opaque::Format(_)) => {
            opaque.to_string()
        }
        Value::Bytes(bytes) => {
            ground.meter.charge_text(bytes.len())?;
            let text = std::str::from_utf8(bytes);
            text.map_err(|_| Fault::invalid("bytes are no UTF-8 text"))?.to_owned()
        }
        _ => return mismatch(arguments),
    };
    Ok(Value::String(Text::Shared(text.into())))
}

fn no_such(wanted: &str, text: &str) -> Fault {
    let shown: String = text.chars().take(100).collect();
    Fault::invalid(format!("`{shown}` is no {wanted}"))
}
