//! What can be said of each control for the period: whether it operated, by which records, and what
//! was not evaluated.

use proofstream_catalog::{Control, Planned, Scope, ShownBy};
use proofstream_model::{ControlId, Kind, RequirementId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::history::{Gap, History, PolicyHistory, PolicyMode, uncovered};
use crate::request::Question;
use crate::survey::Survey;
use crate::tally::by;

/// Stretches that are written out for one policy or control, at most.
const MAX_STRETCHES: usize = 20;

/// Whether a control operated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The records show it in force for the whole period, without a lapse.
    Operating,
    /// The records show it in force for a part of the period, or with lapses.
    InPart,
    /// The records do not show that it was in force.
    NotEvaluated,
}

/// What is said of one control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlStatement {
    /// The control.
    pub id: ControlId,
    /// A few words.
    pub title: String,
    /// What it claims.
    pub claim: String,
    /// Where the claim holds.
    pub scope: Scope,
    /// Whether it operated.
    pub status: Status,
    /// What that rests on, sentences.
    pub basis: Vec<String>,
    /// Stretches in which it did not operate or was not seen, sentences.
    pub lapses: Vec<String>,
    /// Policies that stood for it in the period.
    pub policies: Vec<String>,
    /// Requests refused as evidence for it.
    pub blocked: u64,
    /// Decisions in Audit mode that would have refused.
    pub would_have_blocked: u64,
    /// Our webhook's refusals of dry runs.
    pub dry_runs_refused: u64,
    /// Our webhook's refusals, whether or not an audit event confirms them.
    pub decisions_denied: u64,
    /// Findings that appeared.
    pub findings_found: u64,
    /// Findings that were repaired.
    pub findings_fixed: u64,
    /// The newest block, decision or finding of the period.
    pub newest: Option<u64>,
    /// Its requirements in this framework.
    pub requirements: Vec<RequirementId>,
    /// Checks and probes that did not run, and why.
    pub not_evaluated: Vec<Planned>,
    /// What it does not cover.
    pub limits: Vec<String>,
}

/// Status, basis and lapses while they are found out.
struct Finding {
    status: Status,
    basis: Vec<String>,
    lapses: Vec<String>,
    policies: Vec<String>,
}

impl Status {
    /// The words of reports.
    pub fn words(self) -> &'static str {
        match self {
            Self::Operating => "operating",
            Self::InPart => "operating in part",
            Self::NotEvaluated => "not evaluated",
        }
    }
}

/// The controls that this export speaks of, sorted.
pub(crate) fn statements(
    question: &Question<'_>,
    history: &History,
    survey: &mut Survey<'_>,
) -> Vec<ControlStatement> {
    let controls = question.catalog.controls().filter(|control| question.asks_for(&control.id));
    controls.map(|control| statement(control, question, history, survey)).collect()
}

fn statement(
    control: &Control,
    question: &Question<'_>,
    history: &History,
    survey: &mut Survey<'_>,
) -> ControlStatement {
    let name = control.id.as_str();
    let of = || by::control(name);
    let tally = &mut survey.tally;
    let mut count = |what: &str, kind, conditions| {
        tally.state(&format!("{name}: {what}"), kind, by::and(of(), conditions))
    };
    let blocked = count("requests refused by policy", Kind::Block, by::nothing());
    let would_have_blocked =
        count("would have been refused (Audit mode)", Kind::Decision, by::would_block());
    let dry_runs_refused =
        count("dry runs refused by our webhook", Kind::Decision, by::denied_dry());
    let decisions_denied = count("refusals answered by our webhook", Kind::Decision, by::denied());
    let findings_found = count("findings that appeared", Kind::Finding, by::state("found"));
    let findings_fixed = count("findings that were repaired", Kind::Finding, by::state("fixed"));
    let finding = match control.shown_by {
        ShownBy::Policies => by_policies(control, question, history),
        ShownBy::Enforcer => by_enforcer(control, blocked),
        ShownBy::Trail => by_trail(control, question, history, survey),
        ShownBy::Seal => by_seal(),
        ShownBy::Scans => by_scans(control, question, survey),
        ShownBy::Nothing => nothing(control),
    };
    let mapped = question.catalog.requirements_of(&control.id);
    ControlStatement {
        id: control.id.clone(),
        title: control.title.clone(),
        claim: control.claim.trim().to_owned(),
        scope: control.scope,
        status: finding.status,
        basis: finding.basis,
        lapses: finding.lapses,
        policies: finding.policies,
        blocked,
        would_have_blocked,
        dry_runs_refused,
        decisions_denied,
        findings_found,
        findings_fixed,
        newest: survey.newest.get(name).copied(),
        requirements: mapped
            .map(|mapping| mapping.requirement.clone())
            .filter(|id| id.framework() == question.framework.id())
            .collect(),
        not_evaluated: control.checks.iter().chain(&control.probes).cloned().collect(),
        limits: control.limits.clone(),
    }
}

fn by_policies(control: &Control, question: &Question<'_>, history: &History) -> Finding {
    let (from, until) = (question.request.from, question.until());
    let seen = seen_until(control, question, history);
    let mut found = Finding::new();
    let mut parts = Vec::new();
    let stands = |name: &str, policy: &PolicyHistory| {
        policy.controls.contains(&control.id) || control.policies.iter().any(|of| of == name)
    };
    for (name, policy) in history.policies.iter().filter(|(name, policy)| stands(name, policy)) {
        let mut in_force = false;
        for stretch in &policy.stretches {
            let Some((begins, ends)) = stretch.clipped(from, seen) else { continue };
            in_force = true;
            if stretch.mode != PolicyMode::Audit {
                parts.push((begins, ends));
            }
            found.say(format!(
                "`{name}` ({}) was in force from {begins} to {ends} (since record {}).",
                stretch.mode.words(),
                stretch.seq
            ));
        }
        if in_force {
            found.policies.push(name.clone());
        }
        for (time, message) in policy.broken.iter().filter(|(time, _)| question.covers(*time)) {
            found.lapse(format!("`{name}` was refused as broken at {time}: {message}."));
        }
    }
    if found.policies.is_empty() {
        found.say(if control.policies.is_empty() {
            "No policy that stands for it was in force; the catalog names none.".to_owned()
        } else {
            format!(
                "No policy that stands for it was in force; the catalog names `{}`.",
                control.policies.join("`, `")
            )
        });
        return found;
    }
    for (begins, ends) in uncovered(parts, from, seen) {
        found.lapse(format!("no policy that refuses was in force from {begins} to {ends}."));
    }
    for (begins, ends) in uncovered(history.enrolled("admission/", question), from, seen) {
        found.lapse(format!("no admission source was enrolled from {begins} to {ends}."));
    }
    unseen(&mut found, seen, until);
    for gap in gaps_like("admission/", question, history) {
        found.lapse(format!("admission: {}", gap_words(gap)));
    }
    found.settle();
    found
}

fn by_enforcer(control: &Control, blocked: u64) -> Finding {
    let mut found = Finding::new();
    let enforcers = control.enforcers.join(", ");
    if blocked == 0 {
        found.say(format!(
            "No refusal by {enforcers} is recorded, and its settings are not observed: whether it \
             was in force is not known."
        ));
    } else {
        found.status = Status::InPart;
        found.say(format!(
            "Refusals by {enforcers} are recorded; its settings are not observed, so whether it was \
             in force between them is not known."
        ));
    }
    found
}

fn by_trail(
    control: &Control,
    question: &Question<'_>,
    history: &History,
    survey: &mut Survey<'_>,
) -> Finding {
    let (from, until) = (question.request.from, question.until());
    let seen = seen_until(control, question, history);
    let mut found = Finding::new();
    let mut parts = Vec::new();
    for name in history.sources_like("audit-", question) {
        for stretch in history.sources.get(name).into_iter().flatten() {
            if let Some((begins, ends)) = stretch.clipped(from, seen) {
                parts.push((begins, ends));
                found.say(format!(
                    "Audit source `{name}` was enrolled from {begins} to {ends} (since record {}).",
                    stretch.seq
                ));
            }
        }
    }
    if parts.is_empty() {
        found.say("No audit source was enrolled.".to_owned());
        return found;
    }
    let exported = crate::survey::exported_kinds(question).contains(&Kind::Event);
    if exported {
        let events = survey.tally.state("event records", Kind::Event, by::nothing());
        found.say(format!("Audit events recorded: {events}."));
        if events == 0 {
            return found;
        }
    }
    for (begins, ends) in uncovered(parts, from, seen) {
        found.lapse(format!("no audit source was enrolled from {begins} to {ends}."));
    }
    unseen(&mut found, seen, until);
    for gap in gaps_like("audit-", question, history) {
        // What came late is there now.
        if gap.body.count == Some(0) {
            found.say(gap_words(gap));
        } else {
            found.lapse(gap_words(gap));
        }
    }
    found.settle();
    found
}

fn by_seal() -> Finding {
    let mut found = Finding::new();
    found.status = Status::Operating;
    found.say(
        "Every record here carries its proof to the signed checkpoint; `proofstream-verify` shows \
         whether they hold."
            .to_owned(),
    );
    found
}

fn by_scans(control: &Control, question: &Question<'_>, survey: &mut Survey<'_>) -> Finding {
    let mut found = Finding::new();
    let scans =
        survey.tally.state("passes of the background evaluation", Kind::Scan, by::nothing());
    if scans == 0 {
        found.say("No pass of the background evaluation is recorded.".to_owned());
        return found;
    }
    survey.scans.end(question.until());
    found.say(format!("The background evaluation ran {scans} times."));
    let freshness = i64::try_from(control.freshness_seconds).unwrap_or(i64::MAX);
    if let Some((micros, begins)) = survey.scans.longest {
        let seconds = micros / 1_000_000;
        if seconds > freshness {
            found.lapse(format!(
                "{seconds} s passed from {begins} on without a pass; at most {freshness} s are \
                 taken as continuous."
            ));
        }
    }
    found.settle();
    found
}

fn nothing(control: &Control) -> Finding {
    let mut found = Finding::new();
    let reasons = control.checks.iter().chain(&control.probes).map(|planned| &planned.reason);
    for reason in reasons {
        found.say(format!("Not shown by any record of this version: {reason}."));
    }
    found
}

/// Until when the records show something: the period's end where the last record is fresh enough,
/// otherwise the last record. A process that died leaves its gap only when it starts again.
fn seen_until(control: &Control, question: &Question<'_>, history: &History) -> Timestamp {
    let until = question.until();
    let freshness = i64::try_from(control.freshness_seconds).unwrap_or(i64::MAX);
    if seconds_between(history.sealed_until, until) <= freshness {
        until
    } else {
        history.sealed_until.max(question.request.from)
    }
}

fn unseen(found: &mut Finding, seen: Timestamp, until: Timestamp) {
    if seen < until {
        found.lapse(format!(
            "no source recorded anything from {seen} to {until}: nothing shows that it was in force."
        ));
    }
}

/// Gaps of the period whose source has this prefix.
fn gaps_like<'h>(prefix: &str, question: &Question<'_>, history: &'h History) -> Vec<&'h Gap> {
    let of_prefix = |gap: &&Gap| gap.body.source.starts_with(prefix);
    history.gaps_of(question).into_iter().filter(of_prefix).collect()
}

/// One gap in words.
pub(crate) fn gap_words(gap: &Gap) -> String {
    let body = &gap.body;
    let missing = match body.count {
        Some(0) => "none missing".to_owned(),
        Some(count) => format!("{count} missing"),
        None => "number unknown".to_owned(),
    };
    let length = seconds_between(body.from, body.to);
    format!(
        "`{}` from {} to {} ({length} s, {missing}): {} (record {}).",
        body.source,
        body.from,
        body.to,
        body.cause.trim_end_matches('.'),
        gap.seq
    )
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.micros().saturating_sub(from.micros()) / 1_000_000
}

// === impl Finding ===

impl Finding {
    fn new() -> Self {
        Self {
            status: Status::NotEvaluated,
            basis: Vec::new(),
            lapses: Vec::new(),
            policies: Vec::new(),
        }
    }

    fn say(&mut self, sentence: String) {
        push_bounded(&mut self.basis, sentence);
    }

    fn lapse(&mut self, sentence: String) {
        push_bounded(&mut self.lapses, sentence);
    }

    /// In force; wholly so if nothing lapsed.
    fn settle(&mut self) {
        self.status = if self.lapses.is_empty() { Status::Operating } else { Status::InPart };
    }
}

fn push_bounded(sentences: &mut Vec<String>, sentence: String) {
    match sentences.len() {
        0..MAX_STRETCHES => sentences.push(sentence),
        MAX_STRETCHES => sentences.push("More of these are in the tables.".to_owned()),
        _ => {}
    }
}
