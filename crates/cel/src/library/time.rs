//! Moments and durations.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::number::{self, SECOND};
use crate::value::Value;

pub(crate) const ROWS: &[Row] = &[
    ("timestamp", "(string)->timestamp", timestamp),
    ("timestamp", "(int)->timestamp", timestamp),
    ("timestamp", "(timestamp)->timestamp", timestamp),
    ("duration", "(string)->duration", duration),
    ("duration", "(int)->duration", duration),
    ("duration", "(duration)->duration", duration),
    ("getFullYear", "timestamp.()->int", |_, values| part(values, |at| at.year().into())),
    ("getFullYear", "timestamp.(string)->int", |_, values| part(values, |at| at.year().into())),
    ("getMonth", "timestamp.()->int", |_, values| part(values, |at| i64::from(at.month()) - 1)),
    ("getMonth", "timestamp.(string)->int", |_, values| {
        part(values, |at| i64::from(at.month()) - 1)
    }),
    ("getDate", "timestamp.()->int", |_, values| part(values, |at| at.day().into())),
    ("getDate", "timestamp.(string)->int", |_, values| part(values, |at| at.day().into())),
    ("getDayOfMonth", "timestamp.()->int", |_, values| part(values, |at| i64::from(at.day()) - 1)),
    ("getDayOfMonth", "timestamp.(string)->int", |_, values| {
        part(values, |at| i64::from(at.day()) - 1)
    }),
    ("getDayOfWeek", "timestamp.()->int", |_, values| part(values, day_of_week)),
    ("getDayOfWeek", "timestamp.(string)->int", |_, values| part(values, day_of_week)),
    ("getDayOfYear", "timestamp.()->int", |_, values| part(values, day_of_year)),
    ("getDayOfYear", "timestamp.(string)->int", |_, values| part(values, day_of_year)),
    ("getHours", "timestamp.()->int", |_, values| part(values, |at| at.hour().into())),
    ("getHours", "timestamp.(string)->int", |_, values| part(values, |at| at.hour().into())),
    ("getMinutes", "timestamp.()->int", |_, values| part(values, |at| at.minute().into())),
    ("getMinutes", "timestamp.(string)->int", |_, values| part(values, |at| at.minute().into())),
    ("getSeconds", "timestamp.()->int", |_, values| part(values, |at| at.second().into())),
    ("getSeconds", "timestamp.(string)->int", |_, values| part(values, |at| at.second().into())),
    ("getMilliseconds", "timestamp.()->int", |_, values| {
        part(values, |at| at.millisecond().into())
    }),
    ("getMilliseconds", "timestamp.(string)->int", |_, values| {
        part(values, |at| at.millisecond().into())
    }),
    ("getHours", "duration.()->int", |_, values| whole(values, 3_600 * SECOND)),
    ("getMinutes", "duration.()->int", |_, values| whole(values, 60 * SECOND)),
    ("getSeconds", "duration.()->int", |_, values| whole(values, SECOND)),
    ("getMilliseconds", "duration.()->int", |_, values| whole(values, 1_000_000)),
];

/// Moments of the language lie in the years 1 to 9999.
const FIRST_SECOND: i64 = -62_135_596_800;

/// A moment that is in range.
pub(crate) fn moment<'v>(found: Option<Timestamp>) -> Outcome<'v> {
    found
        .filter(|found| found.as_second() >= FIRST_SECOND)
        .map(Value::Timestamp)
        .ok_or_else(|| Fault::invalid("timestamp overflow"))
}

fn timestamp<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [Value::Timestamp(_)] => Ok(arguments.first().cloned().unwrap_or(Value::Null)),
        [Value::Int(second)] => moment(Timestamp::from_second(*second).ok()),
        [Value::String(text)] => {
            // RFC 3339 demands a `T` and a zone.
            let strict = text.as_bytes().get(10).is_some_and(|at| matches!(at, b'T' | b't'));
            let parsed = text.parse::<Timestamp>().ok().filter(|_| strict && !text.contains('['));
            match parsed {
                Some(parsed) => moment(Some(parsed)),
                None => Err(Fault::invalid(format!("`{}` is no timestamp", shown(text)))),
            }
        }
        _ => mismatch(arguments),
    }
}

fn duration<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [Value::Duration(_)] => Ok(arguments.first().cloned().unwrap_or(Value::Null)),
        [Value::Int(nanoseconds)] => Ok(Value::Duration(*nanoseconds)),
        [Value::String(text)] => number::parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| Fault::invalid(format!("`{}` is no duration", shown(text)))),
        _ => mismatch(arguments),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

/// A part of a moment, in UTC or in a zone.
fn part<'v>(arguments: &[Value<'v>], read: fn(&jiff::Zoned) -> i64) -> Outcome<'v> {
    let (at, zone) = match arguments {
        [Value::Timestamp(at)] => (at, TimeZone::UTC),
        [Value::Timestamp(at), Value::String(zone)] => (at, zone_named(zone)?),
        _ => return mismatch(arguments),
    };
    Ok(Value::Int(read(&at.to_zoned(zone))))
}

/// A zone by its name in the database, or as an offset (`+02:00`, `-08:30`, `02:00`).
fn zone_named(name: &str) -> Result<TimeZone, Fault> {
    let unknown = || Fault::invalid(format!("unknown time zone `{}`", shown(name)));
    if let Some((hours, minutes)) = name.split_once(':') {
        let negative = hours.starts_with('-');
        let hours: i32 = hours.trim_start_matches(['+', '-']).parse().map_err(|_| unknown())?;
        let minutes: i32 = minutes.parse().map_err(|_| unknown())?;
        let seconds = hours.saturating_mul(3_600).saturating_add(minutes.saturating_mul(60));
        let offset = Offset::from_seconds(if negative { -seconds } else { seconds });
        return offset.map(TimeZone::fixed).map_err(|_| unknown());
    }
    TimeZone::get(name).map_err(|_| unknown())
}

/// Sunday is 0.
fn day_of_week(at: &jiff::Zoned) -> i64 {
    at.weekday().to_sunday_zero_offset().into()
}

fn day_of_year(at: &jiff::Zoned) -> i64 {
    i64::from(at.day_of_year()) - 1
}

fn whole<'v>(arguments: &[Value<'v>], unit: i64) -> Outcome<'v> {
    match arguments {
        [Value::Duration(nanoseconds)] => Ok(Value::Int(nanoseconds / unit)),
        _ => mismatch(arguments),
    }
}
