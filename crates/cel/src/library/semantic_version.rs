//! Semantic versions.

use std::cmp::Ordering;

use semver::Version;

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::{Opaque, Value};

pub(crate) const ROWS: &[Row] = &[
    ("semver", "(string)->semver", version),
    ("semver", "(string,bool)->semver", version),
    ("isSemver", "(string)->bool", |_, values| Ok(Value::Bool(parse(values).is_some()))),
    ("isSemver", "(string,bool)->bool", |_, values| Ok(Value::Bool(parse(values).is_some()))),
    ("major", "semver.()->int", |_, values| number(values, |version| version.major)),
    ("minor", "semver.()->int", |_, values| number(values, |version| version.minor)),
    ("patch", "semver.()->int", |_, values| number(values, |version| version.patch)),
    ("isLessThan", "semver.(semver)->bool", |_, values| {
        compared(values, |order| Value::Bool(order == Ordering::Less))
    }),
    ("isGreaterThan", "semver.(semver)->bool", |_, values| {
        compared(values, |order| Value::Bool(order == Ordering::Greater))
    }),
    ("compareTo", "semver.(semver)->int", |_, values| {
        compared(values, |order| Value::Int(order as i64))
    }),
];

fn parse(arguments: &[Value<'_>]) -> Option<Version> {
    let (text, normalize) = match arguments {
        [Value::String(text)] => (text, false),
        [Value::String(text), Value::Bool(normalize)] => (text, *normalize),
        _ => return None,
    };
    if normalize { Version::parse(&normalized(text)).ok() } else { Version::parse(text).ok() }
}

/// `v1.02` as `1.2.0`: without the letter, leading zeros and with all three numbers.
fn normalized(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts: Vec<&str> = numbers
        .split('.')
        .map(|part| {
            let trimmed = part.trim_start_matches('0');
            if trimmed.is_empty() && !part.is_empty() { "0" } else { trimmed }
        })
        .collect();
    while parts.len() < 3 {
        parts.push("0");
    }
    format!("{}{rest}", parts.join("."))
}

fn version<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    parse(arguments).map(|version| Value::opaque(Opaque::Semver(version))).ok_or_else(|| {
        let text = arguments.first().and_then(Value::as_str).unwrap_or_default();
        let shown: String = text.chars().take(100).collect();
        Fault::invalid(format!("`{shown}` is no semantic version"))
    })
}

fn as_version<'a>(value: &'a Value<'_>) -> Option<&'a Version> {
    match value {
        Value::Opaque(opaque) => match &**opaque {
            Opaque::Semver(version) => Some(version),
            _ => None,
        },
        _ => None,
    }
}

fn number<'v>(arguments: &[Value<'v>], read: fn(&Version) -> u64) -> Outcome<'v> {
    match arguments.first().and_then(as_version) {
        Some(version) => Ok(Value::Int(i64::try_from(read(version)).unwrap_or(i64::MAX))),
        None => mismatch(arguments),
    }
}

fn compared<'v>(arguments: &[Value<'v>], make: fn(Ordering) -> Value<'static>) -> Outcome<'v> {
    let [one, other] = arguments else { return mismatch(arguments) };
    match (as_version(one), as_version(other)) {
        (Some(one), Some(other)) => Ok(make(one.cmp_precedence(other))),
        _ => mismatch(arguments),
    }
}
