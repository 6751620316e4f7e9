//! Pods with a breach in them, and the controllers that would make such pods.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::breach::{Breach, Change};

/// Where in a pod a breach stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the pod as a whole.
    Pod,
    /// In its only container.
    Container,
    /// In a container after one that keeps the claim.
    SecondContainer,
    /// In an init container.
    Init,
    /// In an ephemeral container that is added to a running pod.
    Ephemeral,
}

impl Place {
    pub(crate) const OF_CONTAINERS: [Self; 4] =
        [Self::Container, Self::SecondContainer, Self::Init, Self::Ephemeral];

    /// The list of containers.
    pub(crate) fn list(self) -> &'static str {
        match self {
            Self::Pod | Self::Container | Self::SecondContainer => "containers",
            Self::Init => "initContainers",
            Self::Ephemeral => "ephemeralContainers",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pod => "pod",
            Self::Container => "container",
            Self::SecondContainer => "second container",
            Self::Init => "init container",
            Self::Ephemeral => "ephemeral container",
        })
    }
}

/// A pod with a breach in it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) object: Value,
    /// The pod before, where the breach is added to a running one.
    pub(crate) before: Option<Value>,
    /// Paths that make it what it is: they stay.
    pub(crate) kept: Vec<String>,
}

// === impl Candidate ===

impl Candidate {
    /// Puts a breach into a pod.
    pub(crate) fn new(base: &Value, breach: &Breach, place: Place, namespace: &str) -> Self {
        let mut object = base.clone();
        in_namespace(&mut object, namespace);
        let before = (place == Place::Ephemeral).then(|| object.clone());
        let change = &breach.change;
        let mut kept = vec![
            "/apiVersion".to_owned(),
            "/kind".to_owned(),
            "/metadata/name".to_owned(),
            "/metadata/namespace".to_owned(),
            "/spec/containers/0/name".to_owned(),
            "/spec/containers/0/image".to_owned(),
        ];
        if let Some(pod) = &change.pod {
            merge(&mut object, "/spec", pod);
            paths(pod, "/spec", &mut kept);
        }
        if let Some(container) = &change.container {
            // What a container must not say for the breach, none of them says.
            let position = add_container(&mut object, place);
            let at = format!("/spec/{}/{position}", place.list());
            merge(&mut object, &at, container);
            paths(container, &at, &mut kept);
            kept.extend([format!("{at}/name"), format!("{at}/image")]);
        }
        Self { object, before, kept }
    }
}

/// A controller of a kind that would make the pod.
pub(crate) fn controller(pod: &Value, kind: &str) -> Value {
    let part = |pointer: &str| pod.pointer(pointer).cloned().unwrap_or(Value::Null);
    let mut spec = part("/spec");
    if matches!(kind, "Job" | "CronJob")
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("restartPolicy".to_owned(), json!("Never"));
    }
    let mut metadata =
        json!({ "name": part("/metadata/name"), "namespace": part("/metadata/namespace") });
    let mut labels = part("/metadata/labels");
    if labels.is_null() {
        labels = json!({ "app": "hole" });
    }
    let template = json!({ "metadata": { "labels": labels.clone() }, "spec": spec });
    let selector = json!({ "matchLabels": labels });
    let (group, spec) = match kind {
        "Job" => ("batch/v1", json!({ "template": template })),
        "CronJob" => (
            "batch/v1",
            json!({ "schedule": "0 3 * * *", "jobTemplate": { "spec": { "template": template } } }),
        ),
        "StatefulSet" => (
            "apps/v1",
            json!({ "serviceName": "hole", "selector": selector, "template": template }),
        ),
        _ => ("apps/v1", json!({ "selector": selector, "template": template })),
    };
    if let Some(labels) = pod.pointer("/metadata/labels") {
        merge(&mut metadata, "", &json!({ "labels": labels }));
    }
    json!({ "apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec })
}

/// The pod in a namespace.
pub(crate) fn in_namespace(object: &mut Value, namespace: &str) {
    merge(object, "/metadata", &json!({ "namespace": namespace }));
}

/// The pod with a change to all of its containers.
pub(crate) fn changed(base: &Value, change: &Change) -> Value {
    let mut object = base.clone();
    if let Some(metadata) = &change.metadata {
        merge(&mut object, "/metadata", metadata);
    }
    if let Some(pod) = &change.pod {
        merge(&mut object, "/spec", pod);
    }
    if let Some(container) = &change.container {
        let count =
            object.pointer("/spec/containers").and_then(Value::as_array).map_or(0, Vec::len);
        for place in 0..count {
            merge(&mut object, &format!("/spec/containers/{place}"), container);
        }
    }
    object
}

/// Makes the container that the breach will stand in: its position in the list.
fn add_container(object: &mut Value, place: Place) -> usize {
    let first = object.pointer("/spec/containers/0").cloned().unwrap_or(Value::Null);
    let name = match place {
        Place::Pod | Place::Container => return 0,
        Place::SecondContainer => "second",
        Place::Init => "init",
        Place::Ephemeral => "debug",
    };
    let mut made = first.as_object().cloned().unwrap_or_default();
    made.insert("name".to_owned(), json!(name));
    if place == Place::Ephemeral {
        // The API server takes none of these for ephemeral containers.
        for field in
            ["resources", "ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"]
        {
            made.remove(field);
        }
    }
    let Some(spec) = object.pointer_mut("/spec").and_then(Value::as_object_mut) else { return 0 };
    let list = spec.entry(place.list()).or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return 0 };
    list.push(Value::Object(made));
    list.len() - 1
}

fn merge(object: &mut Value, pointer: &str, patch: &Value) {
    if let Some(at) = object.pointer_mut(pointer) {
        json_patch::merge(at, patch);
    }
}

/// The paths of a patch's leaves, lists whole.
fn paths(patch: &Value, at: &str, found: &mut Vec<String>) {
    match patch {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                paths(value, &format!("{at}/{}", escaped(key)), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Members of an object, or of a list by their positions.
pub(crate) fn children(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let keys: &Map<String, Value> = members;
            keys.keys().map(|key| escaped(key)).collect()
        }
        Value::Array(items) => (0..items.len()).rev().map(|place| place.to_string()).collect(),
        _ => Vec::new(),
    }
}
