//! Values: what JSON holds is borrowed, what an expression makes is shared.

mod compare;
mod json;
mod message;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::Fault;
use crate::library::formats::Format;
use crate::library::image::Image;
use crate::library::network::Block;
use crate::library::quantity::Quantity;
use crate::library::url::Url;
use crate::machine::as_key;
use crate::types::Type;
pub(crate) use compare::{equal, order};
pub use message::Message;

/// A value of the language.
#[derive(Debug, Clone)]
pub enum Value<'v> {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A double.
    Double(f64),
    /// A text.
    String(Text<'v>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A list.
    List(List<'v>),
    /// A map, or an object.
    Map(Map<'v>),
    /// A duration in nanoseconds.
    Duration(i64),
    /// A moment.
    Timestamp(jiff::Timestamp),
    /// A type.
    Type(Arc<Type>),
    /// A value or none.
    Optional(Option<Arc<Value<'v>>>),
    /// A value of a library's own type.
    Opaque(Arc<Opaque>),
    /// A structure with a name, as `Object.spec{…}` makes one.
    Message(Arc<Message<'v>>),
}

/// A value of a library's own type.
#[derive(Debug, Clone, PartialEq)]
pub enum Opaque {
    /// `ip('…')`.
    Ip(IpAddr),
    /// `cidr('…')`.
    Cidr(Block),
    /// `url('…')`.
    Url(Url),
    /// `quantity('…')`.
    Quantity(Quantity),
    /// `semver('…')`.
    Semver(semver::Version),
    /// `format.named('…')`.
    Format(&'static Format),
    /// `image('…')`.
    Image(Image),
    /// What answers whether a user may do something; only a live API server can.
    Authorizer,
}

/// A text, borrowed or shared.
#[derive(Debug, Clone)]
pub enum Text<'v> {
    /// Of the object or the program.
    Borrowed(&'v str),
    /// Made by the expression.
    Shared(Arc<str>),
}

/// A list.
#[derive(Debug, Clone)]
pub enum List<'v> {
    /// Of an object.
    Json(&'v [Json]),
    /// Made by the expression.
    Items(Arc<Vec<Value<'v>>>),
}

/// A map.
#[derive(Debug, Clone)]
pub enum Map<'v> {
    /// Of an object.
    Json(&'v serde_json::Map<String, Json>),
    /// Made by the expression.
    Entries(Arc<BTreeMap<Key<'v>, Value<'v>>>),
}

/// A key of a map. Integers of both kinds are one key where their values are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'v> {
    /// A boolean.
    Bool(bool),
    /// An integer that `i64` holds.
    Int(i64),
    /// An integer above that.
    Uint(u64),
    /// A text.
    String(Text<'v>),
}

impl Value<'_> {
    /// A text that is made.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    pub(crate) fn opaque(value: Opaque) -> Self {
        Self::Opaque(Arc::new(value))
    }

    pub(crate) fn bytes(value: Vec<u8>) -> Self {
        Self::Bytes(value.into())
    }

    /// A length as the language has it.
    pub(crate) fn length(length: usize) -> Self {
        Self::Int(i64::try_from(length).unwrap_or(i64::MAX))
    }

    /// The name of its type.
    pub fn type_name(&self) -> String {
        Type::of(self).to_string()
    }
}

impl<'v> Value<'v> {
    pub(crate) fn list(items: Vec<Value<'v>>) -> Self {
        Self::List(List::Items(Arc::new(items)))
    }

    pub(crate) fn map(entries: BTreeMap<Key<'v>, Value<'v>>) -> Self {
        Self::Map(Map::Entries(Arc::new(entries)))
    }

    /// A map of keys and values; of keys that are equal the last counts.
    ///
    /// # Errors
    /// A key that cannot be one.
    pub fn map_of(entries: Vec<(Self, Self)>) -> Result<Self, Fault> {
        let keyed = entries.into_iter().map(|(key, value)| Ok((as_key(&key)?, value)));
        Ok(Self::map(keyed.collect::<Result<_, Fault>>()?))
    }

    pub(crate) fn some(self) -> Self {
        Self::Optional(Some(Arc::new(self)))
    }

    /// An optional of what may be there.
    pub(crate) fn optional(value: Option<Self>) -> Self {
        Self::Optional(value.map(Arc::new))
    }

    /// The boolean it is.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text it is.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a key of a map; `None` for what cannot be one.
    pub(crate) fn as_key(&self) -> Option<Key<'v>> {
        Some(match self {
            Self::Bool(value) => Key::Bool(*value),
            Self::Int(value) => Key::Int(*value),
            Self::Uint(value) => i64::try_from(*value).map_or(Key::Uint(*value), Key::Int),
            Self::Double(value) => Key::Int(crate::number::whole(*value)?),
            Self::String(text) => Key::String(text.clone()),
            _ => return None,
        })
    }
}

impl<'v> List<'v> {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Items(items) => items.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at a place.
    pub fn get(&self, place: usize) -> Option<Value<'v>> {
        match self {
            Self::Json(items) => items.get(place).map(Value::from_json),
            Self::Items(items) => items.get(place).cloned(),
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Value<'v>> + '_ {
        // INVARIANT: places below `len` have an element.
        (0..self.len()).map(|place| self.get(place).unwrap_or(Value::Null))
    }

    /// Its elements, to be changed.
    pub(crate) fn to_items(&self) -> Vec<Value<'v>> {
        self.iter().collect()
    }
}

impl<'v> Map<'v> {
    /// How many entries it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(members) => members.len(),
            Self::Entries(entries) => entries.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<Value<'v>> {
        match self {
            Self::Json(members) => members.get(name).map(Value::from_json),
            // INVARIANT: borrowed and shared texts with one content are one key.
            Self::Entries(entries) => entries.get(&Key::String(Text::Borrowed(name))).cloned(),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Key<'_>) -> Option<Value<'v>> {
        match (self, key) {
            (Self::Json(_), Key::String(name)) => self.field(name),
            (Self::Json(_), _) => None,
            (Self::Entries(entries), key) => entries.get(key).cloned(),
        }
    }

    /// Whether there is such a key.
    pub(crate) fn has(&self, key: &Key<'_>) -> bool {
        match (self, key) {
            (Self::Json(members), Key::String(name)) => members.contains_key(&**name),
            (Self::Json(_), _) => false,
            (Self::Entries(entries), key) => entries.contains_key(key),
        }
    }

    /// Keys and values in order.
    pub fn entries(&self) -> Vec<(Value<'v>, Value<'v>)> {
        match self {
            Self::Json(members) => members
                .iter()
                .map(|(key, value)| (Value::String(Text::Borrowed(key)), Value::from_json(value)))
                .collect(),
            Self::Entries(entries) => {
                entries.iter().map(|(key, value)| (key.to_value(), value.clone())).collect()
            }
        }
    }
}

impl<'v> Key<'v> {
    pub(crate) fn to_value(&self) -> Value<'v> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(text) => Value::String(text.clone()),
        }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Int(value) => write!(formatter, "{value}"),
            Self::Uint(value) => write!(formatter, "{value}"),
            Self::String(text) => formatter.write_str(text),
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}
