//! Where two objects differ, as the established command compares them: what is null or empty does not
//! count.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The first place at which an object is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The place, as a JSON pointer.
    pub(super) path: String,
    /// What should be there, and what is, in words.
    pub(super) values: String,
}

/// Where two objects first differ; `None` where they do not.
pub(super) fn difference(made: &Value, wanted: &Value) -> Option<Difference> {
    let tidied = |value| tidy(value).unwrap_or(Value::Null);
    first_difference(Some(&tidied(made)), Some(&tidied(wanted)), String::new())
}

/// A value without what is null or empty; `None` where nothing is left.
fn tidy(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(members) => {
            let tidied = members.iter().filter_map(|(key, member)| Some((key, tidy(member)?)));
            let tidied: BTreeMap<_, _> = tidied.collect();
            (!tidied.is_empty())
                .then(|| tidied.into_iter().map(|(key, member)| (key.clone(), member)).collect())
        }
        Value::Array(items) => {
            let tidied: Vec<Value> = items.iter().filter_map(tidy).collect();
            (!tidied.is_empty()).then_some(Value::Array(tidied))
        }
        scalar => Some(scalar.clone()),
    }
}

/// Where two values first differ; numbers are compared by value.
fn first_difference(
    made: Option<&Value>,
    wanted: Option<&Value>,
    path: String,
) -> Option<Difference> {
    match (made, wanted) {
        (Some(Value::Object(made)), Some(Value::Object(wanted))) => {
            let keys: BTreeSet<_> = made.keys().chain(wanted.keys()).collect();
            keys.into_iter().find_map(|key| {
                let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                first_difference(made.get(key), wanted.get(key), path)
            })
        }
        (Some(Value::Array(made)), Some(Value::Array(wanted))) => (0..made.len().max(wanted.len()))
            .find_map(|place| {
                first_difference(made.get(place), wanted.get(place), format!("{path}/{place}"))
            }),
        (Some(Value::Number(made)), Some(Value::Number(wanted)))
            if made.as_f64() == wanted.as_f64() =>
        {
            None
        }
        (made, wanted) if made == wanted => None,
        (made, wanted) => {
            let word = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            let values = format!("expected {}, got {}", word(wanted), word(made));
            Some(Difference { path, values })
        }
    }
}
