//! Quantities with units, and versions.

use semver::Version;

use super::Builtin;
use crate::value::Value;

pub(super) const ALL: &[Builtin] = &[
    Builtin::quick("units.parse", 1, |one| parse(one.first()?.as_text()?)),
    Builtin::quick("units.parse_bytes", 1, |one| parse_bytes(one.first()?.as_text()?)),
    Builtin::quick("semver.is_valid", 1, |one| {
        Some(Value::Bool(one.first()?.as_text().is_some_and(|text| version(text).is_some())))
    }),
    Builtin::quick("semver.compare", 2, |pair| {
        let [left, right] = pair else { return None };
        let order = version(left.as_text()?)?.cmp_precedence(&version(right.as_text()?)?);
        Some(Value::integer(order as i64))
    }),
];

fn version(text: &str) -> Option<Version> {
    Version::parse(text).ok()
}

/// Decimal prefixes and binary ones, as numbers of units.
fn prefix(letter: char) -> Option<(f64, f64)> {
    let power = "kmgtpe".find(letter.to_ascii_lowercase())?;
    let power = i32::try_from(power).ok()? + 1;
    Some((1000_f64.powi(power), 1024_f64.powi(power)))
}

fn number(text: &str) -> Option<(f64, &str)> {
    let text = text.trim_matches('"');
    let end = text
        .char_indices()
        .find(|(at, c)| {
            let after_digit = || {
                text.get(at + 1..).is_some_and(|r| {
                    r.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
                })
            };
            !(c.is_ascii_digit() || "+-.".contains(*c) || (matches!(c, 'e' | 'E') && after_digit()))
        })
        .map_or(text.len(), |(at, _)| at);
    let (digits, unit) = text.split_at(end);
    if text.contains(' ') || digits.is_empty() {
        return None;
    }
    Some((digits.parse().ok()?, unit))
}

/// A number with a prefix; `m` is a thousandth, `M` a million.
fn parse(text: &str) -> Option<Value> {
    let (number, unit) = number(text)?;
    let factor = match unit {
        "" => 1.0,
        "m" => 0.001,
        unit => {
            let mut letters = unit.chars();
            let (decimal, binary) = prefix(letters.next()?)?;
            match letters.as_str() {
                "" => decimal,
                "i" | "I" => binary,
                _ => return None,
            }
        }
    };
    if unit == "m" {
        // A division is exact where a product with a thousandth is not.
        return Value::float(number / 1000.0);
    }
    Value::float(number * factor)
}

/// A number of bytes; prefixes are read without regard to case.
fn parse_bytes(text: &str) -> Option<Value> {
    let (number, unit) = number(text)?;
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let mut letters = unit.chars();
    let factor = match letters.next() {
        None => 1.0,
        Some(letter) => {
            let (decimal, binary) = prefix(letter)?;
            match letters.as_str() {
                "" => decimal,
                "i" => binary,
                _ => return None,
            }
        }
    };
    Value::float((number * factor).trunc())
}
