//! Rules for pod controllers, derived from rules for pods.

use serde_json::{Map, Value, json};

/// The annotation that narrows which controllers get rules.
pub(super) const ANNOTATION: &str = "pod-policies.kyverno.io/autogen-controllers";

/// Controllers that get rules where nothing says otherwise.
const CONTROLLERS: [&str; 7] = [
    "DaemonSet",
    "Deployment",
    "Job",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
    "CronJob",
];

/// Longest name of a rule.
const MAX_NAME: usize = 63;

/// Where the pod's template stands in a kind of controller.
#[derive(Clone, Copy)]
pub(super) struct Template {
    prefix: &'static str,
    /// From the controller's root, keys down to the template.
    keys: &'static [&'static str],
    /// The same as a path in expressions.
    path: &'static str,
}

pub(super) const WORKLOAD: Template =
    Template { prefix: "autogen-", keys: &["spec", "template"], path: "spec.template" };
pub(super) const CRON_JOB: Template = Template {
    prefix: "autogen-cronjob-",
    keys: &["spec", "jobTemplate", "spec", "template"],
    path: "spec.jobTemplate.spec.template",
};

impl Template {
    /// What names of derived rules begin with.
    pub(super) fn prefix(self) -> &'static str {
        self.prefix
    }

    /// From the controller's root, keys down to the template.
    pub(super) fn keys(self) -> &'static [&'static str] {
        self.keys
    }

    /// Whether the pod's template is within a job's.
    pub(super) fn is_of_cron_jobs(self) -> bool {
        self.keys.len() > WORKLOAD.keys.len()
    }
}

/// The controllers for which a policy's rules are derived; none where a rule rules it out.
pub(super) fn controllers(spec: &Value, annotation: Option<&String>) -> Vec<String> {
    let rules = spec.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !rules.iter().all(allows) || !rules.iter().any(|rule| names_pod(&filters(rule, "match"))) {
        return Vec::new();
    }
    let all = || CONTROLLERS.map(str::to_owned).to_vec();
    match annotation.map(|text| text.trim()) {
        None | Some("all" | "") => all(),
        Some(text) if text.eq_ignore_ascii_case("none") => Vec::new(),
        Some(text) => text
            .split(',')
            .map(str::trim)
            .filter(|name| CONTROLLERS.contains(name))
            .map(str::to_owned)
            .collect(),
    }
}

/// Whether a rule lets the policy's rules be derived at all.
fn allows(rule: &Value) -> bool {
    if rule.get("generate").is_some() || rule.get("mutate").is_some_and(has_operations) {
        return false;
    }
    ["match", "exclude"].into_iter().all(|side| {
        filters(rule, side).iter().all(|filter| {
            let narrowed = ["name", "names", "selector", "annotations"].into_iter().any(|key| {
                filter.get(key).is_some_and(|value| match value {
                    Value::Null => false,
                    Value::String(text) => !text.is_empty(),
                    Value::Array(items) => !items.is_empty(),
                    _ => true,
                })
            });
            let kinds = kinds(filter);
            let mixed = kinds.len() > 1 && kinds.iter().any(|kind| is_pod(kind));
            !narrowed && !mixed
        })
    })
}

/// Whether a mutation patches by paths, which are those of a pod.
fn has_operations(mutate: &Value) -> bool {
    let loops = mutate.get("foreach").and_then(Value::as_array);
    mutate.get("patchesJson6902").is_some_and(|patches| !patches.is_null())
        || loops.into_iter().flatten().any(has_operations)
}

/// The `resources` of each filter of a rule's side.
fn filters<'v>(rule: &'v Value, side: &str) -> Vec<&'v Value> {
    let Some(selection) = rule.get(side) else { return Vec::new() };
    let listed = ["any", "all"].into_iter().filter_map(|list| selection.get(list)?.as_array());
    let listed = listed.flatten().filter_map(|filter| filter.get("resources"));
    selection.get("resources").into_iter().chain(listed).collect()
}

fn kinds(filter: &Value) -> Vec<&str> {
    filter
        .get("kinds")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn is_pod(kind: &str) -> bool {
    matches!(kind, "Pod" | "v1/Pod" | "*/v1/Pod" | "/v1/Pod")
}

fn names_pod(filters: &[&Value]) -> bool {
    filters.iter().any(|filter| kinds(filter).into_iter().any(is_pod))
}

/// The rules for controllers that a rule for pods gives rise to.
pub(super) fn derive(rule: &Value, controllers: &[String]) -> Vec<Value> {
    let matched = filters(rule, "match");
    let excluded = filters(rule, "exclude");
    let excludes_other_kinds =
        excluded.iter().any(|filter| !kinds(filter).is_empty()) && !names_pod(&excluded);
    if !names_pod(&matched) || excludes_other_kinds {
        return Vec::new();
    }
    let (cron, workloads): (Vec<&String>, Vec<&String>) =
        controllers.iter().partition(|name| *name == "CronJob");
    let mut derived = Vec::new();
    for (template, kinds) in [(WORKLOAD, workloads), (CRON_JOB, cron)] {
        if !kinds.is_empty() {
            derived.extend(derive_for(rule, template, &json!(kinds)));
        }
    }
    derived
}

fn derive_for(rule: &Value, template: Template, kinds: &Value) -> Option<Value> {
    let mut made = rule.clone();
    let name = made.get("name")?.as_str()?;
    // Targets are objects of their own: they stay what they are whoever asks.
    let has_targets = rule.pointer("/mutate/targets/0").is_some();
    if name.starts_with("autogen-") || has_targets {
        return None;
    }
    let name: String = format!("{}{name}", template.prefix).chars().take(MAX_NAME).collect();
    let in_cel = made.pointer("/validate/cel").is_some_and(|cel| !cel.is_null());
    rewrite(&mut made, template, if in_cel { "" } else { "request." }, &[".namespace"]);
    let members = made.as_object_mut()?;
    members.insert("name".to_owned(), Value::String(name));
    for side in ["match", "exclude"] {
        if let Some(selection) = members.get_mut(side) {
            replace_kinds(selection, kinds);
        }
    }
    let validate = members.get_mut("validate").and_then(Value::as_object_mut);
    if let Some(validate) = validate {
        if let Some(pattern) = validate.get_mut("pattern") {
            wrap(pattern, template.keys);
        }
        for side in ["object", "oldObject"] {
            if let Some(object) = validate.get_mut("assert").and_then(|tree| tree.get_mut(side)) {
                wrap(object, template.keys);
            }
        }
        for pattern in
            validate.get_mut("anyPattern").and_then(Value::as_array_mut).into_iter().flatten()
        {
            wrap(pattern, template.keys);
        }
    }
    if let Some(mutate) = members.get_mut("mutate") {
        wrap_patches(mutate, template.keys);
    }
    Some(made)
}

/// Wraps the merge patches of a mutation and of its loops.
fn wrap_patches(mutate: &mut Value, keys: &[&str]) {
    if let Some(patch) = mutate.get_mut("patchStrategicMerge").filter(|patch| !patch.is_null()) {
        wrap(patch, keys);
    }
    let loops = mutate.get_mut("foreach").and_then(Value::as_array_mut);
    loops.into_iter().flatten().for_each(|each| wrap_patches(each, keys));
}

fn replace_kinds(selection: &mut Value, kinds: &Value) {
    let replace = |filter: Option<&mut Value>| {
        let Some(filter) = filter.and_then(Value::as_object_mut) else { return };
        let pod = filter
            .get("kinds")
            .and_then(Value::as_array)
            .is_some_and(|named| named.iter().filter_map(Value::as_str).any(is_pod));
        if pod {
            filter.insert("kinds".to_owned(), kinds.clone());
        }
    };
    replace(selection.get_mut("resources"));
    for list in ["any", "all"] {
        let filters = selection.get_mut(list).and_then(Value::as_array_mut);
        for filter in filters.into_iter().flatten() {
            replace(filter.get_mut("resources"));
        }
    }
}

fn wrap(pattern: &mut Value, keys: &[&str]) {
    for key in keys.iter().rev() {
        let mut level = Map::new();
        level.insert((*key).to_owned(), pattern.take());
        *pattern = Value::Object(level);
    }
}

/// Rewrites what expressions read of the pod to what they read of its template. JMESPath reaches the
/// objects through `request.`, CEL without. What a template has no own of stays the controller's.
pub(super) fn rewrite(value: &mut Value, template: Template, before: &str, kept: &[&str]) {
    match value {
        Value::String(text) => {
            for object in ["object", "oldObject"] {
                for part in ["spec", "metadata"] {
                    let from = format!("{before}{object}.{part}");
                    if text.contains(&from) {
                        let to = format!("{before}{object}.{}.{part}", template.path);
                        *text = replaced(text, &from, &to, kept);
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                rewrite(item, template, before, kept);
            }
        }
        Value::Object(members) => {
            for member in members.values_mut() {
                rewrite(member, template, before, kept);
            }
        }
        _ => {}
    }
}

/// Replaces a path wherever none of the kept fields follows it.
fn replaced(text: &str, from: &str, to: &str, kept: &[&str]) -> String {
    let mut made = String::with_capacity(text.len() + to.len());
    let mut rest = text;
    while let Some(place) = rest.find(from) {
        let (before, found) = rest.split_at(place);
        let after = found.get(from.len()..).unwrap_or_default();
        let is_kept = kept.iter().any(|field| {
            after.strip_prefix(field).is_some_and(|next| {
                !next.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            })
        });
        made.push_str(before);
        made.push_str(if is_kept { from } else { to });
        rest = after;
    }
    made.push_str(rest);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(resources: &Value) -> Value {
        json!({"rules": [{
            "name": "check",
            "match": {"any": [{"resources": resources}]},
            "validate": {
                "message": "in {{ request.object.metadata.namespace }}",
                "foreach": [{"list": "request.object.spec.containers", "deny": {}}],
                "pattern": {"metadata": {"labels": {"a": "b"}}},
            },
        }]})
    }

    #[test]
    fn a_rule_for_pods_is_carried_over() {
        let spec = spec(&json!({"kinds": ["Pod"], "namespaces": ["a"]}));
        let controllers = controllers(&spec, None);
        assert_eq!(controllers.len(), 7);
        let derived = derive(&spec["rules"][0], &controllers);
        insta::assert_json_snapshot!(derived);
    }

    #[test]
    fn narrow_or_mixed_rules_are_not() {
        for resources in [
            json!({"kinds": ["Pod", "Service"]}),
            json!({"kinds": ["Pod"], "names": ["a"]}),
            json!({"kinds": ["Pod"], "selector": {"matchLabels": {"a": "b"}}}),
            json!({"kinds": ["Pod"], "annotations": {"a": "b"}}),
            json!({"kinds": ["Deployment"]}),
        ] {
            assert_eq!(controllers(&spec(&resources), None), Vec::<String>::new(), "{resources}");
        }
    }

    #[test]
    fn the_annotation_narrows() {
        let spec = spec(&json!({"kinds": ["Pod"]}));
        let with = |text: &str| controllers(&spec, Some(&text.to_owned()));
        assert_eq!(with("none"), Vec::<String>::new());
        assert_eq!(with("Deployment, CronJob"), ["Deployment", "CronJob"]);
        assert_eq!(with("all").len(), 7);
    }
}
