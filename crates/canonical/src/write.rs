//! The RFC 8785 writer: any serialisable value to its one canonical form.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::{Number, Value};

/// A value that has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The value's own `Serialize` failed, or a map has keys that are not strings.
    #[error("value cannot be written as JSON: {0}")]
    Serialize(#[from] serde_json::Error),
    /// An integer that no IEEE 754 double holds exactly, so that readers would disagree on it.
    #[error("integer `{0}` is not exact as a double; write it as a string")]
    Inexact(String),
}

/// Writes `value` in canonical form, as UTF-8 bytes.
///
/// # Errors
/// When the value cannot be serialised, or holds an integer that a double cannot hold exactly.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    Ok(to_string(value)?.into_bytes())
}

/// Writes `value` in canonical form.
///
/// # Errors
/// As [`to_vec`].
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, CanonicalError> {
    let value = serde_json::to_value(value)?;
    let mut out = String::with_capacity(256);
    write_value(&mut out, &value)?;
    Ok(out)
}

/// Writes an already parsed value in canonical form, without copying it first.
///
/// # Errors
/// As [`to_vec`].
pub fn value_to_vec(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = String::with_capacity(256);
    write_value(&mut out, value)?;
    Ok(out.into_bytes())
}

/// Orders two object keys as RFC 8785 section 3.2.3 does: by UTF-16 code units.
pub fn compare_keys(left: &str, right: &str) -> Ordering {
    if left.is_ascii() && right.is_ascii() {
        return left.cmp(right);
    }
    left.encode_utf16().cmp(right.encode_utf16())
}

/// Appends `text` to `out` as a quoted JSON string with canonical escapes.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if u32::from(control) < 0x20 => write_escape(out, u32::from(control)),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

fn write_escape(out: &mut String, code: u32) {
    out.push_str("\\u00");
    for shift in [4, 0] {
        out.push(char::from_digit((code >> shift) & 0xf, 16).unwrap_or('0'));
    }
}

fn write_value(out: &mut String, value: &Value) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number)?,
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|left, right| compare_keys(left.0, right.0));
            out.push('{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, member)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_number(out: &mut String, number: &Number) -> Result<(), CanonicalError> {
    let inexact = || CanonicalError::Inexact(number.to_string());
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let double = number.as_f64().ok_or_else(inexact)?;
    if let Some(integer) = integer
        && integer.unsigned_abs() > u128::from(super::MAX_INTEGER)
        && format!("{double:.0}") != integer.to_string()
    {
        return Err(inexact());
    }
    // serde_json never holds NaN or an infinity, so the formatter's finite form is the right one.
    out.push_str(ryu_js::Buffer::new().format_finite(double));
    Ok(())
}
