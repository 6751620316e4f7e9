//! What makes the log file's and the webhook's copy of one event the same event.

use proofstream_canonical::CanonicalError;
use serde_json::{Number, Value};
use sha2::{Digest as _, Sha256};

/// SHA-256 (hex) of the canonical event without `kind` and `apiVersion`, which the items of a
/// webhook's batch lack. The audit ID, the stage and both timestamps are in what is hashed.
///
/// It is taken of the event as it is kept, redaction done: what was removed (a Secret's data) must
/// not be guessed from the hash, and whoever has the ledger can compute it again.
pub fn identity_sha256(event: &[u8]) -> Result<String, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(event)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    let canonical = match proofstream_canonical::value_to_vec(&value) {
        Ok(canonical) => canonical,
        Err(CanonicalError::Serialize(error)) => return Err(error),
        Err(CanonicalError::Inexact(_)) => {
            // RFC 8785 itself rounds integers to doubles; bodies of custom resources have such.
            round(&mut value);
            proofstream_canonical::value_to_vec(&value).map_err(serde::ser::Error::custom)?
        }
    };
    Ok(hex::encode(Sha256::digest(&canonical)))
}

/// Makes doubles of the integers that only a double's neighbourhood holds.
fn round(value: &mut Value) {
    match value {
        Value::Number(number) if !number.is_f64() => {
            let large = number.as_i64().is_none_or(|whole| whole.unsigned_abs() > 1 << 53);
            if let Some(double) = number.as_f64().filter(|_| large).and_then(Number::from_f64) {
                *number = double;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Object(fields) => fields.values_mut().for_each(round),
        _ => {}
    }
}
