//! A record's envelope: reading a line, and composing one around a body that is already canonical.

mod quick;

use std::borrow::Cow;

use proofstream_canonical::{MAX_INTEGER, MAX_RECORD_LINE, NotCanonical};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::time::Time;

/// A line that is no record, or parts that do not make one.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not canonical JSON as the ledger asks for it.
    #[error("record is {0}")]
    NotCanonical(#[from] NotCanonical),
    /// Not the envelope's keys and types.
    #[error("record has another shape: {0}")]
    Shape(#[from] serde_json::Error),
    /// A field that cannot be.
    #[error("record's `{field}` {reason}: `{value}`")]
    Field {
        /// Which.
        field: &'static str,
        /// What it says, shortened.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What every record says about itself; `body` is its own kind's content, as the line spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Position in the ledger, dense from 0.
    pub seq: u64,
    /// When it was appended.
    pub time: Time,
    /// Which cluster.
    pub cluster: Cow<'a, str>,
    /// Who recorded it.
    pub source: Cow<'a, str>,
    /// Grows by one whenever the source begins anew.
    pub source_epoch: u64,
    /// Position within the epoch, dense from 0.
    pub source_seq: u64,
    /// What it is.
    pub kind: Cow<'a, str>,
    /// Which controls it is evidence for, sorted.
    pub controls: Vec<Cow<'a, str>>,
    /// The canonical JSON object of the kind's own content.
    pub body: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    v: u64,
    seq: u64,
    #[serde(borrow)]
    time: &'a str,
    #[serde(borrow)]
    cluster: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    source_epoch: u64,
    source_seq: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    controls: Vec<Text<'a>>,
    #[serde(borrow, deserialize_with = "raw")]
    body: &'a str,
}

/// The value as it is written.
fn raw<'de: 'a, 'a, D: serde::Deserializer<'de>>(from: D) -> Result<&'a str, D::Error> {
    <&'a RawValue>::deserialize(from).map(RawValue::get)
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Envelope<'a> {
    /// Reads a line (without its `\n`): canonical, complete and typed, or an error.
    ///
    /// # Errors
    /// When the line is not canonical, lacks a key, has one more, or a field cannot be.
    pub fn parse(line: &'a [u8]) -> Result<Self, RecordError> {
        let body_end = proofstream_canonical::check_record_line(line)?;
        let wire = match quick::wire(line, body_end) {
            Some(wire) => wire,
            // Another shape: this says which.
            None => serde_json::from_slice(line)?,
        };
        if wire.v != 1 {
            return Err(field("v", &wire.v.to_string(), "is a version not known here"));
        }
        let time = Time::parse(wire.time)
            .ok_or_else(|| field("time", wire.time, "is not a time to the microsecond"))?;
        let body = wire.body;
        if !body.starts_with('{') {
            return Err(field("body", body, "is not an object"));
        }
        let controls: Vec<_> = wire.controls.into_iter().map(|text| text.0).collect();
        if !controls.is_sorted() {
            return Err(field("controls", &controls.join(","), "are not sorted"));
        }
        for (name, value) in
            [("cluster", &wire.cluster), ("source", &wire.source), ("kind", &wire.kind)]
        {
            if value.is_empty() {
                return Err(field(name, value, "is empty"));
            }
        }
        Ok(Self {
            seq: wire.seq,
            time,
            cluster: wire.cluster,
            source: wire.source,
            source_epoch: wire.source_epoch,
            source_seq: wire.source_seq,
            kind: wire.kind,
            controls,
            body,
        })
    }
}

/// What a line is composed of; everything but the envelope's numbers is known when a record is
/// handed in, so the body is never parsed again.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// A canonical JSON object.
    pub body: &'a [u8],
    /// Which cluster.
    pub cluster: &'a str,
    /// Sorted.
    pub controls: &'a [String],
    /// What it is.
    pub kind: &'a str,
    /// Position in the ledger.
    pub seq: u64,
    /// Who recorded it.
    pub source: &'a str,
    /// Of the source.
    pub source_epoch: u64,
    /// Within the epoch.
    pub source_seq: u64,
    /// When it is appended.
    pub time: Time,
}

/// Composes the canonical line (without its `\n`).
///
/// The body must be a canonical object ([`proofstream_canonical::check_json`]): the caller checks
/// it once where it comes in; the result is canonical exactly when the body is.
///
/// # Errors
/// When a field cannot be, or the line would be longer than 64 KiB.
pub fn compose(parts: &Parts<'_>) -> Result<Vec<u8>, RecordError> {
    let body = std::str::from_utf8(parts.body)
        .ok()
        .filter(|body| body.starts_with('{') && body.ends_with('}'))
        .ok_or_else(|| field("body", "", "is not an object"))?;
    if !parts.controls.is_sorted() {
        return Err(field("controls", &parts.controls.join(","), "are not sorted"));
    }
    for (name, value) in
        [("cluster", parts.cluster), ("source", parts.source), ("kind", parts.kind)]
    {
        if value.is_empty() {
            return Err(field(name, value, "is empty"));
        }
    }
    let numbers = [parts.seq, parts.source_epoch, parts.source_seq];
    if let Some(number) = numbers.into_iter().find(|number| *number > MAX_INTEGER) {
        return Err(field("seq", &number.to_string(), "is beyond 2^53−1"));
    }
    let mut line = String::with_capacity(body.len() + 256);
    line.push_str("{\"body\":");
    line.push_str(body);
    line.push_str(",\"cluster\":");
    proofstream_canonical::write_string(&mut line, parts.cluster);
    line.push_str(",\"controls\":[");
    for (index, control) in parts.controls.iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        proofstream_canonical::write_string(&mut line, control);
    }
    line.push_str("],\"kind\":");
    proofstream_canonical::write_string(&mut line, parts.kind);
    line.push_str(",\"seq\":");
    line.push_str(&parts.seq.to_string());
    line.push_str(",\"source\":");
    proofstream_canonical::write_string(&mut line, parts.source);
    line.push_str(",\"source_epoch\":");
    line.push_str(&parts.source_epoch.to_string());
    line.push_str(",\"source_seq\":");
    line.push_str(&parts.source_seq.to_string());
    line.push_str(",\"time\":\"");
    line.push_str(&parts.time.to_string());
    line.push_str("\",\"v\":1}");
    if line.len() > MAX_RECORD_LINE {
        return Err(field("body", &line.len().to_string(), "makes the line longer than 64 KiB"));
    }
    Ok(line.into_bytes())
}

fn field(field: &'static str, value: &str, reason: &'static str) -> RecordError {
    RecordError::Field { field, value: value.chars().take(80).collect(), reason }
}
