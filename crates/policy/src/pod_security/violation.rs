//! What a check says of a pod that breaks it.

use std::collections::BTreeSet;
use std::fmt;

use super::pod::Container;

/// A check that a pod breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The check, as in `allowPrivilegeEscalation`.
    pub check: &'static str,
    /// The control of the standards that it belongs to, as in `Privilege Escalation`.
    pub control: &'static str,
    /// In a few words, as in `allowPrivilegeEscalation != false`.
    pub reason: String,
    /// Who breaks it and what must change.
    pub detail: String,
    /// The fields that break it; at least one.
    pub fields: Vec<Field>,
}

/// One field that breaks a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its path in the pod, as in `spec.containers[0].securityContext.privileged`.
    pub path: String,
    /// What stands there; empty where something must stand that does not.
    pub values: Vec<String>,
    /// The container that it belongs to; `None` for the pod's own fields.
    pub container: Option<String>,
}

impl Violation {
    /// Reason and detail in one line.
    pub fn describe(&self) -> String {
        format!("{} ({})", self.reason, self.detail)
    }
}

impl Field {
    pub(super) fn of_pod(path: impl Into<String>, values: Vec<String>) -> Self {
        Self { path: path.into(), values, container: None }
    }

    pub(super) fn of(container: &Container<'_>, path: &str, values: Vec<String>) -> Self {
        Self {
            path: format!("{}.{path}", container.path),
            values,
            container: Some(container.name().to_owned()),
        }
    }

    /// The path with every index replaced by `*`.
    pub(super) fn pattern(&self) -> String {
        let mut made = String::with_capacity(self.path.len());
        let mut rest = self.path.as_str();
        while let Some((before, after)) = rest.split_once('[') {
            made.push_str(before);
            let Some((inner, tail)) = after.split_once(']') else {
                rest = after;
                made.push('[');
                break;
            };
            let index = !inner.is_empty() && inner.chars().all(|c| c.is_ascii_digit());
            made.push('[');
            made.push_str(if index { "*" } else { inner });
            made.push(']');
            rest = tail;
        }
        made.push_str(rest);
        made
    }
}

/// What a check found, before it is known as whose.
pub(super) struct Finding {
    pub(super) reason: String,
    pub(super) detail: String,
    pub(super) fields: Vec<Field>,
}

impl Finding {
    /// A finding, if there is a field that breaks the check.
    pub(super) fn when(
        fields: Vec<Field>,
        reason: impl Into<String>,
        detail: impl FnOnce() -> String,
    ) -> Option<Self> {
        (!fields.is_empty()).then(|| Self { reason: reason.into(), detail: detail(), fields })
    }
}

/// One word or the other, by how many there are.
pub(super) fn plural<'t>(one: &'t str, many: &'t str, count: usize) -> &'t str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`.
pub(super) fn quoted<'t>(names: impl IntoIterator<Item = &'t str>) -> String {
    names.into_iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// `container "a"` or `containers "a", "b"`.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names.iter().copied()))
}

/// Who set something that is forbidden: the pod, containers, or both.
#[derive(Default)]
pub(super) struct Setters<'v> {
    pub(super) fields: Vec<Field>,
    pub(super) values: BTreeSet<String>,
    pod: bool,
    containers: Vec<&'v str>,
}

impl<'v> Setters<'v> {
    /// The pod's own field.
    pub(super) fn pod(&mut self, path: &str, value: &dyn fmt::Display) {
        self.pod = true;
        self.values.insert(value.to_string());
        self.fields.push(Field::of_pod(path, vec![value.to_string()]));
    }

    /// A field of a container; several of one container count once.
    pub(super) fn container(
        &mut self,
        container: &'v Container<'v>,
        path: &str,
        value: &dyn fmt::Display,
    ) {
        if self.containers.last() != Some(&container.name()) {
            self.containers.push(container.name());
        }
        self.values.insert(value.to_string());
        self.fields.push(Field::of(container, path, vec![value.to_string()]));
    }

    pub(super) fn are_none(&self) -> bool {
        self.fields.is_empty()
    }

    /// In words, as in `pod and containers "a", "b"`.
    pub(super) fn words(&self) -> String {
        let pod = self.pod.then(|| "pod".to_owned());
        let named = (!self.containers.is_empty()).then(|| containers(&self.containers));
        pod.into_iter().chain(named).collect::<Vec<_>>().join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_become_stars_and_keys_stay() {
        for (path, pattern) in [
            ("spec.hostPID", "spec.hostPID"),
            ("spec.containers[12].ports[0].hostPort", "spec.containers[*].ports[*].hostPort"),
            ("metadata.annotations[a.io/x]", "metadata.annotations[a.io/x]"),
            ("metadata.annotations[a", "metadata.annotations[a"),
        ] {
            assert_eq!(Field::of_pod(path, Vec::new()).pattern(), pattern);
        }
    }
}
