//! Bodies of the records of the synthetic ledgers.

use proofstream_catalog::{Annotations, Catalog};
use serde_json::{Value, json};

use super::ledger::Outcome;

pub(crate) const HARDENED: &str = "require-hardened-securitycontext";
pub(crate) const SECRETS: &str = "disallow-secret-env-vars";

/// What a policy stands for, by the catalog: controls and requirements.
pub(crate) fn stands_for(policy: &str) -> Outcome<(Vec<String>, Vec<String>)> {
    let annotations = Annotations::from([(
        "compliance.atmosly.io/controls".to_owned(),
        annotation(policy).to_owned(),
    )]);
    let stands_for = Catalog::embedded()?.controls_for_policy(policy, &annotations);
    Ok((
        stands_for.controls.iter().map(ToString::to_string).collect(),
        stands_for.requirements.iter().map(ToString::to_string).collect(),
    ))
}

/// Sets a member of an object.
pub(crate) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn annotation(policy: &str) -> &'static str {
    if policy == HARDENED {
        "CIS-5.2.x, PCI-DSS-2, SOC2-CC6.1"
    } else {
        "PCI-DSS-3, CIS-5.7, SOC2-CC6.1"
    }
}

pub(crate) fn policy(name: &str, state: &str, action: &str) -> Outcome<Value> {
    let text = json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
        "metadata": {
            "name": name,
            "annotations": {"compliance.atmosly.io/controls": annotation(name)},
        },
        "spec": {"validationFailureAction": action, "rules": [{"name": "r", "validate": {}}]},
    });
    let mut body = json!({
        "state": state, "kind": "ClusterPolicy", "name": name, "origin": "cluster",
        "sha256": "00", "requirements": stands_for(name)?.1,
    });
    if state == "active" {
        set(&mut body, "text", Value::String(text.to_string()));
    }
    Ok(body)
}

pub(crate) fn block(policy: &str, user: &str, pod: &str, number: u64) -> Outcome<Value> {
    Ok(json!({
        "enforcer": "proofstream",
        "policies": [policy],
        "rules": [format!("{policy}/r")],
        "requirements": stands_for(policy)?.1,
        "operation": "CREATE",
        "user": user,
        "groups": ["system:authenticated"],
        "subject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": "payments", "name": pod,
        },
        "owner": "ReplicaSet/web",
        "code": 403,
        "message": format!("admission webhook denied the request:\n{policy}: refused"),
        "requested": "2026-07-02T08:00:00.000000Z",
        "event": {
            "audit_id": "a", "source": "audit-file/a", "epoch": 1, "number": number,
            "sha256": "11",
        },
        "decision": {"source": "admission/0", "epoch": 1, "number": number},
    }))
}

pub(crate) fn decision(policy: &str, answer: &str, would: bool, dry: bool) -> Outcome<Value> {
    Ok(json!({
        "decision": answer, "would_block": would, "dry_run": dry, "operation": "CREATE",
        "user": "alice", "groups": [],
        "subject": {"apiVersion": "v1", "kind": "Pod", "namespace": "payments", "name": "p"},
        "owner": "Pod/p", "policies": [policy], "rules": [],
        "requirements": stands_for(policy)?.1, "uid": "u", "latency_us": 120,
    }))
}

pub(crate) fn finding(policy: &str, state: &str) -> Outcome<Value> {
    Ok(json!({
        "state": state, "controls": stands_for(policy)?.0,
        "requirements": stands_for(policy)?.1, "check": policy, "rule": "r",
        "subject": {"apiVersion": "v1", "kind": "Pod", "namespace": "payments", "name": "old"},
        "verdict": "fail", "message": "runs as root", "uid": "u-1", "owner": "Pod/old",
        "first_seen": "2026-07-02T08:00:00.000000Z",
    }))
}

pub(crate) fn scan() -> Value {
    json!({
        "cause": "sweep", "started": "2026-07-01T00:00:00.000000Z", "objects": 3,
        "verdicts": {"pass": 3},
    })
}

pub(crate) fn event() -> Value {
    json!({"raw": "{\"auditID\":\"a\",\"verb\":\"create\"}"})
}

pub(crate) fn gap(source: &str, from: &str, to: &str, cause: &str) -> Value {
    json!({
        "source": source, "epoch": 1, "after": 1, "from": from, "to": to, "count": null,
        "cause": cause,
    })
}
