//! The label by which an object says itself when it goes.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::duration::Duration;

/// The label.
pub const TTL_LABEL: &str = "cleanup.kyverno.io/ttl";

/// When an object is to be deleted by its own label; `None` where it has none. The value is a duration
/// from the object's creation (`24h`), or a moment in UTC as a label can carry it
/// (`2030-01-31T235900Z`, `2030-01-31`).
///
/// # Errors
/// A value that is neither, in words.
pub fn expires_at(object: &Value) -> Option<Result<Timestamp, String>> {
    let metadata = object.get("metadata")?;
    let text = metadata.get("labels")?.get(TTL_LABEL)?.as_str()?;
    Some(read(text, metadata).ok_or_else(|| {
        format!(
            "label `{TTL_LABEL}`: `{text}` is neither a duration such as `24h` nor a time such as \
             `2030-01-31T235900Z` or `2030-01-31`"
        )
    }))
}

fn read(text: &str, metadata: &Value) -> Option<Timestamp> {
    if let Some(duration) = Duration::parse(text) {
        let created = metadata.get("creationTimestamp")?.as_str()?;
        let created: Timestamp = created.parse().ok()?;
        return created.checked_add(SignedDuration::from_nanos(duration.0)).ok();
    }
    let moment = DateTime::strptime("%Y-%m-%dT%H%M%SZ", text)
        .or_else(|_| Date::strptime("%Y-%m-%d", text).map(|date| date.at(0, 0, 0, 0)));
    moment.ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_count_from_creation_and_moments_stand_for_themselves() {
        for (label, expected) in [
            ("90m", Some("2024-01-01T01:30:00Z")),
            ("2030-01-31T235900Z", Some("2030-01-31T23:59:00Z")),
            ("2030-01-31", Some("2030-01-31T00:00:00Z")),
            ("soon", None),
            ("2030-02-31", None),
            ("2d", None),
        ] {
            let object = json!({"metadata": {
                "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {TTL_LABEL: label}}});
            let found = expires_at(&object).unwrap();
            assert_eq!(found.ok(), expected.map(|text| text.parse().unwrap()), "{label}");
        }
        assert!(expires_at(&json!({"metadata": {"labels": {"a": "b"}}})).is_none());
    }
}
