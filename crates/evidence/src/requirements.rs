//! What can be said of each requirement for the period.

use std::collections::BTreeSet;

use proofstream_catalog::RequirementKind;
use proofstream_model::{ControlId, Kind, RequirementId};
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::request::Question;
use crate::survey::Survey;
use crate::tally::{ENFORCERS_SEEN, by};

/// What one policy refused for a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyShare {
    /// The policy.
    pub name: String,
    /// Requests that it refused.
    pub blocked: u64,
    /// Requests that it would have refused.
    pub would_have_blocked: u64,
    /// Why it is counted here.
    pub basis: String,
}

/// The numbers of one requirement, each of them a claim of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementStatement {
    /// The requirement.
    pub id: RequirementId,
    /// Its title in our own words.
    pub title: Option<String>,
    /// Whether it is a heading over other ids.
    pub group: bool,
    /// Requests refused by policy.
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
    /// Different (root owner, rule) pairs among the blocks, in words.
    pub pairs: String,
    /// Who refused, and how often.
    pub enforcers: Vec<(String, u64)>,
    /// By which policies.
    pub policies: Vec<PolicyShare>,
    /// Controls that stand for it, each with the part that it carries.
    pub controls: Vec<(ControlId, String)>,
}

/// The requirements that this export speaks of, in the framework's order: those that controls are
/// mapped to, and those that some policy claims.
pub(crate) fn statements(
    question: &Question<'_>,
    history: &History,
    survey: &mut Survey<'_>,
) -> Vec<RequirementStatement> {
    let mut ids: BTreeSet<&RequirementId> = BTreeSet::new();
    for control in question.catalog.controls().filter(|control| question.asks_for(&control.id)) {
        ids.extend(
            question.catalog.requirements_of(&control.id).map(|mapping| &mapping.requirement),
        );
    }
    let claimed = history.policies.values().flat_map(|policy| &policy.claims.claims);
    let claimed: Vec<RequirementId> = claimed.map(|claim| claim.requirement.clone()).collect();
    if question.controls.is_empty() {
        ids.extend(&claimed);
    }
    let listed = question.framework.requirements().iter();
    listed
        .filter(|requirement| ids.contains(&requirement.id))
        .map(|requirement| {
            let mut statement = numbers(&requirement.id, survey);
            statement.title.clone_from(&requirement.title);
            statement.group = requirement.kind == RequirementKind::Group;
            statement.policies = shares(&requirement.id, history, survey);
            statement.controls = question
                .catalog
                .mappings_of(&requirement.id)
                .filter(|mapping| question.asks_for(&mapping.control))
                .map(|mapping| (mapping.control.clone(), mapping.part.clone()))
                .collect();
            statement
        })
        .collect()
}

fn numbers(id: &RequirementId, survey: &mut Survey<'_>) -> RequirementStatement {
    let name = id.as_str();
    let of = || by::requirement(name);
    let enforcers = survey.tally.seen(Kind::Block, ENFORCERS_SEEN);
    let pairs = survey.pairs_of(name);
    let tally = &mut survey.tally;
    RequirementStatement {
        id: id.clone(),
        title: None,
        group: false,
        blocked: tally.state(&format!("{name}: requests refused by policy"), Kind::Block, of()),
        would_have_blocked: tally.state(
            &format!("{name}: would have been refused (Audit mode, no dry runs)"),
            Kind::Decision,
            by::and(by::would_block(), of()),
        ),
        dry_runs_refused: tally.state(
            &format!("{name}: dry runs refused by our webhook"),
            Kind::Decision,
            by::and(by::denied_dry(), of()),
        ),
        decisions_denied: tally.state(
            &format!("{name}: refusals answered by our webhook (no dry runs)"),
            Kind::Decision,
            by::and(by::denied(), of()),
        ),
        findings_found: tally.state(
            &format!("{name}: findings that appeared"),
            Kind::Finding,
            by::and(by::state("found"), of()),
        ),
        findings_fixed: tally.state(
            &format!("{name}: findings that were repaired"),
            Kind::Finding,
            by::and(by::state("fixed"), of()),
        ),
        pairs,
        enforcers: enforcers
            .into_iter()
            .map(|word| {
                let text = format!("{name}: requests refused by {word}");
                let conditions = by::and(of(), by::enforcer(&word));
                let blocked = tally.state(&text, Kind::Block, conditions);
                (word, blocked)
            })
            .filter(|(_, blocked)| *blocked > 0)
            .collect(),
        policies: Vec::new(),
        controls: Vec::new(),
    }
}

fn shares(id: &RequirementId, history: &History, survey: &mut Survey<'_>) -> Vec<PolicyShare> {
    let name = id.as_str();
    let mut policies = survey.tally.policies_beside(Kind::Block, &by::requirement(name));
    let would = by::and(by::would_block(), by::requirement(name));
    policies.extend(survey.tally.policies_beside(Kind::Decision, &would));
    let standing = history.policies.iter().filter(|(_, policy)| {
        policy.claims.stands_for.requirements.contains(id) && !policy.stretches.is_empty()
    });
    policies.extend(standing.map(|(policy, _)| policy.clone()));
    policies
        .into_iter()
        .map(|policy| PolicyShare {
            blocked: survey.tally.state(
                &format!("{name}: requests refused by policy {policy}"),
                Kind::Block,
                by::and(by::requirement(name), by::policy(&policy)),
            ),
            would_have_blocked: survey.tally.state(
                &format!("{name}: would have been refused by policy {policy}"),
                Kind::Decision,
                by::and(would.clone(), by::policy(&policy)),
            ),
            basis: basis(id, &policy, history),
            name: policy,
        })
        .collect()
}

/// Whether a policy claims the requirement itself, or stands for it through the catalog, or both.
fn basis(id: &RequirementId, policy: &str, history: &History) -> String {
    let Some(policy) = history.policies.get(policy) else {
        return "as its records say; no record of the policy itself is in the ledger".to_owned();
    };
    let mut parts = Vec::new();
    let written: Vec<String> = policy
        .claims
        .claims
        .iter()
        .filter(|claim| claim.requirement == *id)
        .map(|claim| format!("`{}`", claim.written))
        .collect();
    if !written.is_empty() {
        parts.push(format!("its annotation claims {}", written.join(", ")));
    }
    if policy.claims.mapped.contains(id) {
        parts.push("the catalog maps it".to_owned());
    }
    if parts.is_empty() {
        parts.push("as its records say".to_owned());
    }
    parts.join(" and ")
}
