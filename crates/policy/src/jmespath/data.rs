//! Values while an expression is evaluated: borrowed as long as possible.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::Failure;
use super::ast::Ast;

/// An object whose members are made when they are asked for (the root of a policy's variables).
pub(crate) trait Document {
    /// A member; `None` where there is none of the name.
    fn member<'s>(&'s self, name: &str) -> Result<Option<Data<'s>>, Failure>;
    /// The whole of it.
    fn whole(&self) -> Result<Value, Failure>;
}

/// A value.
#[derive(Clone)]
pub(crate) enum Data<'a> {
    /// Of the request, the policy or a variable.
    Borrowed(&'a Value),
    /// Made by the expression.
    Owned(Value),
    /// A list made by the expression.
    List(Vec<Data<'a>>),
    /// An object that is made on demand.
    Lazy(&'a dyn Document),
    /// `&expression`, an argument of some functions.
    Reference(&'a Ast),
}

impl<'a> Data<'a> {
    pub(crate) const NULL: Self = Self::Owned(Value::Null);

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Owned(Value::String(text.into()))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Borrowed(value) => value.as_str(),
            Self::Owned(value) => value.as_str(),
            _ => None,
        }
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Borrowed(value) => value.as_f64(),
            Self::Owned(value) => value.as_f64(),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Borrowed(value) => value.as_object(),
            Self::Owned(value) => value.as_object(),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Borrowed(Value::Null) | Self::Owned(Value::Null))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Borrowed(Value::Array(_)) | Self::Owned(Value::Array(_)) | Self::List(_)
        )
    }

    /// Number of elements of a list.
    pub(crate) fn list_length(&self) -> Option<usize> {
        match self {
            Self::Borrowed(Value::Array(items)) | Self::Owned(Value::Array(items)) => {
                Some(items.len())
            }
            Self::List(items) => Some(items.len()),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub(crate) fn into_elements(self) -> Option<Vec<Data<'a>>> {
        match self {
            Self::Borrowed(Value::Array(items)) => Some(items.iter().map(Data::Borrowed).collect()),
            Self::Owned(Value::Array(items)) => Some(items.into_iter().map(Data::Owned).collect()),
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// One element of a list.
    pub(crate) fn element(&self, index: usize) -> Option<Data<'a>> {
        match self {
            Self::Borrowed(Value::Array(items)) => items.get(index).map(Data::Borrowed),
            Self::Owned(Value::Array(items)) => items.get(index).cloned().map(Data::Owned),
            Self::List(items) => items.get(index).cloned(),
            _ => None,
        }
    }

    /// The word for its type, as in error messages and `type()`.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::List(_) => "array",
            Self::Lazy(_) => "object",
            Self::Reference(_) => "expression",
            Self::Borrowed(value) => type_name(value),
            Self::Owned(value) => type_name(value),
        }
    }

    /// Whether it counts as false: null, false, and what is empty.
    pub(crate) fn is_false(&self) -> bool {
        let value = match self {
            Self::List(items) => return items.is_empty(),
            Self::Lazy(_) | Self::Reference(_) => return false,
            Self::Borrowed(value) => *value,
            Self::Owned(value) => value,
        };
        match value {
            Value::Null => true,
            Value::Bool(flag) => !flag,
            Value::Number(_) => false,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
        }
    }

    /// As plain JSON.
    pub(crate) fn into_value(self) -> Result<Value, Failure> {
        match self {
            Self::Borrowed(value) => Ok(value.clone()),
            Self::Owned(value) => Ok(value),
            Self::List(items) => {
                items.into_iter().map(Self::into_value).collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Lazy(document) => document.whole(),
            Self::Reference(_) => Err(Failure::invalid("an `&` expression is not a value")),
        }
    }

    /// As plain JSON, without a copy where there is none to make.
    pub(crate) fn to_value(&self) -> Result<Cow<'_, Value>, Failure> {
        match self {
            Self::Borrowed(value) => Ok(Cow::Borrowed(*value)),
            Self::Owned(value) => Ok(Cow::Borrowed(value)),
            other => other.clone().into_value().map(Cow::Owned),
        }
    }

    /// Deep equality, numbers by value.
    pub(crate) fn equals(&self, other: &Data<'_>) -> Result<bool, Failure> {
        Ok(same(self.to_value()?.as_ref(), other.to_value()?.as_ref()))
    }
}

pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Deep equality where `1` and `1.0` are the same.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, l)| right.get(key).is_some_and(|r| same(l, r)))
        }
        _ => left == right,
    }
}

/// A number, whole where it is whole.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
pub(crate) fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        Value::from(value as i64)
    } else {
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

/// The text that a value becomes inside another text: strings as they are, all else as JSON.
pub(crate) fn json_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}
