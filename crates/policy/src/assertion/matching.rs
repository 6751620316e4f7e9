//! Whether a value is the wanted one.

use serde_json::Value;

use crate::jmespath::{same, type_name};

/// Whether a value fits: of objects the wanted members count, lists fit element by element.
///
/// # Errors
/// Values of types that cannot be compared, as a text with a number.
pub(super) fn fits(wanted: &Value, found: &Value) -> Result<bool, String> {
    match (wanted, found) {
        (Value::Array(wanted), Value::Array(found)) => {
            if wanted.len() != found.len() {
                return Ok(false);
            }
            all(wanted.iter().zip(found).map(|(wanted, found)| fits(wanted, found)))
        }
        (Value::Object(wanted), Value::Object(found)) => all(wanted
            .iter()
            .map(|(key, wanted)| found.get(key).map_or(Ok(false), |found| fits(wanted, found)))),
        (Value::Array(_) | Value::Object(_), _) => Err(incomparable(wanted, found)),
        (Value::Null, _) | (_, Value::Null) => Ok(wanted == found),
        _ if type_name(wanted) == type_name(found) => Ok(same(wanted, found)),
        _ => Err(incomparable(wanted, found)),
    }
}

fn all(mut each: impl Iterator<Item = Result<bool, String>>) -> Result<bool, String> {
    each.try_fold(true, |so_far, fits| Ok(so_far && fits?))
}

fn incomparable(wanted: &Value, found: &Value) -> String {
    format!("{} cannot be compared with {}", type_name(found), type_name(wanted))
}
