//! A time, or how long ago it was.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::exit::Failure;

/// Reads what `--since` says.
pub(crate) fn since(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = text.parse::<Span>().ok();
    let ago = ago.and_then(|span| now.to_zoned(TimeZone::UTC).checked_sub(span.abs()).ok());
    ago.map(|time| time.timestamp()).ok_or_else(|| {
        Failure::input(format!("--since: `{text}` is neither a time nor a span"))
            .help("a time is as in 2026-11-01T00:00:00Z, a span as in 30d or 12h")
    })
}
