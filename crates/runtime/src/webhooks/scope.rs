//! What must reach our webhooks, as the policies say it, and what never does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proofstream_policy::{KnownKinds, Phase, PolicySet};
use sha2::{Digest, Sha256};

/// What the API server does when it cannot reach us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The request is refused.
    Fail,
    /// The request goes on.
    Ignore,
}

/// One of our webhooks: the policies that share a failure policy and the conditions (CEL) under which
/// the API server asks them at all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// What happens when we cannot be asked.
    pub class: Class,
    /// Names the conditions that its policies bring; `None` where they bring none.
    pub conditions: Option<String>,
}

/// One line of a webhook's rules: a resource with its operations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceRule {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// `pods`, `pods/exec`.
    pub resource: String,
    /// Operations, sorted.
    pub operations: BTreeSet<&'static str>,
}

/// What a webhook must be registered for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Sorted, each resource once.
    pub rules: Vec<ResourceRule>,
    /// Globs of the namespaces that the policies name; `None` where one wants all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Seconds that the slowest of the policies is given; `None` where none says.
    pub timeout_seconds: Option<u32>,
    /// The policies' own conditions: (name, CEL expression).
    pub conditions: Vec<(String, String)>,
    /// Resources that the policies name and that are never sent to us.
    pub protected: BTreeSet<String>,
}

/// Resources that a cluster needs to come up, and those through which we could lock ourselves out:
/// never sent to our webhooks.
pub(super) const PROTECTED: [(&str, &str); 8] = [
    ("", "nodes"),
    ("", "bindings"),
    ("admissionregistration.k8s.io", "*"),
    ("apiregistration.k8s.io", "*"),
    ("authentication.k8s.io", "*"),
    ("authorization.k8s.io", "*"),
    ("certificates.k8s.io", "*"),
    ("coordination.k8s.io", "*"),
];

// === impl Class ===

impl Class {
    fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Ignore => "ignore",
        }
    }

    /// The word of the admission API.
    pub fn failure_policy(self) -> &'static str {
        match self {
            Self::Fail => "Fail",
            Self::Ignore => "Ignore",
        }
    }
}

// === impl Lane ===

impl Lane {
    /// The lane of policies that bring no conditions.
    pub fn plain(class: Class) -> Self {
        Self { class, conditions: None }
    }

    /// The lane of policies that bring these conditions: (name, CEL expression).
    pub fn under(class: Class, conditions: &[(String, String)]) -> Self {
        if conditions.is_empty() {
            return Self::plain(class);
        }
        let mut digest = Sha256::new();
        for (name, expression) in conditions {
            digest.update(name.as_bytes());
            digest.update([0]);
            digest.update(expression.as_bytes());
            digest.update([0]);
        }
        let id = hex::encode(digest.finalize()).chars().take(8).collect();
        Self { class, conditions: Some(id) }
    }

    /// Name of the webhook; audit annotations of its answers stand under it.
    pub fn webhook(&self, phase: Phase) -> String {
        format!("{self}.{}.proofstream.dev", word(phase))
    }

    /// Path at which we answer.
    pub fn path(&self, phase: Phase) -> String {
        format!("/{}/{self}", word(phase))
    }

    /// The lane that is called at a path, if it is one of ours.
    pub fn at(path: &str) -> Option<(Phase, Self)> {
        let (phase, name) = path.strip_prefix('/')?.split_once('/')?;
        let phase = [Phase::Mutate, Phase::Validate].into_iter().find(|it| word(*it) == phase)?;
        let (word, conditions) = match name.split_once('-') {
            Some((word, id)) => (word, Some(id.to_owned())),
            None => (name, None),
        };
        let class = [Class::Fail, Class::Ignore].into_iter().find(|class| class.word() == word)?;
        Some((phase, Self { class, conditions }))
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.class.word())?;
        match &self.conditions {
            Some(id) => write!(formatter, "-{id}"),
            None => Ok(()),
        }
    }
}

// === impl Scope ===

impl Scope {
    /// What the policies of one lane must be asked about, where the API server serves `kinds`.
    pub fn of(set: &PolicySet, kinds: &KnownKinds, phase: Phase) -> Self {
        let mut rules: BTreeMap<(String, String, String), BTreeSet<&'static str>> = BTreeMap::new();
        let mut scope = Self { namespaces: Some(BTreeSet::new()), ..Self::default() };
        for part in set.admission_scope(kinds, phase) {
            for rule in part.rules {
                if is_protected(&rule.group, &rule.resource) {
                    scope.protected.insert(rule.resource);
                    continue;
                }
                let key = (rule.group, rule.version, rule.resource);
                let words = rule.operations.iter().map(|operation| operation.as_str());
                rules.entry(key).or_default().extend(words);
            }
            scope.namespaces = match (scope.namespaces.take(), part.namespaces) {
                (Some(mut all), Some(more)) if !more.contains("*") => {
                    all.extend(more);
                    Some(all)
                }
                _ => None,
            };
            scope.timeout_seconds = scope.timeout_seconds.max(part.timeout_seconds);
            scope.conditions = part
                .match_conditions
                .into_iter()
                .map(|condition| (condition.name, condition.expression))
                .collect();
        }
        scope.rules = rules
            .into_iter()
            .filter(|(_, operations)| !operations.is_empty())
            .map(|((group, version, resource), operations)| ResourceRule {
                group,
                version,
                resource,
                operations,
            })
            .collect();
        scope
    }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Mutate => "mutate",
        Phase::Validate => "validate",
    }
}

/// Whether a resource is never sent to our webhooks. A `*` among the rules is kept out of these by a
/// condition instead.
pub fn is_protected(group: &str, resource: &str) -> bool {
    let whole = resource.split('/').next().unwrap_or_default();
    resource == "pods/binding"
        || PROTECTED.iter().any(|(protected_group, protected)| {
            *protected_group == group && (*protected == "*" || *protected == whole)
        })
}

/// Whether `text` is what `glob` says (`*` any characters, `?` one).
pub fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while seen < text.len() {
        match glob.get(at) {
            Some('*') => {
                retry = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || text.get(seen) == Some(wanted) => {
                at += 1;
                seen += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    at = star + 1;
                    seen = from + 1;
                }
                None => return false,
            },
        }
    }
    glob.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::webhooks::catalogue::tests::small;
    use proofstream_policy::parse;
    use serde_json::{Value, json};

    /// The scope of one policy whose rule matches `resources`.
    pub(crate) fn scope(resources: &Value) -> Scope {
        let policy = parse(&json!({
            "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
            "spec": {"rules": [{"name": "r", "match": {"any": [{"resources": resources}]},
                "validate": {"message": "m", "deny": {}}}]}
        }))
        .unwrap();
        let (set, _) = PolicySet::compile(vec![policy]);
        Scope::of(&set, &small().known_kinds(), Phase::Validate)
    }

    fn resources(of: &Value) -> Vec<String> {
        scope(of)
            .rules
            .into_iter()
            .map(|rule| format!("{}/{}", rule.group, rule.resource))
            .collect()
    }

    #[test]
    fn finds_the_resources_of_kinds_and_subresources() {
        assert_eq!(resources(&json!({"kinds": ["ConfigMap"]})), ["/configmaps"]);
        assert_eq!(resources(&json!({"kinds": ["Pod/exec"]})), ["/pods/exec"]);
        assert_eq!(resources(&json!({"kinds": ["PodExecOptions"]})), ["/pods/exec"]);
        let of_pods = resources(&json!({"kinds": ["Pod"]}));
        assert!(of_pods.contains(&"/pods".to_owned()), "{of_pods:?}");
        assert!(of_pods.contains(&"/pods/ephemeralcontainers".to_owned()), "{of_pods:?}");
        assert!(of_pods.contains(&"apps/deployments".to_owned()), "autogen: {of_pods:?}");
    }

    #[test]
    fn what_a_cluster_needs_to_come_up_is_never_asked_about() {
        let of_nodes = scope(&json!({"kinds": ["Node", "ConfigMap"]}));
        assert_eq!(of_nodes.rules.len(), 1);
        assert_eq!(of_nodes.protected, BTreeSet::from(["nodes".to_owned()]));
        for (group, resource, protected) in [
            ("", "nodes", true),
            ("", "nodes/status", true),
            ("", "pods/binding", true),
            ("", "pods", false),
            ("certificates.k8s.io", "certificatesigningrequests/approval", true),
            ("admissionregistration.k8s.io", "validatingwebhookconfigurations", true),
        ] {
            assert_eq!(is_protected(group, resource), protected, "{group}/{resource}");
        }
    }

    #[test]
    fn a_lane_is_found_again_at_its_path() {
        let conditions = [("a".to_owned(), "true".to_owned())];
        for lane in [Lane::plain(Class::Fail), Lane::under(Class::Ignore, &conditions)] {
            for phase in [Phase::Mutate, Phase::Validate] {
                assert_eq!(Lane::at(&lane.path(phase)), Some((phase, lane.clone())));
            }
        }
        assert_eq!(Lane::at("/validate/other"), None);
        assert_eq!(Lane::at("/healthz"), None);
        assert_eq!(
            Lane::plain(Class::Fail).webhook(Phase::Validate),
            "fail.validate.proofstream.dev"
        );
    }

    #[test]
    fn globs() {
        for (glob, text, expected) in [
            ("prod-*", "prod-eu", true),
            ("prod-*", "production", false),
            ("*", "", true),
            ("a?c*e", "abcdde", true),
            ("a?c", "ac", false),
            ("*-*-x", "a-b-c-x", true),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} {text}");
        }
    }
}
