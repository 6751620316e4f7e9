//! What kinds the API server serves: the way from a policy's kind selectors to the resources that a
//! webhook is registered for.

use kube::Client;
use kube::api::ApiResource;
use kube::core::discovery::v2::{self, APIGroupDiscoveryList, APIResourceDiscovery};
use proofstream_policy::{GroupVersionKind, KnownKinds};

/// One resource or subresource in one version of its group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// API group, empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// The kind that is sent to it; for a subresource its own, as in `PodExecOptions`.
    pub kind: String,
    /// The kind of the resource itself, as in `Pod`.
    pub parent_kind: String,
    /// Plural, as in `pods`.
    pub resource: String,
    /// As in `exec`; empty for the resource itself.
    pub subresource: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

// === impl Served ===

impl Served {
    /// The same for a client.
    pub fn api_resource(&self) -> ApiResource {
        let api_version = if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        };
        ApiResource {
            group: self.group.clone(),
            version: self.version.clone(),
            api_version,
            kind: self.kind.clone(),
            plural: self.resource.clone(),
        }
    }
}

/// Everything that an API server serves and a policy can ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    served: Vec<Served>,
}

impl Catalogue {
    /// Asks the API server.
    pub async fn discover(client: &Client) -> Result<Self, kube::Error> {
        let groups = client.list_api_groups_aggregated().await?;
        let core = client.list_core_api_versions_aggregated().await?;
        Ok(Self::from_lists([core, groups]))
    }

    /// From the API server's aggregated discovery documents.
    pub fn from_lists(lists: impl IntoIterator<Item = APIGroupDiscoveryList>) -> Self {
        let mut served = Vec::new();
        for group in lists.into_iter().flat_map(|list| list.items) {
            let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
            for version in group.versions {
                let version_name = version.version.unwrap_or_default();
                for resource in version.resources {
                    push(&mut served, &name, &version_name, &resource);
                }
            }
        }
        served.sort();
        Self { served }
    }

    /// All of it, sorted.
    pub fn served(&self) -> &[Served] {
        &self.served
    }

    /// A resource that is served in this version of its group.
    pub fn api_resource(&self, group: &str, version: &str, resource: &str) -> Option<ApiResource> {
        let found = self.served.iter().find(|served| {
            served.subresource.is_empty()
                && served.resource == resource
                && served.group == group
                && served.version == version
        });
        found.map(Served::api_resource)
    }

    /// The same for the policy engine: each kind with its resource, a subresource's own kind
    /// (`PodExecOptions`) with the subresource.
    pub fn known_kinds(&self) -> KnownKinds {
        KnownKinds::discovered(
            self.served
                .iter()
                .filter(|served| served.subresource.is_empty() || served.kind != served.parent_kind)
                .map(|served| {
                    let kind = GroupVersionKind {
                        group: served.group.clone(),
                        version: served.version.clone(),
                        kind: served.kind.clone(),
                    };
                    let resource = match served.subresource.as_str() {
                        "" => served.resource.clone(),
                        subresource => format!("{}/{subresource}", served.resource),
                    };
                    (kind, resource)
                }),
        )
    }
}

fn push(served: &mut Vec<Served>, group: &str, version: &str, resource: &APIResourceDiscovery) {
    let kind_in = |kind: Option<&v2::GroupVersionKind>| {
        kind.and_then(|kind| kind.kind.clone()).filter(|kind| !kind.is_empty())
    };
    let Some(parent_kind) = kind_in(resource.response_kind.as_ref()) else { return };
    let plural = resource.resource.clone().unwrap_or_default();
    let entry = Served {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: parent_kind.clone(),
        parent_kind: parent_kind.clone(),
        resource: plural,
        subresource: String::new(),
        namespaced: resource.scope.as_deref() == Some("Namespaced"),
    };
    for subresource in &resource.subresources {
        let kind = kind_in(subresource.accepted_types.first())
            .or_else(|| kind_in(subresource.response_kind.as_ref()))
            .unwrap_or_else(|| parent_kind.clone());
        served.push(Served {
            kind,
            subresource: subresource.subresource.clone().unwrap_or_default(),
            ..entry.clone()
        });
    }
    served.push(entry);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A small API server: pods with two subresources, deployments, nodes, namespaces, a kind of two
    /// versions and webhook configurations.
    pub(crate) fn small() -> Catalogue {
        let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
        let core = json!({"items": [{"metadata": {"name": ""}, "versions": [{"version": "v1",
        "resources": [
            {"resource": "pods", "responseKind": kind("", "v1", "Pod"), "scope": "Namespaced",
             "subresources": [
                {"subresource": "ephemeralcontainers", "responseKind": kind("", "v1", "Pod")},
                {"subresource": "exec", "responseKind": kind("", "v1", "PodExecOptions")}]},
            {"resource": "configmaps", "responseKind": kind("", "v1", "ConfigMap"),
             "scope": "Namespaced"},
            {"resource": "namespaces", "responseKind": kind("", "v1", "Namespace"),
             "scope": "Cluster"},
            {"resource": "nodes", "responseKind": kind("", "v1", "Node"), "scope": "Cluster"}]}]}]});
        let groups = json!({"items": [
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
                {"resource": "deployments", "responseKind": kind("apps", "v1", "Deployment"),
                 "scope": "Namespaced"}]}]},
            {"metadata": {"name": "batch"}, "versions": [
                {"version": "v1", "resources": [
                    {"resource": "cronjobs", "responseKind": kind("batch", "v1", "CronJob"),
                     "scope": "Namespaced"}]},
                {"version": "v1beta1", "resources": [
                    {"resource": "cronjobs", "responseKind": kind("batch", "v1beta1", "CronJob"),
                     "scope": "Namespaced"}]}]}]});
        let list = |value| serde_json::from_value(value).unwrap();
        Catalogue::from_lists([list(core), list(groups)])
    }

    #[test]
    fn knows_kinds_of_resources_and_subresources() {
        let catalogue = small();
        let exec = catalogue.served().iter().find(|served| served.subresource == "exec").unwrap();
        assert_eq!((exec.kind.as_str(), exec.parent_kind.as_str()), ("PodExecOptions", "Pod"));
        let versions: Vec<_> = catalogue
            .served()
            .iter()
            .filter(|served| served.resource == "cronjobs")
            .map(|served| served.version.as_str())
            .collect();
        assert_eq!(versions, ["v1", "v1beta1"]);
    }
}
