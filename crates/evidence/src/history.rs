//! What was in force when: policies, sources, gaps and earlier exports, from their records in the
//! whole ledger.

use std::collections::{BTreeMap, BTreeSet};

use proofstream_catalog::{Annotations, Catalog, PolicyClaims};
use proofstream_model::{
    ControlId, ExportBody, GapBody, KeyBody, Kind, PolicyBody, PolicyState, Record, SourceBody,
    SourceState, Timestamp,
};
use serde_json::Value;

use crate::request::Question;

/// A stretch of time, open where it has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) from: Timestamp,
    pub(crate) to: Option<Timestamp>,
    pub(crate) mode: PolicyMode,
    /// The record that began it.
    pub(crate) seq: u64,
}

/// What the failing rules of a policy do, as its text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyMode {
    /// Every rule refuses.
    Enforce,
    /// No rule refuses.
    Audit,
    /// Some refuse.
    Mixed,
    /// The record has no text to tell it by.
    Unknown,
}

/// One policy's past.
#[derive(Debug, Default)]
pub(crate) struct PolicyHistory {
    pub(crate) stretches: Vec<Stretch>,
    pub(crate) claims: PolicyClaims,
    pub(crate) controls: BTreeSet<ControlId>,
    /// When a text was refused, and why.
    pub(crate) broken: Vec<(Timestamp, String)>,
}

/// A stretch that the trail lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) seq: u64,
    pub(crate) segment: u64,
    pub(crate) recorded: Timestamp,
    pub(crate) body: GapBody,
}

/// The past that a period stands on.
#[derive(Debug)]
pub(crate) struct History {
    /// When the last sealed record was appended: beyond it nothing is shown.
    pub(crate) sealed_until: Timestamp,
    pub(crate) policies: BTreeMap<String, PolicyHistory>,
    /// Each source's enrolments and retirements.
    pub(crate) sources: BTreeMap<String, Vec<Stretch>>,
    pub(crate) gaps: Vec<Gap>,
    /// Checkpoints of earlier exports, as text, each once, in order.
    pub(crate) exports: Vec<String>,
    /// Segment and number of each `key` record that names an export key, by that key.
    pub(crate) export_keys: BTreeMap<String, Vec<(u64, u64)>>,
}

// === impl History ===

impl History {
    pub(crate) fn new(sealed_until: Timestamp) -> Self {
        Self {
            sealed_until,
            policies: BTreeMap::new(),
            sources: BTreeMap::new(),
            gaps: Vec::new(),
            exports: Vec::new(),
            export_keys: BTreeMap::new(),
        }
    }

    /// Takes in one record of a landmark kind; records come in order.
    pub(crate) fn record(
        &mut self,
        kind: Kind,
        segment: u64,
        record: &Record,
        catalog: &Catalog,
    ) -> Result<(), serde_json::Error> {
        match kind {
            Kind::Policy => {
                if let Some(body) = record.body::<PolicyBody>() {
                    self.policy(&body?, record, catalog);
                }
            }
            Kind::Source => {
                if let Some(body) = record.body::<SourceBody>() {
                    self.source(&body?, record);
                }
            }
            Kind::Gap => {
                if let Some(body) = record.body::<GapBody>() {
                    let (seq, recorded) = (record.seq, record.time);
                    self.gaps.push(Gap { seq, segment, recorded, body: body? });
                }
            }
            Kind::Export => {
                if let Some(body) = record.body::<ExportBody>() {
                    let checkpoint = body?.checkpoint;
                    if !self.exports.contains(&checkpoint) {
                        self.exports.push(checkpoint);
                    }
                }
            }
            Kind::Key => {
                if let Some(body) = record.body::<KeyBody>() {
                    let body = body?;
                    if body.purpose == "export" {
                        let places = self.export_keys.entry(body.public_key).or_default();
                        places.push((segment, record.seq));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn policy(&mut self, body: &PolicyBody, record: &Record, catalog: &Catalog) {
        if body.state == PolicyState::Enforcer {
            return;
        }
        let history = self.policies.entry(body.name.clone()).or_default();
        let time = record.time;
        if let Some(open) = history.stretches.last_mut().filter(|stretch| stretch.to.is_none()) {
            open.to = Some(time);
        }
        match body.state {
            PolicyState::Active => {
                let text = body.text.as_deref().and_then(|text| serde_json::from_str(text).ok());
                let (mode, annotations) = text.as_ref().map_or_else(
                    || (PolicyMode::Unknown, Annotations::new()),
                    |text| (mode(text), annotations(text)),
                );
                history.claims = catalog.policy_claims(&body.name, &annotations);
                history.controls = history.claims.stands_for.controls.iter().cloned().collect();
                let named = record.controls.iter().filter_map(|name| name.parse().ok());
                history.controls.extend(named);
                // A new text of the same mode continues the stretch before it.
                match history.stretches.last_mut() {
                    Some(last) if last.to == Some(time) && last.mode == mode => last.to = None,
                    _ => {
                        let seq = record.seq;
                        history.stretches.push(Stretch { from: time, to: None, mode, seq });
                    }
                }
            }
            PolicyState::Broken => {
                history.broken.push((time, body.message.clone().unwrap_or_default()));
            }
            PolicyState::Removed | PolicyState::Enforcer => {}
        }
    }

    fn source(&mut self, body: &SourceBody, record: &Record) {
        let stretches = self.sources.entry(body.source.clone()).or_default();
        let open = stretches.last_mut().filter(|stretch| stretch.to.is_none());
        match (body.state, open) {
            (SourceState::Enrolled, None) => stretches.push(Stretch {
                from: record.time,
                to: None,
                mode: PolicyMode::Unknown,
                seq: record.seq,
            }),
            (SourceState::Retired, Some(open)) => open.to = Some(record.time),
            _ => {}
        }
    }

    /// Gaps that were recorded in the period, or whose stretch reaches into it, in order.
    pub(crate) fn gaps_of(&self, question: &Question<'_>) -> Vec<&Gap> {
        let request = question.request;
        let reaches_in = |gap: &&Gap| {
            question.covers(gap.recorded)
                || (gap.body.from < request.to && request.from <= gap.body.to)
        };
        self.gaps.iter().filter(reaches_in).collect()
    }

    /// The stretches of the period in which some source of this prefix was enrolled.
    pub(crate) fn enrolled(
        &self,
        prefix: &str,
        question: &Question<'_>,
    ) -> Vec<(Timestamp, Timestamp)> {
        let (from, until) = (question.request.from, question.until());
        let of_prefix = self.sources.iter().filter(|(name, _)| name.starts_with(prefix));
        let stretches = of_prefix.flat_map(|(_, stretches)| stretches);
        stretches.filter_map(|stretch| stretch.clipped(from, until)).collect()
    }

    /// Sources of this prefix (`audit-`, `admission/`) that were enrolled in the period.
    pub(crate) fn sources_like(&self, prefix: &str, question: &Question<'_>) -> Vec<&str> {
        let (from, to) = (question.request.from, question.until());
        let enrolled = |stretches: &[Stretch]| {
            stretches.iter().any(|stretch| stretch.clipped(from, to).is_some())
        };
        self.sources
            .iter()
            .filter(|(name, stretches)| name.starts_with(prefix) && enrolled(stretches))
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

// === impl Stretch ===

impl Stretch {
    /// The part of it within a period, if any.
    pub(crate) fn clipped(&self, from: Timestamp, to: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let begins = self.from.max(from);
        let ends = self.to.unwrap_or(to).min(to);
        (begins < ends).then_some((begins, ends))
    }
}

/// What is left of a period when these parts are taken out, in order.
pub(crate) fn uncovered(
    mut parts: Vec<(Timestamp, Timestamp)>,
    from: Timestamp,
    to: Timestamp,
) -> Vec<(Timestamp, Timestamp)> {
    parts.sort();
    let mut left = Vec::new();
    let mut reached = from;
    for (begins, ends) in parts {
        if begins > reached {
            left.push((reached, begins));
        }
        reached = reached.max(ends);
    }
    if reached < to {
        left.push((reached, to));
    }
    left
}

// === impl PolicyMode ===

impl PolicyMode {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Enforce => "Enforce",
            Self::Audit => "Audit: it refuses nothing",
            Self::Mixed => "some rules Enforce, some Audit",
            Self::Unknown => "mode not recorded",
        }
    }
}

fn mode(policy: &Value) -> PolicyMode {
    let spec = policy.get("spec").unwrap_or(&Value::Null);
    let enforces = |value: &Value| value.as_str().map(|word| word.eq_ignore_ascii_case("enforce"));
    let whole = spec.get("validationFailureAction").and_then(enforces).unwrap_or(false);
    let rules = spec.get("rules").and_then(Value::as_array);
    let actions: BTreeSet<bool> = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get("validate"))
        .map(|rule| rule.get("failureAction").and_then(enforces).unwrap_or(whole))
        .collect();
    match (actions.contains(&true), actions.contains(&false)) {
        (true, true) => PolicyMode::Mixed,
        (true, false) => PolicyMode::Enforce,
        (false, true) => PolicyMode::Audit,
        (false, false) => PolicyMode::Unknown,
    }
}

fn annotations(policy: &Value) -> Annotations {
    let map = policy.pointer("/metadata/annotations").and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn what_is_left_of_a_period() {
        let at = |from, to| (time(from), time(to));
        assert_eq!(uncovered(vec![at(0, 10)], time(0), time(10)), []);
        assert_eq!(uncovered(vec![], time(0), time(10)), [at(0, 10)]);
        assert_eq!(
            uncovered(vec![at(4, 6), at(1, 2), at(5, 8)], time(0), time(10)),
            [at(0, 1), at(2, 4), at(8, 10)]
        );
    }

    #[test]
    fn the_mode_is_that_of_the_rules() {
        let policy = |spec| mode(&json!({ "spec": spec }));
        let rule = json!({"validate": {}});
        let audit = json!({"validate": {"failureAction": "Audit"}});
        assert_eq!(
            policy(json!({"validationFailureAction": "enforce", "rules": [rule]})),
            PolicyMode::Enforce
        );
        assert_eq!(policy(json!({"rules": [rule]})), PolicyMode::Audit);
        assert_eq!(
            policy(json!({"validationFailureAction": "Enforce", "rules": [rule, audit]})),
            PolicyMode::Mixed
        );
        assert_eq!(policy(json!({})), PolicyMode::Unknown);
    }
}
