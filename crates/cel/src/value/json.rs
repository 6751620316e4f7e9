//! From JSON and back.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value as Json};

use super::{Key, List, Map, Opaque, Text, Value};
use crate::error::Fault;
use crate::machine::Meter;
use crate::number;

impl<'v> Value<'v> {
    /// A JSON value, borrowed. Integers are `int` where `i64` holds them, every other number `double`,
    /// as the API server reads objects.
    pub fn from_json(json: &'v Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(value) => match value.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Double(value.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::String(Text::Borrowed(text)),
            Json::Array(items) => Self::List(List::Json(items)),
            Json::Object(members) => Self::Map(Map::Json(members)),
        }
    }

    /// A JSON value, copied.
    ///
    /// # Errors
    /// It is larger than the meter lets it be.
    pub fn copied_from_json(json: &Json, meter: &Meter) -> Result<Self, Fault> {
        meter.charge(1)?;
        Ok(match json {
            Json::String(text) => {
                meter.charge_text(text.len())?;
                Self::text(text.as_str())
            }
            Json::Array(items) => {
                let items = items.iter().map(|item| Self::copied_from_json(item, meter));
                Self::list(items.collect::<Result<_, _>>()?)
            }
            Json::Object(members) => {
                let mut entries = BTreeMap::new();
                for (key, value) in members {
                    let key = Key::String(Text::Shared(key.as_str().into()));
                    entries.insert(key, Self::copied_from_json(value, meter)?);
                }
                Self::map(entries)
            }
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(_) => match Value::from_json(json) {
                Value::Int(value) => Self::Int(value),
                Value::Double(value) => Self::Double(value),
                _ => Self::Null,
            },
        })
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// A value that JSON cannot hold, or one that is larger than the meter lets it be.
    pub fn to_json(&self, meter: &Meter) -> Result<Json, Fault> {
        meter.charge(1)?;
        Ok(match self {
            Self::Null | Self::Optional(None) => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::from(*value),
            Self::Uint(value) => Json::from(*value),
            Self::Double(value) => Json::from(*value),
            Self::String(text) => {
                meter.charge_text(text.len())?;
                Json::String(text.to_string())
            }
            Self::Bytes(bytes) => {
                meter.charge_text(bytes.len())?;
                Json::String(crate::library::encoders::base64(bytes))
            }
            Self::List(list) => {
                Json::Array(list.iter().map(|item| item.to_json(meter)).collect::<Result<_, _>>()?)
            }
            Self::Map(map) => {
                let mut members = JsonMap::new();
                for (key, value) in map.entries() {
                    let key = key.as_key().map(|key| key.to_string()).unwrap_or_default();
                    members.insert(key, value.to_json(meter)?);
                }
                Json::Object(members)
            }
            Self::Duration(nanoseconds) => Json::String(number::duration_text(*nanoseconds)),
            Self::Timestamp(moment) => Json::String(moment.to_string()),
            Self::Optional(Some(inner)) => inner.to_json(meter)?,
            Self::Opaque(opaque) => match &**opaque {
                Opaque::Authorizer | Opaque::Format(_) => return Err(self.not_json()),
                other => Json::String(other.to_string()),
            },
            Self::Message(message) => {
                let mut members = JsonMap::new();
                for (name, value) in &message.fields {
                    members.insert(name.to_string(), value.to_json(meter)?);
                }
                Json::Object(members)
            }
            Self::Type(_) => return Err(self.not_json()),
        })
    }

    fn not_json(&self) -> Fault {
        Fault::invalid(format!("a value of type `{}` cannot be JSON", self.type_name()))
    }
}

impl std::fmt::Display for Opaque {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => write!(formatter, "{address}"),
            Self::Cidr(block) => write!(formatter, "{block}"),
            Self::Url(url) => write!(formatter, "{url}"),
            Self::Quantity(quantity) => write!(formatter, "{quantity}"),
            Self::Semver(version) => write!(formatter, "{version}"),
            Self::Image(image) => write!(formatter, "{image}"),
            Self::Format(format) => formatter.write_str(format.name),
            Self::Authorizer => formatter.write_str("authorizer"),
        }
    }
}
