//! What each operator says of two values.

use std::borrow::Cow;

use serde_json::Value;

use super::{Operator, Order};
use crate::duration::Duration;
use crate::jmespath::same;
use crate::pattern::{Range, TextPattern};
use crate::wildcard::glob;
use proofstream_cel::Quantity;

/// Whether the operator holds between key and value. A key of null fits no operator.
pub(super) fn holds(operator: Operator, key: &Value, value: &Value) -> bool {
    match operator {
        Operator::Equals => equals(key, value),
        Operator::NotEquals => not_equals(key, value),
        Operator::In | Operator::AllIn => {
            membership(key, value).is_some_and(|found| found.iter().all(|one| *one))
        }
        Operator::AnyIn => membership(key, value).is_some_and(|found| found.iter().any(|one| *one)),
        Operator::NotIn | Operator::AnyNotIn => {
            membership(key, value).is_some_and(|found| found.iter().any(|one| !*one))
        }
        Operator::AllNotIn => {
            membership(key, value).is_some_and(|found| found.iter().all(|one| !*one))
        }
        Operator::Order(order) => ordered(order, key, value),
        Operator::Duration(order) => {
            let seconds = |value: &Value| match value {
                Value::String(text) => Duration::parse(text),
                other => other.as_f64().map(|seconds| Duration::from_seconds(seconds.trunc())),
            };
            seconds(key).zip(seconds(value)).is_some_and(|(k, v)| order.holds(k.cmp(&v)))
        }
    }
}

/// Steps that a comparison takes at most.
pub(super) fn cost(key: &Value, value: &Value) -> usize {
    let length = |value: &Value| value.as_array().map_or(1, Vec::len);
    length(key).saturating_mul(length(value))
}

/// A text as the field prints values when it compares them as texts.
fn print(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed("<nil>"),
        other => Cow::Owned(other.to_string()),
    }
}

/// Two durations, where at least one of the values is written as one; bare numbers are seconds.
fn durations(key: &Value, value: &Value) -> Option<(Duration, Duration)> {
    let written =
        |value: &Value| value.as_str().filter(|text| *text != "0").and_then(Duration::parse);
    let number = |value: &Value| value.as_f64().map(Duration::from_seconds);
    match (written(key), written(value)) {
        (Some(key), Some(value)) => Some((key, value)),
        (Some(key), None) => Some((key, number(value)?)),
        (None, Some(value)) => Some((number(key)?, value)),
        (None, None) => None,
    }
}

fn equals(key: &Value, value: &Value) -> bool {
    match key {
        Value::Null => false,
        Value::String(text) => {
            if let Some((key, value)) = durations(key, value) {
                return key == value;
            }
            let Some(wanted) = value.as_str() else { return false };
            match Quantity::parse(text) {
                Some(key) => Quantity::parse(wanted) == Some(key),
                None => glob(wanted, text),
            }
        }
        Value::Number(_) => match value {
            Value::String(text) => text.parse().ok() == key.as_f64(),
            other => same(key, other),
        },
        _ => same(key, value),
    }
}

fn not_equals(key: &Value, value: &Value) -> bool {
    match (key, value) {
        (Value::Null, _) => false,
        // An amount differs only from another amount.
        (Value::String(key), Value::String(wanted))
            if Quantity::parse(key).is_some()
                && Quantity::parse(wanted).is_none()
                && Duration::parse(wanted).is_none() =>
        {
            false
        }
        _ => !equals(key, value),
    }
}

/// Of each text of the key, whether it is among the values; `None` where they cannot be compared.
fn membership(key: &Value, value: &Value) -> Option<Vec<bool>> {
    let (keys, single): (Vec<Cow<'_, str>>, bool) = match key {
        Value::Null | Value::Object(_) => return None,
        Value::Array(items) => (items.iter().map(print).collect(), false),
        scalar => (vec![print(scalar)], true),
    };
    let both = |key: &str, value: &str| glob(value, key) || glob(key, value);
    let among = |values: &[Cow<'_, str>]| {
        keys.iter().map(|key| values.iter().any(|value| both(key, value))).collect()
    };
    match value {
        Value::Array(items) => Some(among(&items.iter().map(print).collect::<Vec<_>>())),
        Value::Number(_) if !single => Some(among(&[print(value)])),
        Value::String(text) => {
            let alone = match keys.as_slice() {
                [key] if single => glob(text, key),
                [key] => **key == **text,
                _ => false,
            };
            if alone {
                return Some(vec![true]);
            }
            if Range::parse(text).is_some() {
                let range = TextPattern::compile(text);
                let within = |key: &Cow<'_, str>| range.matches(&Value::String(key.to_string()));
                return Some(keys.iter().map(within).collect());
            }
            let listed: Vec<Cow<'_, str>> = match serde_json::from_str::<Value>(text) {
                Ok(Value::Array(items)) => items
                    .into_iter()
                    .map(|item| match item {
                        Value::String(text) => Some(Cow::Owned(text)),
                        _ => None,
                    })
                    .collect::<Option<_>>()?,
                Ok(_) => return None,
                Err(_) => vec![Cow::Borrowed(text.as_str())],
            };
            if single {
                return Some(keys.iter().map(|key| listed.contains(key)).collect());
            }
            Some(among(&listed))
        }
        _ => None,
    }
}

fn ordered(order: Order, key: &Value, value: &Value) -> bool {
    if let Some((key, value)) = durations(key, value) {
        return order.holds(key.cmp(&value));
    }
    let number = |value: &Value| match value {
        Value::String(text) => text.parse::<f64>().ok(),
        other => other.as_f64(),
    };
    if let (Value::String(key), Value::String(value)) = (key, value) {
        if let (Some(key), Some(value)) = (Quantity::parse(key), Quantity::parse(value)) {
            return order.holds(key.cmp(&value));
        }
        if key.parse::<f64>().is_err() {
            let versions = semver::Version::parse(key).ok().zip(semver::Version::parse(value).ok());
            return versions.is_some_and(|(key, value)| order.holds(key.cmp_precedence(&value)));
        }
    }
    let compared = number(key).zip(number(value)).and_then(|(key, value)| key.partial_cmp(&value));
    compared.is_some_and(|ordering| order.holds(ordering))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn operators_speak_as_the_field_expects() {
        use Operator as O;
        let greater = O::Order(Order::Greater);
        let at_most = O::Order(Order::LessOrEqual);
        for (operator, key, value, expected) in [
            (O::Equals, json!("a"), json!("a"), true),
            (O::Equals, json!("abc"), json!("a*"), true),
            (O::Equals, json!("1Gi"), json!("1024Mi"), true),
            (O::Equals, json!("1h"), json!(3600), true),
            (O::Equals, json!(1), json!("1"), true),
            (O::Equals, json!(true), json!("true"), false),
            (O::Equals, json!([1, "a"]), json!([1.0, "a"]), true),
            (O::Equals, json!(null), json!(null), false),
            (O::NotEquals, json!(null), json!("a"), false),
            (O::NotEquals, json!("a"), json!("b"), true),
            (O::NotEquals, json!("abc"), json!("a*"), false),
            (O::In, json!("a"), json!(["a", "b"]), true),
            (O::In, json!(["a", "c"]), json!(["a", "b"]), false),
            (O::AnyIn, json!(["a", "c"]), json!(["a", "b"]), true),
            (O::AnyIn, json!("a-1"), json!(["a-*"]), true),
            (O::AnyIn, json!("a-*"), json!(["a-1"]), true),
            (O::AnyIn, json!(5), json!("1-10"), true),
            (O::AnyIn, json!(50), json!("1-10"), false),
            (O::AnyIn, json!("a"), json!("[\"a\"]"), true),
            (O::AllIn, json!([]), json!(["a"]), true),
            (O::AnyNotIn, json!(["a", "c"]), json!(["a", "b"]), true),
            (O::AllNotIn, json!(["a", "c"]), json!(["a", "b"]), false),
            (O::AllNotIn, json!(["c"]), json!(["a", "b"]), true),
            (O::AllNotIn, json!(null), json!(["a", "b"]), false),
            (greater, json!(2), json!(1), true),
            (greater, json!("2"), json!("1"), true),
            (greater, json!("1Gi"), json!("1000Mi"), true),
            (greater, json!("1h"), json!("30m"), true),
            (greater, json!("1.10.0"), json!("1.9.0"), true),
            (greater, json!("x"), json!("1"), false),
            (at_most, json!(7200), json!("2h"), true),
            (O::Duration(Order::Less), json!("1m"), json!(61), true),
        ] {
            assert_eq!(holds(operator, &key, &value), expected, "{operator:?} {key} {value}");
        }
    }

    proptest! {
        #[test]
        fn any_and_all_agree_on_single_keys(key in "[a-c]{1,3}", values in prop::collection::vec("[a-c*]{1,3}", 0..4)) {
            let (key, values) = (json!(key), json!(values));
            let any = holds(Operator::AnyIn, &key, &values);
            prop_assert_eq!(any, holds(Operator::AllIn, &key, &values));
            prop_assert_eq!(any, !holds(Operator::AnyNotIn, &key, &values));
            prop_assert_eq!(any, !holds(Operator::AllNotIn, &key, &values));
        }

        #[test]
        fn orders_are_opposites(left in -1000i64..1000, right in -1000i64..1000) {
            let (left, right) = (json!(left), json!(right));
            prop_assert_ne!(
                holds(Operator::Order(Order::Greater), &left, &right),
                holds(Operator::Order(Order::LessOrEqual), &left, &right)
            );
        }
    }
}
