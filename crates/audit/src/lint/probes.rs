//! The requests that matter: who, where and what, as far as a policy can tell them apart.
//!
//! A policy compares values whole, so one user, namespace and name that it does not mention stand for all such,
//! beside each that it does.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Check;
use super::{Finding, Subject};
use crate::ask::groups_of;
use crate::policy::{AuditPolicy, Level};
use crate::request::{Request, ResourceTarget, Target, User};
use crate::resources::{Scope, known};

/// Verbs of requests for resources.
pub(crate) const VERBS: [&str; 8] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
/// Verbs of requests for other paths: the HTTP methods.
pub(crate) const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];
/// Terminals, tunnels and proxies, by group and resource.
pub(crate) const CONNECT: [(&str, &str); 6] = [
    ("", "pods/exec"),
    ("", "pods/attach"),
    ("", "pods/portforward"),
    ("", "pods/proxy"),
    ("", "services/proxy"),
    ("", "nodes/proxy"),
];
/// What decides about access and admission.
pub(crate) const SENSITIVE: [(&str, &[&str]); 2] = [
    (
        "rbac.authorization.k8s.io",
        &["roles", "rolebindings", "clusterroles", "clusterrolebindings"],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "validatingwebhookconfigurations",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ],
    ),
];
/// A kind that this policy cannot know.
pub(crate) const UNKNOWN: (&str, &str) = ("example.com", "widgets");

/// More of each than this are not tried.
const BOUND: usize = 64;
/// Examples that a finding shows.
const EXAMPLES: usize = 3;

/// What to ask with.
pub(crate) struct Probes {
    /// The first is nobody special.
    pub(crate) users: Vec<User>,
    /// The first is one that the policy does not mention.
    pub(crate) namespaces: Vec<String>,
    names: Vec<String>,
    cut: bool,
}

// === impl Probes ===

impl Probes {
    pub(crate) fn of(policy: &AuditPolicy) -> Self {
        let rules = || policy.rules.iter();
        let mut users = vec![user(&unused("someone", rules().flat_map(|rule| &rule.users)))];
        let named = distinct(rules().flat_map(|rule| &rule.users));
        let groups = distinct(rules().flat_map(|rule| &rule.user_groups));
        let known = ["system:authenticated", "system:unauthenticated"];
        let groups: Vec<&String> =
            groups.into_iter().filter(|group| !known.contains(&group.as_str())).collect();
        let spaces = distinct(rules().flat_map(|rule| &rule.namespaces));
        let fresh = unused("some-namespace", rules().flat_map(|rule| &rule.namespaces));
        let entries = || rules().flat_map(|rule| &rule.resources);
        let names = distinct(entries().flat_map(|entry| &entry.resource_names));
        let cut = [named.len(), groups.len(), spaces.len(), names.len()].iter().any(|n| *n > BOUND);
        users.extend(named.iter().take(BOUND).map(|name| user(name)));
        let ordinary = users.first().map(|user| user.name.clone()).unwrap_or_default();
        for group in groups.iter().take(BOUND) {
            let groups = vec![(*group).clone(), "system:authenticated".to_owned()];
            users.push(User { name: ordinary.clone(), groups });
        }
        let mut namespaces = vec![fresh, "kube-system".to_owned()];
        for space in spaces.into_iter().take(BOUND) {
            if !space.is_empty() && !namespaces.contains(space) {
                namespaces.push(space.clone());
            }
        }
        let fresh = unused("some-name", entries().flat_map(|entry| &entry.resource_names));
        let names = std::iter::once(fresh).chain(names.into_iter().take(BOUND).cloned()).collect();
        Self { users, namespaces, names, cut }
    }

    /// What was not tried, for the report.
    pub(crate) fn left_out(&self) -> Option<String> {
        self.cut.then(|| {
            format!("users, groups, namespaces and names beyond {BOUND} of each that rules mention")
        })
    }

    /// A request in words: who asks is said only where it matters.
    fn told(&self, request: &Request) -> String {
        let text = request.to_string();
        let Some((user, ordinary)) = request.user.as_ref().zip(self.users.first()) else {
            return text;
        };
        if user.name != ordinary.name {
            return text;
        }
        let what = text.strip_suffix(&format!(" by {}", user.name)).unwrap_or(&text);
        match user.groups.first().filter(|_| user.groups != ordinary.groups) {
            Some(group) => format!("{what} by a member of {group}"),
            None => what.to_owned(),
        }
    }

    /// All requests for a resource (`pods/exec`) with these verbs, by everybody, everywhere.
    pub(crate) fn requests(
        &self,
        (group, resource): (&str, &str),
        verbs: &[&str],
    ) -> impl Iterator<Item = Request> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let cluster = known(group, resource).is_some_and(|known| known.scope == Scope::Cluster);
        let mut targets = Vec::new();
        for verb in verbs {
            let over_all = matches!(*verb, "list" | "watch");
            let unnamed = over_all
                || *verb == "deletecollection"
                || (*verb == "create" && subresource.is_empty());
            let spaces: Vec<&str> = match (cluster, over_all) {
                (true, _) => vec![""],
                (false, false) => self.namespaces.iter().map(String::as_str).collect(),
                (false, true) => self.namespaces.iter().map(String::as_str).chain([""]).collect(),
            };
            for namespace in spaces {
                let names: &[String] = if unnamed { &[String::new()] } else { &self.names };
                for name in names {
                    let target = ResourceTarget {
                        group: group.to_owned(),
                        resource: resource.to_owned(),
                        subresource: subresource.to_owned(),
                        namespace: namespace.to_owned(),
                        name: name.clone(),
                    };
                    targets.push(((*verb).to_owned(), target));
                }
            }
        }
        let users = self.users.iter();
        users.flat_map(move |user| {
            let with = |(verb, target): &(String, ResourceTarget)| Request {
                user: Some(user.clone()),
                verb: verb.clone(),
                target: Target::Resource(target.clone()),
            };
            targets.iter().map(with).collect::<Vec<_>>()
        })
    }
}

fn user(name: &str) -> User {
    User { name: name.to_owned(), groups: groups_of(name) }
}

/// Each once, without those that look like globs: no request has them.
fn distinct<'v>(values: impl Iterator<Item = &'v String>) -> Vec<&'v String> {
    let mut seen = BTreeSet::new();
    values.filter(|value| !value.contains(['*', '?']) && seen.insert(*value)).collect()
}

/// A word that is none of these.
pub(crate) fn unused<'v>(word: &str, values: impl Iterator<Item = &'v String>) -> String {
    let taken = distinct(values);
    let mut word = word.to_owned();
    while taken.contains(&&word) {
        word.push_str("-else");
    }
    word
}

/// Requests by the rule that decided about them, with a few to show.
#[derive(Default)]
pub(crate) struct Shown {
    by_rule: BTreeMap<usize, Vec<(Level, Request)>>,
    by_none: Vec<(Level, Request)>,
}

impl Shown {
    /// Keeps one request for each verb and resource that a rule decided about.
    pub(crate) fn add(&mut self, rule: Option<usize>, level: Level, request: Request) {
        let kept = match rule {
            Some(rule) => self.by_rule.entry(rule).or_default(),
            None => &mut self.by_none,
        };
        if !kept.iter().any(|(_, other)| alike(other, &request)) {
            kept.push((level, request));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_rule.values().map(Vec::len).sum::<usize>() + self.by_none.len()
    }

    /// A finding for each rule, those without one last.
    pub(crate) fn findings(
        self,
        subject: &Subject<'_>,
        check: &Check,
        mut complete: impl FnMut(&mut Finding, &[(Level, Request)]),
    ) -> Vec<Finding> {
        let ruled = self.by_rule.into_iter().map(|(rule, kept)| (Some(rule), kept));
        let none = (!self.by_none.is_empty()).then_some((None, self.by_none));
        let made = ruled.chain(none).map(|(rule, kept)| {
            let mut finding = check.finding(rule, String::new());
            finding.requests =
                kept.iter().take(EXAMPLES).map(|(_, it)| subject.probes.told(it)).collect();
            complete(&mut finding, &kept);
            finding
        });
        made.collect()
    }
}

fn alike(one: &Request, other: &Request) -> bool {
    one.verb == other.verb
        && match (&one.target, &other.target) {
            (Target::Resource(one), Target::Resource(other)) => {
                one.qualified() == other.qualified()
            }
            (Target::Path(one), Target::Path(other)) => one == other,
            _ => false,
        }
}

/// The resources of some requests, each once, as one would list them.
pub(crate) fn resources_of(kept: &[(Level, Request)]) -> String {
    let mut names = Vec::new();
    for (_, request) in kept {
        if let Target::Resource(target) = &request.target
            && !names.contains(&plain(target))
        {
            names.push(plain(target));
        }
    }
    listed(&names)
}

/// Without the group, which would only be noise in a sentence.
fn plain(target: &ResourceTarget) -> String {
    ResourceTarget { group: String::new(), ..target.clone() }.qualified()
}

/// `a, b and c`; the rest is counted.
pub(crate) fn listed(names: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] if names.len() <= 6 => format!("{} and {last}", first.join(", ")),
        [first @ .., _] => {
            let shown = first.get(..5).unwrap_or_default();
            format!("{} and {} more", shown.join(", "), names.len() - shown.len())
        }
    }
}

/// Puts requests to the policy and keeps those about which it is decided wrongly.
pub(crate) fn ask(
    subject: &Subject<'_>,
    requests: impl Iterator<Item = Request>,
    wrong: impl Fn(&Request, Level) -> bool,
    shown: &mut Shown,
) {
    for request in requests {
        let (level, rule) = subject.policy.decide(&request);
        if wrong(&request, level) && !rule.is_some_and(|rule| subject.drops_an_identity(rule)) {
            shown.add(rule, level, request);
        }
    }
}
