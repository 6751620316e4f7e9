//! Time, in nanoseconds since 1970.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use super::Builtin;
use crate::value::Value;

pub(super) const ALL: &[Builtin] = &[
    Builtin::metered("time.now_ns", 0, |_, meter| Ok(meter.now.map(Value::integer))),
    Builtin::quick("time.parse_rfc3339_ns", 1, |one| {
        nanoseconds(one.first()?.as_text()?.parse::<Timestamp>().ok()?)
    }),
    Builtin::quick("time.parse_duration_ns", 1, |one| {
        duration(one.first()?.as_text()?).map(Value::integer)
    }),
    Builtin::quick("time.date", 1, |one| {
        let time = zoned(one.first()?)?;
        Some(integers([time.year().into(), time.month().into(), time.day().into()]))
    }),
    Builtin::quick("time.clock", 1, |one| {
        let time = zoned(one.first()?)?;
        Some(integers([time.hour().into(), time.minute().into(), time.second().into()]))
    }),
    Builtin::quick("time.weekday", 1, |one| {
        Some(Value::text(match zoned(one.first()?)?.weekday() {
            Weekday::Monday => "Monday",
            Weekday::Tuesday => "Tuesday",
            Weekday::Wednesday => "Wednesday",
            Weekday::Thursday => "Thursday",
            Weekday::Friday => "Friday",
            Weekday::Saturday => "Saturday",
            Weekday::Sunday => "Sunday",
        }))
    }),
    Builtin::quick("time.add_date", 4, |four| {
        let [at, years, months, days] = four else { return None };
        let span = Span::new()
            .try_years(years.as_integer()?)
            .ok()?
            .try_months(months.as_integer()?)
            .ok()?
            .try_days(days.as_integer()?)
            .ok()?;
        nanoseconds(zoned(at)?.checked_add(span).ok()?.timestamp())
    }),
    Builtin::quick("time.format", 1, |one| {
        let at = one.first()?;
        Some(Value::text(&zoned(at)?.timestamp().to_string()))
    }),
];

fn integers(numbers: [i64; 3]) -> Value {
    Value::array(numbers.map(Value::integer))
}

fn nanoseconds(at: Timestamp) -> Option<Value> {
    i64::try_from(at.as_nanosecond()).ok().map(Value::integer)
}

/// A moment, or a moment with the name of its time zone.
fn zoned(value: &Value) -> Option<Zoned> {
    let (at, zone) = match value {
        Value::Array(pair) => match &**pair {
            [at, zone] => (at.as_integer()?, zone.as_text()?),
            _ => return None,
        },
        at => (at.as_integer()?, ""),
    };
    let zone = match zone {
        "" | "UTC" => TimeZone::UTC,
        name => TimeZone::get(name).ok()?,
    };
    Some(Timestamp::from_nanosecond(i128::from(at)).ok()?.to_zoned(zone))
}

/// A duration as Go writes it, as in `1h30m`.
fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let units = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 6e10),
            ("h", 3.6e12),
        ];
        let (unit, factor) = units.into_iter().find(|(unit, _)| after.starts_with(unit))?;
        total += number.parse::<f64>().ok()? * factor;
        rest = after.get(unit.len()..)?;
    }
    Value::float(sign * total)?.as_integer()
}
