//! When a cleanup policy runs: the five fields of cron, in UTC.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Longest text of a schedule.
const MAX_TEXT: usize = 256;

/// A schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
}

impl Schedule {
    /// Reads the five fields of cron, or a word such as `@daily`.
    ///
    /// # Errors
    /// What is wrong with the text, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("a schedule of more than {MAX_TEXT} characters"));
        }
        let trimmed = text.trim();
        // The field knows this word, the library does not.
        let pattern = if trimmed == "@midnight" { "@daily" } else { trimmed };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed);
        let cron = parser.build().parse(pattern).map_err(|cause| {
            format!("`{text}` is not a schedule such as `*/5 * * * *` or `@daily`: {cause}")
        })?;
        Ok(Self { text: trimmed.to_owned(), cron })
    }

    /// The first moment after `time`; `None` where there is none within reach (`0 0 30 2 *`).
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&time.to_zoned(TimeZone::UTC), false).ok()?;
        Some(next.timestamp())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_moment_is_found() {
        for (schedule, next) in [
            ("*/5 * * * *", Some("2024-02-28T23:55:00Z")),
            ("0 0 * * *", Some("2024-02-29T00:00:00Z")),
            ("@midnight", Some("2024-02-29T00:00:00Z")),
            ("@hourly", Some("2024-02-29T00:00:00Z")),
            ("30 6 1 * *", Some("2024-03-01T06:30:00Z")),
            ("0 12 * * MON-FRI", Some("2024-02-29T12:00:00Z")),
            // A day of the month or a day of the week, as cron has it.
            ("0 0 13 * SUN", Some("2024-03-03T00:00:00Z")),
            ("0 0 30 2 *", None),
        ] {
            let now = "2024-02-28T23:50:00Z".parse().unwrap();
            let found = Schedule::parse(schedule).unwrap().next_after(now);
            assert_eq!(found, next.map(|text| text.parse().unwrap()), "{schedule}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in ["", "often", "* * * *", "0 * * * * *", "61 * * * *", "@every 1h", "@often"] {
            let said = Schedule::parse(text).unwrap_err();
            assert!(said.starts_with(&format!("`{text}` is not a schedule")), "{said}");
        }
    }
}
