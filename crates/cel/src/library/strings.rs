//! Functions of texts. Places count characters.

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::Value;

pub(crate) const ROWS: &[Row] = &[
    ("contains", "string.(string)->bool", contains),
    ("startsWith", "string.(string)->bool", starts_with),
    ("endsWith", "string.(string)->bool", ends_with),
    ("charAt", "string.(int)->string", char_at),
    ("indexOf", "string.(string)->int", index_of),
    ("indexOf", "string.(string,int)->int", index_of),
    ("lastIndexOf", "string.(string)->int", last_index_of),
    ("lastIndexOf", "string.(string,int)->int", last_index_of),
    ("join", "list<string>.()->string", join),
    ("join", "list<string>.(string)->string", join),
    ("lowerAscii", "string.()->string", lower_ascii),
    ("upperAscii", "string.()->string", upper_ascii),
    ("replace", "string.(string,string)->string", replace),
    ("replace", "string.(string,string,int)->string", replace),
    ("split", "string.(string)->list<string>", split),
    ("split", "string.(string,int)->list<string>", split),
    ("substring", "string.(int)->string", substring),
    ("substring", "string.(int,int)->string", substring),
    ("trim", "string.()->string", trim),
    ("reverse", "string.()->string", reverse),
    ("strings.quote", "(string)->string", quote),
];

/// The texts of the first two arguments, paid for.
fn two<'a>(ground: &Ground<'_>, arguments: &'a [Value<'_>]) -> Result<(&'a str, &'a str), Fault> {
    if let [Value::String(one), Value::String(other), ..] = arguments {
        ground.meter.charge_text(one.len() + other.len())?;
        return Ok((one, other));
    }
    mismatch(arguments).and(Ok(("", "")))
}

fn one<'a>(ground: &Ground<'_>, arguments: &'a [Value<'_>]) -> Result<&'a str, Fault> {
    if let [Value::String(text), ..] = arguments {
        ground.meter.charge_text(text.len())?;
        return Ok(text);
    }
    mismatch(arguments).and(Ok(""))
}

fn contains<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, part) = two(ground, arguments)?;
    Ok(Value::Bool(text.contains(part)))
}

fn starts_with<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, part) = two(ground, arguments)?;
    Ok(Value::Bool(text.starts_with(part)))
}

fn ends_with<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, part) = two(ground, arguments)?;
    Ok(Value::Bool(text.ends_with(part)))
}

/// Where a character begins in bytes; the place after the last one is the end.
fn byte_of(text: &str, place: i64) -> Result<usize, Fault> {
    let out_of_range = || Fault::invalid(format!("index out of range: {place}"));
    let place = usize::try_from(place).map_err(|_| out_of_range())?;
    let mut starts = text.char_indices().map(|(start, _)| start).chain([text.len()]);
    starts.nth(place).ok_or_else(out_of_range)
}

fn char_at<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let text = one(ground, arguments)?;
    let [_, Value::Int(place)] = arguments else { return mismatch(arguments) };
    let start = byte_of(text, *place)?;
    let found = text.get(start..).and_then(|rest| rest.chars().next());
    Ok(Value::text(found.map(String::from).unwrap_or_default()))
}

fn index_of<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, part) = two(ground, arguments)?;
    let from = match arguments {
        [_, _, Value::Int(from)] => byte_of(text, *from)?,
        _ => 0,
    };
    let found = text.get(from..).and_then(|rest| rest.find(part)).map(|found| from + found);
    Ok(character_of(text, found))
}

fn last_index_of<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, part) = two(ground, arguments)?;
    // The part may begin at the given character at the latest.
    let end = match arguments {
        [_, _, Value::Int(last)] => (byte_of(text, *last)? + part.len()).min(text.len()),
        _ => text.len(),
    };
    let within = (end..=text.len()).find_map(|end| text.get(..end)).unwrap_or(text);
    Ok(character_of(text, within.rfind(part)))
}

/// A place in bytes as one in characters, −1 where there is none.
fn character_of<'v>(text: &str, byte: Option<usize>) -> Value<'v> {
    let before = byte.and_then(|byte| text.get(..byte));
    before.map_or(Value::Int(-1), |before| Value::length(before.chars().count()))
}

fn join<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (list, separator) = match arguments {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return mismatch(arguments),
    };
    ground.meter.charge_count(list.len())?;
    let mut made = String::new();
    for (place, element) in list.iter().enumerate() {
        let Value::String(text) = &element else { return mismatch(&[element]) };
        ground.meter.charge_text(text.len() + separator.len())?;
        if place > 0 {
            made.push_str(separator);
        }
        made.push_str(text);
    }
    Ok(Value::text(made))
}

fn lower_ascii<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    Ok(Value::text(one(ground, arguments)?.to_ascii_lowercase()))
}

fn upper_ascii<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    Ok(Value::text(one(ground, arguments)?.to_ascii_uppercase()))
}

fn replace<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, old, new, limit) = match arguments {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(limit)] => {
            (text, old, new, *limit)
        }
        _ => return mismatch(arguments),
    };
    ground.meter.charge_text(text.len())?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let count = text.matches(&**old).count().min(limit);
    ground.meter.charge_text(count.saturating_mul(new.len()))?;
    Ok(Value::text(text.replacen(&**old, new, count)))
}

fn split<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, separator) = two(ground, arguments)?;
    let limit = match arguments {
        [_, _, Value::Int(limit)] => usize::try_from(*limit).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    ground.meter.charge_count(text.matches(separator).count().min(limit))?;
    let parts: Vec<Value<'v>> = if separator.is_empty() {
        // Between characters; the last part takes what the limit leaves.
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if parts.len() + 1 >= limit {
                break;
            }
            let (head, tail) = rest.split_at(first.len_utf8());
            parts.push(Value::text(head));
            rest = tail;
        }
        if limit > 0
            && (!rest.is_empty() || text.is_empty())
            && !(text.is_empty() && limit == usize::MAX)
        {
            parts.push(Value::text(rest));
        }
        parts
    } else {
        text.splitn(limit, separator).map(Value::text).collect()
    };
    Ok(Value::list(parts))
}

fn substring<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let text = one(ground, arguments)?;
    let (start, end) = match arguments {
        [_, Value::Int(start)] => (byte_of(text, *start)?, text.len()),
        [_, Value::Int(start), Value::Int(end)] if start > end => {
            let message = format!("invalid substring range: start {start}, end {end}");
            return Err(Fault::invalid(message));
        }
        [_, Value::Int(start), Value::Int(end)] => (byte_of(text, *start)?, byte_of(text, *end)?),
        _ => return mismatch(arguments),
    };
    Ok(Value::text(text.get(start..end).unwrap_or_default()))
}

fn trim<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    Ok(Value::text(one(ground, arguments)?.trim()))
}

fn reverse<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    Ok(Value::text(one(ground, arguments)?.chars().rev().collect::<String>()))
}

fn quote<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let text = one(ground, arguments)?;
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(Value::text(quoted))
}
