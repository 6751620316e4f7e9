//! Numbers across their types, and how they and durations are written.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::value::Value;

/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// The first double above every `i64`, and above every `u64`.
const I64_END: f64 = 9_223_372_036_854_775_808.0;
const U64_END: f64 = 18_446_744_073_709_551_616.0;

/// Compares two numbers by value; `None` where one is no number or not a number.
pub(crate) fn compare(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Uint(left), Value::Uint(right)) => Some(left.cmp(right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::Uint(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Value::Uint(left), Value::Int(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Value::Double(left), Value::Int(right)) => with_double(*left, i128::from(*right)),
        (Value::Double(left), Value::Uint(right)) => with_double(*left, i128::from(*right)),
        (Value::Int(left), Value::Double(right)) => {
            with_double(*right, i128::from(*left)).map(Ordering::reverse)
        }
        (Value::Uint(left), Value::Double(right)) => {
            with_double(*right, i128::from(*left)).map(Ordering::reverse)
        }
        _ => None,
    }
}

/// A double against an integer, exactly: doubles near 2^63 are no integers' neighbours.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn with_double(double: f64, whole: i128) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= U64_END {
        return Some(Ordering::Greater);
    }
    if double < -I64_END {
        return Some(Ordering::Less);
    }
    let floor = double.floor();
    let order = (floor as i128).cmp(&whole);
    Some(if order == Ordering::Equal && double > floor { Ordering::Greater } else { order })
}

/// A double as `i64`, if it is whole and in range.
pub(crate) fn whole(double: f64) -> Option<i64> {
    if double.fract() == 0.0 { truncated(double) } else { None }
}

/// A double as `i64` without its fraction, if it is in range.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
pub(crate) fn truncated(double: f64) -> Option<i64> {
    (double > -I64_END && double < I64_END).then_some(double as i64)
}

/// A double as `u64` without its fraction, if it is in range.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
pub(crate) fn truncated_unsigned(double: f64) -> Option<u64> {
    (0.0..U64_END).contains(&double).then_some(double as u64)
}

/// An integer as a double; large ones lose their last digits, as everywhere in the language.
#[expect(clippy::cast_precision_loss, reason = "conversion to double is what was asked for")]
pub(crate) fn double(whole: i64) -> f64 {
    whole as f64
}

/// The same for unsigned ones.
#[expect(clippy::cast_precision_loss, reason = "conversion to double is what was asked for")]
pub(crate) fn double_unsigned(whole: u64) -> f64 {
    whole as f64
}

/// A double as the field prints it: shortest digits, with an exponent below 1e-4 and from 1e6 on
/// (`1e+06`, `0.5`, `100000`).
pub(crate) fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// A duration as the language converts it to text: seconds with their fraction (`90s`, `0.5s`).
pub(crate) fn duration_text(nanoseconds: i64) -> String {
    let (whole, part) = (nanoseconds / SECOND, (nanoseconds % SECOND).unsigned_abs());
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let mut text = format!("{sign}{}", whole.unsigned_abs());
    if part != 0 {
        let digits = format!("{part:09}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text.push('s');
    text
}

/// Reads a duration (`1h30m`, `1.5s`, `-2ms`) as nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(scaled(number, unit)?)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A decimal number times a unit, its digits past the nanosecond dropped.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    let digits: String = fraction.chars().take(15).collect();
    let part: i128 = if digits.is_empty() { 0 } else { digits.parse::<u64>().ok()?.into() };
    let divisor = 10_i128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    whole.checked_mul(unit)?.checked_add(part * unit / divisor)
}
