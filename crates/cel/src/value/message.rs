//! Structures that expressions make by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{List, Map, Value};
use crate::error::Fault;

/// A structure with a name: `Object.spec{replicas: 1}`.
#[derive(Debug, Clone)]
pub struct Message<'v> {
    /// Its name.
    pub name: Arc<str>,
    /// The fields that were given a value.
    pub fields: BTreeMap<Box<str>, Value<'v>>,
}

impl Message<'_> {
    /// Checks that every structure below is named by the fields that lead to it: what stands in `spec`
    /// of an `Object` is an `Object.spec`.
    ///
    /// # Errors
    /// One that is named otherwise.
    pub fn check_names(&self) -> Result<(), Fault> {
        self.check_below(&self.name)
    }

    fn check_below(&self, name: &str) -> Result<(), Fault> {
        self.fields
            .iter()
            .try_for_each(|(field, value)| check_value(value, &format!("{name}.{field}")))
    }
}

fn check_value(value: &Value<'_>, name: &str) -> Result<(), Fault> {
    match value {
        Value::Message(message) if &*message.name == name => message.check_below(name),
        Value::Message(message) => Err(Fault::invalid(format!(
            "unexpected type name `{}`, expected `{name}`, which the fields that lead to it make",
            message.name
        ))),
        Value::List(List::Items(items)) => {
            items.iter().try_for_each(|item| check_value(item, name))
        }
        Value::Map(Map::Entries(entries)) => {
            entries.iter().try_for_each(|(key, value)| check_value(value, &format!("{name}.{key}")))
        }
        Value::Optional(Some(held)) => check_value(held, name),
        _ => Ok(()),
    }
}
