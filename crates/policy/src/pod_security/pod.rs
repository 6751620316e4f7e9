//! What the checks read of a pod, with its types held: a field of the wrong type is an error, since
//! what cannot be read has not been checked.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The pod that stands in an object: the object itself, or a controller's template.
#[derive(Debug, Clone, Copy)]
pub struct Template<'v> {
    /// Metadata of the pod.
    pub metadata: Option<&'v Value>,
    /// Spec of the pod.
    pub spec: Option<&'v Value>,
    /// Where it stands in the object, as in `spec.template`; empty for a pod.
    pub path: &'static str,
}

/// Finds the pod in a Pod, PodTemplate, or controller; `None` for other kinds.
pub fn pod_of<'v>(kind: &str, object: &'v Value) -> Option<Template<'v>> {
    let path = match kind {
        "Pod" => "",
        "PodTemplate" => "template",
        "Deployment"
        | "DaemonSet"
        | "StatefulSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => "spec.template",
        "CronJob" => "spec.jobTemplate.spec.template",
        _ => return None,
    };
    let template =
        path.split('.').filter(|key| !key.is_empty()).try_fold(object, |value, key| value.get(key));
    let field = |name: &str| template.and_then(|template| template.get(name));
    Some(Template { metadata: field("metadata"), spec: field("spec"), path })
}

/// A pod that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pod's {part} cannot be read: {message}")]
pub struct Unreadable {
    part: &'static str,
    message: String,
}

/// A pod as the checks see it.
#[derive(Debug, Clone, Default)]
pub struct Pod<'v> {
    pub(super) annotations: BTreeMap<&'v str, &'v str>,
    pub(super) spec: Spec<'v>,
    /// Init containers, containers, ephemeral containers: the order in which checks name them.
    pub(super) containers: Vec<Container<'v>>,
}

impl<'v> Pod<'v> {
    /// Reads a pod.
    ///
    /// # Errors
    /// A field that the checks look at is of the wrong type.
    pub fn read(metadata: Option<&'v Value>, spec: Option<&'v Value>) -> Result<Self, Unreadable> {
        let metadata = match metadata {
            None | Some(Value::Null) => Metadata::default(),
            Some(value) => Metadata::deserialize(value)
                .map_err(|error| Unreadable { part: "metadata", message: error.to_string() })?,
        };
        let mut spec = match spec {
            None | Some(Value::Null) => Spec::default(),
            Some(value) => Spec::deserialize(value)
                .map_err(|error| Unreadable { part: "spec", message: error.to_string() })?,
        };
        let lists = [
            ("initContainers", std::mem::take(&mut spec.init_containers)),
            ("containers", std::mem::take(&mut spec.containers)),
            ("ephemeralContainers", std::mem::take(&mut spec.ephemeral_containers)),
        ];
        let containers = lists.into_iter().flat_map(|(list, containers)| {
            containers.into_iter().enumerate().map(move |(place, mut container)| {
                container.path = format!("spec.{list}[{place}]");
                container
            })
        });
        let annotations = metadata
            .annotations
            .into_iter()
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .collect();
        Ok(Self { annotations, containers: containers.collect(), spec })
    }

    pub(super) fn context(&self) -> &PodContext<'v> {
        &self.spec.security_context
    }

    /// Whether its users are mapped to others on the host.
    pub(super) fn has_own_users(&self) -> bool {
        self.spec.host_users == Some(false)
    }

    pub(super) fn is_windows(&self) -> bool {
        self.spec.os.name == Some("windows")
    }

    /// The pod with a container that says nothing in the place of its own.
    pub(super) fn without_containers(&self) -> Self {
        let stand_in = Container { path: "spec.containers[0]".to_owned(), ..Container::default() };
        Self { containers: vec![stand_in], ..self.clone() }
    }

    /// Some of its containers, in a pod that says nothing itself.
    pub(super) fn containers_alone(&self, wanted: impl Fn(&Container<'v>) -> bool) -> Self {
        let containers = self.containers.iter().filter(|c| wanted(c)).cloned().collect();
        Self { containers, ..Self::default() }
    }
}

#[derive(Debug, Default, Deserialize)]
struct Metadata<'v> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    annotations: BTreeMap<&'v str, Option<&'v str>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec<'v> {
    #[serde(borrow, deserialize_with = "or_default")]
    containers: Vec<Container<'v>>,
    #[serde(borrow, deserialize_with = "or_default")]
    init_containers: Vec<Container<'v>>,
    #[serde(borrow, deserialize_with = "or_default")]
    ephemeral_containers: Vec<Container<'v>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub(super) security_context: PodContext<'v>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub(super) volumes: Vec<Volume<'v>>,
    pub(super) host_network: Option<bool>,
    #[serde(rename = "hostPID")]
    pub(super) host_pid: Option<bool>,
    #[serde(rename = "hostIPC")]
    pub(super) host_ipc: Option<bool>,
    host_users: Option<bool>,
    #[serde(borrow, deserialize_with = "or_default")]
    os: OperatingSystem<'v>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct OperatingSystem<'v> {
    name: Option<&'v str>,
}

/// What a pod and a container can both say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Shared<'v> {
    pub(super) run_as_non_root: Option<bool>,
    pub(super) run_as_user: Option<i64>,
    #[serde(borrow)]
    pub(super) seccomp_profile: Option<Profile<'v>>,
    #[serde(borrow)]
    pub(super) app_armor_profile: Option<Profile<'v>>,
    #[serde(borrow)]
    pub(super) se_linux_options: Option<SeLinux<'v>>,
    pub(super) windows_options: Option<WindowsOptions>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodContext<'v> {
    #[serde(borrow, flatten)]
    pub(super) shared: Shared<'v>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub(super) sysctls: Vec<Sysctl<'v>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerContext<'v> {
    #[serde(borrow, flatten)]
    pub(super) shared: Shared<'v>,
    pub(super) privileged: Option<bool>,
    pub(super) allow_privilege_escalation: Option<bool>,
    pub(super) proc_mount: Option<&'v str>,
    #[serde(borrow)]
    pub(super) capabilities: Option<Capabilities<'v>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container<'v> {
    name: Option<&'v str>,
    pub(super) image: Option<&'v str>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub(super) security_context: ContainerContext<'v>,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: Vec<Port>,
    #[serde(borrow)]
    pub(super) liveness_probe: Option<Handler<'v>>,
    #[serde(borrow)]
    pub(super) readiness_probe: Option<Handler<'v>>,
    #[serde(borrow)]
    pub(super) startup_probe: Option<Handler<'v>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub(super) lifecycle: Lifecycle<'v>,
    /// Where it stands, as in `spec.containers[0]`.
    #[serde(skip)]
    pub(super) path: String,
}

impl Container<'_> {
    pub(super) fn name(&self) -> &str {
        self.name.unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Profile<'v> {
    #[serde(rename = "type")]
    kind: Option<&'v str>,
}

impl<'v> Profile<'v> {
    pub(super) fn kind(&self) -> &'v str {
        self.kind.unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SeLinux<'v> {
    #[serde(rename = "type")]
    pub(super) kind: Option<&'v str>,
    pub(super) user: Option<&'v str>,
    pub(super) role: Option<&'v str>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WindowsOptions {
    pub(super) host_process: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities<'v> {
    #[serde(borrow, deserialize_with = "or_default")]
    pub(super) add: Vec<&'v str>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub(super) drop: Vec<&'v str>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sysctl<'v> {
    name: Option<&'v str>,
}

impl<'v> Sysctl<'v> {
    pub(super) fn name(&self) -> &'v str {
        self.name.unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Port {
    pub(super) host_port: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Lifecycle<'v> {
    #[serde(borrow)]
    pub(super) post_start: Option<Handler<'v>>,
    #[serde(borrow)]
    pub(super) pre_stop: Option<Handler<'v>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Handler<'v> {
    #[serde(borrow)]
    pub(super) http_get: Option<Destination<'v>>,
    #[serde(borrow)]
    pub(super) tcp_socket: Option<Destination<'v>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Destination<'v> {
    pub(super) host: Option<&'v str>,
}

/// A volume: its name, and which fields beside it are there.
#[derive(Debug, Clone, Default)]
pub(super) struct Volume<'v> {
    pub(super) name: &'v str,
    pub(super) sources: BTreeSet<&'v str>,
}

impl<'de: 'v, 'v> Deserialize<'de> for Volume<'v> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written<'v> {
            name: Option<&'v str>,
            #[serde(borrow, flatten)]
            sources: BTreeMap<&'v str, Option<IgnoredAny>>,
        }
        let written = Written::deserialize(deserializer)?;
        let there = written.sources.into_iter().filter(|(_, value)| value.is_some());
        Ok(Self {
            name: written.name.unwrap_or_default(),
            sources: there.map(|(key, _)| key).collect(),
        })
    }
}

/// A field that may be null, which is the same as missing.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_are_missing_and_wrong_types_are_errors() {
        let fine = json!({"containers": [{"name": null, "securityContext": null, "ports": null}],
            "initContainers": null, "securityContext": {"sysctls": null, "runAsUser": null},
            "volumes": [{"name": "a", "emptyDir": {}, "nfs": null}], "os": null});
        let pod = Pod::read(None, Some(&fine)).unwrap();
        assert_eq!(pod.containers.len(), 1);
        assert_eq!(pod.spec.volumes[0].sources, BTreeSet::from(["emptyDir"]));
        for wrong in [
            json!({"containers": {}}),
            json!({"containers": [{"securityContext": {"privileged": "true"}}]}),
            json!({"containers": [{"securityContext": {"runAsUser": "0"}}]}),
            json!({"hostPID": "yes"}),
            json!({"volumes": ["a"]}),
            json!("text"),
        ] {
            let error = Pod::read(None, Some(&wrong)).unwrap_err().to_string();
            assert!(error.starts_with("the pod's spec cannot be read: "), "{error}");
        }
        let metadata = json!({"annotations": {"a": 1}});
        assert!(Pod::read(Some(&metadata), Some(&fine)).is_err());
    }

    #[test]
    fn pods_are_found_in_controllers() {
        let spec = json!({"spec": {"template": {"spec": {"hostPID": true}}}});
        let template = pod_of("Deployment", &spec).unwrap();
        assert_eq!(template.path, "spec.template");
        assert!(template.spec.is_some());
        assert!(pod_of("CronJob", &spec).unwrap().spec.is_none());
        assert!(pod_of("Service", &spec).is_none());
    }
}
