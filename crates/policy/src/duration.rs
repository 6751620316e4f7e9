//! Durations as Go writes them (`1h30m`, `250ms`), in nanoseconds.

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

/// A duration in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Duration(pub(crate) i64);

impl Duration {
    /// Reads a duration; a bare number is none, save `0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        proofstream_cel::parse_duration(text).map(Self)
    }

    /// From seconds.
    #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
    pub(crate) fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1e9) as i64)
    }

    #[expect(clippy::cast_precision_loss, reason = "arithmetic of the field is in doubles")]
    pub(crate) fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl std::fmt::Display for Duration {
    /// As Go prints it: `1h0m0s`, `1.5s`, `250ms`, `0s`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let total = self.0.unsigned_abs();
        let second = SECOND.unsigned_abs();
        if total == 0 {
            return formatter.write_str("0s");
        }
        if total < 1_000 {
            return write!(formatter, "{sign}{total}ns");
        }
        if total < 1_000_000 {
            return write!(formatter, "{sign}{}µs", decimal(total, 1_000));
        }
        if total < second {
            return write!(formatter, "{sign}{}ms", decimal(total, 1_000_000));
        }
        let minutes = total / MINUTE.unsigned_abs();
        let seconds = decimal(total % MINUTE.unsigned_abs(), second);
        match (minutes / 60, minutes % 60) {
            (0, 0) => write!(formatter, "{sign}{seconds}s"),
            (0, minutes) => write!(formatter, "{sign}{minutes}m{seconds}s"),
            (hours, minutes) => write!(formatter, "{sign}{hours}h{minutes}m{seconds}s"),
        }
    }
}

/// `value / unit` with as many decimals as it needs.
fn decimal(value: u64, unit: u64) -> String {
    let width = usize::try_from(unit.ilog10()).unwrap_or_default();
    let fraction = format!("{:0width$}", value % unit);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        (value / unit).to_string()
    } else {
        format!("{}.{fraction}", value / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * MINUTE;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanoseconds) in [
            ("1h", Some(HOUR)),
            ("1h30m", Some(HOUR + 30 * MINUTE)),
            ("1.5s", Some(1_500_000_000)),
            ("-2m", Some(-2 * MINUTE)),
            ("250ms", Some(250_000_000)),
            ("0", Some(0)),
            (".5s", Some(500_000_000)),
            ("10", None),
            ("", None),
            ("h", None),
            ("1d", None),
            ("1h ", None),
            ("999999999h", None),
        ] {
            assert_eq!(Duration::parse(text).map(|d| d.0), nanoseconds, "{text}");
        }
    }

    #[test]
    fn prints_what_go_prints() {
        for text in ["0s", "1h0m0s", "1h30m5.25s", "2m0s", "1.5s", "250ms", "3ns", "-1m0s"] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), text);
        }
    }
}
