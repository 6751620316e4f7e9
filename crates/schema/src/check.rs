//! Whether an apply configuration fits a type.

use std::fmt::Write as _;

use serde_json::Value;

use crate::apply::{AtomicLists, Identity};
use crate::shape::{Node, Relation, Scalar, Shape};

/// Why an apply configuration cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A member that the type does not have.
    #[error("{0}: field not declared in schema")]
    Undeclared(String),
    /// A value of another type.
    #[error("{path}: expected {expected}, got {found}")]
    Mismatch {
        /// Where it stands.
        path: String,
        /// What the type wants.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// An element of a list that lacks what tells it from others.
    #[error("{path}: an element omits key field `{key}`")]
    NoKey {
        /// Where it stands.
        path: String,
        /// The key.
        key: String,
    },
    /// Two elements of a list that are one.
    #[error("{0}: an element stands twice")]
    Twice(String),
    /// Changes of what is one value.
    #[error("may not mutate atomic arrays, maps or structs: {0}")]
    Atomic(String),
}

/// Where a value stands, for messages.
#[derive(Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Member(&'p Path<'p>, &'p str),
    Element(&'p Path<'p>, usize),
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(above, name) => write!(formatter, "{above}.{name}"),
            Self::Element(above, place) => write!(formatter, "{above}[{place}]"),
        }
    }
}

impl Path<'_> {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Root => ".".to_owned(),
            path => path.to_string(),
        }
    }
}

/// Checks types, names and keys.
pub(crate) fn check(shape: Shape<'_>, value: &Value, path: Path<'_>) -> Result<(), ApplyError> {
    let mismatch = |expected| {
        let found = type_name(value);
        Err(ApplyError::Mismatch { path: path.text(), expected, found })
    };
    match (shape.node(), value) {
        (_, Value::Null) | (Node::Unknown | Node::Named(_), _) => Ok(()),
        (Node::Scalar(scalar), value) => match (scalar, value) {
            (Scalar::Text, Value::String(_))
            | (Scalar::Number, Value::Number(_))
            | (Scalar::Boolean, Value::Bool(_)) => Ok(()),
            (Scalar::Any, value) if !value.is_array() && !value.is_object() => Ok(()),
            (Scalar::Text, _) => mismatch("string"),
            (Scalar::Number, _) => mismatch("numeric (int or float)"),
            (Scalar::Boolean, _) => mismatch("boolean"),
            (Scalar::Any, _) => mismatch("scalar"),
        },
        (Node::Map(_), Value::Object(members)) => {
            for (name, value) in members {
                let path = Path::Member(&path, name);
                match shape.member(name) {
                    Some(shape) => check(shape, value, path)?,
                    None => return Err(ApplyError::Undeclared(path.text())),
                }
            }
            Ok(())
        }
        (Node::Map(_), _) => mismatch("map"),
        (Node::List(list), Value::Array(items)) => {
            for (place, item) in items.iter().enumerate() {
                check(shape.at(&list.element), item, Path::Element(&path, place))?;
            }
            if list.relation == Relation::Atomic {
                return Ok(());
            }
            let identities = Identity::of_all(shape, items, path)?;
            let repeated = identities
                .iter()
                .enumerate()
                .find(|(place, one)| identities.iter().take(*place).any(|before| before == *one));
            match repeated {
                Some((place, _)) => Err(ApplyError::Twice(Path::Element(&path, place).text())),
                None => Ok(()),
            }
        }
        (Node::List(_), _) => mismatch("list"),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

/// Refuses what would replace more than it names. Only declared members are looked into, as the API
/// server does.
pub(crate) fn refuse_atomics(
    shape: Shape<'_>,
    value: &Value,
    lists: AtomicLists,
) -> Result<(), ApplyError> {
    let mut found = String::new();
    atomics(shape, value, lists, Path::Root, &mut found);
    if found.is_empty() { Ok(()) } else { Err(ApplyError::Atomic(found)) }
}

fn atomics(
    shape: Shape<'_>,
    value: &Value,
    lists: AtomicLists,
    path: Path<'_>,
    found: &mut String,
) {
    let mut add = |path: Path<'_>| {
        let comma = if found.is_empty() { "" } else { ", " };
        let _ = write!(found, "{comma}{}", path.text());
    };
    match (shape.node(), value) {
        (Node::Map(_), Value::Object(members)) => {
            if shape.is_atomic() {
                add(path);
            }
            for (name, value) in members {
                if let Some(shape) = shape.declared(name) {
                    atomics(shape, value, lists, Path::Member(&path, name), found);
                }
            }
        }
        (Node::List(list), Value::Array(items)) => {
            if list.relation == Relation::Atomic && lists == AtomicLists::Refused {
                add(path);
            }
            for (place, item) in items.iter().enumerate() {
                let path = Path::Element(&path, place);
                atomics(shape.at(&list.element), item, lists, path, found);
            }
        }
        _ => {}
    }
}
