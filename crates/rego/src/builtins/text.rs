//! Strings. Positions count characters.

use super::Builtin;
use crate::value::Value;

pub(super) const ALL: &[Builtin] = &[
    Builtin::linear("concat", 2, concat),
    Builtin::linear("contains", 2, |pair| holds(pair, |text, part| text.contains(part))),
    Builtin::linear("startswith", 2, |pair| holds(pair, |text, part| text.starts_with(part))),
    Builtin::linear("endswith", 2, |pair| holds(pair, |text, part| text.ends_with(part))),
    Builtin::linear("strings.any_prefix_match", 2, |pair| {
        any_match(pair, |text, part| text.starts_with(part))
    }),
    Builtin::linear("strings.any_suffix_match", 2, |pair| {
        any_match(pair, |text, part| text.ends_with(part))
    }),
    Builtin::linear("lower", 1, |one| Some(Value::text(&one.first()?.as_text()?.to_lowercase()))),
    Builtin::linear("upper", 1, |one| Some(Value::text(&one.first()?.as_text()?.to_uppercase()))),
    Builtin::linear("strings.reverse", 1, |one| {
        Some(Value::text(&one.first()?.as_text()?.chars().rev().collect::<String>()))
    }),
    Builtin::linear("strings.count", 2, |pair| {
        let (text, part) = texts(pair)?;
        Some(Value::count(text.matches(part).count()))
    }),
    Builtin::linear("indexof", 2, |pair| {
        let (text, part) = texts(pair)?;
        let at = text.find(part).and_then(|at| text.get(..at));
        Some(at.map_or(Value::integer(-1), |before| Value::count(before.chars().count())))
    }),
    Builtin::linear("indexof_n", 2, |pair| {
        let (text, part) = texts(pair)?;
        let places = text.match_indices(part).filter_map(|(at, _)| text.get(..at));
        Some(Value::array(places.map(|before| Value::count(before.chars().count()))))
    }),
    Builtin::linear("replace", 3, |three| {
        let [text, old, new] = three else { return None };
        Some(Value::text(&text.as_text()?.replace(old.as_text()?, new.as_text()?)))
    }),
    Builtin::linear("strings.replace_n", 2, replace_n),
    Builtin::linear("split", 2, |pair| {
        let (text, by) = texts(pair)?;
        if by.is_empty() {
            let mut buffer = [0; 4];
            return Some(Value::array(
                text.chars().map(|c| Value::text(c.encode_utf8(&mut buffer))),
            ));
        }
        Some(Value::array(text.split(by).map(Value::text)))
    }),
    Builtin::linear("substring", 3, substring),
    Builtin::linear("trim", 2, |pair| {
        let (text, set) = texts(pair)?;
        Some(Value::text(text.trim_matches(|c| set.contains(c))))
    }),
    Builtin::linear("trim_left", 2, |pair| {
        let (text, set) = texts(pair)?;
        Some(Value::text(text.trim_start_matches(|c| set.contains(c))))
    }),
    Builtin::linear("trim_right", 2, |pair| {
        let (text, set) = texts(pair)?;
        Some(Value::text(text.trim_end_matches(|c| set.contains(c))))
    }),
    Builtin::linear("trim_prefix", 2, |pair| {
        let (text, part) = texts(pair)?;
        Some(Value::text(text.strip_prefix(part).unwrap_or(text)))
    }),
    Builtin::linear("trim_suffix", 2, |pair| {
        let (text, part) = texts(pair)?;
        Some(Value::text(text.strip_suffix(part).unwrap_or(text)))
    }),
    Builtin::linear("trim_space", 1, |one| Some(Value::text(one.first()?.as_text()?.trim()))),
    Builtin::quick("format_int", 2, format_int),
];

fn texts(pair: &[Value]) -> Option<(&str, &str)> {
    let [left, right] = pair else { return None };
    Some((left.as_text()?, right.as_text()?))
}

fn holds(pair: &[Value], holds: fn(&str, &str) -> bool) -> Option<Value> {
    let (text, part) = texts(pair)?;
    Some(Value::Bool(holds(text, part)))
}

/// One text or several against one part or several.
fn any_match(pair: &[Value], holds: fn(&str, &str) -> bool) -> Option<Value> {
    let many = |value: &Value| match value {
        Value::String(_) => Some(vec![value.clone()]),
        other => other.items().map(<[Value]>::to_vec),
    };
    let [texts, parts] = pair else { return None };
    let (texts, parts) = (many(texts)?, many(parts)?);
    let found = texts
        .iter()
        .filter_map(Value::as_text)
        .any(|text| parts.iter().filter_map(Value::as_text).any(|part| holds(text, part)));
    Some(Value::Bool(found))
}

fn concat(pair: &[Value]) -> Option<Value> {
    let [by, items] = pair else { return None };
    let items: Option<Vec<&str>> = items.items()?.iter().map(Value::as_text).collect();
    Some(Value::text(&items?.join(by.as_text()?)))
}

fn replace_n(pair: &[Value]) -> Option<Value> {
    let [changes, text] = pair else { return None };
    let changes: Option<Vec<(&str, &str)>> = changes
        .members()?
        .iter()
        .map(|(old, new)| Some((old.as_text()?, new.as_text()?)))
        .collect();
    let changes = changes?;
    let mut rest = text.as_text()?;
    let mut made = String::new();
    // At each place the first that fits is replaced, and what was made is not looked at again.
    while let Some(next) = rest.chars().next() {
        let fits = changes.iter().find(|(old, _)| !old.is_empty() && rest.starts_with(old));
        let length = if let Some((old, new)) = fits {
            made.push_str(new);
            old.len()
        } else {
            made.push(next);
            next.len_utf8()
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Some(Value::text(&made))
}

fn substring(three: &[Value]) -> Option<Value> {
    let [text, start, length] = three else { return None };
    let (text, length) = (text.as_text()?, length.as_integer()?);
    let start = usize::try_from(start.as_integer()?).ok()?;
    let rest = text.chars().skip(start);
    let made: String = match usize::try_from(length) {
        Ok(length) => rest.take(length).collect(),
        // A negative length means all that is left.
        Err(_) => rest.collect(),
    };
    Some(Value::text(&made))
}

fn format_int(pair: &[Value]) -> Option<Value> {
    let [number, base] = pair else { return None };
    let number = number.as_number()?.as_f64().trunc();
    #[expect(clippy::cast_possible_truncation, reason = "a float that is too large is cut off")]
    let number = number as i64;
    let magnitude = number.unsigned_abs();
    let digits = match base.as_integer()? {
        2 => format!("{magnitude:b}"),
        8 => format!("{magnitude:o}"),
        10 => magnitude.to_string(),
        16 => format!("{magnitude:x}"),
        _ => return None,
    };
    Some(Value::text(&format!("{}{digits}", if number < 0 { "-" } else { "" })))
}
