//! Takes the data of Secrets and tokens out of an event before anything of it is written, and keeps
//! the bodies of requests and responses apart from the line.

mod secrets;

use serde_json::{Map, Value};

use super::event::{Event, EventError};

/// What replaces a torn line from where a body begins: such a line cannot be redacted.
const BODIES: [&str; 2] = ["requestObject", "responseObject"];

/// Text fields of the line of an event that is too large are cut to this many bytes.
const SHORT: usize = 1024;

/// An event as it may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// What goes into the line: the exact bytes where nothing had to be removed or kept apart.
    pub line: Vec<u8>,
    /// The event whole but for what was redacted, where the line lacks something of it.
    pub whole: Option<Vec<u8>>,
    /// What was removed, such as `requestObject.data`, sorted; `[*]` stands for any item.
    pub removed: Vec<String>,
}

/// Redacts `bytes`, which `event` was read from. Lines of up to `limit` bytes, counted as they are
/// written within a JSON string, stay whole unless they carry a body.
pub fn event(bytes: &[u8], event: &Event<'_>, limit: usize) -> Result<Redacted, EventError> {
    let bodies = event.request_object.is_some() || event.response_object.is_some();
    if !bodies && escaped_length(bytes) <= limit {
        return Ok(Redacted { line: bytes.to_vec(), whole: None, removed: Vec::new() });
    }
    let mut value: Value = serde_json::from_slice(bytes)?;
    let removed = match value.as_object_mut() {
        Some(fields) => secrets::remove(event.object_ref.as_ref(), fields),
        None => Vec::new(),
    };
    let whole = if removed.is_empty() { bytes.to_vec() } else { serde_json::to_vec(&value)? };
    if let Some(fields) = value.as_object_mut() {
        for name in BODIES {
            fields.remove(name);
        }
    }
    let mut line = serde_json::to_vec(&value)?;
    if escaped_length(&line) > limit {
        shorten(&mut value);
        line = serde_json::to_vec(&value)?;
    }
    if escaped_length(&line) > limit {
        line = Vec::new();
    }
    Ok(Redacted { line, whole: Some(whole), removed })
}

/// Redacts a line that is no event. It may be the torn half of one, so it is cut where a body
/// begins.
pub fn torn(bytes: &[u8], limit: usize) -> Redacted {
    let body = |name: &'static str| {
        bytes.windows(name.len()).position(|part| part == name.as_bytes()).map(|at| (at, name))
    };
    let (kept, removed) = match BODIES.into_iter().filter_map(body).min() {
        Some((at, name)) => (bytes.get(..at).unwrap_or_default(), vec![format!("{name}…")]),
        None => (bytes, Vec::new()),
    };
    // Bytes that are not UTF-8 are written in base64.
    let length = match std::str::from_utf8(kept) {
        Ok(_) => escaped_length(kept),
        Err(_) => kept.len().div_ceil(3).saturating_mul(4),
    };
    if length <= limit {
        return Redacted { line: kept.to_vec(), whole: None, removed };
    }
    Redacted { line: Vec::new(), whole: Some(kept.to_vec()), removed }
}

/// Bytes of `text` within a canonical JSON string.
pub fn escaped_length(text: &[u8]) -> usize {
    let extra = |byte: &u8| match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 1,
        byte if *byte < 0x20 => 5,
        _ => 0,
    };
    text.len() + text.iter().map(extra).sum::<usize>()
}

/// Cuts long texts and lists: what is left says who did what to which object, and how it ended.
fn shorten(event: &mut Value) {
    let Value::Object(fields) = event else { return };
    let mut short = Map::new();
    for name in [
        "kind",
        "apiVersion",
        "auditID",
        "stage",
        "level",
        "verb",
        "requestURI",
        "requestReceivedTimestamp",
        "stageTimestamp",
        "user",
        "impersonatedUser",
        "objectRef",
        "responseStatus",
        "sourceIPs",
        "userAgent",
    ] {
        if let Some(mut value) = fields.remove(name) {
            cut(&mut value);
            short.insert(name.to_owned(), value);
        }
    }
    *fields = short;
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > SHORT => {
            let end = (0..=SHORT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        Value::Array(items) => {
            items.truncate(8);
            items.iter_mut().for_each(cut);
        }
        Value::Object(fields) => {
            fields.remove("extra");
            fields.remove("details");
            fields.values_mut().for_each(cut);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
