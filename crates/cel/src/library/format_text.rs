//! `format`: texts with verbs (`%s`, `%d`, `%.2f`, …) filled from a list.

use std::fmt::Write as _;

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::number;
use crate::value::Value;

pub(crate) const ROWS: &[Row] = &[("format", "string.(list<dyn>)->string", format_text)];

/// Most digits after the point.
const MAX_PRECISION: usize = 100;

fn format_text<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text), Value::List(values)] = arguments else { return mismatch(arguments) };
    ground.meter.charge_text(text.len())?;
    let mut made = String::new();
    let mut values = values.iter();
    let mut rest: &str = text;
    while let Some(place) = rest.find('%') {
        let (before, after) = rest.split_at(place);
        made.push_str(before);
        rest = after.get(1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix('%') {
            made.push('%');
            rest = after;
            continue;
        }
        let precision;
        (precision, rest) = read_precision(rest)?;
        let verb = rest.chars().next();
        let verb = verb.ok_or_else(|| Fault::invalid("a format ends within a verb"))?;
        rest = rest.get(verb.len_utf8()..).unwrap_or_default();
        let value = values.next().ok_or_else(|| Fault::invalid("a format has too few values"))?;
        let filled = fill(ground, verb, precision, &value)?;
        ground.meter.charge_text(filled.len())?;
        made.push_str(&filled);
    }
    made.push_str(rest);
    Ok(Value::text(made))
}

fn read_precision(rest: &str) -> Result<(usize, &str), Fault> {
    let Some(after) = rest.strip_prefix('.') else { return Ok((6, rest)) };
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let (digits, after) = after.split_at(end);
    match digits.parse::<usize>() {
        Ok(precision) if precision <= MAX_PRECISION => Ok((precision, after)),
        _ => Err(Fault::invalid(format!("`.{digits}` is no precision up to {MAX_PRECISION}"))),
    }
}

fn fill(
    ground: &Ground<'_>,
    verb: char,
    precision: usize,
    value: &Value<'_>,
) -> Result<String, Fault> {
    let special = match value {
        Value::Double(value) if value.is_nan() => Some("NaN"),
        Value::Double(value) if value.is_infinite() && *value > 0.0 => Some("Infinity"),
        Value::Double(value) if value.is_infinite() => Some("-Infinity"),
        _ => None,
    };
    if let (Some(special), 'd' | 'f' | 'e') = (special, verb) {
        return Ok(special.to_owned());
    }
    let as_double = || match value {
        Value::Double(value) => Some(*value),
        Value::Int(value) => Some(number::double(*value)),
        Value::Uint(value) => Some(number::double_unsigned(*value)),
        _ => None,
    };
    let filled = match (verb, value) {
        ('s', value) => {
            let mut text = String::new();
            plain(ground, value, &mut text)?;
            Some(text)
        }
        ('d', Value::Int(value)) => Some(value.to_string()),
        ('d', Value::Uint(value)) => Some(value.to_string()),
        ('f', _) => as_double().map(|value| format!("{value:.precision$}")),
        ('e', _) => as_double().map(|value| scientific(value, precision)),
        ('b', Value::Bool(value)) => Some(u8::from(*value).to_string()),
        ('x', Value::String(text)) => Some(hexadecimal(ground, text.as_bytes())?),
        ('x', Value::Bytes(bytes)) => Some(hexadecimal(ground, bytes)?),
        ('X', Value::String(text)) => Some(hexadecimal(ground, text.as_bytes())?.to_uppercase()),
        ('X', Value::Bytes(bytes)) => Some(hexadecimal(ground, bytes)?.to_uppercase()),
        ('b' | 'o' | 'x' | 'X', Value::Int(value)) => {
            let sign = if *value < 0 { "-" } else { "" };
            Some(format!("{sign}{}", in_base(verb, value.unsigned_abs())))
        }
        ('b' | 'o' | 'x' | 'X', Value::Uint(value)) => Some(in_base(verb, *value)),
        ('d' | 'b' | 'o' | 'x' | 'X', _) => None,
        _ => return Err(Fault::invalid(format!("unrecognized formatting clause `%{verb}`"))),
    };
    filled.ok_or_else(|| {
        Fault::invalid(format!("`%{verb}` cannot take a value of type `{}`", value.type_name()))
    })
}

fn in_base(verb: char, value: u64) -> String {
    match verb {
        'b' => format!("{value:b}"),
        'o' => format!("{value:o}"),
        'x' => format!("{value:x}"),
        _ => format!("{value:X}"),
    }
}

fn hexadecimal(ground: &Ground<'_>, bytes: &[u8]) -> Result<String, Fault> {
    ground.meter.charge_text(bytes.len() * 2)?;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// `1.500000e+00`: an exponent has a sign and two digits.
fn scientific(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Any value as `%s` shows it.
fn plain(ground: &Ground<'_>, value: &Value<'_>, made: &mut String) -> Result<(), Fault> {
    ground.meter.charge(1)?;
    match value {
        Value::Null => made.push_str("null"),
        Value::Bool(value) => made.push_str(&value.to_string()),
        Value::Int(value) => made.push_str(&value.to_string()),
        Value::Uint(value) => made.push_str(&value.to_string()),
        Value::Double(value) if value.is_infinite() => {
            made.push_str(if *value > 0.0 { "Infinity" } else { "-Infinity" });
        }
        Value::Double(value) => made.push_str(&number::double_text(*value)),
        Value::String(text) => {
            ground.meter.charge_text(text.len())?;
            made.push_str(text);
        }
        Value::Bytes(bytes) => {
            ground.meter.charge_text(bytes.len())?;
            made.push_str(&String::from_utf8_lossy(bytes));
        }
        Value::Duration(nanoseconds) => made.push_str(&number::duration_text(*nanoseconds)),
        Value::Timestamp(moment) => made.push_str(&moment.to_string()),
        Value::Type(named) => made.push_str(&type_text(&named.to_string())),
        Value::List(list) => {
            made.push('[');
            for (place, element) in list.iter().enumerate() {
                if place > 0 {
                    made.push_str(", ");
                }
                plain(ground, &element, made)?;
            }
            made.push(']');
        }
        Value::Map(map) => {
            made.push('{');
            for (place, (key, value)) in map.entries().iter().enumerate() {
                if place > 0 {
                    made.push_str(", ");
                }
                plain(ground, key, made)?;
                made.push_str(": ");
                plain(ground, value, made)?;
            }
            made.push('}');
        }
        Value::Opaque(opaque) => made.push_str(&opaque.to_string()),
        Value::Optional(_) => {
            return Err(Fault::invalid("`%s` cannot take an optional value"));
        }
        Value::Message(message) => {
            return Err(Fault::invalid(format!("`%s` cannot take `{}`", message.name)));
        }
    }
    Ok(())
}

/// `list(dyn)` is shown as `list`.
fn type_text(name: &str) -> String {
    name.split('(').next().unwrap_or_default().to_owned()
}
