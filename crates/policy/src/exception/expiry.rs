//! When an exception runs out: `spec.expiresAt`, or the field's label for objects with an end
//! (`cleanup.kyverno.io/ttl`), which is a moment, a day, or a duration from the object's creation. The
//! earlier one counts. An exception that has run out exempts nothing, deleted or not.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::duration::Duration;
use crate::error::ParseError;
use crate::fields::Fields;

const LABEL: &str = "cleanup.kyverno.io/ttl";

/// Reads when an exception runs out; `None` where nothing says.
pub(super) fn read(
    metadata: &Fields<'_>,
    spec: &Fields<'_>,
) -> Result<Option<Timestamp>, ParseError> {
    let field = spec
        .text("expiresAt")?
        .map(|text| {
            text.parse::<Timestamp>().map_err(|_| {
                let message = format!("`{text}` is not a moment such as `2030-01-31T12:00:00Z`");
                spec.error("expiresAt", message)
            })
        })
        .transpose()?;
    let labels = metadata.text_map("labels")?;
    let label = labels.iter().find(|(key, _)| *key == LABEL).map(|(_, value)| *value);
    let label = match label {
        Some(text) => Some(by_label(text, metadata)?),
        None => None,
    }
    .flatten();
    Ok(field.into_iter().chain(label).min())
}

/// What the label says; a duration of an object that has not been created yet has no end.
fn by_label(text: &str, metadata: &Fields<'_>) -> Result<Option<Timestamp>, ParseError> {
    let unreadable = |why: &str| metadata.error("labels", format!("`{LABEL}: {text}` is {why}"));
    // A label cannot hold a colon, so a moment's time is written without them.
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(Some(moment));
    }
    if let Ok(moment) = jiff::fmt::strtime::parse("%Y-%m-%dT%H%M%SZ", text)
        .and_then(|parsed| parsed.to_datetime())
        .and_then(|moment| moment.to_zoned(TimeZone::UTC))
    {
        return Ok(Some(moment.timestamp()));
    }
    if let Ok(day) = text.parse::<Date>() {
        let start = day.to_zoned(TimeZone::UTC);
        return start.map(|start| Some(start.timestamp())).map_err(|_| unreadable("too far off"));
    }
    let duration = Duration::parse(text).ok_or_else(|| unreadable("no duration, day or moment"))?;
    let Some(created) = metadata.text("creationTimestamp")? else { return Ok(None) };
    let created: Timestamp = created
        .parse()
        .map_err(|_| metadata.error("creationTimestamp", format!("`{created}` is no moment")))?;
    let end = created.checked_add(jiff::SignedDuration::from_nanos(duration.0));
    end.map(Some).map_err(|_| unreadable("too far off"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn end(metadata: &Value, spec: &Value) -> Result<Option<String>, ParseError> {
        let metadata = Fields::open(metadata, "metadata").unwrap();
        let spec = Fields::open(spec, "spec").unwrap();
        Ok(read(&metadata, &spec)?.map(|end| end.to_string()))
    }

    #[test]
    fn each_way_to_say_an_end_is_read() {
        let labelled = |text: &str| {
            json!({"labels": {"cleanup.kyverno.io/ttl": text},
            "creationTimestamp": "2026-01-01T00:00:00Z"})
        };
        for (metadata, spec, expected) in [
            (json!({}), json!({}), None),
            (json!({}), json!({"expiresAt": "2026-03-31T23:59:59Z"}), Some("2026-03-31T23:59:59Z")),
            (
                json!({}),
                json!({"expiresAt": "2026-03-31T23:59:59+01:00"}),
                Some("2026-03-31T22:59:59Z"),
            ),
            (labelled("2h"), json!({}), Some("2026-01-01T02:00:00Z")),
            (labelled("2026-02-01"), json!({}), Some("2026-02-01T00:00:00Z")),
            (labelled("2026-02-01T150405Z"), json!({}), Some("2026-02-01T15:04:05Z")),
            (
                labelled("2h"),
                json!({"expiresAt": "2026-03-31T23:59:59Z"}),
                Some("2026-01-01T02:00:00Z"),
            ),
            (json!({"labels": {"cleanup.kyverno.io/ttl": "2h"}}), json!({}), None),
        ] {
            assert_eq!(end(&metadata, &spec).unwrap().as_deref(), expected, "{metadata} {spec}");
        }
        for (metadata, spec) in [
            (json!({}), json!({"expiresAt": "tomorrow"})),
            (json!({}), json!({"expiresAt": "2026-03-31"})),
            (labelled("10ay"), json!({})),
        ] {
            assert!(end(&metadata, &spec).is_err(), "{metadata} {spec}");
        }
    }
}
