//! The checks of `baseline`: known ways to more privileges.

use std::collections::BTreeSet;

use super::pod::{Container, Destination, Handler, Pod};
use super::violation::{Field, Finding, Setters, containers, plural, quoted};

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Capabilities that containers may add: those that container runtimes give by default.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Sysctls that stay within the pod, and the version from which they are allowed.
const SYSCTLS: [(u32, &str); 12] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

/// Types of SELinux that containers may have, and the version from which they may.
const SE_LINUX_TYPES: [(u32, &str); 5] = [
    (0, ""),
    (0, "container_init_t"),
    (0, "container_kvm_t"),
    (0, "container_t"),
    (31, "container_engine_t"),
];

/// Containers with a field that breaks a check.
fn offending<'p>(
    pod: &'p Pod<'_>,
    path: &str,
    value: &str,
    breaks: impl Fn(&Container<'_>) -> bool,
) -> (Vec<&'p str>, Vec<Field>) {
    pod.containers
        .iter()
        .filter(|container| breaks(container))
        .map(|container| (container.name(), Field::of(container, path, vec![value.to_owned()])))
        .unzip()
}

pub(super) fn privileged(pod: &Pod<'_>) -> Option<Finding> {
    let (names, fields) = offending(pod, "securityContext.privileged", "true", |container| {
        container.security_context.privileged == Some(true)
    });
    Finding::when(fields, "privileged", || {
        format!("{} must not set securityContext.privileged=true", containers(&names))
    })
}

pub(super) fn host_namespaces(pod: &Pod<'_>) -> Option<Finding> {
    let spec = &pod.spec;
    let set: Vec<&str> = [
        ("hostNetwork", spec.host_network),
        ("hostPID", spec.host_pid),
        ("hostIPC", spec.host_ipc),
    ]
    .into_iter()
    .filter(|(_, value)| *value == Some(true))
    .map(|(name, _)| name)
    .collect();
    let field = |name: &&str| Field::of_pod(format!("spec.{name}"), vec!["true".to_owned()]);
    Finding::when(set.iter().map(field).collect(), "host namespaces", || {
        set.iter().map(|name| format!("{name}=true")).collect::<Vec<_>>().join(", ")
    })
}

pub(super) fn host_path_volumes(pod: &Pod<'_>) -> Option<Finding> {
    let (names, fields): (Vec<_>, Vec<_>) = pod
        .spec
        .volumes
        .iter()
        .enumerate()
        .filter(|(_, volume)| volume.sources.contains("hostPath"))
        .map(|(place, volume)| {
            (volume.name, Field::of_pod(format!("spec.volumes[{place}].hostPath"), Vec::new()))
        })
        .unzip();
    Finding::when(fields, "hostPath volumes", || {
        format!("{} {}", plural("volume", "volumes", names.len()), quoted(names.iter().copied()))
    })
}

pub(super) fn host_ports(pod: &Pod<'_>) -> Option<Finding> {
    let (mut names, mut fields, mut ports) = (Vec::new(), Vec::new(), BTreeSet::new());
    for container in &pod.containers {
        let set = container.ports.iter().enumerate();
        let set = set.filter_map(|(place, port)| Some((place, port.host_port?)));
        let before = fields.len();
        for (place, port) in set.filter(|(_, port)| *port != 0) {
            let path = format!("ports[{place}].hostPort");
            fields.push(Field::of(container, &path, vec![port.to_string()]));
            ports.insert(port.to_string());
        }
        if fields.len() > before {
            names.push(container.name());
        }
    }
    Finding::when(fields, "hostPort", || {
        let uses = plural("uses", "use", names.len());
        let word = plural("hostPort", "hostPorts", ports.len());
        let ports: Vec<String> = ports.into_iter().collect();
        format!("{} {uses} {word} {}", containers(&names), ports.join(", "))
    })
}

/// Hosts of probes and of lifecycle hooks: the kubelet would call them from the node.
pub(super) fn host_probes(pod: &Pod<'_>) -> Option<Finding> {
    let (mut names, mut fields, mut hosts) = (Vec::new(), Vec::new(), BTreeSet::new());
    for container in &pod.containers {
        let before = fields.len();
        for (name, handler) in handlers(container) {
            for (kind, host) in destinations(handler) {
                fields.push(Field::of(
                    container,
                    &format!("{name}.{kind}.host"),
                    vec![host.to_owned()],
                ));
                hosts.insert(host);
            }
        }
        if fields.len() > before {
            names.push(container.name());
        }
    }
    Finding::when(fields, "probe or lifecycle host", || {
        let uses = plural("uses", "use", names.len());
        let word = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
        format!("{} {uses} {word} {}", containers(&names), quoted(hosts))
    })
}

fn handlers<'p, 'v>(
    container: &'p Container<'v>,
) -> impl Iterator<Item = (&'static str, &'p Handler<'v>)> {
    let all = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
        ("lifecycle.postStart", &container.lifecycle.post_start),
        ("lifecycle.preStop", &container.lifecycle.pre_stop),
    ];
    all.into_iter().filter_map(|(name, handler)| Some((name, handler.as_ref()?)))
}

fn destinations<'v>(handler: &Handler<'v>) -> impl Iterator<Item = (&'static str, &'v str)> {
    let host = |destination: &Option<Destination<'v>>| destination.as_ref().and_then(|d| d.host);
    [("httpGet", host(&handler.http_get)), ("tcpSocket", host(&handler.tcp_socket))]
        .into_iter()
        .filter_map(|(kind, host)| Some((kind, host?)))
        .filter(|(_, host)| !host.is_empty())
}

pub(super) fn app_armor(pod: &Pod<'_>) -> Option<Finding> {
    let allowed = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
    let mut setters = Setters::default();
    if let Some(profile) = &pod.context().shared.app_armor_profile
        && !allowed(profile.kind())
    {
        setters.pod("spec.securityContext.appArmorProfile.type", &profile.kind());
    }
    for container in &pod.containers {
        if let Some(profile) = &container.security_context.shared.app_armor_profile
            && !allowed(profile.kind())
        {
            let path = "securityContext.appArmorProfile.type";
            setters.container(container, path, &profile.kind());
        }
    }
    let allowed = |profile: &str| {
        matches!(profile, "" | "runtime/default") || profile.starts_with("localhost/")
    };
    let annotations: Vec<(&str, &str)> = pod
        .annotations
        .iter()
        .map(|(key, value)| (*key, *value))
        .filter(|(key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !allowed(value))
        .collect();
    let mut said = Vec::new();
    if !setters.are_none() {
        let values = quoted(setters.values.iter().map(String::as_str));
        said.push(format!("{} must not set AppArmor profile type to {values}", setters.words()));
    }
    if !annotations.is_empty() {
        let word = plural("annotation", "annotations", annotations.len());
        said.push(format!("{word} {}", pairs(&annotations)));
    }
    let reason = if setters.values.len() + annotations.len() == 1 {
        "forbidden AppArmor profile"
    } else {
        "forbidden AppArmor profiles"
    };
    let mut fields = setters.fields;
    fields.extend(annotations.iter().map(|(key, value)| annotation_field(key, value)));
    Finding::when(fields, reason, || said.join(" and "))
}

fn annotation_field(key: &str, value: &str) -> Field {
    Field::of_pod(format!("metadata.annotations[{key}]"), vec![value.to_owned()])
}

/// `a="1", b="2"`.
fn pairs(annotations: &[(&str, &str)]) -> String {
    annotations.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect::<Vec<_>>().join(", ")
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Finding> {
    added_capabilities(pod, &CAPABILITIES).map(|(fields, detail)| Finding {
        reason: "non-default capabilities".to_owned(),
        detail,
        fields,
    })
}

/// Containers that add other capabilities than the allowed ones, in fields and in words.
pub(super) fn added_capabilities(pod: &Pod<'_>, allowed: &[&str]) -> Option<(Vec<Field>, String)> {
    let (mut names, mut fields, mut forbidden) = (Vec::new(), Vec::new(), BTreeSet::new());
    for container in &pod.containers {
        let Some(capabilities) = &container.security_context.capabilities else { continue };
        let bad: BTreeSet<&str> =
            capabilities.add.iter().copied().filter(|added| !allowed.contains(added)).collect();
        if !bad.is_empty() {
            names.push(container.name());
            let values = bad.iter().map(|value| (*value).to_owned()).collect();
            fields.push(Field::of(container, "securityContext.capabilities.add", values));
            forbidden.extend(bad);
        }
    }
    (!fields.is_empty()).then(|| {
        let (who, what) = (containers(&names), quoted(forbidden));
        (fields, format!("{who} must not include {what} in securityContext.capabilities.add"))
    })
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Option<Finding> {
    let (mut names, mut fields, mut forbidden) = (Vec::new(), Vec::new(), BTreeSet::new());
    for container in &pod.containers {
        let set = container.security_context.proc_mount.filter(|kind| *kind != "Default");
        if let Some(kind) = set {
            names.push(container.name());
            let path = "securityContext.procMount";
            fields.push(Field::of(container, path, vec![kind.to_owned()]));
            forbidden.insert(kind);
        }
    }
    Finding::when(fields, "procMount", || {
        let (who, what) = (containers(&names), quoted(forbidden));
        format!("{who} must not set securityContext.procMount to {what}")
    })
}

/// From 1.35: where the pod's users are its own, an unmasked `/proc` gives nothing away.
pub(super) fn proc_mount_1_35(pod: &Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() { None } else { proc_mount(pod) }
}

pub(super) fn se_linux(pod: &Pod<'_>) -> Option<Finding> {
    se_linux_since(pod, 0)
}

pub(super) fn se_linux_1_31(pod: &Pod<'_>) -> Option<Finding> {
    se_linux_since(pod, 31)
}

fn se_linux_since(pod: &Pod<'_>, minor: u32) -> Option<Finding> {
    let allowed = |kind: &str| SE_LINUX_TYPES.contains_known(minor, kind);
    let mut setters = Setters::default();
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let owners = std::iter::once(None).chain(pod.containers.iter().map(Some));
    for owner in owners {
        let shared = owner.map_or(&pod.context().shared, |c| &c.security_context.shared);
        let Some(options) = &shared.se_linux_options else { continue };
        let kind = options.kind.filter(|kind| !allowed(kind));
        let set_user = options.user.filter(|text| !text.is_empty());
        let set_role = options.role.filter(|text| !text.is_empty());
        types.extend(kind);
        user |= set_user.is_some();
        role |= set_role.is_some();
        for (name, value) in [("type", kind), ("user", set_user), ("role", set_role)] {
            let Some(value) = value else { continue };
            let path = format!("securityContext.seLinuxOptions.{name}");
            match owner {
                None => setters.pod(&format!("spec.{path}"), &value),
                Some(container) => setters.container(container, &path, &value),
            }
        }
    }
    let words = setters.words();
    Finding::when(setters.fields, "seLinuxOptions", || {
        let named = (!types.is_empty()).then(|| {
            let word = plural("type", "types", types.len());
            format!("{word} {}", quoted(types))
        });
        let user = user.then(|| "user may not be set".to_owned());
        let role = role.then(|| "role may not be set".to_owned());
        let bad: Vec<String> = named.into_iter().chain(user).chain(role).collect();
        format!("{words} set forbidden securityContext.seLinuxOptions: {}", bad.join("; "))
    })
}

/// Until 1.18 seccomp profiles were annotations.
pub(super) fn seccomp_annotations(pod: &Pod<'_>) -> Option<Finding> {
    let allowed = |profile: &str| {
        matches!(profile, "runtime/default" | "docker/default") || profile.starts_with("localhost/")
    };
    let of_containers = pod
        .containers
        .iter()
        .map(|container| format!("{SECCOMP_CONTAINER_ANNOTATION}{}", container.name()));
    let keys: BTreeSet<String> =
        std::iter::once(SECCOMP_POD_ANNOTATION.to_owned()).chain(of_containers).collect();
    let forbidden: Vec<(&str, &str)> = keys
        .iter()
        .filter_map(|key| Some((key.as_str(), *pod.annotations.get(key.as_str())?)))
        .filter(|(_, value)| !allowed(value))
        .collect();
    let fields = forbidden.iter().map(|(key, value)| annotation_field(key, value)).collect();
    Finding::when(fields, "seccompProfile", || {
        let word = plural("annotation", "annotations", forbidden.len());
        format!("forbidden {word} {}", pairs(&forbidden))
    })
}

pub(super) fn is_allowed_seccomp(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

/// From 1.19 seccomp profiles are fields.
pub(super) fn seccomp_1_19(pod: &Pod<'_>) -> Option<Finding> {
    let setters = bad_seccomp(pod);
    let words = setters.words();
    Finding::when(setters.fields, "seccompProfile", || {
        let values = quoted(setters.values.iter().map(String::as_str));
        format!("{words} must not set securityContext.seccompProfile.type to {values}")
    })
}

fn bad_seccomp<'p>(pod: &'p Pod<'p>) -> Setters<'p> {
    let mut setters = Setters::default();
    if let Some(profile) = &pod.context().shared.seccomp_profile
        && !is_allowed_seccomp(profile.kind())
    {
        setters.pod("spec.securityContext.seccompProfile.type", &profile.kind());
    }
    for container in &pod.containers {
        if let Some(profile) = &container.security_context.shared.seccomp_profile
            && !is_allowed_seccomp(profile.kind())
        {
            let path = "securityContext.seccompProfile.type";
            setters.container(container, path, &profile.kind());
        }
    }
    setters
}

pub(super) fn sysctls(pod: &Pod<'_>) -> Option<Finding> {
    sysctls_since(pod, 0)
}

pub(super) fn sysctls_1_27(pod: &Pod<'_>) -> Option<Finding> {
    sysctls_since(pod, 27)
}

pub(super) fn sysctls_1_29(pod: &Pod<'_>) -> Option<Finding> {
    sysctls_since(pod, 29)
}

pub(super) fn sysctls_1_32(pod: &Pod<'_>) -> Option<Finding> {
    sysctls_since(pod, 32)
}

fn sysctls_since(pod: &Pod<'_>, minor: u32) -> Option<Finding> {
    let (names, fields): (Vec<_>, Vec<_>) = pod
        .context()
        .sysctls
        .iter()
        .enumerate()
        .filter(|(_, sysctl)| !SYSCTLS.contains_known(minor, sysctl.name()))
        .map(|(place, sysctl)| {
            let path = format!("spec.securityContext.sysctls[{place}].name");
            (sysctl.name(), Field::of_pod(path, vec![sysctl.name().to_owned()]))
        })
        .unzip();
    Finding::when(fields, "forbidden sysctls", || names.join(", "))
}

pub(super) fn windows_host_process(pod: &Pod<'_>) -> Option<Finding> {
    let is_set = |shared: &super::pod::Shared<'_>| {
        shared.windows_options.as_ref().and_then(|options| options.host_process) == Some(true)
    };
    let mut setters = Setters::default();
    if is_set(&pod.context().shared) {
        setters.pod("spec.securityContext.windowsOptions.hostProcess", &true);
    }
    for container in &pod.containers {
        if is_set(&container.security_context.shared) {
            setters.container(container, "securityContext.windowsOptions.hostProcess", &true);
        }
    }
    let words = setters.words();
    Finding::when(setters.fields, "hostProcess", || {
        format!("{words} must not set securityContext.windowsOptions.hostProcess=true")
    })
}

/// A table of names, each with the version from which it is known.
trait KnownSince {
    fn contains_known(&self, minor: u32, name: &str) -> bool;
}

impl KnownSince for [(u32, &str)] {
    fn contains_known(&self, minor: u32, name: &str) -> bool {
        self.iter().any(|(since, known)| *since <= minor && *known == name)
    }
}
