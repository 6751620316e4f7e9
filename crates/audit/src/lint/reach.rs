//! Rules, and parts of rules, that decide about nothing: check 2.

use std::collections::BTreeSet;

use super::check::UNREACHABLE;
use super::fix::Fix;
use super::probes::{METHODS, UNKNOWN, VERBS, listed, unused};
use super::{Finding, Subject};
use crate::ask::groups_of;
use crate::policy::{GroupResources, Rule};
use crate::request::{Request, ResourceTarget, Target, User};
use crate::resources::{KnownResource, Scope, is_known_group, known, known_resources, may_exist};

/// More requests than this are not tried for one rule; it is taken for reached then.
const BOUND: usize = 100_000;

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let rules = subject.policy.rules.iter().enumerate();
    rules
        .filter_map(|(index, rule)| dead(index, rule).or_else(|| shadowed(subject, index, rule)))
        .collect()
}

// === values that match nothing ===

fn dead(index: usize, rule: &Rule) -> Option<Finding> {
    let mut said = Vec::new();
    let mut new = rule.clone();
    let mut empty = false;
    for (key, values, wrong) in [
        ("verbs", &mut new.verbs, is_dead_verb as fn(&str) -> bool),
        ("users", &mut new.users, is_glob),
        ("userGroups", &mut new.user_groups, is_glob),
        ("namespaces", &mut new.namespaces, is_glob),
    ] {
        // A lone `*` was meant to be all, which is what an empty list means.
        empty |= without(key, values, wrong, &mut said).is_some_and(|gone| gone != ["*"]);
    }
    for entry in &mut new.resources {
        let names = &mut entry.resources;
        empty |= without("resources", names, is_dead_pattern, &mut said).is_some();
    }
    if said.is_empty() {
        return None;
    }
    let message = format!("no request has {}: values are compared whole", listed(&said));
    let mut finding = UNREACHABLE.finding(Some(index), message);
    let rules = if empty { Vec::new() } else { vec![new] };
    finding.fix = Fix::Replace { at: index, rules };
    Some(finding)
}

/// Takes out the values that match nothing, and says which; gives them back if none is left.
fn without(
    key: &str,
    values: &mut Vec<String>,
    wrong: fn(&str) -> bool,
    said: &mut Vec<String>,
) -> Option<Vec<String>> {
    let (gone, left): (Vec<String>, Vec<String>) = values.drain(..).partition(|it| wrong(it));
    said.extend(gone.iter().map(|value| format!("`{value}` of {key}")));
    *values = left;
    (values.is_empty() && !gone.is_empty()).then_some(gone)
}

fn is_dead_verb(verb: &str) -> bool {
    !VERBS.contains(&verb) && !METHODS.contains(&verb) && verb != "proxy"
}

fn is_glob(value: &str) -> bool {
    value.contains(['*', '?'])
}

fn is_dead_pattern(pattern: &str) -> bool {
    match pattern.split_once('/') {
        None => pattern != "*" && pattern.contains('*'),
        Some((resource, subresource)) => {
            let plain = |text: &str| !text.is_empty() && !text.contains(['*', '/']);
            let wild =
                (resource == "*" && plain(subresource)) || (plain(resource) && subresource == "*");
            !(wild || (plain(resource) && plain(subresource)))
        }
    }
}

// === rules before it ===

fn shadowed(subject: &Subject<'_>, index: usize, rule: &Rule) -> Option<Finding> {
    let mut deciding = BTreeSet::new();
    let mut tried = 0;
    for request in requests(subject, rule) {
        tried += 1;
        match subject.policy.decide(&request).1 {
            Some(other) if other == index => return None,
            Some(other) => deciding.insert(other),
            None => continue,
        };
        if tried >= BOUND {
            return None;
        }
    }
    // What cannot be asked about at all is another check's finding.
    if deciding.is_empty() {
        return None;
    }
    let before: Vec<String> = deciding.iter().map(|other| format!("rules[{other}]")).collect();
    let verb = if before.len() == 1 { "decides" } else { "decide" };
    let message =
        format!("the rule is never reached: {} {verb} about all that it matches", listed(&before));
    let mut finding = UNREACHABLE.finding(Some(index), message);
    finding.fix = Fix::Replace { at: index, rules: Vec::new() };
    Some(finding)
}

/// Requests that the rule matches: each of its values, and where it names none, one that no rule names.
fn requests<'s>(subject: &'s Subject<'_>, rule: &'s Rule) -> impl Iterator<Item = Request> + 's {
    let users = users(subject, rule);
    let targets = targets(subject, rule);
    users.into_iter().flat_map(move |user| {
        let targets = targets.clone();
        targets.into_iter().flat_map(move |target| {
            let user = user.clone();
            verbs(rule, &target).into_iter().filter_map(move |verb| {
                let request =
                    Request { user: user.clone(), verb: verb.to_owned(), target: target.clone() };
                (is_real(&request) && rule.mismatch(&request).is_none()).then_some(request)
            })
        })
    })
}

fn users(subject: &Subject<'_>, rule: &Rule) -> Vec<Option<User>> {
    let fresh = subject.probes.users.first().map(|user| user.name.clone()).unwrap_or_default();
    let names = if rule.users.is_empty() { vec![fresh] } else { rule.users.clone() };
    let mut users = Vec::new();
    for name in names {
        let own = groups_of(&name);
        if rule.user_groups.is_empty() {
            users.push(Some(User { name, groups: own }));
            continue;
        }
        for group in &rule.user_groups {
            let mut groups = own.clone();
            // Who is in this group is not signed in, and so in no other.
            if group == "system:unauthenticated" {
                groups.clear();
            }
            groups.push(group.clone());
            users.push(Some(User { name: name.clone(), groups }));
        }
    }
    if rule.users.is_empty() && rule.user_groups.is_empty() {
        users.push(None);
    }
    users
}

fn verbs<'r>(rule: &'r Rule, target: &Target) -> Vec<&'r str> {
    if !rule.verbs.is_empty() {
        return rule.verbs.iter().map(String::as_str).collect();
    }
    match target {
        Target::Resource(_) => VERBS.to_vec(),
        Target::Path(_) => METHODS.to_vec(),
    }
}

fn targets(subject: &Subject<'_>, rule: &Rule) -> Vec<Target> {
    let mut targets = Vec::new();
    if !rule.is_about_resources() {
        let path = "/some/other/path".to_owned();
        let urls = rule.non_resource_urls.iter();
        targets.extend(urls.map(|url| match url.strip_suffix('*') {
            Some("") => Target::Path(path.clone()),
            Some(prefix) => Target::Path(format!("{}else", prefix.trim_end_matches('*'))),
            None => Target::Path(url.clone()),
        }));
        if !rule.non_resource_urls.is_empty() {
            return targets;
        }
        targets.push(Target::Path(path));
    }
    let all = [GroupResources {
        group: "*".to_owned(),
        resources: Vec::new(),
        resource_names: Vec::new(),
    }];
    let entries = if rule.resources.is_empty() { all.as_slice() } else { &rule.resources };
    for entry in entries {
        for (group, resource, subresource) in resources(subject, entry) {
            for namespace in namespaces(subject, rule, &group, &resource) {
                for name in names(subject, entry) {
                    let own =
                        if resource == "namespaces" { name.clone() } else { namespace.clone() };
                    targets.push(Target::Resource(ResourceTarget {
                        group: group.clone(),
                        resource: resource.clone(),
                        subresource: subresource.clone(),
                        namespace: own,
                        name,
                    }));
                }
            }
        }
    }
    targets
}

type Triple = (String, String, String);

fn resources(subject: &Subject<'_>, entry: &GroupResources) -> Vec<Triple> {
    let triple = |group: &str, resource: &str, sub: &str| {
        (group.to_owned(), resource.to_owned(), sub.to_owned())
    };
    let mentioned =
        subject.policy.rules.iter().flat_map(|rule| &rule.resources).map(|it| &it.group);
    let fresh_group = unused(UNKNOWN.0, mentioned);
    let group = if entry.group == "*" { fresh_group.as_str() } else { entry.group.as_str() };
    let of_group = || {
        let all = entry.group == "*";
        known_resources().iter().filter(move |known| all || known.group == group)
    };
    let whole = |known: &'static KnownResource| {
        let subs =
            known.subresources.iter().map(move |sub| triple(known.group, known.resource, sub));
        subs.chain([triple(known.group, known.resource, "")])
    };
    let patterns: Vec<&str> = match entry.resources.as_slice() {
        [] => vec!["*"],
        some => some.iter().map(String::as_str).collect(),
    };
    let mut found = Vec::new();
    for pattern in patterns {
        match pattern.split_once('/') {
            None if pattern == "*" => {
                // In a group of Kubernetes itself nothing is unknown.
                if !is_known_group(group) {
                    found.push(triple(group, UNKNOWN.1, ""));
                }
                found.extend(of_group().flat_map(whole));
            }
            None => found.push(triple(group, pattern, "")),
            Some(("*", sub)) => {
                found.push(triple(group, UNKNOWN.1, sub));
                let with = of_group().filter(|known| known.subresources.contains(&sub));
                found.extend(with.map(|known| triple(known.group, known.resource, sub)));
            }
            Some((resource, "*")) => {
                found.push(triple(group, resource, ""));
                let subs = known(group, resource).map(|known| known.subresources.clone());
                let subs = subs.unwrap_or_else(|| vec!["status"]);
                found.extend(subs.iter().map(|sub| triple(group, resource, sub)));
            }
            Some((resource, sub)) => found.push(triple(group, resource, sub)),
        }
    }
    found
}

fn namespaces(subject: &Subject<'_>, rule: &Rule, group: &str, resource: &str) -> Vec<String> {
    if !rule.namespaces.is_empty() {
        return rule.namespaces.clone();
    }
    let cluster = known(group, resource).is_some_and(|known| known.scope == Scope::Cluster);
    let fresh = subject.probes.namespaces.first().filter(|_| !cluster).cloned();
    fresh.into_iter().chain([String::new()]).collect()
}

fn names(subject: &Subject<'_>, entry: &GroupResources) -> Vec<String> {
    if !entry.resource_names.is_empty() {
        return entry.resource_names.clone();
    }
    let entries = subject.policy.rules.iter().flat_map(|rule| &rule.resources);
    vec![String::new(), unused("some-name", entries.flat_map(|entry| &entry.resource_names))]
}

/// Whether such a request can come: of what Kubernetes itself serves, its scope is known.
fn is_real(request: &Request) -> bool {
    let Target::Resource(target) = &request.target else { return true };
    let verb = request.verb.as_str();
    let of_collection = matches!(verb, "list" | "watch" | "deletecollection");
    let named = !target.name.is_empty();
    let unnamed = verb == "deletecollection" || (verb == "create" && target.subresource.is_empty());
    if (unnamed && named) || (!unnamed && !of_collection && !named) {
        return false;
    }
    match known(&target.group, &target.resource) {
        Some(known) if known.scope == Scope::Cluster => {
            target.resource == "namespaces" || target.namespace.is_empty()
        }
        Some(_) => !target.namespace.is_empty() || matches!(verb, "list" | "watch"),
        None => may_exist(&target.group, &target.resource),
    }
}
