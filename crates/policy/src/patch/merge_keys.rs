//! Which lists of Kubernetes' own kinds are merged element by element, and by which keys; as the
//! `patchStrategy` and `patchMergeKey` of its types say (<https://github.com/kubernetes/api>). All
//! other lists, and all lists of custom resources, are replaced.

use serde_json::Value;

/// What is known of the lists below an object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Keys {
    list: Option<List>,
    below: &'static [Entry],
}

/// How a list is merged.
#[derive(Debug, Clone, Copy)]
pub(super) enum List {
    /// Elements are the same where these members are.
    By(&'static [&'static str]),
    /// Elements are texts, each once.
    Texts,
}

/// A member, how it is merged if it is a list, and what is known of what is below it (for a list:
/// below each element).
#[derive(Debug)]
struct Entry(&'static str, Option<List>, &'static [Entry]);

const fn by(name: &'static str, keys: &'static [&'static str]) -> Entry {
    Entry(name, Some(List::By(keys)), &[])
}

const fn each(name: &'static str, keys: &'static [&'static str], below: &'static [Entry]) -> Entry {
    Entry(name, Some(List::By(keys)), below)
}

const fn within(name: &'static str, below: &'static [Entry]) -> Entry {
    Entry(name, None, below)
}

const METADATA: Entry = within(
    "metadata",
    &[Entry("finalizers", Some(List::Texts), &[]), by("ownerReferences", &["uid"])],
);
const CONDITIONS: Entry = within("status", &[by("conditions", &["type"])]);

const EPHEMERAL_CONTAINER: &[Entry] = &[
    by("env", &["name"]),
    by("volumeDevices", &["devicePath"]),
    by("volumeMounts", &["mountPath"]),
];
const CONTAINER: &[Entry] = &[
    by("env", &["name"]),
    by("ports", &["containerPort", "protocol"]),
    by("volumeDevices", &["devicePath"]),
    by("volumeMounts", &["mountPath"]),
];
const VOLUME: &[Entry] = &[within("ephemeral", &[within("volumeClaimTemplate", &[METADATA])])];
const POD_SPEC: &[Entry] = &[
    each("containers", &["name"], CONTAINER),
    each("initContainers", &["name"], CONTAINER),
    each("ephemeralContainers", &["name"], EPHEMERAL_CONTAINER),
    by("hostAliases", &["ip"]),
    by("imagePullSecrets", &["name"]),
    by("resourceClaims", &["name"]),
    by("schedulingGates", &["name"]),
    by("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    each("volumes", &["name"], VOLUME),
];
const POD_TEMPLATE: Entry = within("template", &[METADATA, within("spec", POD_SPEC)]);
const CLAIMS: Entry = Entry("volumeClaimTemplates", None, &[METADATA, CONDITIONS]);

const OTHER: &[Entry] = &[METADATA];
const WITH_CONDITIONS: &[Entry] = &[METADATA, CONDITIONS];
const WORKLOAD: &[Entry] = &[METADATA, within("spec", &[POD_TEMPLATE, CLAIMS]), CONDITIONS];

/// Kinds whose lists are merged beyond those of the metadata: (group, kind, what is below).
const KINDS: &[(&str, &str, &[Entry])] = &[
    (
        "",
        "Pod",
        &[
            METADATA,
            within("spec", POD_SPEC),
            within("status", &[by("conditions", &["type"]), by("podIPs", &["ip"])]),
        ],
    ),
    ("", "PodTemplate", &[METADATA, POD_TEMPLATE]),
    ("", "ReplicationController", WORKLOAD),
    ("apps", "DaemonSet", WORKLOAD),
    ("apps", "Deployment", WORKLOAD),
    ("apps", "ReplicaSet", WORKLOAD),
    ("apps", "StatefulSet", WORKLOAD),
    ("batch", "Job", WORKLOAD),
    (
        "batch",
        "CronJob",
        &[
            METADATA,
            within("spec", &[within("jobTemplate", &[METADATA, within("spec", &[POD_TEMPLATE])])]),
        ],
    ),
    ("", "Service", &[METADATA, within("spec", &[by("ports", &["port", "protocol"])]), CONDITIONS]),
    ("", "ServiceAccount", &[METADATA, by("secrets", &["name"])]),
    ("", "Namespace", WITH_CONDITIONS),
    ("", "PersistentVolumeClaim", WITH_CONDITIONS),
    (
        "",
        "Node",
        &[
            METADATA,
            within("spec", &[Entry("podCIDRs", Some(List::Texts), &[])]),
            within("status", &[by("addresses", &["type"]), by("conditions", &["type"])]),
        ],
    ),
    ("policy", "PodDisruptionBudget", WITH_CONDITIONS),
    ("apiregistration.k8s.io", "APIService", WITH_CONDITIONS),
    ("storage.k8s.io", "CSINode", &[METADATA, within("spec", &[by("drivers", &["name"])])]),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        &[METADATA, by("webhooks", &["name"])],
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        &[METADATA, by("webhooks", &["name"])],
    ),
];

/// Kubernetes' own groups, the core group apart.
const GROUPS: [&str; 19] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// What is known of an object, by its `apiVersion` and `kind`.
pub(super) fn of_object(object: &Value) -> Keys {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let kind = text("kind");
    let own = KINDS.iter().find(|(of, name, _)| *of == group && *name == kind);
    let below = match own {
        Some((_, _, below)) => below,
        None if group.is_empty() || GROUPS.contains(&group) => OTHER,
        None => &[],
    };
    Keys { list: None, below }
}

impl Keys {
    /// What is known of a member.
    pub(super) fn member(self, name: &str) -> Self {
        let found = self.below.iter().find(|entry| entry.0 == name);
        found.map_or_else(Self::default, |entry| Self { list: entry.1, below: entry.2 })
    }

    /// What is known of an element, where this is a list.
    pub(super) fn element(self) -> Self {
        Self { list: None, below: self.below }
    }

    /// How the list is merged; `None` where it is replaced.
    pub(super) fn list(self) -> Option<List> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(api_version: &str, kind: &str, path: &[&str]) -> Option<String> {
        let mut keys = of_object(&json!({"apiVersion": api_version, "kind": kind}));
        for part in path {
            keys = if *part == "*" { keys.element() } else { keys.member(part) };
        }
        keys.list().map(|list| match list {
            List::By(keys) => keys.join("+"),
            List::Texts => "texts".to_owned(),
        })
    }

    #[test]
    fn lists_are_known_by_kind_and_path() {
        let spec = ["spec", "jobTemplate", "spec", "template", "spec"];
        let ports = [&spec[..], &["containers", "*", "ports"]].concat();
        assert_eq!(list("batch/v1", "CronJob", &ports).unwrap(), "containerPort+protocol");
        assert_eq!(list("v1", "Pod", &["spec", "volumes"]).unwrap(), "name");
        assert_eq!(list("v1", "Pod", &["spec", "tolerations"]), None);
        assert_eq!(list("v1", "Service", &["spec", "ports"]).unwrap(), "port+protocol");
        assert_eq!(list("v1", "ConfigMap", &["metadata", "finalizers"]).unwrap(), "texts");
        assert_eq!(list("example.org/v1", "Pod", &["spec", "containers"]), None);
        assert_eq!(list("example.org/v1", "Thing", &["metadata", "finalizers"]), None);
        let owners = ["spec", "volumeClaimTemplates", "*", "metadata", "ownerReferences"];
        assert_eq!(list("apps/v1", "StatefulSet", &owners).unwrap(), "uid");
    }
}
