//! The checks of `restricted`: pods must say that they are hardened.

use std::collections::BTreeSet;

use super::baseline::{added_capabilities, is_allowed_seccomp, seccomp_1_19};
use super::pod::{Pod, Volume};
use super::violation::{Field, Finding, Setters, containers, plural, quoted};

/// Sources of volumes that are allowed.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Sources of volumes that are not, in the order in which one is named.
const RESTRICTED_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn privilege_escalation(pod: &Pod<'_>) -> Option<Finding> {
    let (names, fields): (Vec<_>, Vec<_>) = pod
        .containers
        .iter()
        .filter_map(|container| {
            let values = match container.security_context.allow_privilege_escalation {
                Some(false) => return None,
                Some(true) => vec!["true".to_owned()],
                None => Vec::new(),
            };
            let path = "securityContext.allowPrivilegeEscalation";
            Some((container.name(), Field::of(container, path, values)))
        })
        .unzip();
    Finding::when(fields, "allowPrivilegeEscalation != false", || {
        let who = containers(&names);
        format!("{who} must set securityContext.allowPrivilegeEscalation=false")
    })
}

/// From 1.25 pods for Windows, which has nothing of the kind, are let be.
pub(super) fn privilege_escalation_1_25(pod: &Pod<'_>) -> Option<Finding> {
    if pod.is_windows() { None } else { privilege_escalation(pod) }
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Finding> {
    let (names, mut fields): (Vec<_>, Vec<_>) = pod
        .containers
        .iter()
        .filter_map(|container| {
            let capabilities = container.security_context.capabilities.as_ref();
            let dropped = capabilities.map(|c| c.drop.as_slice()).unwrap_or_default();
            if dropped.contains(&"ALL") {
                return None;
            }
            let values: BTreeSet<&str> = dropped.iter().copied().collect();
            let values = values.into_iter().map(str::to_owned).collect();
            let field = Field::of(container, "securityContext.capabilities.drop", values);
            Some((container.name(), field))
        })
        .unzip();
    let mut said = Vec::new();
    if !names.is_empty() {
        let who = containers(&names);
        said.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if let Some((adding, detail)) = added_capabilities(pod, &["NET_BIND_SERVICE"]) {
        fields.extend(adding);
        said.push(detail);
    }
    Finding::when(fields, "unrestricted capabilities", || said.join("; "))
}

pub(super) fn capabilities_1_25(pod: &Pod<'_>) -> Option<Finding> {
    if pod.is_windows() { None } else { capabilities(pod) }
}

pub(super) fn volumes(pod: &Pod<'_>) -> Option<Finding> {
    let restricted = |volume: &Volume<'_>| {
        // The API server makes an empty directory of a volume that says nothing.
        let is_allowed = VOLUMES.iter().any(|source| volume.sources.contains(source));
        if is_allowed || volume.sources.is_empty() {
            return None;
        }
        let known = RESTRICTED_VOLUMES.iter().find(|source| volume.sources.contains(*source));
        Some(known.copied().unwrap_or("unknown"))
    };
    let (mut names, mut fields, mut types) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (place, volume) in pod.spec.volumes.iter().enumerate() {
        if let Some(source) = restricted(volume) {
            names.push(volume.name);
            fields.push(Field::of_pod(format!("spec.volumes[{place}].{source}"), Vec::new()));
            types.insert(source);
        }
    }
    Finding::when(fields, "restricted volume types", || {
        let word = plural("volume", "volumes", names.len());
        let uses = plural("uses", "use", names.len());
        let kind = plural("restricted volume type", "restricted volume types", types.len());
        format!("{word} {} {uses} {kind} {}", quoted(names.iter().copied()), quoted(types))
    })
}

pub(super) fn run_as_non_root(pod: &Pod<'_>) -> Option<Finding> {
    let mut setters = Setters::default();
    let of_pod = pod.context().shared.run_as_non_root;
    if of_pod == Some(false) {
        setters.pod("spec.securityContext.runAsNonRoot", &false);
    }
    let path = "securityContext.runAsNonRoot";
    let (mut silent, mut missing) = (Vec::new(), Vec::new());
    for container in &pod.containers {
        match container.security_context.shared.run_as_non_root {
            Some(true) => {}
            Some(false) => setters.container(container, path, &false),
            None if of_pod == Some(true) => {}
            None => {
                silent.push(container.name());
                missing.push(Field::of(container, path, Vec::new()));
            }
        }
    }
    let reason = "runAsNonRoot != true";
    if !setters.are_none() {
        let words = setters.words();
        return Finding::when(setters.fields, reason, || {
            format!("{words} must not set securityContext.runAsNonRoot=false")
        });
    }
    Finding::when(missing, reason, || {
        format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent))
    })
}

/// From 1.35: where the pod's users are its own, its root is not the host's.
pub(super) fn run_as_non_root_1_35(pod: &Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() { None } else { run_as_non_root(pod) }
}

pub(super) fn run_as_user(pod: &Pod<'_>) -> Option<Finding> {
    let mut setters = Setters::default();
    if pod.context().shared.run_as_user == Some(0) {
        setters.pod("spec.securityContext.runAsUser", &0);
    }
    for container in &pod.containers {
        if container.security_context.shared.run_as_user == Some(0) {
            setters.container(container, "securityContext.runAsUser", &0);
        }
    }
    let words = setters.words();
    Finding::when(setters.fields, "runAsUser=0", || format!("{words} must not set runAsUser=0"))
}

pub(super) fn run_as_user_1_35(pod: &Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() { None } else { run_as_user(pod) }
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Option<Finding> {
    if let Some(explicit) = seccomp_1_19(pod) {
        return Some(explicit);
    }
    let of_pod = pod.context().shared.seccomp_profile.as_ref();
    if of_pod.is_some_and(|profile| is_allowed_seccomp(profile.kind())) {
        return None;
    }
    let (names, fields): (Vec<_>, Vec<_>) = pod
        .containers
        .iter()
        .filter(|container| container.security_context.shared.seccomp_profile.is_none())
        .map(|container| {
            let path = "securityContext.seccompProfile.type";
            (container.name(), Field::of(container, path, Vec::new()))
        })
        .unzip();
    Finding::when(fields, "seccompProfile", || {
        format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \
             \"Localhost\"",
            containers(&names)
        )
    })
}

pub(super) fn seccomp_1_25(pod: &Pod<'_>) -> Option<Finding> {
    if pod.is_windows() { None } else { seccomp(pod) }
}
