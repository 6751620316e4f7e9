//! `base64`, and `jsonpatch.escapeKey`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::Value;

pub(crate) const ROWS: &[Row] = &[
    ("base64.encode", "(bytes)->string", encode),
    ("base64.decode", "(string)->bytes", decode),
    ("jsonpatch.escapeKey", "(string)->string", escape_key),
];

/// Bytes as base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn encode<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::Bytes(bytes)] = arguments else { return mismatch(arguments) };
    ground.meter.charge_text(bytes.len())?;
    Ok(Value::text(base64(bytes)))
}

fn decode<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    ground.meter.charge_text(text.len())?;
    let decoded = STANDARD.decode(text.as_bytes());
    decoded
        .or_else(|_| STANDARD_NO_PAD.decode(text.as_bytes()))
        .map(Value::bytes)
        .map_err(|cause| Fault::invalid(format!("not base64: {cause}")))
}

fn escape_key<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    ground.meter.charge_text(text.len())?;
    Ok(Value::text(text.replace('~', "~0").replace('/', "~1")))
}
