//! What a policy misses that an auditor will ask for, found by asking it.
//!
//! Each check puts the requests that matter to the policy (`probes.rs`) and looks at the level that comes out,
//! so that it does not depend on how a policy is written. What only its text can say (a rule that is never
//! reached, a group that does not exist) is read from it. Each finding has a correction that removes it: a test
//! applies them all.

mod bodies;
mod check;
mod fix;
mod logged;
mod probes;
mod reach;
mod server;
mod words;

use serde::Serialize;
use serde_json::Value;

use crate::flags::Flags;
use crate::parse::{PolicyError, Problem};
use crate::policy::{AuditPolicy, Rule};

pub use check::{CHECKS, Check, Severity};
pub use fix::Fix;

/// One thing that is wrong with a policy or with the flags beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Its number in the list of checks, from 1; 0 for what stands outside of it.
    pub number: u8,
    /// Its name: `no-catch-all`.
    pub check: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// The rule that is to blame, from 0.
    pub rule: Option<usize>,
    /// Where in the document: `rules[0].verbs`; empty for the whole, and for flags.
    pub path: String,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// Why it matters, for all findings of this check.
    pub why: &'static str,
    /// Requests that show it, at most three.
    pub requests: Vec<String>,
    /// Requirements that it bears on, such as `pci-4.0.1/10.2.1.2`.
    pub requirements: &'static [&'static str],
    /// What to do.
    pub fix: Fix,
}

/// All that was found, and what was not looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// In the order of the checks, then of the rules.
    pub findings: Vec<Finding>,
    /// What could not be checked, each a sentence without a full stop.
    pub not_evaluated: Vec<String>,
}

/// Lints a policy, and the API server's flags if they are known.
///
/// # Errors
/// The document is no policy that the API server takes.
pub fn lint(document: &Value, flags: Option<&Flags>) -> Result<Report, PolicyError> {
    let (policy, ignored) = AuditPolicy::parse(document)?;
    let mut report = lint_policy(&policy, flags);
    report.findings.splice(..0, ignored.iter().map(unknown_field));
    Ok(report)
}

fn lint_policy(policy: &AuditPolicy, flags: Option<&Flags>) -> Report {
    let probes = probes::Probes::of(policy);
    let mut findings = Vec::new();
    let subject = Subject { policy, probes: &probes };
    findings.extend(reach::findings(&subject));
    findings.extend(words::findings(&subject));
    findings.extend(logged::findings(&subject));
    findings.extend(bodies::findings(&subject));
    findings.extend(server::findings(&subject, flags));
    findings.sort_by_key(|finding| (finding.number, finding.rule.unwrap_or(usize::MAX)));
    let mut not_evaluated = Vec::new();
    if flags.is_none() {
        not_evaluated.push(
            "flags of the API server (rotation, buffers, truncation, mode): they are not given"
                .to_owned(),
        );
    }
    not_evaluated.extend(probes.left_out());
    Report { findings, not_evaluated }
}

/// The policy that is left when every correction is applied, one after another, until nothing is found.
/// Flags are not part of it.
///
/// # Errors
/// The document is no policy that the API server takes.
pub fn corrected(document: &Value) -> Result<AuditPolicy, PolicyError> {
    let (mut policy, _) = AuditPolicy::parse(document)?;
    // Each round removes a finding; the bound is for a correction that would bring another one.
    for _ in 0..256 {
        let report = lint_policy(&policy, None);
        let Some(finding) = report.findings.first() else { break };
        finding.fix.apply(&mut policy);
    }
    Ok(policy)
}

/// A policy without findings, as a text with its reasons in comments.
pub fn recommended() -> &'static str {
    include_str!("../data/recommended.yaml")
}

/// What every check looks at.
#[derive(Clone, Copy)]
struct Subject<'a> {
    policy: &'a AuditPolicy,
    probes: &'a probes::Probes,
}

impl Subject<'_> {
    fn rule(&self, index: usize) -> Rule {
        self.policy.rules.get(index).cloned().unwrap_or_default()
    }
}

fn unknown_field(problem: &Problem) -> Finding {
    let mut finding = check::UNKNOWN_FIELD.finding(None, problem.message.clone());
    finding.path.clone_from(&problem.path);
    finding.fix = Fix::Remove { path: problem.path.clone() };
    finding
}

#[cfg(test)]
mod tests;
