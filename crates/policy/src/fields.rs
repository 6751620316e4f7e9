//! Reading an object of a document strictly: known fields only, each of its type, errors with a path.

use serde_json::{Map, Value};

use crate::error::ParseError;
use crate::jmespath::type_name;
use crate::spelling;

/// An object, and where it stands.
pub(crate) struct Fields<'v> {
    members: &'v Map<String, Value>,
    path: String,
}

impl<'v> Fields<'v> {
    /// An object that has no other fields than the known ones.
    pub(crate) fn new(value: &'v Value, path: &str, known: &[&str]) -> Result<Self, ParseError> {
        let fields = Self::open(value, path)?;
        for name in fields.members.keys() {
            if !known.contains(&name.as_str()) {
                let hint = spelling::hint(name, known.iter().copied());
                return Err(fields.error(name, format!("unknown field `{name}`{hint}")));
            }
        }
        Ok(fields)
    }

    /// An object whose other fields are passed over, unless one resembles a known one: what upstream adds
    /// in a later version has no effect here, and what is misspelt is an error.
    ///
    /// INVARIANT: only settings are read so. A field that is passed over where a rule says what it is about
    /// or what it demands, or in an exception, could let through what its author means to refuse.
    pub(crate) fn tolerant(
        value: &'v Value,
        path: &str,
        known: &[&str],
    ) -> Result<Self, ParseError> {
        let fields = Self::open(value, path)?;
        for name in fields.unknown(known) {
            let hint = spelling::hint(name, known.iter().copied());
            if !hint.is_empty() {
                return Err(fields.error(name, format!("unknown field `{name}`{hint}")));
            }
        }
        Ok(fields)
    }

    /// Names of the fields that are not known ones.
    pub(crate) fn unknown<'f>(&'f self, known: &'f [&str]) -> impl Iterator<Item = &'v str> + 'f {
        let names = self.members.keys().map(String::as_str);
        names.filter(|name| !known.contains(name))
    }

    /// An object with any fields.
    pub(crate) fn open(value: &'v Value, path: &str) -> Result<Self, ParseError> {
        match value {
            Value::Object(members) => Ok(Self { members, path: path.to_owned() }),
            other => Err(wrong_type(path, "an object", other)),
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(crate) fn error(&self, name: &str, message: impl Into<String>) -> ParseError {
        ParseError::new(self.path(name), message)
    }

    /// A field that is there and not null.
    pub(crate) fn get(&self, name: &str) -> Option<&'v Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'v str>, ParseError> {
        self.get(name)
            .map(|value| {
                value.as_str().ok_or_else(|| wrong_type(&self.path(name), "a string", value))
            })
            .transpose()
    }

    pub(crate) fn required_text(&self, name: &str) -> Result<&'v str, ParseError> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.error(name, "is required")),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ParseError> {
        self.get(name)
            .map(|value| {
                value.as_bool().ok_or_else(|| wrong_type(&self.path(name), "a boolean", value))
            })
            .transpose()
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, ParseError> {
        self.get(name)
            .map(|value| {
                value.as_i64().ok_or_else(|| wrong_type(&self.path(name), "an integer", value))
            })
            .transpose()
    }

    /// The elements of a list, each with its path; none where the field is missing.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<(String, &'v Value)>, ParseError> {
        let path = self.path(name);
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items
                .iter()
                .enumerate()
                .map(|(place, item)| (format!("{path}[{place}]"), item))
                .collect()),
            Some(other) => Err(wrong_type(&path, "a list", other)),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&'v str>, ParseError> {
        self.list(name)?
            .into_iter()
            .map(|(path, item)| item.as_str().ok_or_else(|| wrong_type(&path, "a string", item)))
            .collect()
    }

    /// The members of an object whose values are texts.
    pub(crate) fn text_map(&self, name: &str) -> Result<Vec<(&'v str, &'v str)>, ParseError> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let path = self.path(name);
        let inner = Fields::open(value, &path)?;
        inner
            .members
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) => Ok((key.as_str(), text.as_str())),
                other => Err(wrong_type(&inner.path(key), "a string", other)),
            })
            .collect()
    }
}

pub(crate) fn wrong_type(path: &str, wanted: &str, found: &Value) -> ParseError {
    ParseError::new(path, format!("must be {wanted}, not {}", type_name(found)))
}
