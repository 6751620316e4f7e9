//! From an audit line to what is recorded of it: everything that needs no lock and no order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofstream_model::{EventBody, Timestamp};
use proofstream_observe::audit::AuditLine;
use proofstream_observe::audit::block::{self, Classification};
use proofstream_observe::audit::event::{Event, identity_sha256};
use proofstream_observe::audit::redact::{self, Redacted};

use super::blocks::{self, Found};
use super::uncalled::Lapse;
use super::{EventSink, Ingest, SinkError};

/// A record's line has at most 64 KiB; this is left for what stands around the event.
const AROUND: usize = 2048;

/// How audit IDs of our heartbeats begin.
pub const BEAT: &str = "proofstream-heartbeat-";

const MEDIA: &str = "application/json";

/// What is recorded of one line.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) body: EventBody,
    pub(super) block: Option<Found>,
    /// Webhooks that could not be asked.
    pub(super) lapses: Vec<Lapse>,
    /// The event's identity over both transports, where a block or lapse needs it.
    pub(super) identity: Option<String>,
    /// When the event's stage was reached.
    pub(super) time: Option<Timestamp>,
    /// The audit ID, where the request was one of our heartbeats.
    pub(super) beat: Option<String>,
}

/// Reads, redacts and classifies `line`; stores what is kept beside it.
pub(super) fn prepare(
    ingest: &Ingest,
    sink: &dyn EventSink,
    line: &AuditLine,
) -> Result<Prepared, SinkError> {
    let file = line.place.as_ref().map_or(0, |place| place.file.len());
    let limit = (64 << 10) - AROUND - 2 * file.min(16 << 10);
    let event = match Event::parse(&line.bytes) {
        Ok(event) => event,
        Err(error) => {
            tracing::warn!(%error, source = sink.source(), "line is kept as it is");
            Ingest::count(&ingest.counters.unreadable, 1);
            let body = body(sink, redact::torn(&line.bytes, limit), line)?;
            let (block, identity, time, beat) = (None, None, None, None);
            return Ok(Prepared { body, block, lapses: vec![], identity, time, beat });
        }
    };
    ingest.options.expected.see(&event);
    let redacted = match redact::event(&line.bytes, &event, limit) {
        Ok(redacted) => redacted,
        // It has the fields of an event, but is not JSON throughout.
        Err(_) => redact::torn(&line.bytes, limit),
    };
    let (block, lapses, identity) = said(ingest, &event, &redacted);
    let time = event.stage_timestamp.parse().ok();
    let beat = event.audit_id.starts_with(BEAT).then(|| event.audit_id.to_string());
    let body = body(sink, redacted, line)?;
    Ok(Prepared { body, block, lapses, identity, time, beat })
}

/// What the event says about policy: its block, and the webhooks that could not be asked.
fn said(
    ingest: &Ingest,
    event: &Event<'_>,
    redacted: &Redacted,
) -> (Option<Found>, Vec<Lapse>, Option<String>) {
    let passed = |webhook| Lapse { webhook, refused: false };
    let mut lapses: Vec<Lapse> = block::failed_open(event).into_iter().map(passed).collect();
    let mut refused = None;
    match block::classify(event) {
        Classification::None => {}
        Classification::FailedClosed { webhook } => lapses.push(Lapse { webhook, refused: true }),
        Classification::Refused(refusal) => refused = Some(refusal),
    }
    if lapses.is_empty() && refused.is_none() {
        return (None, lapses, None);
    }
    let kept = redacted.whole.as_ref().unwrap_or(&redacted.line);
    // INVARIANT: `kept` was parsed before; the hash of what is no JSON is never asked for.
    let identity = identity_sha256(kept).ok();
    let block = refused
        .zip(identity.clone())
        .and_then(|(refusal, sha256)| blocks::find(ingest, event, &refusal, sha256));
    (block, lapses, identity)
}

fn body(
    sink: &dyn EventSink,
    redacted: Redacted,
    line: &AuditLine,
) -> Result<EventBody, SinkError> {
    let blob = match &redacted.whole {
        Some(whole) => Some(sink.put_blob(whole, MEDIA)?),
        None => None,
    };
    let mut body = EventBody {
        blob,
        redacted: redacted.removed,
        place: line.place.clone(),
        ..EventBody::default()
    };
    match String::from_utf8(redacted.line) {
        // The blob has all of it.
        Ok(text) if text.is_empty() && body.blob.is_some() => {}
        Ok(text) => body.raw = Some(text),
        Err(error) => body.raw_b64 = Some(STANDARD.encode(error.as_bytes())),
    }
    Ok(body)
}
