//! The built-in kinds of Kubernetes: how a kind's resource is called, and which have namespaces.

/// A built-in kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BuiltIn {
    pub(crate) group: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) resource: &'static str,
}

const fn of(group: &'static str, kind: &'static str, resource: &'static str) -> BuiltIn {
    BuiltIn { group, kind, resource }
}

/// Kinds whose requests can be judged, by group.
pub(crate) const BUILT_IN: &[BuiltIn] = &[
    of("", "Pod", "pods"),
    of("", "Service", "services"),
    of("", "Endpoints", "endpoints"),
    of("", "Secret", "secrets"),
    of("", "ConfigMap", "configmaps"),
    of("", "Namespace", "namespaces"),
    of("", "Node", "nodes"),
    of("", "Event", "events"),
    of("", "ServiceAccount", "serviceaccounts"),
    of("", "PersistentVolume", "persistentvolumes"),
    of("", "PersistentVolumeClaim", "persistentvolumeclaims"),
    of("", "ReplicationController", "replicationcontrollers"),
    of("", "ResourceQuota", "resourcequotas"),
    of("", "LimitRange", "limitranges"),
    of("", "PodTemplate", "podtemplates"),
    of("", "Binding", "bindings"),
    of("apps", "Deployment", "deployments"),
    of("apps", "DaemonSet", "daemonsets"),
    of("apps", "StatefulSet", "statefulsets"),
    of("apps", "ReplicaSet", "replicasets"),
    of("apps", "ControllerRevision", "controllerrevisions"),
    of("batch", "Job", "jobs"),
    of("batch", "CronJob", "cronjobs"),
    of("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    of("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
    of("networking.k8s.io", "Ingress", "ingresses"),
    of("networking.k8s.io", "IngressClass", "ingressclasses"),
    of("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
    of("rbac.authorization.k8s.io", "Role", "roles"),
    of("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
    of("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"),
    of("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings"),
    of("storage.k8s.io", "StorageClass", "storageclasses"),
    of("storage.k8s.io", "VolumeAttachment", "volumeattachments"),
    of("storage.k8s.io", "CSIDriver", "csidrivers"),
    of("storage.k8s.io", "CSINode", "csinodes"),
    of("storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities"),
    of("scheduling.k8s.io", "PriorityClass", "priorityclasses"),
    of("coordination.k8s.io", "Lease", "leases"),
    of("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    of("node.k8s.io", "RuntimeClass", "runtimeclasses"),
    of("certificates.k8s.io", "CertificateSigningRequest", "certificatesigningrequests"),
    of("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions"),
    of("apiregistration.k8s.io", "APIService", "apiservices"),
    of(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    ),
    of(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
    of("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
    of(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
    ),
    of("events.k8s.io", "Event", "events"),
];

/// The built-in kind of a resource.
pub(crate) fn by_resource(group: &str, resource: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|known| known.resource == resource && known.group == group)
}

/// The resource of a kind: as built in, or as names are usually made.
pub(crate) fn resource_of(group: &str, kind: &str) -> String {
    let known = BUILT_IN.iter().find(|known| known.kind == kind && known.group == group);
    known.map_or_else(|| guessed_resource(kind), |known| known.resource.to_owned())
}

/// The resource of a kind that is not built in, as names are usually made.
pub(crate) fn guessed_resource(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if let Some(head) = lower.strip_suffix('y')
        && !head.ends_with(['a', 'e', 'i', 'o', 'u'])
    {
        return format!("{head}ies");
    }
    if lower.ends_with(['s', 'x']) || lower.ends_with("ch") || lower.ends_with("sh") {
        return format!("{lower}es");
    }
    format!("{lower}s")
}
