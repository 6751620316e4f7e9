//! Requests that should be logged, or logged with more: checks 1, 4, 5, 6, 9, 10 and 12.

use super::check::{
    CONNECT_DROPPED, DELETE_COLLECTION, IDENTITY_DROPPED, NO_CATCH_ALL, SECRET_READS,
    SENSITIVE_WRITES, SUBRESOURCES, Severity,
};
use super::fix::Fix;
use super::probes::{
    CONNECT, METHODS, SENSITIVE, Shown, UNKNOWN, VERBS, ask, listed, resources_of,
};
use super::{Finding, Subject};
use crate::policy::{Level, Rule};
use crate::request::{Request, ResourceTarget, Target, User};
use crate::resources::{known, may_exist};

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = catch_all(subject);
    findings.extend(connect(subject));
    findings.extend(delete_collection(subject));
    findings.extend(subresources(subject));
    findings.extend(secret_reads(subject));
    findings.extend(sensitive_writes(subject));
    findings.extend(identities(subject));
    findings
}

// === impl Subject ===

impl Subject<'_> {
    /// Whether a rule drops all that somebody does; then that is what is to be said of it.
    pub(super) fn drops_an_identity(&self, index: usize) -> bool {
        self.policy.rules.get(index).is_some_and(|rule| {
            let all = rule.resources.is_empty()
                || rule.resources.iter().any(|entry| {
                    entry.group == "*"
                        && (entry.resources.is_empty()
                            || entry.resources.iter().any(|it| it == "*"))
                });
            rule.level == Level::None
                && all
                && rule.namespaces.is_empty()
                && rule.non_resource_urls.is_empty()
                && (!rule.users.is_empty() || !rule.user_groups.is_empty())
        })
    }
}

fn insert(rule: Option<usize>, new: Rule) -> Fix {
    match rule {
        Some(at) => Fix::Insert { at, rule: new },
        None => Fix::Append { rule: new },
    }
}

// === 1 ===

fn catch_all(subject: &Subject<'_>) -> Vec<Finding> {
    let mut users: Vec<Option<User>> = subject.probes.users.iter().cloned().map(Some).collect();
    users.push(None);
    let mut shown = Shown::default();
    for user in users {
        for request in anything(user.as_ref(), subject) {
            let (level, rule) = subject.policy.decide(&request);
            let by_the_last = rule.is_some_and(|rule| {
                level == Level::None && subject.policy.rules.get(rule).is_some_and(asks_for_nothing)
            });
            if rule.is_none() || by_the_last {
                shown.add(rule, level, request);
            }
        }
    }
    shown.findings(subject, &NO_CATCH_ALL, |finding, kept| {
        let mut verbs = Vec::new();
        for (_, request) in kept {
            if !verbs.contains(&request.verb) {
                verbs.push(request.verb.clone());
            }
        }
        let all = VERBS.iter().all(|verb| verbs.iter().any(|it| it == verb));
        let what = if all { "anything".to_owned() } else { listed(&verbs) };
        finding.message = match finding.rule {
            Some(rule) => format!("rules[{rule}] drops what no other rule matches: {what}"),
            None => format!("there are requests that no rule matches, with the verbs {what}"),
        };
        if all && finding.rule.is_none() {
            "there are requests of every verb that no rule matches"
                .clone_into(&mut finding.message);
        }
        let rule = Rule { level: Level::Metadata, ..Rule::default() };
        finding.fix = match finding.rule {
            Some(at) => Fix::Replace { at, rules: vec![rule] },
            None => Fix::Append { rule },
        };
    })
}

fn asks_for_nothing(rule: &Rule) -> bool {
    !rule.is_about_resources()
        && rule.non_resource_urls.is_empty()
        && rule.verbs.is_empty()
        && rule.users.is_empty()
        && rule.user_groups.is_empty()
}

/// Requests of every verb for things that no policy knows, and for a pod.
fn anything<'s>(
    user: Option<&'s User>,
    subject: &'s Subject<'_>,
) -> impl Iterator<Item = Request> + 's {
    let targets = [("", "pods"), UNKNOWN].into_iter().flat_map(|(group, resource)| {
        let spaces = subject.probes.namespaces.iter().take(1).map(String::as_str).chain([""]);
        spaces.map(move |namespace| ResourceTarget {
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            ..ResourceTarget::default()
        })
    });
    let resources =
        targets.flat_map(|target| VERBS.map(|verb| (verb, Target::Resource(target.clone()))));
    let paths = METHODS.map(|verb| (verb, Target::Path("/some/path".to_owned())));
    resources.chain(paths).map(move |(verb, target)| Request {
        user: user.cloned(),
        verb: verb.to_owned(),
        target,
    })
}

// === 4, 9, 10 ===

fn connect(subject: &Subject<'_>) -> Vec<Finding> {
    let mut shown = Shown::default();
    for aim in CONNECT {
        let requests = subject.probes.requests(aim, &["get", "create"]);
        ask(subject, requests, |_, level| level == Level::None, &mut shown);
    }
    shown.findings(subject, &CONNECT_DROPPED, |finding, kept| {
        let verbs = ["get", "create"].into_iter();
        let verbs: Vec<&str> =
            verbs.filter(|verb| kept.iter().any(|(_, request)| request.verb == *verb)).collect();
        finding.message =
            format!("`{}` of {} is not logged", verbs.join("` and `"), resources_of(kept));
        let names: Vec<&str> = CONNECT.iter().map(|(_, resource)| *resource).collect();
        finding.fix = insert(finding.rule, Rule::about(Level::Metadata, &[], &[("", &names)]));
    })
}

fn secret_reads(subject: &Subject<'_>) -> Vec<Finding> {
    let mut shown = Shown::default();
    let requests = subject.probes.requests(("", "secrets"), &["get", "list", "watch"]);
    ask(subject, requests, |_, level| level == Level::None, &mut shown);
    shown.findings(subject, &SECRET_READS, |finding, kept| {
        let verbs: Vec<&str> = kept.iter().map(|(_, request)| request.verb.as_str()).collect();
        finding.message = format!("reads of secrets ({}) are not logged", verbs.join(", "));
        let rule = Rule::about(Level::Metadata, &[], &[("", &["secrets"])]);
        finding.fix = insert(finding.rule, rule);
    })
}

fn sensitive_writes(subject: &Subject<'_>) -> Vec<Finding> {
    let mut shown = Shown::default();
    for (group, resources) in SENSITIVE {
        for resource in resources {
            let writes = ["create", "update", "patch", "delete"];
            let requests = subject.probes.requests((group, resource), &writes);
            let wrong = |request: &Request, level| {
                let wanted =
                    if request.verb == "delete" { Level::Metadata } else { Level::Request };
                level < wanted
            };
            ask(subject, requests, wrong, &mut shown);
        }
    }
    shown.findings(subject, &SENSITIVE_WRITES, |finding, kept| {
        let none = kept.iter().all(|(level, _)| *level == Level::None);
        let how = if none { "are not logged" } else { "are logged without what was written" };
        finding.message = format!("changes of {} {how}", resources_of(kept));
        if none {
            finding.severity = Severity::Error;
        }
        let verbs = ["create", "update", "patch", "delete", "deletecollection"];
        let rule = Rule::about(Level::RequestResponse, &verbs, &SENSITIVE);
        finding.fix = insert(finding.rule, rule);
    })
}

// === 5 ===

fn delete_collection(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, rule) in subject.policy.rules.iter().enumerate() {
        let lists = |verb: &str| rule.verbs.iter().any(|it| it == verb);
        if rule.level == Level::None || !lists("delete") || lists("deletecollection") {
            continue;
        }
        let mut shown = Shown::default();
        for aim in aims(rule) {
            for request in subject.probes.requests((aim.0, aim.1), &["delete"]) {
                if subject.policy.decide(&request).1 != Some(index) {
                    continue;
                }
                let all = of_collection(request);
                let (level, _) = subject.policy.decide(&all);
                if level < rule.level {
                    shown.add(Some(index), level, all);
                }
            }
        }
        findings.extend(shown.findings(subject, &DELETE_COLLECTION, |finding, kept| {
            let none = kept.iter().any(|(level, _)| *level == Level::None);
            let how = if none { "is not logged" } else { "is logged with less" };
            finding.message = format!(
                "`delete` is logged at {}, and `deletecollection` {how}",
                rule.level.name()
            );
            if !none {
                finding.severity = Severity::Warning;
            }
            finding.path = format!("rules[{index}].verbs");
            let mut new = subject.rule(index);
            new.verbs.push("deletecollection".to_owned());
            finding.fix = Fix::Replace { at: index, rules: vec![new] };
        }));
    }
    findings
}

fn of_collection(mut request: Request) -> Request {
    "deletecollection".clone_into(&mut request.verb);
    if let Target::Resource(target) = &mut request.target {
        target.name.clear();
    }
    request
}

/// Resources to ask about for a rule: those that it names, or some of every sort.
fn aims(rule: &Rule) -> Vec<(&str, &str)> {
    let named: Vec<(&str, &str)> = rule
        .resources
        .iter()
        .flat_map(|entry| entry.resources.iter().map(|name| (entry.group.as_str(), name.as_str())))
        .filter(|(group, name)| !name.contains(['*', '/']) && may_exist(group, name))
        .collect();
    if !named.is_empty() {
        return named;
    }
    let some = [("", "pods"), ("", "secrets"), ("apps", "deployments"), UNKNOWN];
    let some = some.into_iter().chain([("rbac.authorization.k8s.io", "clusterroles")]);
    let groups: Vec<&str> = rule.resources.iter().map(|entry| entry.group.as_str()).collect();
    let covered =
        |group: &str| groups.is_empty() || groups.contains(&"*") || groups.contains(&group);
    some.filter(|(group, _)| covered(group)).collect()
}

// === 6 ===

/// Subresources by which something is done, the verb that does it, and whether its body matters.
const DOING: [(&str, &str, &[&str], bool); 13] = [
    ("pods", "exec", &["get", "create"], false),
    ("pods", "attach", &["get", "create"], false),
    ("pods", "portforward", &["get", "create"], false),
    ("pods", "proxy", &["get", "create"], false),
    ("services", "proxy", &["get", "create"], false),
    ("nodes", "proxy", &["get", "create"], false),
    ("pods", "ephemeralcontainers", &["update", "patch"], true),
    ("pods", "eviction", &["create"], false),
    ("pods", "resize", &["update", "patch"], false),
    ("serviceaccounts", "token", &["create"], false),
    ("certificatesigningrequests", "approval", &["update", "patch"], true),
    ("namespaces", "finalize", &["update"], false),
    ("deployments", "scale", &["update", "patch"], false),
];

fn subresources(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, rule) in subject.policy.rules.iter().enumerate() {
        if rule.level == Level::None {
            continue;
        }
        let mut shown = Shown::default();
        let mut missing = Vec::new();
        for entry in &rule.resources {
            for name in entry.resources.iter().filter(|name| known(&entry.group, name).is_some()) {
                for (_, sub, verbs, with_body) in DOING.iter().filter(|(of, ..)| of == name) {
                    let before = shown.len();
                    let wanted =
                        if *with_body { rule.level.min(Level::Request) } else { Level::Metadata };
                    for request in subject.probes.requests((&entry.group, name), verbs) {
                        if subject.policy.decide(&request).1 != Some(index) {
                            continue;
                        }
                        let under = of_subresource(request, sub);
                        let (level, decided) = subject.policy.decide(&under);
                        if level < wanted && decided != Some(index) {
                            shown.add(Some(index), level, under);
                        }
                    }
                    if shown.len() > before {
                        missing.push((entry.group.clone(), format!("{name}/{sub}")));
                    }
                }
            }
        }
        findings.extend(shown.findings(subject, &SUBRESOURCES, |finding, kept| {
            let none = kept.iter().any(|(level, _)| *level == Level::None);
            let how = if none { "are not logged" } else { "are logged with less" };
            let names: Vec<&String> = missing.iter().map(|(_, name)| name).collect();
            finding.message =
                format!("{} {how}: the rule names what they belong to", listed(&names));
            finding.path = format!("rules[{index}].resources");
            finding.fix = Fix::Replace {
                at: index,
                rules: vec![with_resources(subject.rule(index), &missing)],
            };
        }));
    }
    findings
}

/// The name of what is in hand is that of the object, also where something is created under it.
fn of_subresource(mut request: Request, subresource: &str) -> Request {
    if let Target::Resource(target) = &mut request.target {
        subresource.clone_into(&mut target.subresource);
        if target.name.is_empty() {
            "some-name".clone_into(&mut target.name);
        }
    }
    request
}

fn with_resources(mut rule: Rule, missing: &[(String, String)]) -> Rule {
    for entry in &mut rule.resources {
        for (group, name) in missing {
            let parent = name.split('/').next().unwrap_or_default();
            let names = &mut entry.resources;
            let has = |names: &[String], name: &str| names.iter().any(|it| it == name);
            if *group == entry.group && has(names, parent) && !has(names, name) {
                names.push(name.clone());
            }
        }
    }
    rule
}

// === 12 ===

/// What an attacker with somebody's credential does.
const DANGEROUS: [(&str, &str, &str); 6] = [
    ("", "secrets", "get"),
    ("", "pods", "create"),
    ("", "pods/exec", "create"),
    ("", "serviceaccounts/token", "create"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
    ("", "namespaces", "delete"),
];

fn identities(subject: &Subject<'_>) -> Vec<Finding> {
    let mut shown = Shown::default();
    for (group, resource, verb) in DANGEROUS {
        for request in subject.probes.requests((group, resource), &[verb]) {
            let (level, rule) = subject.policy.decide(&request);
            if let Some(rule) = rule.filter(|rule| subject.drops_an_identity(*rule)) {
                shown.add(Some(rule), level, request);
            }
        }
    }
    shown.findings(subject, &IDENTITY_DROPPED, |finding, _| {
        let Some(index) = finding.rule else { return };
        let Some(rule) = subject.policy.rules.get(index) else { return };
        let names: Vec<&String> = rule.users.iter().chain(&rule.user_groups).collect();
        let reads = rule.verbs.iter().all(|verb| ["get", "list", "watch"].contains(&verb.as_str()));
        let what = if reads && !rule.verbs.is_empty() { "reads" } else { "does" };
        finding.message = format!("nothing that {} {what} is logged", listed(&names));
        let mut new = subject.rule(index);
        new.resources = Rule::about(
            Level::None,
            &[],
            &[
                ("coordination.k8s.io", &["leases"]),
                ("", &["events", "nodes/status"]),
                ("events.k8s.io", &["events"]),
            ],
        )
        .resources;
        finding.fix = Fix::Replace { at: index, rules: vec![new] };
    })
}
