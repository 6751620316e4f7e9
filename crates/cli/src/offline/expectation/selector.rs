//! Which resources, policies and rules an entry of `results` is about.

use proofstream_policy::GroupVersionKind;
use serde_json::Value;

use crate::offline::test_file::{Expected, ResourceSpec};

/// Longest name of a rule; derived names are cut to it.
const MAX_RULE_NAME: usize = 63;

/// What tells objects apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    kind: GroupVersionKind,
    namespace: Option<String>,
    name: String,
}

/// A choice of resources; what is absent is not asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    group: Option<String>,
    version: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

// === impl Identity ===

impl Identity {
    pub(super) fn of(object: &Value) -> Self {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = GroupVersionKind::from_api_version(text("/apiVersion"), text("/kind"));
        let namespace = Some(text("/metadata/namespace")).filter(|name| !name.is_empty());
        let name = Some(text("/metadata/name")).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| text("/metadata/generateName"));
        Self { kind, namespace: namespace.map(str::to_owned), name: name.to_owned() }
    }
}

// === impl Selector ===

impl Selector {
    /// From `NAME` or `NAMESPACE/NAME`, and a kind such as `Pod` or `apps/v1/Deployment`.
    pub(super) fn named(name: &str, kind: Option<&str>) -> Self {
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, name),
        };
        Self { namespace, name: Some(name.to_owned()), ..Self::of_kind(kind) }
    }

    /// From an entry of `resourceSpecs`.
    pub(super) fn specified(spec: &ResourceSpec) -> Self {
        Self {
            group: spec.group.clone(),
            version: spec.version.clone(),
            kind: spec.kind.clone(),
            namespace: spec.namespace.clone(),
            name: Some(spec.name.clone()),
        }
    }

    /// Every object of a kind, or every object.
    pub(super) fn of_kind(kind: Option<&str>) -> Self {
        let parts: Vec<&str> = kind.unwrap_or_default().split('/').collect();
        let owned = |part: &str| Some(part.to_owned());
        match parts.as_slice() {
            [kind] if !kind.is_empty() => Self { kind: owned(kind), ..Self::default() },
            [version, kind] => {
                Self { version: owned(version), kind: owned(kind), ..Self::default() }
            }
            [group, version, kind] => Self {
                group: owned(group),
                version: owned(version),
                kind: owned(kind),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    /// One object and no other.
    pub(super) fn exactly(identity: &Identity) -> Self {
        Self {
            group: Some(identity.kind.group.clone()),
            version: Some(identity.kind.version.clone()),
            kind: Some(identity.kind.kind.clone()),
            namespace: identity.namespace.clone(),
            name: Some(identity.name.clone()),
        }
    }

    /// Whether a selector made by [`Selector::exactly`] is of this one's kind.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let takes =
            |mine: &Option<String>, theirs: &Option<String>| mine.is_none() || mine == theirs;
        takes(&self.group, &other.group)
            && takes(&self.version, &other.version)
            && takes(&self.kind, &other.kind)
    }

    pub(super) fn matches(&self, identity: &Identity, older_namespace: Option<&str>) -> bool {
        let takes = |mine: Option<&str>, theirs: &str| mine.is_none_or(|mine| mine == theirs);
        let namespace = self.namespace.as_deref().or(older_namespace);
        takes(self.group.as_deref(), &identity.kind.group)
            && takes(self.version.as_deref(), &identity.kind.version)
            && takes(self.kind.as_deref(), &identity.kind.kind)
            && takes(namespace, identity.namespace.as_deref().unwrap_or_default())
            && takes(self.name.as_deref(), &identity.name)
    }

    pub(super) fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// `NAMESPACE/NAME`, `NAME`, or `*` for all.
    pub(super) fn shown(&self) -> String {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (None, Some(name)) => name.clone(),
            (_, None) => "*".to_owned(),
        }
    }
}

/// The name and namespace of the policy that an entry is about.
pub(super) fn split_policy(expected: &Expected) -> (&str, Option<&str>) {
    match expected.policy.split_once('/') {
        Some((namespace, name)) => (name, Some(namespace)),
        None => (&expected.policy, None),
    }
}

/// Whether an entry is about a policy.
pub(super) fn policy_matches(expected: &Expected, name: &str, namespace: Option<&str>) -> bool {
    let (wanted, wanted_namespace) = split_policy(expected);
    wanted == name && wanted_namespace.is_none_or(|wanted| namespace == Some(wanted))
}

/// Whether a rule is the wanted one or derived from it.
pub(super) fn rule_matches(wanted: Option<&str>, rule: &str) -> bool {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return true };
    if wanted == rule {
        return true;
    }
    ["autogen-", "autogen-cronjob-"].into_iter().any(|prefix| {
        let derived = format!("{prefix}{wanted}");
        let cut = derived.char_indices().nth(MAX_RULE_NAME).map_or(derived.len(), |(at, _)| at);
        derived.get(..cut) == Some(rule)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_means_its_autogen_twins_too() {
        assert!(rule_matches(Some("a"), "a"));
        assert!(rule_matches(Some("a"), "autogen-a"));
        assert!(rule_matches(Some("a"), "autogen-cronjob-a"));
        assert!(!rule_matches(Some("a"), "autogen-b"));
        assert!(!rule_matches(Some("autogen-a"), "a"));
        assert!(rule_matches(None, "anything"));
        let long = "x".repeat(60);
        assert!(rule_matches(Some(&long), &format!("autogen-{}", "x".repeat(55))));
    }

    #[test]
    fn selects_by_what_is_given() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"}});
        let identity = Identity::of(&object);
        assert!(Selector::named("web", None).matches(&identity, None));
        assert!(Selector::named("shop/web", Some("Deployment")).matches(&identity, None));
        assert!(Selector::named("web", Some("apps/v1/Deployment")).matches(&identity, None));
        assert!(!Selector::named("other/web", None).matches(&identity, None));
        assert!(!Selector::named("web", Some("Pod")).matches(&identity, None));
        assert!(!Selector::named("web", None).matches(&identity, Some("other")));
        assert!(Selector::exactly(&identity).matches(&identity, None));
    }
}
