//! The body that the API server's audit webhook sends: an `audit.k8s.io/v1 EventList`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::AuditLine;

/// Bodies larger than this are refused. The API server's batches are of 400 events by default and
/// its `--audit-webhook-batch-max-size` bounds them; the transport should stop reading here, too.
pub const BODY_LIMIT: usize = 32 << 20;

/// Events in one body at most.
pub const EVENT_LIMIT: usize = 20_000;

/// A body that is no list of audit events.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Longer than [`BODY_LIMIT`].
    #[error("body of `{0}` bytes is over the limit of {BODY_LIMIT}")]
    TooLarge(usize),
    /// More events than [`EVENT_LIMIT`].
    #[error("list of `{0}` events is over the limit of {EVENT_LIMIT}")]
    TooMany(usize),
    /// Of another kind or version.
    #[error("body is `{api_version} {kind}`, not audit.k8s.io/v1 EventList")]
    Kind {
        /// What it says.
        api_version: String,
        /// What it says.
        kind: String,
    },
    /// Not JSON, or not of this shape.
    #[error("body is not an EventList: {0}")]
    Json(#[from] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventList<'a> {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

/// The events of `body` in order, each with the exact bytes that it has there.
pub fn events(body: &Bytes) -> Result<Vec<AuditLine>, WebhookError> {
    if body.len() > BODY_LIMIT {
        return Err(WebhookError::TooLarge(body.len()));
    }
    let list: EventList<'_> = serde_json::from_slice(body)?;
    if (list.api_version.as_str(), list.kind.as_str()) != ("audit.k8s.io/v1", "EventList") {
        return Err(WebhookError::Kind { api_version: list.api_version, kind: list.kind });
    }
    if list.items.len() > EVENT_LIMIT {
        return Err(WebhookError::TooMany(list.items.len()));
    }
    let line =
        |item: &&RawValue| AuditLine { bytes: body.slice_ref(item.get().as_bytes()), place: None };
    Ok(list.items.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_exact_bytes() {
        let body = Bytes::from_static(
            br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[{"b":1, "a":"\u0041"},{}]}"#,
        );
        let lines = events(&body).unwrap();
        assert_eq!(&lines[0].bytes[..], br#"{"b":1, "a":"\u0041"}"#);
        assert_eq!((&lines[1].bytes[..], &lines[1].place), (&b"{}"[..], &None));
    }

    #[test]
    fn other_bodies_are_refused_by_name() {
        let of = |text: &'static str| events(&Bytes::from_static(text.as_bytes())).unwrap_err();
        assert_eq!(
            of(r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1","items":[]}"#)
                .to_string(),
            "body is `audit.k8s.io/v1beta1 EventList`, not audit.k8s.io/v1 EventList"
        );
        assert!(matches!(of("{"), WebhookError::Json(_)));
        let large = Bytes::from(vec![b' '; BODY_LIMIT + 1]);
        assert!(matches!(events(&large), Err(WebhookError::TooLarge(_))));
    }
}
