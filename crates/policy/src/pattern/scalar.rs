//! Patterns for single values: equality, operators, ranges, quantities, durations, globs.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use crate::duration::Duration;
use crate::wildcard::Wildcard;
use proofstream_cel::Quantity;

/// A pattern for one value.
#[derive(Debug, Clone)]
pub(crate) enum ScalarPattern {
    Null,
    Bool(bool),
    Number(Number),
    Text(TextPattern),
}

/// A text pattern, cut at `|` and `&` and read once.
#[derive(Debug, Clone)]
pub(crate) struct TextPattern {
    text: Box<str>,
    alternatives: Vec<Vec<Check>>,
}

#[derive(Debug, Clone)]
enum Check {
    Compare(Comparison),
    /// Between two bounds (true) or outside of them (false).
    Range {
        within: bool,
        low: Comparison,
        high: Comparison,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    More,
    MoreOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, Clone)]
struct Comparison {
    operator: Operator,
    duration: Option<Duration>,
    quantity: Option<Quantity>,
    glob: Wildcard,
}

/// The two bounds of a range such as `1-10` or `10Mi!-20Mi`.
pub(crate) struct Range<'t> {
    low: &'t str,
    high: &'t str,
    within: bool,
}

impl<'t> Range<'t> {
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        // The dash between the bounds comes after the first digit, so a sign is not taken for it.
        let first_digit = text.find(|c: char| c.is_ascii_digit())?;
        let dash = first_digit + text.get(first_digit..)?.find('-')?;
        let (low, high) = (text.get(..dash)?, text.get(dash + 1..)?);
        let (low, within) = match low.strip_suffix('!') {
            Some(low) => (low, false),
            None => (low, true),
        };
        (is_bound(low) && is_bound(high)).then_some(Self { low, high, within })
    }
}

/// `[+-|]?digits(.digits)?letters`
fn is_bound(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+', '|']).unwrap_or(text);
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(fraction)
}

impl Comparison {
    fn new(operator: Operator, operand: &str) -> Self {
        let operand = operand.trim();
        Self {
            operator,
            duration: Duration::parse(operand),
            quantity: Quantity::parse(operand),
            glob: Wildcard::new(operand),
        }
    }

    fn holds(&self, ordering: Ordering) -> bool {
        match self.operator {
            Operator::Equal => ordering.is_eq(),
            Operator::NotEqual => ordering.is_ne(),
            Operator::More => ordering.is_gt(),
            Operator::MoreOrEqual => ordering.is_ge(),
            Operator::Less => ordering.is_lt(),
            Operator::LessOrEqual => ordering.is_le(),
        }
    }

    fn matches(&self, value: &Value) -> bool {
        if self.duration.is_some() || self.quantity.is_some() {
            // A missing value counts as zero.
            let text = match value {
                Value::Null => Some(Cow::Borrowed("0")),
                Value::String(text) => Some(Cow::Borrowed(text.as_str())),
                Value::Number(number) => Some(Cow::Owned(number.to_string())),
                _ => None,
            };
            if let Some(text) = text {
                let by_duration = self.duration.zip(Duration::parse(&text));
                if by_duration.is_some_and(|(wanted, found)| self.holds(found.cmp(&wanted))) {
                    return true;
                }
                let by_quantity = self.quantity.zip(Quantity::parse(&text));
                if by_quantity.is_some_and(|(wanted, found)| self.holds(found.cmp(&wanted))) {
                    return true;
                }
            }
        }
        let negated = match self.operator {
            Operator::Equal => false,
            Operator::NotEqual => true,
            _ => return false,
        };
        let found = match value {
            Value::String(text) => self.glob.matches(text),
            Value::Bool(flag) => self.glob.matches(if *flag { "true" } else { "false" }),
            Value::Number(number) => self.glob.matches(&print_number(number)),
            Value::Null | Value::Array(_) | Value::Object(_) => return false,
        };
        found != negated
    }
}

/// Whole numbers in digits; others in the exponent form that the field compares texts with.
fn print_number(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => {
            let text = format!("{value:E}");
            let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
            match exponent.strip_prefix('-') {
                Some(digits) => format!("{mantissa}E-{digits:0>2}"),
                None => format!("{mantissa}E+{exponent:0>2}"),
            }
        }
        _ => number.to_string(),
    }
}

impl TextPattern {
    pub(crate) fn compile(text: &str) -> Self {
        let alternatives = text
            .split('|')
            .map(|alternative| {
                let alternative = alternative.trim_matches(' ');
                alternative
                    .split('&')
                    .map(|check| Check::compile(check.trim_matches(' ')))
                    .collect()
            })
            .collect();
        Self { text: text.into(), alternatives }
    }

    pub(crate) fn matches(&self, value: &Value) -> bool {
        if value.as_str() == Some(&self.text) {
            return true;
        }
        self.alternatives.iter().any(|checks| checks.iter().all(|check| check.matches(value)))
    }
}

impl Check {
    fn compile(text: &str) -> Self {
        // A single character is itself, whatever it is.
        if text.len() >= 2 {
            for (sign, operator) in [
                (">=", Operator::MoreOrEqual),
                ("<=", Operator::LessOrEqual),
                (">", Operator::More),
                ("<", Operator::Less),
                ("!", Operator::NotEqual),
            ] {
                if let Some(operand) = text.strip_prefix(sign) {
                    return Self::Compare(Comparison::new(operator, operand));
                }
            }
            if let Some(Range { low, high, within }) = Range::parse(text) {
                let (below, above) = if within {
                    (Operator::MoreOrEqual, Operator::LessOrEqual)
                } else {
                    (Operator::Less, Operator::More)
                };
                let (low, high) = (Comparison::new(below, low), Comparison::new(above, high));
                return Self::Range { within, low, high };
            }
        }
        Self::Compare(Comparison::new(Operator::Equal, text))
    }

    fn matches(&self, value: &Value) -> bool {
        match self {
            Self::Compare(comparison) => comparison.matches(value),
            Self::Range { within: true, low, high } => low.matches(value) && high.matches(value),
            Self::Range { within: false, low, high } => low.matches(value) || high.matches(value),
        }
    }
}

impl ScalarPattern {
    /// Reads a pattern; `None` for lists and objects.
    pub(crate) fn compile(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::Number(number) => Some(Self::Number(number.clone())),
            Value::String(text) => Some(Self::Text(TextPattern::compile(text))),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    pub(crate) fn matches(&self, value: &Value) -> bool {
        match self {
            Self::Null => match value {
                Value::Null => true,
                Value::Bool(flag) => !flag,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::String(text) => text.is_empty(),
                Value::Array(_) | Value::Object(_) => false,
            },
            Self::Bool(wanted) => value.as_bool() == Some(*wanted),
            Self::Number(wanted) => match value {
                Value::Number(found) => found == wanted || found.as_f64() == wanted.as_f64(),
                Value::String(text) => match wanted.as_i64() {
                    Some(wanted) => text.parse() == Ok(wanted),
                    None => text.parse().ok() == wanted.as_f64(),
                },
                _ => false,
            },
            Self::Text(pattern) => pattern.matches(value),
        }
    }
}

impl std::fmt::Display for ScalarPattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Bool(flag) => write!(formatter, "{flag}"),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(pattern) => formatter.write_str(&pattern.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn matches(pattern: &Value, value: &Value) -> bool {
        ScalarPattern::compile(pattern).unwrap().matches(value)
    }

    #[test]
    fn patterns_mean_what_the_field_means() {
        for (pattern, value, expected) in [
            (json!("false"), json!(false), true),
            (json!("false"), json!("false"), true),
            (json!("false"), json!(null), false),
            (json!(false), json!("false"), false),
            (json!(false), json!(null), false),
            (json!(1), json!("1"), true),
            (json!(1), json!(1.0), true),
            (json!(1.5), json!("1.5"), true),
            (json!("<10"), json!(null), true),
            (json!(">0"), json!(null), false),
            (json!("0"), json!(null), true),
            (json!("!x"), json!(null), false),
            (json!("!x"), json!("y"), true),
            (json!("!x & !y"), json!("y"), false),
            (json!("a | b*"), json!("bc"), true),
            (json!("?*"), json!(""), false),
            (json!("*"), json!(3), true),
            (json!(">=1Gi"), json!("1024Mi"), true),
            (json!("<1h"), json!("59m"), true),
            (json!("1-10"), json!(5), true),
            (json!("1-10"), json!(11), false),
            (json!("10Mi!-20Mi"), json!("25Mi"), true),
            (json!("10Mi!-20Mi"), json!("15Mi"), false),
            (json!("-5-5"), json!(-6), false),
            (json!("-5-5"), json!(0), true),
            (json!("a-b"), json!("a-b"), true),
            (json!(">"), json!(">"), true),
            (json!("0.5"), json!(0.5), true),
            (json!(null), json!(0), true),
            (json!(null), json!(""), true),
            (json!(null), json!("x"), false),
            (json!("*"), json!([]), false),
            (json!("1.2.3.4-5"), json!("1.2.3.4-5"), true),
        ] {
            assert_eq!(matches(&pattern, &value), expected, "{pattern} {value}");
        }
    }

    proptest! {
        #[test]
        fn any_text_matches_itself(text in ".{0,20}") {
            prop_assert!(matches(&json!(text), &json!(text)));
        }

        #[test]
        fn bounds_agree_with_numbers(bound in -50i64..50, value in -50i64..50) {
            prop_assert_eq!(matches(&json!(format!(">{bound}")), &json!(value)), value > bound);
            prop_assert_eq!(matches(&json!(format!("<= {bound}")), &json!(value)), value <= bound);
        }
    }
}
