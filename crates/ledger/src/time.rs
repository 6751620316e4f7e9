//! The ledger's time: UTC to the microsecond, written `YYYY-MM-DDTHH:MM:SS.ffffffZ`.

use std::fmt;

/// A moment as records carry it. Orders as its text does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    microseconds: i64,
}

const DAY: i64 = 86_400;
const MICROSECONDS: i64 = 1_000_000;
/// 0000-01-01 and 9999-12-31T23:59:59.999999, in microseconds since 1970.
const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

impl Time {
    /// From microseconds since 1970-01-01 UTC; what lies beyond the years 0 to 9999 is clamped.
    pub fn from_unix_microseconds(microseconds: i64) -> Self {
        Self { microseconds: microseconds.clamp(*RANGE.start(), *RANGE.end()) }
    }

    /// Microseconds since 1970-01-01 UTC.
    pub fn unix_microseconds(self) -> i64 {
        self.microseconds
    }

    /// Reads exactly the ledger's spelling; `None` for any other, or a date that is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 27 || !text.ends_with('Z') {
            return None;
        }
        let time = Self::parse_rfc3339(text)?;
        (time.to_string() == text).then_some(time)
    }

    /// Reads any RFC 3339 time with a zone, cut to the microsecond; `None` for what is not one.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (clock, rest) = rest.strip_prefix(['T', 't'])?.split_at_checked(8)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return None;
        }
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => {
                let end = rest.find(|character: char| !character.is_ascii_digit())?;
                let (digits, zone) = rest.split_at_checked(end)?;
                let padded: String = digits.chars().chain("000000".chars()).take(6).collect();
                if digits.is_empty() {
                    return None;
                }
                (padded.parse().ok()?, zone)
            }
            None => (0, rest),
        };
        let seconds = days * DAY + hour * 3600 + minute * 60 + second - zone_offset(zone)?;
        let microseconds = seconds * MICROSECONDS + fraction;
        RANGE.contains(&microseconds).then_some(Self { microseconds })
    }

    /// The day as segment paths spell it: `YYYY/MM/DD`.
    pub fn date_path(self) -> String {
        let (year, month, day) = civil_from_days(self.microseconds.div_euclid(DAY * MICROSECONDS));
        format!("{year:04}/{month:02}/{day:02}")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.microseconds.div_euclid(MICROSECONDS);
        let fraction = self.microseconds.rem_euclid(MICROSECONDS);
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
        let clock = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"
        )
    }
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut values = [0; 3];
    for (value, width) in values.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

/// Seconds east of UTC.
fn zone_offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = if zone.starts_with('+') { 1 } else { -1 };
    let [hour, minute, _] =
        numbers(&format!("{}:00", zone.strip_prefix(['+', '-'])?), ':', [2; 3])?;
    (hour < 24 && minute < 60).then_some(sign * (hour * 3600 + minute * 60))
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, whose years here begin in
/// March so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}
