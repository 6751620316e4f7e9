//! Resources under the wrong name, group or namespaces: checks 3 and 11.

use super::check::{CLUSTER_SCOPED, WRONG_GROUP};
use super::fix::Fix;
use super::probes::listed;
use super::{Finding, Subject};
use crate::policy::{GroupResources, Rule};
use crate::resources::{KnownResource, Scope, is_known_group, known, known_resources};

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let rules = subject.policy.rules.iter().enumerate();
    let found = rules.flat_map(|(index, rule)| {
        let named = wrong_names(index, rule);
        named.into_iter().chain(cluster_scoped(index, rule))
    });
    found.collect()
}

// === 3 ===

fn cluster_scoped(index: usize, rule: &Rule) -> Option<Finding> {
    if rule.namespaces.is_empty() || rule.namespaces.iter().any(String::is_empty) {
        return None;
    }
    let is_cluster = |group: &str, name: &str| {
        // A namespace is in itself, so that rules about namespaces do match it.
        let resource = name.split('/').next().unwrap_or_default();
        known(group, resource)
            .is_some_and(|it| it.scope == Scope::Cluster && resource != "namespaces")
    };
    let (mut inside, mut outside, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &rule.resources {
        let (cluster, other): (Vec<String>, Vec<String>) =
            entry.resources.iter().cloned().partition(|name| is_cluster(&entry.group, name));
        if cluster.is_empty() {
            inside.push(entry.clone());
            continue;
        }
        names.extend(cluster.iter().cloned());
        outside.push(GroupResources { resources: cluster, ..entry.clone() });
        if !other.is_empty() {
            inside.push(GroupResources { resources: other, ..entry.clone() });
        }
    }
    if names.is_empty() {
        return None;
    }
    let spaces = listed(&rule.namespaces);
    let verb = if names.len() == 1 { "is" } else { "are" };
    let message =
        format!("{} {verb} in no namespace, and the rule is about {spaces}", listed(&names));
    let mut finding = CLUSTER_SCOPED.finding(Some(index), message);
    finding.path = format!("rules[{index}].namespaces");
    let beside = Rule { namespaces: Vec::new(), resources: outside, ..rule.clone() };
    let within = Rule { resources: inside, ..rule.clone() };
    let mut rules = vec![within, beside];
    rules.retain(|rule| !rule.resources.is_empty());
    finding.fix = Fix::Replace { at: index, rules };
    Some(finding)
}

// === 11 ===

/// What is wrong with a resource, and what was meant, if anything is known to be.
struct Wrong {
    said: String,
    /// Group and resource.
    meant: Option<(&'static str, String)>,
}

fn wrong_names(index: usize, rule: &Rule) -> Option<Finding> {
    let mut said = Vec::new();
    let mut entries = Vec::new();
    for entry in &rule.resources {
        if entry.resources.is_empty()
            && !entry.group.is_empty()
            && !is_plausible_group(&entry.group)
        {
            said.push(format!("there is no group `{}`", entry.group));
            continue;
        }
        let mut own = GroupResources { resources: Vec::new(), ..entry.clone() };
        let mut others: Vec<GroupResources> = Vec::new();
        for name in &entry.resources {
            let Some(wrong) = wrong(&entry.group, name) else {
                own.resources.push(name.clone());
                continue;
            };
            said.push(wrong.said);
            let Some((group, name)) = wrong.meant else { continue };
            let known = others.iter_mut().find(|it| it.group == group);
            match known {
                _ if group == own.group => own.resources.push(name),
                Some(other) => other.resources.push(name),
                None => others.push(GroupResources {
                    group: group.to_owned(),
                    resources: vec![name],
                    resource_names: entry.resource_names.clone(),
                }),
            }
        }
        if !own.resources.is_empty() || entry.resources.is_empty() {
            entries.push(own);
        }
        entries.append(&mut others);
    }
    if said.is_empty() {
        return None;
    }
    let mut finding = WRONG_GROUP.finding(Some(index), said.join("; "));
    finding.path = format!("rules[{index}].resources");
    let mut rules = vec![Rule { resources: entries, ..rule.clone() }];
    rules.retain(|rule| !rule.resources.is_empty());
    finding.fix = Fix::Replace { at: index, rules };
    Some(finding)
}

/// A group of Kubernetes, or one that somebody else may serve: those have a dot.
fn is_plausible_group(group: &str) -> bool {
    group == "*" || is_known_group(group) || group.contains('.')
}

fn wrong(group: &str, name: &str) -> Option<Wrong> {
    let (resource, subresource) = name.split_once('/').unwrap_or((name, ""));
    if name.contains('*') {
        return None;
    }
    let full = |resource: &str| match subresource {
        "" => resource.to_owned(),
        subresource => format!("{resource}/{subresource}"),
    };
    let shown = if group.is_empty() { "the core group".to_owned() } else { format!("`{group}`") };
    if let Some(known) = known(group, resource) {
        let served = subresource.is_empty() || known.subresources.contains(&subresource);
        return (!served).then(|| Wrong {
            said: format!("`{resource}` has no subresource `{subresource}`"),
            meant: None,
        });
    }
    let elsewhere: Vec<&KnownResource> =
        known_resources().iter().filter(|known| known.resource == resource).collect();
    if group == "*" {
        return None;
    }
    if let Some(plural) = plural(group, resource) {
        let said = format!("`{resource}` is no resource of {shown}, but `{}` is", plural.resource);
        return Some(Wrong { said, meant: Some((plural.group, full(plural.resource))) });
    }
    if let Some(other) = elsewhere.first().filter(|_| claims_to_be_ours(group)) {
        let groups: Vec<String> = elsewhere
            .iter()
            .map(|known| match known.group {
                "" => "the core group".to_owned(),
                group => format!("`{group}`"),
            })
            .collect();
        let said = format!("`{resource}` is not in {shown} but in {}", listed(&groups));
        return Some(Wrong { said, meant: Some((other.group, full(resource))) });
    }
    if is_known_group(group) {
        let said = format!("`{resource}` is no resource of {shown}");
        return Some(Wrong { said, meant: None });
    }
    (!is_plausible_group(group))
        .then(|| Wrong { said: format!("there is no group `{group}`"), meant: None })
}

/// Whether a group is, or looks like, one of Kubernetes itself. Metrics are served by others under that name.
fn claims_to_be_ours(group: &str) -> bool {
    let of_kubernetes = group.ends_with("k8s.io") || group.ends_with("k8s");
    is_known_group(group)
        || !group.contains('.')
        || (of_kubernetes && !group.ends_with("metrics.k8s.io"))
}

/// The resource that a kind or a singular stands for.
fn plural(group: &str, word: &str) -> Option<&'static KnownResource> {
    let lower = word.to_ascii_lowercase();
    let stem = lower.strip_suffix('y').map(|stem| format!("{stem}ies"));
    let forms = [Some(lower.clone()), Some(format!("{lower}s")), Some(format!("{lower}es")), stem];
    forms.into_iter().flatten().find_map(|form| known(group, &form))
}
