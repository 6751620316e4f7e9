//! Kinds by resource name: an audit event names the resource, records name the kind.

use std::borrow::Cow;

/// The kind of a built-in resource; for another one the resource's own name, which says at least
/// what was asked for. (A request body, where the event has one, is the better source.)
pub fn kind_of<'a>(group: &str, resource: &'a str) -> Cow<'a, str> {
    let found = KINDS
        .iter()
        .find(|(groups, name, _)| *name == resource && groups.split('|').any(|one| one == group));
    found.map_or(Cow::Borrowed(resource), |(_, _, kind)| Cow::Borrowed(*kind))
}

/// Groups (`|` between them), resource, kind.
const KINDS: &[(&str, &str, &str)] = &[
    ("", "pods", "Pod"),
    ("", "services", "Service"),
    ("", "configmaps", "ConfigMap"),
    ("", "secrets", "Secret"),
    ("", "namespaces", "Namespace"),
    ("", "nodes", "Node"),
    ("", "serviceaccounts", "ServiceAccount"),
    ("", "endpoints", "Endpoints"),
    ("|events.k8s.io", "events", "Event"),
    ("", "persistentvolumes", "PersistentVolume"),
    ("", "persistentvolumeclaims", "PersistentVolumeClaim"),
    ("", "replicationcontrollers", "ReplicationController"),
    ("", "resourcequotas", "ResourceQuota"),
    ("", "limitranges", "LimitRange"),
    ("", "podtemplates", "PodTemplate"),
    ("", "bindings", "Binding"),
    ("apps", "deployments", "Deployment"),
    ("apps", "replicasets", "ReplicaSet"),
    ("apps", "statefulsets", "StatefulSet"),
    ("apps", "daemonsets", "DaemonSet"),
    ("apps", "controllerrevisions", "ControllerRevision"),
    ("batch", "jobs", "Job"),
    ("batch", "cronjobs", "CronJob"),
    ("autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    ("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
    ("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
    ("networking.k8s.io", "ingresses", "Ingress"),
    ("networking.k8s.io", "ingressclasses", "IngressClass"),
    ("networking.k8s.io", "ipaddresses", "IPAddress"),
    ("networking.k8s.io", "servicecidrs", "ServiceCIDR"),
    ("discovery.k8s.io", "endpointslices", "EndpointSlice"),
    ("rbac.authorization.k8s.io", "roles", "Role"),
    ("rbac.authorization.k8s.io", "rolebindings", "RoleBinding"),
    ("rbac.authorization.k8s.io", "clusterroles", "ClusterRole"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding"),
    ("storage.k8s.io", "storageclasses", "StorageClass"),
    ("storage.k8s.io", "volumeattachments", "VolumeAttachment"),
    ("storage.k8s.io", "csidrivers", "CSIDriver"),
    ("storage.k8s.io", "csinodes", "CSINode"),
    ("scheduling.k8s.io", "priorityclasses", "PriorityClass"),
    ("node.k8s.io", "runtimeclasses", "RuntimeClass"),
    ("coordination.k8s.io", "leases", "Lease"),
    ("certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "apiservices", "APIService"),
    (
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
    ),
    (
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
    ),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
    ),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
    ("authentication.k8s.io", "tokenreviews", "TokenReview"),
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("kyverno.io", "clusterpolicies", "ClusterPolicy"),
    ("kyverno.io", "policies", "Policy"),
    ("kyverno.io", "policyexceptions", "PolicyException"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_tells_resources_of_one_name_apart() {
        assert_eq!(kind_of("", "pods"), "Pod");
        assert_eq!(kind_of("metrics.k8s.io", "pods"), "pods");
        assert_eq!(kind_of("events.k8s.io", "events"), "Event");
        assert_eq!(kind_of("example.com", "widgets"), "widgets");
    }
}
