//! Bodies that should not be logged: checks 7, 8 and 14.

use super::check::{LIST_BODIES, MANAGED_FIELDS, SECRET_BODIES};
use super::fix::Fix;
use super::probes::{Shown, UNKNOWN, VERBS, ask, listed, resources_of};
use super::{Finding, Subject};
use crate::policy::{Level, Rule};
use crate::request::Request;
use crate::resources::may_exist;

/// Resources with secrets in their bodies, and the verbs that bring them there.
const SECRET: [(&str, &str, &[&str]); 4] = [
    ("", "secrets", &VERBS),
    ("", "configmaps", &VERBS),
    ("", "serviceaccounts/token", &["create"]),
    ("authentication.k8s.io", "tokenreviews", &["create"]),
];

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = secrets(subject);
    findings.extend(lists(subject));
    findings.extend(managed_fields(subject));
    findings
}

fn secrets(subject: &Subject<'_>) -> Vec<Finding> {
    let mut shown = Shown::default();
    for (group, resource, verbs) in SECRET {
        let requests = subject.probes.requests((group, resource), verbs);
        ask(subject, requests, has_body, &mut shown);
    }
    shown.findings(subject, &SECRET_BODIES, |finding, kept| {
        finding.message = format!("bodies of {} are written into the log", resources_of(kept));
        let core: &[&str] = &["secrets", "configmaps", "serviceaccounts/token"];
        let resources = [("", core), ("authentication.k8s.io", &["tokenreviews"])];
        let rule = Rule::about(Level::Metadata, &[], &resources);
        if let Some(at) = finding.rule {
            finding.fix = Fix::Insert { at, rule };
        }
    })
}

/// Whether the level brings an object into the log: requests of reads and deletions have none of their own.
fn has_body(request: &Request, level: Level) -> bool {
    match level {
        Level::None | Level::Metadata => false,
        Level::Request => matches!(request.verb.as_str(), "create" | "update" | "patch"),
        Level::RequestResponse => true,
    }
}

fn lists(subject: &Subject<'_>) -> Vec<Finding> {
    let mut shown = Shown::default();
    let rules = subject.policy.rules.iter().filter(|rule| rule.level == Level::RequestResponse);
    let named = rules.flat_map(|rule| &rule.resources).flat_map(|entry| {
        let group = if entry.group == "*" { "" } else { entry.group.as_str() };
        entry.resources.iter().map(move |name| (group, name.as_str()))
    });
    let named = named.filter(|(group, name)| !name.contains(['*', '/']) && may_exist(group, name));
    let some = [("", "pods"), ("", "secrets"), ("apps", "deployments"), UNKNOWN];
    for aim in named.chain(some) {
        let requests = subject.probes.requests(aim, &["list", "watch"]);
        ask(subject, requests, |_, level| level == Level::RequestResponse, &mut shown);
    }
    shown.findings(subject, &LIST_BODIES, |finding, kept| {
        finding.message =
            format!("lists of {} are logged with all that they list", resources_of(kept));
        if let Some(at) = finding.rule {
            let rule = subject.rule(at);
            let rules = std::iter::once(reads(&rule)).chain(writes(&rule)).collect();
            finding.path = format!("rules[{at}].verbs");
            finding.fix = Fix::Replace { at, rules };
        }
    })
}

fn is_read(verb: &str) -> bool {
    matches!(verb, "get" | "list" | "watch")
}

/// The part of a rule that is about reads, at Metadata.
fn reads(rule: &Rule) -> Rule {
    let all = VERBS.map(str::to_owned);
    let verbs = if rule.verbs.is_empty() { all.as_slice() } else { &rule.verbs };
    let verbs = verbs.iter().filter(|verb| is_read(verb)).cloned().collect();
    Rule { level: Level::Metadata, verbs, ..rule.clone() }
}

/// The rest; a rule without verbs stays as it is, as what stands before it takes the reads.
fn writes(rule: &Rule) -> Option<Rule> {
    let verbs: Vec<String> = rule.verbs.iter().filter(|verb| !is_read(verb)).cloned().collect();
    (rule.verbs.is_empty() || !verbs.is_empty()).then(|| Rule { verbs, ..rule.clone() })
}

fn managed_fields(subject: &Subject<'_>) -> Option<Finding> {
    let policy = subject.policy;
    let with_bodies =
        policy.rules.iter().enumerate().filter(|(_, rule)| rule.level >= Level::Request);
    let kept: Vec<(usize, Option<bool>)> = with_bodies
        .map(|(index, rule)| (index, rule.omit_managed_fields))
        .filter(|(_, own)| !own.unwrap_or(policy.omit_managed_fields))
        .collect();
    let (first, _) = kept.first()?;
    let rules: Vec<String> = kept.iter().map(|(index, _)| format!("rules[{index}]")).collect();
    let verb = if rules.len() == 1 { "logs" } else { "log" };
    let mut finding = MANAGED_FIELDS.finding(
        Some(*first),
        format!("{} {verb} bodies with managedFields in them", listed(&rules)),
    );
    finding.fix = Fix::OmitManagedFields;
    if let Some((index, _)) = kept.iter().find(|(_, own)| *own == Some(false)) {
        let mut rule = subject.rule(*index);
        rule.omit_managed_fields = Some(true);
        finding.rule = Some(*index);
        finding.path = format!("rules[{index}].omitManagedFields");
        finding.fix = Fix::Replace { at: *index, rules: vec![rule] };
    }
    Some(finding)
}
