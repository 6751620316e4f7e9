//! What a YAML scalar means, as sigs.k8s.io/yaml reads it before it writes JSON.
//!
//! The rules are those of YAML 1.1 as the Go library behind that package applies them: its boolean
//! words, integers with the prefixes `0x`, `0o`, `0b` and `0` (octal) and with underscores, floats,
//! no sexagesimals, dates as text. A float without a fraction comes out as an integer, because JSON
//! text carries no difference and clients read it back as one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};

/// Why a scalar has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalarError {
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

/// A scalar's value before it becomes JSON.
#[derive(Debug, Clone, PartialEq)]
enum Scalar {
    Null,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text,
}

/// The value of a plain scalar without a tag.
pub(crate) fn plain(text: &str) -> Result<Value, ScalarError> {
    json(&resolve(text), text)
}

/// The value of a scalar with a tag of YAML's own namespace, such as `str` for `!!str`.
pub(crate) fn tagged(tag: &str, text: &str) -> Result<Value, ScalarError> {
    let resolved = resolve(text);
    match (tag, &resolved) {
        ("binary", _) => binary(text),
        ("bool", Scalar::Bool(_))
        | ("int", Scalar::Integer(_) | Scalar::Unsigned(_))
        | ("float", Scalar::Float(_) | Scalar::Integer(_) | Scalar::Unsigned(_))
        | ("null", Scalar::Null) => json(&resolved, text),
        ("bool" | "int" | "float" | "null", _) => Err(ScalarError {
            message: format!("`{text}` is no {tag}, as its tag `!!{tag}` says"),
            help: "change the value or take the tag away",
        }),
        // `!!str`, `!!timestamp` and whatever else: text.
        _ => Ok(Value::from(text)),
    }
}

/// What a plain scalar is as the key of a mapping: JSON keys are text.
pub(crate) fn key(text: &str) -> Result<String, ScalarError> {
    match resolve(text) {
        Scalar::Text => Ok(text.to_owned()),
        Scalar::Bool(value) => Ok(value.to_string()),
        Scalar::Integer(value) => Ok(value.to_string()),
        Scalar::Unsigned(value) => Ok(value.to_string()),
        Scalar::Float(value) => Ok(float_key(value)),
        Scalar::Null => Err(ScalarError {
            message: "a null cannot be a key".to_owned(),
            help: "write the key in quotes",
        }),
    }
}

fn json(scalar: &Scalar, text: &str) -> Result<Value, ScalarError> {
    Ok(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(*value),
        Scalar::Integer(value) => Value::from(*value),
        Scalar::Unsigned(value) => Value::from(*value),
        Scalar::Text => Value::from(text),
        Scalar::Float(value) => match whole(*value) {
            Some(integer) => Value::from(integer),
            None => Value::Number(Number::from_f64(*value).ok_or_else(|| ScalarError {
                message: format!("`{text}` is no number that Kubernetes can store"),
                help: "write a finite number, or put the text in quotes",
            })?),
        },
    })
}

/// The integer that a float without a fraction is written as.
fn whole(value: f64) -> Option<i64> {
    // The bound is 2^63 itself: every float below it that has no fraction is an i64.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() != 0.0 || value.abs() >= LIMIT {
        return None;
    }
    format!("{value:.0}").parse().ok()
}

fn binary(text: &str) -> Result<Value, ScalarError> {
    let compact: String = text.chars().filter(|each| !each.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.map(Value::from).ok_or_else(|| ScalarError {
        message: "the value tagged `!!binary` is no base64 of UTF-8 text".to_owned(),
        help: "take the tag away: Kubernetes wants base64 as plain text",
    })
}

fn resolve(text: &str) -> Scalar {
    let Some(first) = text.bytes().next() else { return Scalar::Null };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text),
        b'.' => match text {
            ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" => Scalar::Float(f64::INFINITY),
            _ => float(text).map_or(Scalar::Text, Scalar::Float),
        },
        b'+' | b'-' | b'0'..=b'9' => number(text),
        _ => Scalar::Text,
    }
}

fn word(text: &str) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        _ => Scalar::Text,
    }
}

fn number(text: &str) -> Scalar {
    match text {
        "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let without;
    let digits = if text.contains('_') {
        without = text.replace('_', "");
        without.as_str()
    } else {
        text
    };
    integer(digits).or_else(|| float(digits).map(Scalar::Float)).unwrap_or(Scalar::Text)
}

/// An integer with Go's base prefixes; beyond 64 bits it is the float that JSON readers make of it.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, unsigned.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, unsigned.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, unsigned.get(2..)?),
        [b'0', _, ..] => (8, unsigned.get(1..)?),
        _ => (10, unsigned),
    };
    if digits.is_empty() || !digits.chars().all(|each| each.is_digit(radix)) {
        return None;
    }
    if let Ok(value) = u64::from_str_radix(digits, radix) {
        return Some(signed(value, negative, text.starts_with('+')));
    }
    let magnitude = digits
        .chars()
        .filter_map(|each| each.to_digit(radix))
        .fold(0.0_f64, |sum, digit| sum.mul_add(f64::from(radix), f64::from(digit)));
    let exact = if radix == 10 { digits.parse().unwrap_or(magnitude) } else { magnitude };
    Some(Scalar::Float(if negative { -exact } else { exact }))
}

fn signed(value: u64, negative: bool, explicit_plus: bool) -> Scalar {
    match (i64::try_from(value), negative) {
        (Ok(value), false) => Scalar::Integer(value),
        (Ok(value), true) => Scalar::Integer(-value),
        (Err(_), true) if value == 1 << 63 => Scalar::Integer(i64::MIN),
        (Err(_), false) if !explicit_plus => Scalar::Unsigned(value),
        // Go reads neither a negative nor an explicitly positive number of 64 bits as unsigned; what
        // is left to it is an arbitrary precision integer, which JSON readers turn into a float.
        #[allow(clippy::cast_precision_loss, reason = "JSON readers lose the same digits")]
        (Err(_), _) => Scalar::Float(if negative { -(value as f64) } else { value as f64 }),
    }
}

/// A decimal float in YAML's form: digits, a point, an exponent; not Rust's `inf` or `nan`.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let good_mantissa = match mantissa.split_once('.') {
        Some((left, right)) => {
            digits(left) && digits(right) && !(left.is_empty() && right.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let good_exponent = exponent.is_none_or(|part| {
        let part = part.strip_prefix(['+', '-']).unwrap_or(part);
        !part.is_empty() && digits(part)
    });
    if !good_mantissa || !good_exponent {
        return None;
    }
    // Out of range stays text, as it does in Go.
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// A float as a key: the shortest form of single precision, as Go's `%g`.
fn float_key(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    #[allow(clippy::cast_possible_truncation, reason = "keys are written in single precision")]
    let single = value as f32;
    if single.is_infinite() {
        return if single > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{single:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let power: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&power) {
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", power.unsigned_abs());
    }
    format!("{single}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_scalars_as_the_clients_of_the_api_do() {
        let cases = [
            ("yes", json!(true)),
            ("y", json!(true)),
            ("N", json!(false)),
            ("off", json!(false)),
            ("oN", json!("oN")),
            ("~", json!(null)),
            ("", json!(null)),
            ("0644", json!(420)),
            ("08", json!(8)),
            ("0o14", json!(12)),
            ("0x1f", json!(31)),
            ("-0b11", json!(-3)),
            ("1_000", json!(1000)),
            ("1.0", json!(1)),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("-.5", json!(-0.5)),
            ("+1", json!(1)),
            ("1e400", json!("1e400")),
            ("1e-7", json!(1e-7)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("184467440737095516150", json!(184_467_440_737_095_516_150.0)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("2020-01-01", json!("2020-01-01")),
            ("12:30:45", json!("12:30:45")),
            ("100m", json!("100m")),
            ("0x", json!("0x")),
            ("_1", json!("_1")),
            (".", json!(".")),
            ("+", json!("+")),
            ("-0.0", json!(0)),
            ("infinity", json!("infinity")),
            ("1.2.3", json!("1.2.3")),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), Ok(expected), "{text}");
        }
        assert!(plain(".inf").is_err());
        assert!(plain("-.INF").is_err());
    }

    #[test]
    fn writes_keys_as_the_clients_of_the_api_do() {
        for (text, expected) in
            [("on", "true"), ("1.5", "1.5"), ("1e10", "1e+10"), ("3", "3"), ("0644", "420")]
        {
            assert_eq!(key(text).as_deref(), Ok(expected), "{text}");
        }
        assert!(key("~").is_err());
    }

    #[test]
    fn honours_tags() {
        assert_eq!(tagged("str", "3"), Ok(json!("3")));
        assert_eq!(tagged("int", "4"), Ok(json!(4)));
        assert_eq!(tagged("binary", "aGk="), Ok(json!("hi")));
        assert!(tagged("int", "x").is_err());
        assert!(tagged("binary", "?").is_err());
    }
}
