//! What the API server fills into pods and pod templates before admission sees them, so that an
//! offline judgement is held against the same object.
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>

use serde_json::{Map, Value, json};

/// Fills in the defaults of a pod, or of the pod template of a controller, and leaves out what the API
/// server does not keep: nulls, and lists and maps without entries. Other objects stay as they are.
pub fn default_object(object: &mut Value) {
    if holds_pod(object) {
        drop_empty(object);
    }
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let pointer = match kind {
        "Pod" => "/spec",
        "Deployment"
        | "DaemonSet"
        | "StatefulSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => "/spec/template/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => return,
    };
    // Jobs must say how their pods restart, so there is no default.
    let restarts = !matches!(kind, "Job" | "CronJob");
    if let Some(spec) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
        default_pod(spec, restarts);
    }
}

fn holds_pod(object: &Value) -> bool {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    crate::pod_security::pod_of(kind, object).is_some()
}

/// Members that are maps of names that users choose; without entries they are left out, while `{}` of any
/// other object says something.
const MAPS: [&str; 6] =
    ["labels", "annotations", "nodeSelector", "limits", "requests", "matchLabels"];

fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(drop_empty);
            members.retain(|name, value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(inner) => !(inner.is_empty() && MAPS.contains(&name.as_str())),
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

fn fill(object: &mut Map<String, Value>, key: &str, value: Value) {
    let there = object.entry(key.to_owned()).or_insert(Value::Null);
    if there.is_null() {
        *there = value;
    }
}

fn default_pod(spec: &mut Map<String, Value>, restarts: bool) {
    if restarts {
        fill(spec, "restartPolicy", json!("Always"));
    }
    fill(spec, "dnsPolicy", json!("ClusterFirst"));
    fill(spec, "securityContext", json!({}));
    fill(spec, "terminationGracePeriodSeconds", json!(30));
    fill(spec, "schedulerName", json!("default-scheduler"));
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in objects(spec.get_mut(list)) {
            default_container(container);
        }
    }
    for volume in objects(spec.get_mut("volumes")) {
        for (source, key) in [
            ("secret", "defaultMode"),
            ("configMap", "defaultMode"),
            ("downwardAPI", "defaultMode"),
            ("projected", "defaultMode"),
        ] {
            if let Some(source) = volume.get_mut(source).and_then(Value::as_object_mut) {
                fill(source, key, json!(0o644));
            }
        }
        if let Some(path) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
            fill(path, "type", json!(""));
        }
    }
}

fn objects(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    list.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn default_container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let latest = !image.contains('@')
        && match image.rsplit_once(':') {
            Some((_, tag)) if !tag.contains('/') => tag == "latest",
            _ => true,
        };
    fill(container, "imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" }));
    fill(container, "terminationMessagePath", json!("/dev/termination-log"));
    fill(container, "terminationMessagePolicy", json!("File"));
    fill(container, "resources", json!({}));
    for port in objects(container.get_mut("ports")) {
        fill(port, "protocol", json!("TCP"));
    }
    if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) {
        default_requests(resources);
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) {
            default_probe(probe);
        }
    }
    for variable in objects(container.get_mut("env")) {
        let field = variable.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef"));
        if let Some(field) = field.and_then(Value::as_object_mut) {
            fill(field, "apiVersion", json!("v1"));
        }
    }
}

/// A limit without a request is the request too.
fn default_requests(resources: &mut Map<String, Value>) {
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    fill(resources, "requests", json!({}));
    if let Some(requests) = resources.get_mut("requests").and_then(Value::as_object_mut) {
        for (name, limit) in limits {
            fill(requests, &name, limit);
        }
    }
}

fn default_probe(probe: &mut Map<String, Value>) {
    for (key, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        fill(probe, key, json!(value));
    }
    if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
        fill(get, "scheme", json!("HTTP"));
        fill(get, "path", json!("/"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_and_templates_are_filled() {
        let spec = json!({"containers": [
            {"name": "a", "image": "a", "ports": [{"containerPort": 1}]},
            {"name": "b", "image": "b:1", "imagePullPolicy": "Never",
             "resources": {"limits": {"cpu": "1"}}},
        ]});
        let mut pod = json!({"kind": "Pod", "spec": spec.clone()});
        default_object(&mut pod);
        insta::assert_json_snapshot!(pod);
        let mut job = json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}});
        default_object(&mut job);
        let template = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(template["dnsPolicy"], "ClusterFirst");
        assert_eq!(template.get("restartPolicy"), None);
    }

    #[test]
    fn what_is_empty_is_not_kept() {
        let mut pod = json!({"kind": "Pod", "metadata": {"labels": {}, "name": "a"}, "spec": {
            "nodeSelector": {}, "tolerations": [], "hostname": null,
            "containers": [{"image": "a", "securityContext": {"capabilities": {"drop": []}}}],
        }});
        default_object(&mut pod);
        assert_eq!(pod["metadata"], json!({"name": "a"}));
        for gone in ["nodeSelector", "tolerations", "hostname"] {
            assert_eq!(pod["spec"].get(gone), None, "{gone}");
        }
        assert_eq!(pod["spec"]["containers"][0]["securityContext"], json!({"capabilities": {}}));
    }

    #[test]
    fn filling_twice_changes_nothing() {
        let mut once = json!({"kind": "Pod", "spec": {"containers": [{"image": "x:latest"}]}});
        default_object(&mut once);
        let mut twice = once.clone();
        default_object(&mut twice);
        assert_eq!(once, twice);
    }
}
