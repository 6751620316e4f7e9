//! Functions on moments: RFC 3339 texts, and Go's layouts where a layout is given.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};
use serde_json::Value;

use super::super::{Data, Failure, Interpreter};
use super::{Function, Kinds, fixed, take, text_of};
use crate::duration::Duration;

const TEXT: Kinds = Kinds::TEXT;

pub(super) const TABLE: &[Function] = &[
    fixed("time_since", &[TEXT, TEXT, TEXT], time_since),
    fixed("time_now", &[], time_now),
    fixed("time_now_utc", &[], time_now),
    fixed("time_add", &[TEXT, TEXT], time_add),
    fixed("time_parse", &[TEXT, TEXT], time_parse),
    fixed("time_to_cron", &[TEXT], time_to_cron),
    fixed("time_utc", &[TEXT], time_utc),
    fixed("time_diff", &[TEXT, TEXT], time_diff),
    fixed("time_before", &[TEXT, TEXT], time_before),
    fixed("time_after", &[TEXT, TEXT], time_after),
    fixed("time_between", &[TEXT, TEXT, TEXT], time_between),
    fixed("time_truncate", &[TEXT, TEXT], time_truncate),
];

/// A moment with the offset it was written with.
fn moment(text: &str) -> Result<Zoned, Failure> {
    let unreadable = || Failure::invalid(format!("`{text}` is not an RFC 3339 time"));
    let timestamp: Timestamp = text.parse().map_err(|_| unreadable())?;
    let seconds = match text.get(text.len().saturating_sub(6)..) {
        Some(tail) if tail.starts_with(['+', '-']) => {
            let sign = if tail.starts_with('-') { -1 } else { 1 };
            let part = |range: std::ops::Range<usize>| -> Option<i32> {
                tail.get(range).and_then(|digits| digits.parse().ok())
            };
            let (hours, minutes) = part(1..3).zip(part(4..6)).ok_or_else(unreadable)?;
            sign * (hours * 3_600 + minutes * 60)
        }
        _ => 0,
    };
    let offset = Offset::from_seconds(seconds).map_err(|_| unreadable())?;
    Ok(timestamp.to_zoned(TimeZone::fixed(offset)))
}

fn rfc3339(moment: &Zoned) -> String {
    if moment.offset() == Offset::UTC {
        moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    } else {
        moment.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

fn shifted(moment: &Zoned, by: Duration) -> Result<Zoned, Failure> {
    moment
        .checked_add(SignedDuration::from_nanos(by.0))
        .map_err(|_| Failure::invalid("time is out of range"))
}

fn between(from: &Zoned, to: &Zoned) -> Duration {
    let elapsed = to.timestamp().duration_since(from.timestamp()).as_nanos();
    let clamped = elapsed.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Duration(i64::try_from(clamped).unwrap_or(i64::MAX))
}

fn duration(text: &str) -> Result<Duration, Failure> {
    Duration::parse(text).ok_or_else(|| Failure::invalid(format!("`{text}` is not a duration")))
}

/// Pieces of a Go layout and what they mean to `strptime`, longest first.
const LAYOUT: &[(&str, &str)] = &[
    ("January", "%B"),
    ("Monday", "%A"),
    ("-07:00", "%:z"),
    ("Z07:00", "%:z"),
    ("-0700", "%z"),
    ("2006", "%Y"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    ("PM", "%p"),
    ("pm", "%p"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("_2", "%e"),
];

fn by_layout(layout: &str, text: &str) -> Result<Zoned, Failure> {
    if layout.is_empty() {
        return moment(text);
    }
    let unreadable = || Failure::invalid(format!("`{text}` does not follow layout `{layout}`"));
    let mut format = String::new();
    let mut rest = layout;
    'pieces: while let Some(first) = rest.chars().next() {
        for (piece, directive) in LAYOUT {
            if let Some(tail) = rest.strip_prefix(piece) {
                format.push_str(directive);
                rest = tail;
                continue 'pieces;
            }
        }
        match first {
            '1' => format.push_str("%-m"),
            '2' => format.push_str("%-d"),
            '3' => format.push_str("%-I"),
            '4' => format.push_str("%-M"),
            '5' => format.push_str("%-S"),
            '%' => format.push_str("%%"),
            other => format.push(other),
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    // Zone names carry no offset that could be relied on: only UTC's are read.
    let text =
        text.strip_suffix('Z').map_or_else(|| text.to_owned(), |head| format!("{head}+00:00"));
    let (format, text) = match (format.strip_suffix("%Z"), text.rsplit_once(' ')) {
        (Some(head), Some((start, "UTC" | "GMT"))) => {
            (head.trim_end().to_owned(), start.to_owned())
        }
        _ => (format, text),
    };
    let broken = jiff::fmt::strtime::parse(&format, &text).map_err(|_| unreadable())?;
    if let Ok(timestamp) = broken.to_timestamp() {
        let offset = broken.offset().unwrap_or(Offset::UTC);
        return Ok(timestamp.to_zoned(TimeZone::fixed(offset)));
    }
    let civil = broken
        .to_datetime()
        .or_else(|_| broken.to_date().map(|date| date.at(0, 0, 0, 0)))
        .map_err(|_| unreadable())?;
    civil.to_zoned(TimeZone::UTC).map_err(|_| unreadable())
}

fn time_since<'a>(
    interpreter: &Interpreter,
    arguments: Vec<Data<'a>>,
) -> Result<Data<'a>, Failure> {
    let [layout, from, to] = take(arguments)?;
    let layout = text_of(&layout)?;
    let from = by_layout(layout, text_of(&from)?)?;
    let to = match text_of(&to)? {
        "" => interpreter.now.to_zoned(TimeZone::UTC),
        to => by_layout(layout, to)?,
    };
    Ok(Data::text(between(&from, &to).to_string()))
}

#[expect(clippy::unnecessary_wraps, reason = "the table's signature")]
fn time_now<'a>(interpreter: &Interpreter, _: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    Ok(Data::text(rfc3339(&interpreter.now.to_zoned(TimeZone::UTC))))
}

fn time_add<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [time, by] = take(arguments)?;
    let later = shifted(&moment(text_of(&time)?)?, duration(text_of(&by)?)?)?;
    Ok(Data::text(rfc3339(&later)))
}

fn time_parse<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [layout, time] = take(arguments)?;
    let (layout, time) = (text_of(&layout)?, text_of(&time)?);
    // Here, and only here, a number for a layout means seconds since 1970.
    if layout.parse::<i64>().is_ok() {
        let unreadable = || Failure::invalid(format!("`{time}` is no number of seconds"));
        let seconds: i64 = time.parse().map_err(|_| unreadable())?;
        let moment = Timestamp::from_second(seconds).map_err(|_| unreadable())?;
        return Ok(Data::text(rfc3339(&moment.to_zoned(TimeZone::UTC))));
    }
    Ok(Data::text(rfc3339(&by_layout(layout, time)?)))
}

fn time_to_cron<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [time] = take(arguments)?;
    let time = moment(text_of(&time)?)?;
    Ok(Data::text(format!(
        "{} {} {} {} {}",
        time.minute(),
        time.hour(),
        time.day(),
        time.month(),
        time.weekday().to_sunday_zero_offset(),
    )))
}

fn time_utc<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [time] = take(arguments)?;
    let utc = moment(text_of(&time)?)?.timestamp().to_zoned(TimeZone::UTC);
    Ok(Data::text(rfc3339(&utc)))
}

fn time_diff<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [from, to] = take(arguments)?;
    let elapsed = between(&moment(text_of(&from)?)?, &moment(text_of(&to)?)?);
    Ok(Data::text(elapsed.to_string()))
}

fn order(left: &Data<'_>, right: &Data<'_>) -> Result<std::cmp::Ordering, Failure> {
    Ok(moment(text_of(left)?)?.timestamp().cmp(&moment(text_of(right)?)?.timestamp()))
}

fn time_before<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [left, right] = take(arguments)?;
    Ok(Data::Owned(Value::Bool(order(&left, &right)?.is_lt())))
}

fn time_after<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [left, right] = take(arguments)?;
    Ok(Data::Owned(Value::Bool(order(&left, &right)?.is_gt())))
}

fn time_between<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [time, start, end] = take(arguments)?;
    let within = order(&time, &start)?.is_gt() && order(&time, &end)?.is_lt();
    Ok(Data::Owned(Value::Bool(within)))
}

fn time_truncate<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    /// Nanoseconds from Go's zero time (year 1) to 1970, from which it truncates.
    const YEAR_ONE: i128 = 62_135_596_800 * 1_000_000_000;
    let [time, by] = take(arguments)?;
    let time = moment(text_of(&time)?)?;
    let step = i128::from(duration(text_of(&by)?)?.0);
    let past = if step <= 0 { 0 } else { (time.timestamp().as_nanosecond() + YEAR_ONE) % step };
    let past = Duration(i64::try_from(past).unwrap_or_default());
    Ok(Data::text(rfc3339(&shifted(&time, Duration(-past.0))?)))
}
