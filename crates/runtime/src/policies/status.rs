//! What a policy's `status` says, where its definition is ours.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use proofstream_model::{Mode, Timestamp};
use proofstream_policy::derived_rules;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::cluster::Watched;
use super::definitions::{Owner, TEMPLATE};
use super::{Origin, PolicyKey, PolicyReport, PolicyText};
use crate::webhooks::MANAGER;

/// How long one write may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Writes at a time.
const AT_A_TIME: usize = 8;

/// Writes the status of one kind's policies, when it changes.
pub(super) struct StatusWriter {
    client: Client,
    resource: ApiResource,
    key: String,
    auxiliary: bool,
    owner: Owner,
    seen: BTreeMap<PolicyKey, Seen>,
}

struct Seen {
    condition: Option<Value>,
    /// What the status says beside its condition.
    facts: Map<String, Value>,
}

// === impl StatusWriter ===

impl StatusWriter {
    pub(super) fn new(client: Client, watched: &Watched, owner: Owner) -> Self {
        Self {
            client,
            resource: watched.resource.clone(),
            key: watched.key.clone(),
            auxiliary: watched.auxiliary,
            owner,
            seen: BTreeMap::new(),
        }
    }

    /// Notes an object as the API server has it.
    pub(super) fn see(&mut self, object: &DynamicObject) {
        let condition = object
            .data
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .and_then(|conditions| conditions.iter().find(|c| c["type"] == "Ready").cloned());
        let seen =
            Seen { condition, facts: if self.auxiliary { Map::new() } else { facts(object) } };
        self.seen.insert(self.key(object), seen);
    }

    pub(super) fn forget(&mut self, object: &DynamicObject) {
        self.seen.remove(&self.key(object));
    }

    pub(super) fn forget_all(&mut self) {
        self.seen.clear();
    }

    /// Writes what differs from what the API server has. `now` dates what changed.
    pub(super) async fn write(&mut self, reports: &[PolicyReport], now: Timestamp) {
        if self.owner != Owner::Us {
            return;
        }
        let ours = |report: &&PolicyReport| {
            report.origin == Origin::Cluster && report.key.kind == self.key
        };
        let due: Vec<_> = reports
            .iter()
            .filter(ours)
            .filter_map(|report| {
                let seen = self.seen.get(&report.key)?;
                let condition = condition(report, seen.condition.as_ref(), now);
                (seen.condition.as_ref() != Some(&condition)).then_some((report, seen, condition))
            })
            .map(|(report, seen, condition)| {
                let mut status = seen.facts.clone();
                status.insert("ready".to_owned(), report.ready.into());
                if self.key == TEMPLATE {
                    status.insert("created".to_owned(), report.ready.into());
                }
                status.insert("conditions".to_owned(), json!([condition]));
                let write = patch(&self.client, &self.resource, report, status.into());
                async move { (report.key.clone(), condition, timeout(PATIENCE, write).await) }
            })
            .collect();
        let written: Vec<_> =
            futures::stream::iter(due).buffer_unordered(AT_A_TIME).collect().await;
        for (key, condition, outcome) in written {
            match outcome {
                Ok(Ok(())) => {
                    if let Some(seen) = self.seen.get_mut(&key) {
                        seen.condition = Some(condition);
                    }
                }
                // Gone, or the API server is away: the next change writes it.
                Ok(Err(error)) => {
                    let policy = key.full_name();
                    tracing::debug!(policy, %error, "a policy's status is not written");
                }
                Err(_) => {
                    tracing::debug!(policy = key.full_name(), "writing a status takes too long");
                }
            }
        }
    }

    fn key(&self, object: &DynamicObject) -> PolicyKey {
        PolicyKey { kind: self.key.clone(), namespace: object.namespace(), name: object.name_any() }
    }
}

async fn patch(
    client: &Client,
    resource: &ApiResource,
    report: &PolicyReport,
    status: Value,
) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = match &report.key.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let document = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": report.key.name},
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    api.patch_status(&report.key.name, &params, &Patch::Apply(&document)).await?;
    Ok(())
}

/// The Ready condition; the time of the last transition is kept while the status stays the same.
fn condition(report: &PolicyReport, before: Option<&Value>, now: Timestamp) -> Value {
    let status = if report.ready { "True" } else { "False" };
    let reason = if report.ready { "InForce" } else { "NotInForce" };
    let transition = before
        .filter(|before| before["status"] == status)
        .and_then(|before| before["lastTransitionTime"].as_str())
        .map_or_else(|| seconds(now), str::to_owned);
    json!({
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": report.message,
        "observedGeneration": report.generation.unwrap_or_default(),
        "lastTransitionTime": transition,
    })
}

/// A time as Kubernetes writes it, in whole seconds.
fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

/// What the field's own status says of a policy: its mode, how many rules of each kind it has, and the
/// rules that are derived from its rules for pods.
fn facts(object: &DynamicObject) -> Map<String, Value> {
    let rules = object.data.pointer("/spec/rules").and_then(Value::as_array);
    let rules = rules.map(Vec::as_slice).unwrap_or_default();
    // A policy in CEL is one rule.
    let in_cel = |part: &str| usize::from(object.data.pointer(&format!("/spec/{part}")).is_some());
    let (validations, mutations) = (in_cel("validations"), in_cel("mutations"));
    let count = |kind: &str| rules.iter().filter(|rule| rule.get(kind).is_some()).count();
    let mut document = object.data.clone();
    if let Some(members) = document.as_object_mut() {
        members.insert("metadata".to_owned(), json!({"annotations": object.annotations()}));
    }
    let facts = json!({
        "mode": mode_of(&object.data),
        "rules": rules.len() + validations.max(mutations),
        "rulecount": {
            "validate": count("validate") + validations,
            "mutate": count("mutate") + mutations,
            "generate": count("generate"),
            "verifyimages": count("verifyImages"),
        },
        "autogen": {"rules": derived_rules(&document)},
    });
    facts.as_object().cloned().unwrap_or_default()
}

/// `Enforce`, `Audit`, or both where the rules differ.
fn mode_of(data: &Value) -> String {
    let words = PolicyText::of(data.clone()).modes().into_iter().map(|mode| match mode {
        Mode::Enforce => "Enforce",
        Mode::Audit => "Audit",
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_rules_and_counts_are_shown() {
        let object = |annotations: Value| {
            let object: DynamicObject = serde_json::from_value(json!({
                "metadata": {"name": "p", "annotations": annotations},
                "spec": {"rules": [{"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                    "validate": {"pattern": {"spec": {"hostNetwork": "false"}}}}]}}))
            .unwrap();
            facts(&object)
        };
        let all = object(json!({}));
        let names: Vec<_> = all["autogen"]["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["autogen-r", "autogen-cronjob-r"]);
        assert_eq!(all["rulecount"]["validate"], 1);
        let none = object(json!({"pod-policies.kyverno.io/autogen-controllers": "none"}));
        assert_eq!(none["autogen"]["rules"], json!([]));
    }

    #[test]
    fn a_transition_keeps_its_time() {
        let report = PolicyReport {
            key: PolicyKey {
                kind: "ClusterPolicy".to_owned(),
                namespace: None,
                name: "p".to_owned(),
            },
            origin: Origin::Cluster,
            generation: Some(2),
            ready: false,
            message: "no".to_owned(),
        };
        let before = json!({"status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let now = "2026-02-03T04:05:06.789Z".parse().unwrap();
        let time = |before| condition(&report, before, now)["lastTransitionTime"].clone();
        assert_eq!(time(Some(&before)), "2026-01-01T00:00:00Z");
        assert_eq!(time(None), "2026-02-03T04:05:06Z");
    }
}
