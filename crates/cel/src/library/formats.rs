//! Named formats of Kubernetes' names and values (`format.dns1123Label()`).

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;

use super::{Ground, Outcome, Row, mismatch};
use crate::value::{Opaque, Value};

pub(crate) const ROWS: &[Row] = &[
    ("format.named", "(string)->optional<format>", named),
    ("format.dns1123Label", "()->format", |_, _| give("dns1123Label")),
    ("format.dns1123Subdomain", "()->format", |_, _| give("dns1123Subdomain")),
    ("format.dns1035Label", "()->format", |_, _| give("dns1035Label")),
    ("format.qualifiedName", "()->format", |_, _| give("qualifiedName")),
    ("format.dns1123LabelPrefix", "()->format", |_, _| give("dns1123LabelPrefix")),
    ("format.dns1123SubdomainPrefix", "()->format", |_, _| give("dns1123SubdomainPrefix")),
    ("format.dns1035LabelPrefix", "()->format", |_, _| give("dns1035LabelPrefix")),
    ("format.labelValue", "()->format", |_, _| give("labelValue")),
    ("format.uri", "()->format", |_, _| give("uri")),
    ("format.uuid", "()->format", |_, _| give("uuid")),
    ("format.byte", "()->format", |_, _| give("byte")),
    ("format.date", "()->format", |_, _| give("date")),
    ("format.datetime", "()->format", |_, _| give("datetime")),
    ("validate", "format.(string)->optional<list<string>>", validate),
];

/// A format: its name, what it demands in words, and what tells.
#[derive(Debug)]
pub struct Format {
    pub(crate) name: &'static str,
    demand: &'static str,
    holds: fn(&str) -> bool,
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const LABEL: &str =
    "at most 63 lower-case letters, digits or '-', with a letter or digit at each end";
const SUBDOMAIN: &str = "at most 253 lower-case letters, digits, '-' or '.', each part with a letter \
                         or digit at each end";
const OLD_LABEL: &str = "at most 63 lower-case letters, digits or '-', beginning with a letter and \
                         ending with a letter or digit";

static FORMATS: [Format; 13] = [
    Format { name: "dns1123Label", demand: LABEL, holds: is_label },
    Format { name: "dns1123Subdomain", demand: SUBDOMAIN, holds: is_subdomain },
    Format { name: "dns1035Label", demand: OLD_LABEL, holds: is_old_label },
    Format {
        name: "qualifiedName",
        demand: "a name of at most 63 letters, digits, '-', '_' or '.', with a letter or digit at \
                 each end, after an optional DNS subdomain and '/'",
        holds: is_qualified_name,
    },
    Format { name: "dns1123LabelPrefix", demand: LABEL, holds: |text| is_label(&finished(text)) },
    Format {
        name: "dns1123SubdomainPrefix",
        demand: SUBDOMAIN,
        holds: |text| is_subdomain(&finished(text)),
    },
    Format {
        name: "dns1035LabelPrefix",
        demand: OLD_LABEL,
        holds: |text| is_old_label(&finished(text)),
    },
    Format {
        name: "labelValue",
        demand: "empty, or at most 63 letters, digits, '-', '_' or '.', with a letter or digit at \
                 each end",
        holds: is_label_value,
    },
    Format {
        name: "uri",
        demand: "an absolute address or path",
        holds: |text| super::url::is_valid(text),
    },
    Format {
        name: "uuid",
        demand: "a UUID, as in 123e4567-e89b-12d3-a456-426614174000",
        holds: |text| UUID.as_ref().is_some_and(|uuid| uuid.is_match(text)),
    },
    Format { name: "byte", demand: "base64", holds: |text| STANDARD.decode(text).is_ok() },
    Format {
        name: "date",
        demand: "a date, as in 2006-01-02",
        holds: |text| text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
    },
    Format {
        name: "datetime",
        demand: "a moment, as in 2006-01-02T15:04:05Z",
        holds: |text| text.len() > 10 && text.parse::<jiff::Timestamp>().is_ok(),
    },
];

static UUID: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").ok()
});

/// A prefix with a character after the dash it may end with.
fn finished(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(before) => format!("{before}a"),
        None => prefix.to_owned(),
    }
}

fn is_label_part(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_label_part(text)
}

fn is_old_label(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label_part)
}

fn is_name_part(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name_part(name),
        None => is_name_part(text),
    }
}

fn find(name: &str) -> Option<Value<'static>> {
    let format = FORMATS.iter().find(|format| format.name == name)?;
    Some(Value::opaque(Opaque::Format(format)))
}

/// A format that the table has.
fn give<'v>(name: &str) -> Outcome<'v> {
    find(name).map_or_else(|| mismatch(&[]), Ok)
}

fn named<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(name)] = arguments else { return mismatch(arguments) };
    Ok(Value::optional(find(name)))
}

fn validate<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::Opaque(opaque), Value::String(text)] = arguments else {
        return mismatch(arguments);
    };
    let Opaque::Format(format) = &**opaque else { return mismatch(arguments) };
    ground.meter.charge_text(text.len())?;
    let problem = (!(format.holds)(text)).then(|| Value::list(vec![Value::text(format.demand)]));
    Ok(Value::optional(problem))
}
