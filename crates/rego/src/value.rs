//! Values of Rego: JSON and sets, in the language's own order.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

/// A value. Clones share what is large.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Arc<str>),
    /// An array.
    Array(Arc<[Value]>),
    /// An object: its members in the order of their keys, each key once.
    Object(Arc<[(Value, Value)]>),
    /// A set: its members in order, each once.
    Set(Arc<[Value]>),
}

/// A number: whole where it can be.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// A whole number.
    Integer(i64),
    /// Any other number; never one that `Integer` can hold, never NaN.
    Float(f64),
}

// === impl Number ===

impl Number {
    /// The largest whole numbers that a float holds exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    /// A number from a float; `None` where it is no number.
    pub fn from_f64(float: f64) -> Option<Self> {
        if !float.is_finite() {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole and in the range of an i64")]
        if float.fract() == 0.0 && float.abs() < Self::EXACT {
            return Some(Self::Integer(float as i64));
        }
        Some(Self::Float(float))
    }

    /// The nearest float.
    #[expect(clippy::cast_precision_loss, reason = "what a float cannot hold is rounded")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }

    /// The whole number that it is.
    pub fn as_integer(self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(integer),
            Self::Float(_) => None,
        }
    }

    fn order(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left.cmp(&right),
            _ => self.as_f64().total_cmp(&other.as_f64()),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Float(float) => write!(f, "{float}"),
        }
    }
}

// === impl Value ===

impl Value {
    /// A string.
    pub fn text(text: &str) -> Self {
        Self::String(text.into())
    }

    /// A whole number.
    pub fn integer(integer: i64) -> Self {
        Self::Number(Number::Integer(integer))
    }

    /// A length or a position.
    pub(crate) fn count(count: usize) -> Self {
        Self::integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// A number from a float; `None` where it is no number.
    pub(crate) fn float(float: f64) -> Option<Self> {
        Number::from_f64(float).map(Self::Number)
    }

    /// An array.
    pub fn array(items: impl IntoIterator<Item = Self>) -> Self {
        Self::Array(items.into_iter().collect())
    }

    /// A set of these members, each once.
    pub fn set(items: impl IntoIterator<Item = Self>) -> Self {
        let mut items: Vec<Self> = items.into_iter().collect();
        items.sort();
        items.dedup();
        Self::Set(items.into())
    }

    /// An object; the last of several members of one key stays.
    pub fn object(members: impl IntoIterator<Item = (Self, Self)>) -> Self {
        let mut members: Vec<(Self, Self)> = members.into_iter().collect();
        if !members.is_sorted_by(|left, right| left.0 < right.0) {
            members.reverse();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            members.dedup_by(|later, first| later.0 == first.0);
        }
        Self::Object(members.into())
    }

    /// From JSON.
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => {
                let float = || number.as_f64().and_then(Number::from_f64);
                let number = number.as_i64().map(Number::Integer).or_else(float);
                Self::Number(number.unwrap_or(Number::Integer(0)))
            }
            Json::String(text) => Self::text(text),
            Json::Array(items) => Self::array(items.iter().map(Self::from_json)),
            Json::Object(members) => Self::object(
                members.iter().map(|(key, value)| (Self::text(key), Self::from_json(value))),
            ),
        }
    }

    /// As JSON: sets become arrays, keys that are no strings become their text.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(Number::Integer(integer)) => Json::from(*integer),
            Self::Number(Number::Float(float)) => Json::from(*float),
            Self::String(text) => Json::from(&**text),
            Self::Array(items) | Self::Set(items) => {
                Json::Array(items.iter().map(Self::to_json).collect())
            }
            Self::Object(members) => {
                let member = |(key, value): &(Self, Self)| {
                    let key =
                        key.as_text().map_or_else(|| key.to_json().to_string(), str::to_owned);
                    (key, value.to_json())
                };
                Json::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
        }
    }

    /// What stands under a key, an index, or, in a set, the member itself.
    pub fn get(&self, key: &Self) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                let place = members.binary_search_by(|(own, _)| own.cmp(key)).ok()?;
                members.get(place).map(|(_, value)| value)
            }
            Self::Array(items) => {
                let Self::Number(Number::Integer(index)) = key else { return None };
                items.get(usize::try_from(*index).ok()?)
            }
            Self::Set(items) => items.binary_search(key).ok().and_then(|place| items.get(place)),
            _ => None,
        }
    }

    /// What stands under a key that is a string.
    pub fn member(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        let place = members
            .binary_search_by(|(own, _)| match own {
                Self::String(text) => (**text).cmp(key),
                other => other.rank().cmp(&Self::STRING),
            })
            .ok()?;
        members.get(place).map(|(_, value)| value)
    }

    /// The string that it is.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number that it is.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_integer(),
            _ => None,
        }
    }

    /// The number that it is.
    pub(crate) fn as_number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Members of an array or a set.
    pub(crate) fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) | Self::Set(items) => Some(items),
            _ => None,
        }
    }

    /// Members of an object.
    pub(crate) fn members(&self) -> Option<&[(Self, Self)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Whether it is `false`, the one value beside undefined that fails an expression.
    pub(crate) fn is_false(&self) -> bool {
        matches!(self, Self::Bool(false))
    }

    /// The name of its type, as `type_name` gives it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
            Self::Set(_) => "set",
        }
    }

    const STRING: u8 = 3;

    /// Where its type stands in the order of types.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::String(_) => Self::STRING,
            Self::Array(_) => 4,
            Self::Object(_) => 5,
            Self::Set(_) => 6,
        }
    }

    /// How large it is, in values and bytes of text: what building it again would cost.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::String(text) => 1 + text.len() as u64 / 16,
            Self::Array(items) | Self::Set(items) => 1 + items.len() as u64,
            Self::Object(members) => 1 + members.len() as u64,
            _ => 1,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => left.order(*right),
            (Self::String(left), Self::String(right)) => left.cmp(right),
            (Self::Array(left), Self::Array(right)) | (Self::Set(left), Self::Set(right)) => {
                if Arc::ptr_eq(left, right) {
                    Ordering::Equal
                } else {
                    left.cmp(right)
                }
            }
            (Self::Object(left), Self::Object(right)) => {
                if Arc::ptr_eq(left, right) {
                    return Ordering::Equal;
                }
                let keys = left.iter().map(|(key, _)| key).cmp(right.iter().map(|(key, _)| key));
                keys.then_with(|| {
                    left.iter().map(|(_, value)| value).cmp(right.iter().map(|(_, value)| value))
                })
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

/// As the language writes it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Self]| {
            for (place, item) in items.iter().enumerate() {
                write!(f, "{}{item}", if place == 0 { "" } else { ", " })?;
            }
            Ok(())
        };
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::String(text) => write!(f, "{}", Json::from(&**text)),
            Self::Array(items) => {
                f.write_str("[")?;
                list(f, items)?;
                f.write_str("]")
            }
            Self::Set(items) if items.is_empty() => f.write_str("set()"),
            Self::Set(items) => {
                f.write_str("{")?;
                list(f, items)?;
                f.write_str("}")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (place, (key, value)) in members.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if place == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_comes_back_as_it_went_in() {
        let json = json!({ "b": [1, 2.5, "x", null, true], "a": { "c": {} } });
        assert_eq!(Value::from_json(&json).to_json(), json);
    }

    #[test]
    fn values_stand_in_the_order_of_the_language() {
        let ordered = [
            Value::Null,
            Value::Bool(false),
            Value::Bool(true),
            Value::integer(-1),
            Value::float(1.5).unwrap(),
            Value::integer(2),
            Value::text("a"),
            Value::array([]),
            Value::array([Value::integer(1)]),
            Value::object([]),
            Value::set([]),
        ];
        assert!(ordered.is_sorted_by(|left, right| left < right));
        assert_eq!(Value::integer(2), Value::float(2.0).unwrap());
    }

    #[test]
    fn members_are_found_and_the_last_of_a_key_stays() {
        let pair = |key: &str, value| (Value::text(key), Value::integer(value));
        let object = Value::object([pair("b", 1), pair("a", 2), pair("b", 3)]);
        assert_eq!(object.to_string(), r#"{"a": 2, "b": 3}"#);
        assert_eq!(object.member("b"), Some(&Value::integer(3)));
        assert_eq!(object.member("c"), None);
        let set = Value::set([Value::integer(2), Value::integer(1), Value::integer(2)]);
        assert_eq!(set.to_string(), "{1, 2}");
        assert_eq!(set.get(&Value::integer(2)), Some(&Value::integer(2)));
    }
}
