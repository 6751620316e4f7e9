//! The table of checks: what they are called, and from which version which of their forms holds.

use super::pod::Pod;
use super::violation::{Finding, Violation};
use super::{Level, Version, baseline, restricted};

/// A check of the standards.
pub(super) struct Check {
    pub(super) id: &'static str,
    pub(super) control: &'static str,
    level: Level,
    /// A check of `baseline` that this one, of `restricted`, says more than.
    overrides: Option<&'static str>,
    /// Its forms, each from a minor version on, oldest first.
    forms: &'static [(u32, Judge)],
}

type Judge = fn(&Pod<'_>) -> Option<Finding>;

/// Whether checks of `baseline` are left out where one of `restricted` says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    Overridden,
    Kept,
}

const fn of_baseline(
    id: &'static str,
    control: &'static str,
    forms: &'static [(u32, Judge)],
) -> Check {
    Check { id, control, level: Level::Baseline, overrides: None, forms }
}

const fn of_restricted(
    id: &'static str,
    control: &'static str,
    overrides: Option<&'static str>,
    forms: &'static [(u32, Judge)],
) -> Check {
    Check { id, control, level: Level::Restricted, overrides, forms }
}

/// All checks, in the order of their names.
pub(super) static CHECKS: [Check; 19] = [
    of_restricted(
        "allowPrivilegeEscalation",
        "Privilege Escalation",
        None,
        &[(8, restricted::privilege_escalation), (25, restricted::privilege_escalation_1_25)],
    ),
    of_baseline("appArmorProfile", "AppArmor", &[(0, baseline::app_armor)]),
    of_baseline("capabilities_baseline", "Capabilities", &[(0, baseline::capabilities)]),
    of_restricted(
        "capabilities_restricted",
        "Capabilities",
        Some("capabilities_baseline"),
        &[(22, restricted::capabilities), (25, restricted::capabilities_1_25)],
    ),
    of_baseline("hostNamespaces", "Host Namespaces", &[(0, baseline::host_namespaces)]),
    of_baseline("hostPathVolumes", "HostPath Volumes", &[(0, baseline::host_path_volumes)]),
    of_baseline("hostPorts", "Host Ports", &[(0, baseline::host_ports)]),
    of_baseline(
        "hostProbesAndHostLifecycle",
        "Host Probes / Lifecycle Hooks",
        &[(34, baseline::host_probes)],
    ),
    of_baseline("privileged", "Privileged Containers", &[(0, baseline::privileged)]),
    of_baseline(
        "procMount",
        "/proc Mount Type",
        &[(0, baseline::proc_mount), (35, baseline::proc_mount_1_35)],
    ),
    of_restricted(
        "procMount_restricted",
        "/proc Mount Type",
        Some("procMount"),
        &[(35, baseline::proc_mount)],
    ),
    of_restricted(
        "restrictedVolumes",
        "Volume Types",
        Some("hostPathVolumes"),
        &[(0, restricted::volumes)],
    ),
    of_restricted(
        "runAsNonRoot",
        "Running as Non-root",
        None,
        &[(0, restricted::run_as_non_root), (35, restricted::run_as_non_root_1_35)],
    ),
    of_restricted(
        "runAsUser",
        "Running as Non-root user",
        None,
        &[(23, restricted::run_as_user), (35, restricted::run_as_user_1_35)],
    ),
    of_baseline(
        "seLinuxOptions",
        "SELinux",
        &[(0, baseline::se_linux), (31, baseline::se_linux_1_31)],
    ),
    of_baseline(
        "seccompProfile_baseline",
        "Seccomp",
        &[(0, baseline::seccomp_annotations), (19, baseline::seccomp_1_19)],
    ),
    of_restricted(
        "seccompProfile_restricted",
        "Seccomp",
        Some("seccompProfile_baseline"),
        &[(19, restricted::seccomp), (25, restricted::seccomp_1_25)],
    ),
    of_baseline(
        "sysctls",
        "Sysctls",
        &[
            (0, baseline::sysctls),
            (27, baseline::sysctls_1_27),
            (29, baseline::sysctls_1_29),
            (32, baseline::sysctls_1_32),
        ],
    ),
    of_baseline("windowsHostProcess", "HostProcess", &[(0, baseline::windows_host_process)]),
];

impl Check {
    /// The newest form that is not newer than a version.
    fn form(&self, version: Version) -> Option<Judge> {
        let known = |(since, _): &&(u32, Judge)| Version::Minor(*since) <= version;
        self.forms.iter().rfind(known).map(|(_, judge)| *judge)
    }
}

/// The checks of a level, and of the levels below it, with the form that holds in a version. Where
/// checks override others they come in the API server's order, the lower level first.
fn applicable(
    level: Level,
    version: Version,
    overlap: Overlap,
) -> impl Iterator<Item = (&'static Check, Judge)> {
    let applies = move |check: &&Check| check.level <= level && check.form(version).is_some();
    let overridden = move |check: &Check| {
        overlap == Overlap::Overridden
            && CHECKS.iter().filter(applies).any(|other| other.overrides == Some(check.id))
    };
    let mut found: Vec<(&'static Check, Judge)> = CHECKS
        .iter()
        .filter(applies)
        .filter(|check| !overridden(check))
        .filter_map(|check| Some((check, check.form(version)?)))
        .collect();
    if overlap == Overlap::Overridden {
        found.sort_by_key(|(check, _)| check.level);
    }
    found.into_iter()
}

/// Names of the checks that [`run`] runs.
pub(super) fn names(
    level: Level,
    version: Version,
    overlap: Overlap,
) -> impl Iterator<Item = &'static str> {
    applicable(level, version, overlap).map(|(check, _)| check.id)
}

/// Runs the checks.
pub(super) fn run(
    level: Level,
    version: Version,
    pod: &Pod<'_>,
    overlap: Overlap,
) -> Vec<Violation> {
    applicable(level, version, overlap)
        .filter_map(|(check, judge)| {
            let found = judge(pod)?;
            Some(Violation {
                check: check.id,
                control: check.control,
                reason: found.reason,
                detail: found.detail,
                fields: found.fields,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        let ids: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        for check in &CHECKS {
            assert!(check.forms.is_sorted_by_key(|(since, _)| *since), "{}", check.id);
            let overridden = CHECKS.iter().find(|other| Some(other.id) == check.overrides);
            assert_eq!(overridden.is_some(), check.overrides.is_some(), "{}", check.id);
        }
    }
}
