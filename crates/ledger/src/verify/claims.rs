//! A bundle's claims, recounted over the records it holds.
//!
//! A claim's `where` names paths into the record, dotted, with `event.` leading into the parsed
//! `body.raw`. Keys that contain dots themselves are matched too: of all ways to split a path, one
//! that matches is enough. A list matches if it has the value among its items.

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Report;
use crate::record::Envelope;
use crate::time::Time;

/// The file of a bundle's claims.
pub(crate) const CLAIMS: &str = "claims.json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u64,
    claims: Vec<Wire>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    text: String,
    kind: String,
    #[serde(rename = "where", deserialize_with = "paths_once")]
    conditions: Vec<(String, Value)>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    value: u64,
}

struct Claim {
    text: String,
    kind: String,
    conditions: Vec<(String, Value)>,
    from: Option<Time>,
    to: Option<Time>,
    value: u64,
    counted: u64,
}

/// All claims with their counts so far.
pub(crate) struct Claims {
    claims: Vec<Claim>,
}

impl Claims {
    /// Reads the file's bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file: File =
            serde_json::from_slice(bytes).map_err(|error| format!("has another shape: {error}"))?;
        if file.v != 1 {
            return Err(format!("is of version {}, not known here", file.v));
        }
        let time = |text: Option<String>| match text {
            None => Ok(None),
            Some(text) => Time::parse_rfc3339(&text)
                .map(Some)
                .ok_or_else(|| format!("`{text}` is not an RFC 3339 time")),
        };
        let mut claims = Vec::new();
        for wire in file.claims {
            claims.push(Claim {
                text: wire.text,
                kind: wire.kind,
                conditions: wire.conditions,
                from: time(wire.from)?,
                to: time(wire.to)?,
                value: wire.value,
                counted: 0,
            });
        }
        Ok(Self { claims })
    }

    /// Counts one record in every claim that it meets.
    pub(crate) fn count(&mut self, line: &[u8], envelope: &Envelope<'_>) {
        let mut parsed = Parsed { line, record: None, event: None };
        for claim in &mut self.claims {
            let within = claim.kind == envelope.kind
                && claim.from.is_none_or(|from| from <= envelope.time)
                && claim.to.is_none_or(|to| envelope.time < to);
            if within && claim.conditions.iter().all(|(path, value)| parsed.meets(path, value)) {
                claim.counted += 1;
            }
        }
    }

    /// Reports each claim that the records do not bear out, and each whose period the bundle's
    /// segments may not cover: `first` and `last` are the bundle's first and last segment's times
    /// where there are segments before and after.
    pub(crate) fn finish(
        &self,
        exported: impl Fn(&str) -> bool,
        first: Option<Time>,
        last: Option<Time>,
        report: &mut Report,
    ) {
        for (index, claim) in self.claims.iter().enumerate() {
            let Claim { text, kind, value, counted, .. } = claim;
            if !exported(kind) {
                report.fail(
                    CLAIMS,
                    format!("claim {index} (`{text}`) counts `{kind}`, which is not exported"),
                );
            } else if counted != value {
                report.fail(
                    CLAIMS,
                    format!("claim {index} (`{text}`) says {value}, the records say {counted}"),
                );
            }
            let early = first.is_some_and(|first| claim.from.is_none_or(|from| from < first));
            let late = last.is_some_and(|last| claim.to.is_none_or(|to| last < to));
            if early || late {
                report.unchecked(format!(
                    "whether claim {index} (`{text}`) counts its whole period: the log has \
                     segments {} the bundle's, and the bundle does not reach past the period's {}",
                    if early { "before" } else { "after" },
                    if early { "start" } else { "end" },
                ));
            }
        }
        report.checked("claims by recounting", self.claims.len() as u64);
    }
}

/// A record's line, parsed only if a claim looks into it.
struct Parsed<'a> {
    line: &'a [u8],
    record: Option<Value>,
    event: Option<Value>,
}

impl Parsed<'_> {
    fn meets(&mut self, path: &str, wanted: &Value) -> bool {
        let record = self
            .record
            .get_or_insert_with(|| serde_json::from_slice(self.line).unwrap_or(Value::Null));
        let Some(within) = path.strip_prefix("event.") else {
            return matches(record, path, wanted);
        };
        let event = self.event.get_or_insert_with(|| {
            let raw = record.pointer("/body/raw").and_then(Value::as_str).unwrap_or_default();
            serde_json::from_str(raw).unwrap_or(Value::Null)
        });
        matches(event, within, wanted)
    }
}

/// Whether some reading of the dotted path leads to the wanted value, or to a list that has it.
pub(super) fn matches(value: &Value, path: &str, wanted: &Value) -> bool {
    if let Value::Array(items) = value {
        return items.iter().any(|item| matches(item, path, wanted));
    }
    let Value::Object(members) = value else { return false };
    if let Some(found) = members.get(path)
        && (found == wanted || found.as_array().is_some_and(|items| items.contains(wanted)))
    {
        return true;
    }
    path.match_indices('.').any(|(dot, _)| {
        let (key, rest) = path.split_at(dot);
        let rest = rest.strip_prefix('.').unwrap_or_default();
        members.get(key).is_some_and(|member| matches(member, rest, wanted))
    })
}

/// Reads the conditions and rejects a path that stands there twice, which a plain map would hide.
fn paths_once<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, Value)>, D::Error> {
    struct Paths;
    impl<'de> Visitor<'de> for Paths {
        type Value = Vec<(String, Value)>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object of paths and values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut paths: Vec<(String, Value)> = Vec::new();
            while let Some((path, value)) = access.next_entry::<String, Value>()? {
                if paths.iter().any(|(earlier, _)| *earlier == path) {
                    return Err(A::Error::custom("the same path twice"));
                }
                paths.push((path, value));
            }
            Ok(paths)
        }
    }
    from.deserialize_map(Paths)
}
