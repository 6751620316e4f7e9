//! JSON documents, also several one after the other, with duplicate keys refused.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::document::Parsed;
use crate::error::Problem;

/// Values of a text that is JSON; `None` for a text that must be read as YAML (most JSON-like texts
/// that are no JSON are YAML in flow style, and YAML names the place better).
pub(crate) fn parse(text: &str) -> Option<Vec<Result<Parsed, Problem>>> {
    let start = text.trim_start();
    if !start.starts_with(['{', '[']) {
        return None;
    }
    let mut values = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Unique>();
    let mut offset = 0;
    let mut line = 1;
    loop {
        let begun = skip_blanks(text, offset);
        line += count_lines(text, offset, begun);
        offset = begun;
        let Some(result) = stream.next() else { return Some(values) };
        match result {
            Ok(Unique(value)) => {
                values.push(Ok(Parsed { value, line, item_lines: Vec::new() }));
                let end = stream.byte_offset();
                line += count_lines(text, offset, end);
                offset = end;
            }
            Err(error) if error.is_data() => {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
                values.push(Err(Problem::new(
                    error.line(),
                    error.column(),
                    message,
                    "keep one of the two",
                )));
                return Some(values);
            }
            Err(_) => return None,
        }
    }
}

fn skip_blanks(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + (rest.len() - rest.trim_start().len())
}

fn count_lines(text: &str, from: usize, to: usize) -> usize {
    text.get(from..to).unwrap_or_default().matches('\n').count()
}

/// A JSON value none of whose objects has a key twice.
struct Unique(Value);

struct UniqueVisitor;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UniqueVisitor.deserialize(deserializer).map(Unique)
    }
}

impl<'de> DeserializeSeed<'de> for UniqueVisitor {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(UniqueVisitor)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                let message = format!("the key `{key}` stands twice in one object");
                return Err(serde::de::Error::custom(message));
            }
            let value = access.next_value_seed(UniqueVisitor)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
