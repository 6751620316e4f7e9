//! A ledger that keeps many requests.

use std::path::Path;
use std::sync::Arc;

use proofstream_ledger::storage::Directory;
use proofstream_ledger::writer::{Draft, Start, Writer, WriterOptions};
use serde_json::json;

/// Requests in one payload: about four megabytes of them.
const PAYLOAD: usize = 2_000;

/// Makes a ledger in a data folder, with so many creations of pods; every third is privileged.
pub(crate) fn ledger(data: &Path, requests: usize) {
    let place = |name: &str| data.join(name);
    for name in ["ledger", "private", "guard"] {
        std::fs::create_dir_all(place(name)).unwrap();
    }
    let options = WriterOptions::new(
        "bench",
        Arc::new(Directory::private(place("private"))),
        Arc::new(Directory::private(place("guard"))),
    );
    let (writer, _) = Writer::open(Arc::new(Directory::new(place("ledger"))), options).unwrap();
    let source = writer.source("requests/0", Start::Resume).unwrap();
    let mut number = 0;
    while number < requests {
        let count = PAYLOAD.min(requests - number);
        let mut lines = String::new();
        for of in number..number + count {
            lines.push_str(&line(of));
            lines.push('\n');
        }
        number += count;
        let payload = zstd::bulk::compress(lines.as_bytes(), 1).unwrap();
        let payload = writer.put_blob(&payload, "application/x-ndjson+zstd").unwrap();
        let now = jiff::Timestamp::now().to_string();
        let body = json!({
            "payload": payload, "count": count, "missed": 0, "from": now, "to": now,
        });
        let body = proofstream_canonical::to_vec(&body).unwrap();
        let draft = Draft { kind: "requests".to_owned(), controls: Vec::new(), body };
        source.append(vec![draft]).unwrap();
    }
    writer.close().unwrap();
}

fn line(number: usize) -> String {
    let privileged = number.is_multiple_of(3);
    let namespace = match number % 3 {
        0 => "payments",
        1 => "ledger",
        _ => "team",
    };
    let name = format!("web-{number}");
    let kind = json!({ "group": "", "version": "v1", "kind": "Pod" });
    let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
    let container = json!({
        "name": "main", "image": format!("registry.example/web:{number}"),
        "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "env": [{ "name": "LEVEL", "value": "info" }, { "name": "REGION", "value": "eu" }],
        "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
        "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
        "securityContext": {
            "privileged": privileged, "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
    });
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace, "labels": { "app": "web", "tier": "t1" },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                "name": format!("web-{}", number % 100), "uid": "u",
            }],
        },
        "spec": {
            "securityContext": { "runAsNonRoot": true }, "containers": [container],
            "volumes": [{ "name": "data", "emptyDir": {} }], "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "serviceAccountName": "default", "terminationGracePeriodSeconds": 30,
        },
    });
    let request = json!({
        "uid": format!("uid-{number}"), "kind": kind, "resource": resource,
        "requestKind": kind, "requestResource": resource,
        "name": name, "namespace": namespace, "operation": "CREATE", "dryRun": false,
        "userInfo": {
            "username": "system:serviceaccount:kube-system:replicaset-controller",
            "groups": ["system:serviceaccounts", "system:authenticated"],
        },
        "object": object, "oldObject": null,
        "options": { "apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions" },
    });
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request,
    });
    json!({ "decision": format!("admission/0 1 {number}"), "review": review }).to_string()
}
