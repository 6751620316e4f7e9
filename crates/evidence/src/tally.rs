//! Counts of records, by the same conditions that a claim states.
//!
//! A number leaves this module only through [`Tally::state`], which writes down the claim for it.
// INVARIANT: what `add` counts for a set of conditions is what a verifier finds by LEDGER.md's rule
// for `where`: a scalar by equality, a list by membership (once a record, however often it stands
// there).

use std::collections::{BTreeMap, BTreeSet};

use proofstream_model::{Kind, Record, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::ExportError;

/// Different counts kept, at most.
const MAX_COUNTS: usize = 200_000;

/// Values by path.
pub(crate) type Conditions = BTreeMap<&'static str, Wanted>;

/// A value that a claim can ask for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    Flag(bool),
    Text(String),
}

impl From<bool> for Wanted {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for Wanted {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The path of a block's enforcer.
pub(crate) const ENFORCERS_SEEN: &str = ENFORCER;
/// The path of a gap's source.
pub(crate) const GAP_SOURCES_SEEN: &str = SOURCE;
/// The path of the policies that refused.
pub(crate) const POLICIES_SEEN: &str = POLICIES;

const REQUIREMENTS: &str = "body.requirements";
const CONTROLS: &str = "controls";
const POLICIES: &str = "body.policies";
const ENFORCER: &str = "body.enforcer";
const DECISION: &str = "body.decision";
const DRY_RUN: &str = "body.dry_run";
const WOULD_BLOCK: &str = "body.would_block";
const STATE: &str = "body.state";
const SOURCE: &str = "body.source";

/// The paths by which records of a kind are counted, each set apart.
fn shapes(kind: Kind) -> &'static [&'static [&'static str]] {
    match kind {
        Kind::Block => &[
            &[],
            &[ENFORCER],
            &[POLICIES],
            &[REQUIREMENTS],
            &[REQUIREMENTS, POLICIES],
            &[REQUIREMENTS, ENFORCER],
            &[CONTROLS],
            &[CONTROLS, POLICIES],
        ],
        Kind::Decision => &[
            &[],
            &[DECISION, DRY_RUN],
            &[DECISION, DRY_RUN, REQUIREMENTS],
            &[DECISION, DRY_RUN, CONTROLS],
            &[WOULD_BLOCK, DRY_RUN],
            &[WOULD_BLOCK, DRY_RUN, REQUIREMENTS],
            &[WOULD_BLOCK, DRY_RUN, CONTROLS],
            &[WOULD_BLOCK, DRY_RUN, REQUIREMENTS, POLICIES],
        ],
        Kind::Finding => &[&[], &[STATE], &[STATE, REQUIREMENTS], &[STATE, CONTROLS]],
        Kind::Policy => &[&[], &[STATE]],
        Kind::Gap => &[&[], &[SOURCE]],
        _ => &[&[]],
    }
}

/// Counts of the records of one period.
pub(crate) struct Tally {
    from: Timestamp,
    to: Timestamp,
    counts: BTreeMap<(Kind, Conditions), u64>,
    stated: BTreeMap<(Kind, Conditions), String>,
}

#[derive(Serialize)]
struct Claim {
    text: String,
    kind: Kind,
    r#where: Map<String, Value>,
    from: Timestamp,
    to: Timestamp,
    value: u64,
}

#[derive(Serialize)]
struct Claims {
    v: u64,
    claims: Vec<Claim>,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to, counts: BTreeMap::new(), stated: BTreeMap::new() }
    }

    /// Counts a record in everything that it belongs to.
    pub(crate) fn add(&mut self, kind: Kind, record: &Record) -> Result<(), ExportError> {
        if record.time < self.from || self.to <= record.time {
            return Ok(());
        }
        for shape in shapes(kind) {
            let mut sets = vec![Conditions::new()];
            for path in *shape {
                let values = values(record, path);
                sets = sets
                    .iter()
                    .flat_map(|set| {
                        values.iter().map(move |value| {
                            let mut set = set.clone();
                            set.insert(path, value.clone());
                            set
                        })
                    })
                    .collect();
            }
            for set in sets {
                *self.counts.entry((kind, set)).or_default() += 1;
            }
        }
        if self.counts.len() > MAX_COUNTS {
            return Err(ExportError::TooManyCounts(MAX_COUNTS));
        }
        Ok(())
    }

    /// How many records of the period meet the conditions, and the claim that says so.
    pub(crate) fn state(&mut self, text: &str, kind: Kind, conditions: Conditions) -> u64 {
        debug_assert!(
            shapes(kind).iter().any(|shape| {
                shape.len() == conditions.len()
                    && shape.iter().all(|path| conditions.contains_key(path))
            }),
            "{kind} is not counted by {conditions:?}"
        );
        let key = (kind, conditions);
        let value = self.counts.get(&key).copied().unwrap_or(0);
        self.stated.entry(key).or_insert_with(|| text.to_owned());
        value
    }

    /// The different values at one path alone, of all records of a kind in the period.
    pub(crate) fn seen(&self, kind: Kind, path: &'static str) -> Vec<String> {
        let texts = self.counts.keys().filter(|(of, set)| *of == kind && set.len() == 1);
        texts
            .filter_map(|(_, set)| match set.get(path) {
                Some(Wanted::Text(text)) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    /// The policies that stand beside these conditions in the counts of a kind.
    pub(crate) fn policies_beside(&self, kind: Kind, conditions: &Conditions) -> BTreeSet<String> {
        let wider = self.counts.keys().filter(|(of, set)| {
            *of == kind
                && set.len() == conditions.len() + 1
                && conditions.iter().all(|(path, value)| set.get(path) == Some(value))
        });
        wider
            .filter_map(|(_, set)| match set.get(POLICIES) {
                Some(Wanted::Text(text)) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    /// The bytes of `claims.json`: every number stated so far.
    pub(crate) fn claims(&self) -> Result<Vec<u8>, ExportError> {
        let claims = self
            .stated
            .iter()
            .map(|(key, text)| Claim {
                text: text.clone(),
                kind: key.0,
                r#where: key
                    .1
                    .iter()
                    .map(|(path, wanted)| ((*path).to_owned(), value(wanted)))
                    .collect(),
                from: self.from,
                to: self.to,
                value: self.counts.get(key).copied().unwrap_or(0),
            })
            .collect();
        proofstream_canonical::to_vec(&Claims { v: 1, claims })
            .map_err(|error| ExportError::form("claims.json", error))
    }
}

fn value(wanted: &Wanted) -> Value {
    match wanted {
        Wanted::Flag(flag) => Value::Bool(*flag),
        Wanted::Text(text) => Value::String(text.clone()),
    }
}

/// The values that a record has at a path: one, or each member of a list once.
fn values(record: &Record, path: &str) -> BTreeSet<Wanted> {
    if path == CONTROLS {
        return record.controls.iter().map(|control| Wanted::from(control.as_str())).collect();
    }
    let found = path.strip_prefix("body.").and_then(|key| record.body.get(key));
    let scalar = |value: &Value| match value {
        Value::Bool(flag) => Some(Wanted::Flag(*flag)),
        Value::String(text) => Some(Wanted::Text(text.clone())),
        _ => None,
    };
    match found {
        Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
        Some(value) => scalar(value).into_iter().collect(),
        None => BTreeSet::new(),
    }
}

/// Conditions by their paths' short names.
pub(crate) mod by {
    use super::{
        CONTROLS, Conditions, DECISION, DRY_RUN, ENFORCER, POLICIES, REQUIREMENTS, SOURCE, STATE,
        WOULD_BLOCK, Wanted,
    };

    pub(crate) fn nothing() -> Conditions {
        Conditions::new()
    }

    pub(crate) fn requirement(id: &str) -> Conditions {
        Conditions::from([(REQUIREMENTS, Wanted::from(id))])
    }

    pub(crate) fn control(id: &str) -> Conditions {
        Conditions::from([(CONTROLS, Wanted::from(id))])
    }

    pub(crate) fn enforcer(word: &str) -> Conditions {
        Conditions::from([(ENFORCER, Wanted::from(word))])
    }

    pub(crate) fn source(name: &str) -> Conditions {
        Conditions::from([(SOURCE, Wanted::from(name))])
    }

    pub(crate) fn state(word: &str) -> Conditions {
        Conditions::from([(STATE, Wanted::from(word))])
    }

    /// Refusals of our webhook to requests that were no dry runs.
    pub(crate) fn denied() -> Conditions {
        Conditions::from([(DECISION, "deny".into()), (DRY_RUN, false.into())])
    }

    /// Refusals of our webhook to dry runs.
    pub(crate) fn denied_dry() -> Conditions {
        Conditions::from([(DECISION, "deny".into()), (DRY_RUN, true.into())])
    }

    /// What a rule in Audit mode would have refused.
    pub(crate) fn would_block() -> Conditions {
        Conditions::from([(WOULD_BLOCK, true.into()), (DRY_RUN, false.into())])
    }

    pub(crate) fn and(mut left: Conditions, right: Conditions) -> Conditions {
        left.extend(right);
        left
    }

    pub(crate) fn policy(name: &str) -> Conditions {
        Conditions::from([(POLICIES, Wanted::from(name))])
    }
}
