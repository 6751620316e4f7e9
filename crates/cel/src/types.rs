//! Types, as signatures write them and as the checker infers them.

use std::fmt;
use std::sync::Arc;

use crate::value::{Opaque, Value};

/// A type. What only the evaluation will know is `Dyn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Anything.
    Dyn,
    /// `null_type`.
    Null,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `uint`.
    Uint,
    /// `double`.
    Double,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `google.protobuf.Duration`.
    Duration,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// The type of types.
    Type,
    /// `list(T)`.
    List(Box<Type>),
    /// `map(K, V)`.
    Map(Box<Type>, Box<Type>),
    /// `optional_type(T)`.
    Optional(Box<Type>),
    /// A library's own type, by its name.
    Opaque(&'static str),
    /// A structure with a name.
    Message(Arc<str>),
    /// A parameter of a signature.
    Parameter(u8),
}

/// Names of simple types: in signatures, and as the language prints them.
const SIMPLE: [(&str, Type, &str); 12] = [
    ("dyn", Type::Dyn, "dyn"),
    ("null", Type::Null, "null_type"),
    ("bool", Type::Bool, "bool"),
    ("int", Type::Int, "int"),
    ("uint", Type::Uint, "uint"),
    ("double", Type::Double, "double"),
    ("string", Type::String, "string"),
    ("bytes", Type::Bytes, "bytes"),
    ("duration", Type::Duration, "google.protobuf.Duration"),
    ("timestamp", Type::Timestamp, "google.protobuf.Timestamp"),
    ("type", Type::Type, "type"),
    ("authorizer", Type::Opaque("authorizer"), "kubernetes.authorization.Authorizer"),
];

/// Names of libraries' own types.
const OPAQUE: [&str; 7] = ["ip", "cidr", "url", "quantity", "semver", "format", "image"];

impl Type {
    /// A list of anything.
    pub(crate) fn list() -> Self {
        Self::List(Box::new(Self::Dyn))
    }

    /// An optional of a type; an optional of an optional is one.
    pub(crate) fn optional(inner: Self) -> Self {
        match inner {
            Self::Optional(_) => inner,
            inner => Self::Optional(Box::new(inner)),
        }
    }

    /// The type of a value; of what it holds nothing is said.
    pub fn of(value: &Value<'_>) -> Self {
        let any = || Box::new(Self::Dyn);
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Int(_) => Self::Int,
            Value::Uint(_) => Self::Uint,
            Value::Double(_) => Self::Double,
            Value::String(_) => Self::String,
            Value::Bytes(_) => Self::Bytes,
            Value::List(_) => Self::List(any()),
            Value::Map(_) => Self::Map(any(), any()),
            Value::Duration(_) => Self::Duration,
            Value::Timestamp(_) => Self::Timestamp,
            Value::Type(_) => Self::Type,
            Value::Optional(_) => Self::Optional(any()),
            Value::Opaque(opaque) => Self::Opaque(opaque_name(opaque)),
            Value::Message(message) => Self::Message(Arc::clone(&message.name)),
        }
    }

    /// Whether a value may stand where this type is asked for; what it holds is not looked at.
    pub(crate) fn admits(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Dyn | Self::Parameter(_), _)
            | (Self::Null, Value::Null)
            | (Self::Bool, Value::Bool(_))
            | (Self::Int, Value::Int(_))
            | (Self::Uint, Value::Uint(_))
            | (Self::Double, Value::Double(_))
            | (Self::String, Value::String(_))
            | (Self::Bytes, Value::Bytes(_))
            | (Self::Duration, Value::Duration(_))
            | (Self::Timestamp, Value::Timestamp(_))
            | (Self::Type, Value::Type(_))
            | (Self::List(_), Value::List(_))
            | (Self::Map(..), Value::Map(_))
            | (Self::Optional(_), Value::Optional(_)) => true,
            (Self::Opaque(name), Value::Opaque(opaque)) => *name == opaque_name(opaque),
            (Self::Message(name), Value::Message(message)) => *name == message.name,
            _ => false,
        }
    }

    /// Reads a type from the front of a signature; `None` where there is none.
    pub(crate) fn read<'t>(text: &'t str) -> Option<(Self, &'t str)> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let one = |rest: &'t str| {
            let (inner, rest) = Self::read(rest.strip_prefix('<')?)?;
            Some((Box::new(inner), rest.strip_prefix('>')?))
        };
        match name {
            "list" => one(rest).map(|(inner, rest)| (Self::List(inner), rest)),
            "optional" => one(rest).map(|(inner, rest)| (Self::Optional(inner), rest)),
            "map" => {
                let (key, rest) = Self::read(rest.strip_prefix('<')?)?;
                let (value, rest) = Self::read(rest.strip_prefix(',')?)?;
                Some((Self::Map(Box::new(key), Box::new(value)), rest.strip_prefix('>')?))
            }
            _ => Self::simple(name).map(|found| (found, rest)),
        }
    }

    fn simple(name: &str) -> Option<Self> {
        if let [letter @ b'A'..=b'Z'] = name.as_bytes() {
            return Some(Self::Parameter(letter - b'A'));
        }
        let known = SIMPLE.iter().find(|(known, ..)| *known == name);
        let known = known.map(|(_, found, _)| found.clone());
        known.or_else(|| OPAQUE.iter().find(|known| **known == name).map(|name| Self::Opaque(name)))
    }

    /// The type that both are, or `Dyn`.
    pub(crate) fn join(self, other: &Self) -> Self {
        match (self, other) {
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.join(other))),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                Self::Map(Box::new(key.join(other_key)), Box::new(value.join(other_value)))
            }
            (Self::Optional(one), Self::Optional(other)) => {
                Self::Optional(Box::new(one.join(other)))
            }
            (one, other) if one == *other => one,
            _ => Self::Dyn,
        }
    }

    /// The type that a name stands for in an expression, as in `type(x) == int`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "list" => Some(Self::list()),
            "map" => Some(Self::Map(Box::new(Self::Dyn), Box::new(Self::Dyn))),
            "optional_type" => Some(Self::Optional(Box::new(Self::Dyn))),
            _ => SIMPLE
                .iter()
                .find(|(_, found, printed)| *printed == name && !matches!(found, Self::Opaque(_)))
                .map(|(_, found, _)| found.clone()),
        }
    }
}

fn opaque_name(opaque: &Opaque) -> &'static str {
    match opaque {
        Opaque::Ip(_) => "ip",
        Opaque::Cidr(_) => "cidr",
        Opaque::Url(_) => "url",
        Opaque::Quantity(_) => "quantity",
        Opaque::Semver(_) => "semver",
        Opaque::Format(_) => "format",
        Opaque::Image(_) => "image",
        Opaque::Authorizer => "authorizer",
    }
}

/// What the parameters of a signature stand for at one call.
#[derive(Debug, Default)]
pub(crate) struct Bound([Option<Type>; 4]);

impl Bound {
    /// Whether a type may stand where another is asked for; parameters are bound as they are met.
    pub(crate) fn accepts(&mut self, wanted: &Type, found: &Type) -> bool {
        match (wanted, found) {
            (Type::Parameter(number), _) => self.bind(*number, found),
            // Null stands for what is missing.
            (Type::Dyn, _)
            | (_, Type::Dyn)
            | (
                Type::Null,
                Type::Optional(_)
                | Type::Opaque(_)
                | Type::Message(_)
                | Type::Duration
                | Type::Timestamp,
            )
            | (
                Type::Optional(_)
                | Type::Opaque(_)
                | Type::Message(_)
                | Type::Duration
                | Type::Timestamp,
                Type::Null,
            ) => true,
            (Type::List(wanted), Type::List(found))
            | (Type::Optional(wanted), Type::Optional(found)) => self.accepts(wanted, found),
            (Type::Map(key, value), Type::Map(found_key, found_value)) => {
                self.accepts(key, found_key) && self.accepts(value, found_value)
            }
            (wanted, found) => wanted == found,
        }
    }

    fn bind(&mut self, number: u8, found: &Type) -> bool {
        let Some(place) = self.0.get_mut(usize::from(number)) else { return false };
        let Some(known) = place.take() else {
            *place = Some(found.clone());
            return true;
        };
        let fits = Self::default().accepts(&known, found);
        *place = Some(if fits { known.join(found) } else { known });
        fits
    }

    /// The type with its parameters filled; those that nothing bound are `Dyn`.
    pub(crate) fn fill(&self, wanted: &Type) -> Type {
        let inner = |wanted: &Type| Box::new(self.fill(wanted));
        match wanted {
            Type::Parameter(number) => {
                self.0.get(usize::from(*number)).cloned().flatten().unwrap_or(Type::Dyn)
            }
            Type::List(of) => Type::List(inner(of)),
            Type::Optional(of) => Type::Optional(inner(of)),
            Type::Map(key, value) => Type::Map(inner(key), inner(value)),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(of) => write!(formatter, "list({of})"),
            Self::Map(key, value) => write!(formatter, "map({key}, {value})"),
            Self::Optional(of) => write!(formatter, "optional_type({of})"),
            Self::Opaque("authorizer") => {
                formatter.write_str("kubernetes.authorization.Authorizer")
            }
            Self::Opaque("ip") => formatter.write_str("net.IP"),
            Self::Opaque("cidr") => formatter.write_str("net.CIDR"),
            Self::Opaque(name) => write!(formatter, "kubernetes.{name}"),
            Self::Message(name) => formatter.write_str(name),
            Self::Parameter(number) => write!(formatter, "{}", char::from(b'A' + number)),
            simple => {
                let known = SIMPLE.iter().find(|(_, found, _)| found == simple);
                formatter.write_str(known.map_or("dyn", |(.., printed)| printed))
            }
        }
    }
}
