//! `sprintf`, whose verbs are those of Go.

use super::{Builtin, Meter, Outcome};
use crate::value::{Number, Value};

pub(super) const ALL: &[Builtin] = &[Builtin::metered("sprintf", 2, sprintf)];

/// Widest field that is padded.
const MAX_WIDTH: usize = 1000;

/// A verb with its flags.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the verb")]
struct Verb {
    left: bool,
    plus: bool,
    alternate: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    letter: char,
}

fn sprintf(pair: &[Value], meter: &mut Meter) -> Outcome {
    let [Value::String(format), Value::Array(arguments)] = pair else { return Ok(None) };
    meter.spend(format.len() as u64 / 4)?;
    let mut made = String::new();
    let mut used = 0;
    let mut chars = format.chars().peekable();
    while let Some(next) = chars.next() {
        if next != '%' {
            made.push(next);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => verb.left = true,
                '+' => verb.plus = true,
                '#' => verb.alternate = true,
                ' ' => verb.space = true,
                _ => verb.zero = true,
            }
        }
        verb.width = digits(&mut chars);
        if chars.next_if_eq(&'.').is_some() {
            verb.precision = Some(digits(&mut chars).unwrap_or(0));
        }
        match chars.next() {
            None => made.push_str("%!(NOVERB)"),
            Some('%') => made.push('%'),
            Some(letter) => {
                verb.letter = letter;
                match arguments.get(used) {
                    Some(argument) => made.push_str(&written(&verb, argument)),
                    None => made.extend(["%!", letter.encode_utf8(&mut [0; 4]), "(MISSING)"]),
                }
                used += 1;
            }
        }
        meter.spend(made.len() as u64 / 256)?;
    }
    if let Some(surplus) = arguments.get(used..).filter(|surplus| !surplus.is_empty()) {
        let all: Vec<String> = surplus.iter().map(typed).collect();
        made.extend(["%!(EXTRA ", &all.join(", "), ")"]);
    }
    Ok(Some(Value::text(&made)))
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number: Option<usize> = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit).and_then(|c| c.to_digit(10)) {
        let so_far = number.unwrap_or(0).saturating_mul(10);
        number = Some(so_far.saturating_add(digit as usize).min(MAX_WIDTH));
    }
    number
}

/// A value as it is where its type is said too, as in `int=5`.
fn typed(value: &Value) -> String {
    match value {
        Value::Number(number @ Number::Integer(_)) => format!("int={number}"),
        Value::Number(Number::Float(float)) => format!("float64={}", general(*float, None)),
        other => format!("string={}", shown(other)),
    }
}

/// A value as text: strings as they are, all else as the language writes it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Number(Number::Float(float)) => general(*float, None),
        other => other.to_string(),
    }
}

fn written(verb: &Verb, value: &Value) -> String {
    let wrong = || format!("%!{}({})", verb.letter, typed(value));
    match value {
        Value::Number(Number::Integer(integer)) => match whole(verb, *integer) {
            Some(text) => padded(verb, text, true),
            None => wrong(),
        },
        Value::Number(Number::Float(float)) => match broken(verb, *float) {
            Some(text) => padded(verb, text, true),
            None => wrong(),
        },
        other => match text(verb, &shown(other)) {
            Some(text) => padded(verb, text, false),
            None => wrong(),
        },
    }
}

fn whole(verb: &Verb, integer: i64) -> Option<String> {
    let magnitude = integer.unsigned_abs();
    let prefix = |text: &'static str| if verb.alternate { text } else { "" };
    let digits = match verb.letter {
        'd' | 'v' => magnitude.to_string(),
        'b' => format!("{}{magnitude:b}", prefix("0b")),
        'o' => format!("{}{magnitude:o}", prefix("0")),
        'O' => format!("0o{magnitude:o}"),
        'x' => format!("{}{magnitude:x}", prefix("0x")),
        'X' => format!("{}{magnitude:X}", prefix("0X")),
        'c' => return Some(char::from_u32(u32::try_from(integer).ok()?)?.to_string()),
        'U' => return Some(format!("U+{magnitude:04X}")),
        'T' => return Some("int".to_owned()),
        _ => return None,
    };
    let sign = if integer < 0 {
        "-"
    } else if verb.plus {
        "+"
    } else if verb.space {
        " "
    } else {
        ""
    };
    Some(format!("{sign}{digits}"))
}

fn broken(verb: &Verb, float: f64) -> Option<String> {
    let text = match verb.letter {
        'v' | 'g' => general(float, verb.precision),
        'f' | 'F' => format!("{float:.*}", verb.precision.unwrap_or(6)),
        'e' => exponent(&format!("{float:.*e}", verb.precision.unwrap_or(6))),
        'T' => return Some("float64".to_owned()),
        _ => return None,
    };
    Some(if verb.plus && float >= 0.0 { format!("+{text}") } else { text })
}

/// The shortest form, with an exponent where it is very small or very large.
fn general(float: f64, precision: Option<usize>) -> String {
    let scientific = match precision {
        None => format!("{float:e}"),
        Some(precision) => format!("{float:.*e}", precision.saturating_sub(1)),
    };
    let magnitude = scientific.split_once('e').and_then(|(_, power)| power.parse::<i32>().ok());
    if magnitude.is_some_and(|power| (-4..21).contains(&power)) {
        match precision {
            None => float.to_string(),
            Some(_) => scientific.parse::<f64>().unwrap_or(float).to_string(),
        }
    } else {
        exponent(&scientific)
    }
}

/// Go writes at least two digits of an exponent, and its sign.
fn exponent(scientific: &str) -> String {
    match scientific.split_once('e') {
        Some((mantissa, power)) => {
            let (sign, digits) = match power.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', power),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => scientific.to_owned(),
    }
}

fn text(verb: &Verb, text: &str) -> Option<String> {
    let cut: String = match verb.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    match verb.letter {
        's' | 'v' => Some(cut),
        'q' => Some(Value::text(&cut).to_string()),
        'x' => Some(hex::encode(cut)),
        'X' => Some(hex::encode_upper(cut)),
        'T' => Some("string".to_owned()),
        _ => None,
    }
}

fn padded(verb: &Verb, text: String, is_number: bool) -> String {
    let Some(missing) = verb.width.and_then(|width| width.checked_sub(text.chars().count())) else {
        return text;
    };
    if verb.left {
        return format!("{text}{}", " ".repeat(missing));
    }
    if !verb.zero {
        return format!("{}{text}", " ".repeat(missing));
    }
    // Zeros stand between a sign and the digits.
    let sign = usize::from(is_number && text.starts_with(['-', '+']));
    let (sign, digits) = text.split_at(sign);
    format!("{sign}{}{digits}", "0".repeat(missing))
}
