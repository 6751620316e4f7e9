//! What a set of policies must be asked about: for webhook registration and for reports on policies
//! that match nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::kinds::{BUILT_IN, guessed_resource};
use crate::policy::{Action, MatchCondition, Policy, Rule};
use crate::request::{GroupVersionKind, GroupVersionResource, Operation};
use crate::response::{FailurePolicy, RuleKind};
use crate::selection::{Filter, KindSelector, ResourceSelector};
use crate::set::{PolicySet, Work, speaks_in};
use crate::wildcard::Wildcard;

/// The kinds that a cluster serves; begins with the built-in ones, grows by discovery.
#[derive(Debug, Clone)]
pub struct KnownKinds {
    kinds: Vec<(GroupVersionKind, String)>,
    complete: bool,
}

impl Default for KnownKinds {
    fn default() -> Self {
        let built_in = |known: &crate::kinds::BuiltIn| {
            let kind = GroupVersionKind {
                group: known.group.to_owned(),
                version: "*".to_owned(),
                kind: known.kind.to_owned(),
            };
            (kind, known.resource.to_owned())
        };
        Self { kinds: BUILT_IN.iter().map(built_in).collect(), complete: false }
    }
}

impl KnownKinds {
    /// The kinds that discovery found, each with its resource: a kind that is not among them is
    /// known not to exist.
    pub fn discovered(kinds: impl IntoIterator<Item = (GroupVersionKind, String)>) -> Self {
        Self { kinds: kinds.into_iter().collect(), complete: true }
    }

    /// The resources that a selector names. Of a kind that is unknown the resource is guessed from
    /// its name, unless the kinds are known to be complete.
    fn resources(&self, selector: &KindSelector) -> Vec<GroupVersionResource> {
        let version =
            |known: &str| if known == "*" { selector.version.as_str() } else { known }.to_owned();
        let found: Vec<GroupVersionResource> = self
            .kinds
            .iter()
            .filter(|(known, _)| {
                selector.kind.matches(&known.kind)
                    && selector.group.matches(&known.group)
                    && (known.version == "*" || selector.version.matches(&known.version))
            })
            .map(|(known, resource)| GroupVersionResource {
                group: known.group.clone(),
                version: version(&known.version),
                resource: resource.clone(),
            })
            .collect();
        if found.is_empty() && !self.complete && selector.kind.is_literal() {
            return vec![GroupVersionResource {
                group: selector.group.as_str().to_owned(),
                version: selector.version.as_str().to_owned(),
                resource: guessed_resource(selector.kind.as_str()),
            }];
        }
        found
    }
}

/// One line of a webhook's rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScopeRule {
    /// API group; `*` for all.
    pub group: String,
    /// API version; `*` for all.
    pub version: String,
    /// Resource with its subresource, as in `pods`, `pods/exec`, `*/*`.
    pub resource: String,
    /// Operations to be asked about.
    pub operations: Vec<Operation>,
}

/// What one webhook must be registered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookScope {
    /// What becomes of requests when the webhook does not answer.
    pub failure_policy: FailurePolicy,
    /// The longest timeout that a policy asks for, in seconds.
    pub timeout_seconds: Option<u32>,
    /// CEL conditions; policies with conditions have a webhook of their own.
    pub match_conditions: Vec<MatchCondition>,
    /// The policies it speaks for, by qualified name.
    pub policies: Vec<String>,
    /// Its rules, merged and sorted.
    pub rules: Vec<ScopeRule>,
    /// Globs of the namespaces that its rules name; `None` where some rule names none.
    pub namespaces: Option<BTreeSet<String>>,
}

/// When the API server asks about a request: once to change it, then to judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Mutating admission.
    Mutate,
    /// Validating admission.
    Validate,
}

impl Phase {
    /// Whether a rule must hear of requests then. What makes other objects hears of them with what
    /// judges, once nothing changes them any more.
    fn hears(self, rule: &Rule) -> bool {
        match speaks_in(rule) {
            Work::Mutate => self == Self::Mutate,
            Work::Judge => self == Self::Validate,
            // Nobody makes these changes yet: no request needs to wait for us.
            Work::MutateExisting | Work::Generate => false,
        }
    }
}

/// A rule that no request can meet, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchesNothing {
    /// The policy's kind.
    pub kind: Cow<'static, str>,
    /// The policy, by qualified name.
    pub policy: String,
    /// The rule.
    pub rule: String,
    /// Why nothing can match.
    pub reason: String,
}

impl Policy {
    /// The name, with the namespace before it for namespaced policies.
    pub fn qualified_name(&self) -> String {
        match self.namespace() {
            Some(namespace) => format!("{namespace}/{}", self.name()),
            None => self.name().to_owned(),
        }
    }
}

impl PolicySet {
    /// What webhooks of a phase must be registered for, by failure policy (and apart for policies that
    /// bring CEL conditions of their own). Derived rules count; rules that make
    /// objects do not: they look at what is stored.
    pub fn admission_scope(&self, kinds: &KnownKinds, phase: Phase) -> Vec<WebhookScope> {
        let mut scopes: Vec<WebhookScope> = Vec::new();
        for policy in self.policies().iter().filter(|policy| policy.is_admission()) {
            let settings = &policy.settings;
            let place = scopes.iter().position(|scope| {
                scope.failure_policy == settings.failure_policy
                    && scope.match_conditions == settings.match_conditions
            });
            let place = place.unwrap_or_else(|| {
                scopes.push(WebhookScope {
                    failure_policy: settings.failure_policy,
                    timeout_seconds: None,
                    match_conditions: settings.match_conditions.clone(),
                    policies: Vec::new(),
                    rules: Vec::new(),
                    namespaces: Some(BTreeSet::new()),
                });
                scopes.len() - 1
            });
            if let Some(scope) = scopes.get_mut(place) {
                scope.take(policy, kinds, |rule| phase.hears(rule));
            }
        }
        scopes.sort_by_key(|scope| {
            (scope.failure_policy == FailurePolicy::Ignore, scope.policies.clone())
        });
        scopes
    }

    /// What must be looked at in the background: the resources that rules of background policies
    /// name, merged and sorted. Operations say nothing here.
    pub fn background_scope(&self, kinds: &KnownKinds) -> Vec<ScopeRule> {
        let background = self.shared().filter(|policy| policy.is_background());
        watched(background, kinds, |rule| Phase::Validate.hears(rule))
    }

    /// What must be looked at for generate rules: the resources whose objects start them, merged and
    /// sorted.
    pub fn generation_scope(&self, kinds: &KnownKinds) -> Vec<ScopeRule> {
        let admission = self.shared().filter(|policy| policy.is_admission());
        watched(admission, kinds, |rule| matches!(rule.action, Action::Generate(_)))
    }

    /// The resources whose objects start rules that change objects that exist.
    pub fn existing_scope(&self, kinds: &KnownKinds) -> Vec<ScopeRule> {
        let admission = self.shared().filter(|policy| policy.is_admission());
        watched(
            admission,
            kinds,
            |rule| matches!(&rule.action, Action::Mutate(mutate) if !mutate.targets.is_empty()),
        )
    }

    /// Rules that no request can meet, given what the cluster serves.
    pub fn matches_nothing(&self, kinds: &KnownKinds) -> Vec<MatchesNothing> {
        self.unmet(|filter, policy| impossible(filter, policy, kinds))
    }

    /// Rules that are about none of the namespaces that are there: they match nothing until one comes.
    pub fn matches_no_namespace(&self, there: &BTreeSet<String>) -> Vec<MatchesNothing> {
        self.unmet(|filter, _| {
            let globs = &filter.namespaces;
            let fits = |name: &String| globs.iter().any(|glob| glob.matches(name));
            (!globs.is_empty() && !there.iter().any(fits)).then(|| {
                let named: Vec<&str> = globs.iter().map(Wildcard::as_str).collect();
                format!("no namespace is called `{}` now", named.join("`, `"))
            })
        })
    }

    /// Rules that no request can meet, by the reasons why a filter fits nothing.
    fn unmet(&self, reason: impl Fn(&Filter, &Policy) -> Option<String>) -> Vec<MatchesNothing> {
        let mut found = Vec::new();
        for policy in self.policies() {
            for rule in policy.rules.iter().filter(|rule| !rule.derived) {
                let reasons: Vec<Option<String>> =
                    rule.selection.filters().iter().map(|filter| reason(filter, policy)).collect();
                let all = matches!(rule.selection, crate::selection::Selection::All(_));
                let nothing = if all {
                    reasons.iter().any(Option::is_some)
                } else {
                    reasons.iter().all(Option::is_some)
                };
                if let Some(reason) = reasons.into_iter().flatten().next().filter(|_| nothing) {
                    found.push(MatchesNothing {
                        kind: policy.kind.clone(),
                        policy: policy.qualified_name(),
                        rule: rule.name.to_string(),
                        reason,
                    });
                }
            }
        }
        found
    }
}

/// The resources of kinds that something names, sorted, each once.
pub(crate) fn resources_of<'k>(
    named: impl Iterator<Item = &'k KindSelector>,
    kinds: &KnownKinds,
) -> Vec<ScopeRule> {
    let keys: BTreeSet<_> = named.flat_map(|selector| keys(selector, kinds)).collect();
    let rules = keys.into_iter().filter(|(_, _, resource)| !resource.contains('/'));
    rules
        .map(|(group, version, resource)| ScopeRule {
            group,
            version,
            resource,
            operations: Vec::new(),
        })
        .collect()
}

/// The resources that a rule of constraints names, but for subresources.
pub(crate) fn of_rules(selector: &ResourceSelector) -> impl Iterator<Item = ScopeRule> + use<> {
    let named = resource_keys(selector).into_iter();
    let whole = named.filter(|(_, _, resource)| !resource.contains('/'));
    whole.map(|(group, version, resource)| ScopeRule {
        group,
        version,
        resource,
        operations: Vec::new(),
    })
}

fn watched<'p>(
    policies: impl Iterator<Item = &'p Policy>,
    kinds: &KnownKinds,
    wanted: impl Fn(&Rule) -> bool,
) -> Vec<ScopeRule> {
    let mut scope = WebhookScope {
        failure_policy: FailurePolicy::Ignore,
        timeout_seconds: None,
        match_conditions: Vec::new(),
        policies: Vec::new(),
        rules: Vec::new(),
        namespaces: None,
    };
    for policy in policies {
        scope.take(policy, kinds, &wanted);
    }
    scope.rules
}

/// Why nothing can fit a filter, if nothing can.
fn impossible(filter: &Filter, policy: &Policy, kinds: &KnownKinds) -> Option<String> {
    // Names of namespaces: lower case letters, digits and dashes, at most 63.
    let can_be = |glob: &str| {
        glob.len() <= 63
            && glob
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-*?".contains(c))
    };
    let namespaces = &filter.namespaces;
    if !namespaces.is_empty() && !namespaces.iter().any(|glob| can_be(glob.as_str())) {
        let named: Vec<&str> = namespaces.iter().map(Wildcard::as_str).collect();
        return Some(format!("no namespace can be called `{}`", named.join("`, `")));
    }
    if let Some(confined) = policy.namespace()
        && !namespaces.is_empty()
        && !namespaces.iter().any(|glob| glob.matches(confined))
    {
        return Some(format!(
            "the policy's own namespace `{confined}` is not among those it names"
        ));
    }
    if !filter.kinds.is_empty()
        && filter.kinds.iter().all(|selector| kinds.resources(selector).is_empty())
    {
        let named: Vec<&str> = filter.kinds.iter().map(|kind| kind.kind.as_str()).collect();
        return Some(format!("the cluster serves no kind `{}`", named.join("`, `")));
    }
    None
}

impl WebhookScope {
    fn take(&mut self, policy: &Policy, kinds: &KnownKinds, wanted: impl Fn(&Rule) -> bool) {
        self.policies.push(policy.qualified_name());
        let timeout = policy.settings.timeout_seconds;
        self.timeout_seconds = self.timeout_seconds.max(timeout);
        let mut merged: BTreeMap<(String, String, String), BTreeSet<Operation>> = BTreeMap::new();
        for rule in self.rules.drain(..) {
            let key = (rule.group, rule.version, rule.resource);
            merged.entry(key).or_default().extend(rule.operations);
        }
        for rule in policy.rules.iter().filter(|rule| wanted(rule)) {
            // What is to be judged and cannot be is at least seen; it follows its failure policy.
            let judges = matches!(rule.kind, RuleKind::Validate | RuleKind::VerifyImages);
            if matches!(rule.action, Action::NotSupported(_)) && !judges {
                continue;
            }
            for filter in rule.selection.filters() {
                self.note_namespaces(policy, filter);
                let operations = if filter.operations.is_empty() {
                    &Operation::ALL[..]
                } else {
                    &filter.operations
                };
                let named = filter.resources.iter().flat_map(resource_keys);
                let asked = |selector| match &filter.constraint {
                    Some(_) => keys_of_constraint(selector, kinds),
                    None => keys(selector, kinds),
                };
                // A constraint that names no kind is about all of them.
                let everything = filter.constraint.is_some() && filter.kinds.is_empty();
                let everything = everything.then(|| ["*"; 3].map(str::to_owned).into());
                let keys = filter.kinds.iter().flat_map(asked).chain(everything);
                for key in keys.chain(named) {
                    merged.entry(key).or_default().extend(operations);
                }
            }
        }
        self.rules = merged
            .into_iter()
            .map(|((group, version, resource), operations)| ScopeRule {
                group,
                version,
                resource,
                operations: operations.into_iter().collect(),
            })
            .collect();
    }

    fn note_namespaces(&mut self, policy: &Policy, filter: &Filter) {
        let Some(known) = &mut self.namespaces else { return };
        if let Some(confined) = policy.namespace() {
            known.insert(confined.to_owned());
        } else if filter.namespaces.is_empty() {
            self.namespaces = None;
        } else {
            known.extend(filter.namespaces.iter().map(|glob| glob.as_str().to_owned()));
        }
    }
}

/// What to register for a rule of constraints: what it names.
fn resource_keys(selector: &ResourceSelector) -> Vec<(String, String, String)> {
    let mut keys = Vec::new();
    for group in &selector.groups {
        for version in &selector.versions {
            for (resource, subresource) in &selector.resources {
                let named = match subresource.as_str() {
                    "" => resource.as_str().to_owned(),
                    subresource => format!("{}/{subresource}", resource.as_str()),
                };
                keys.push((group.as_str().to_owned(), version.as_str().to_owned(), named));
            }
        }
    }
    keys
}

/// What to register for a kind that a constraint names: it fits any subresource of that kind, and is asked
/// about whole objects, as in the field.
fn keys_of_constraint(
    selector: &KindSelector,
    kinds: &KnownKinds,
) -> Vec<(String, String, String)> {
    keys(&KindSelector { subresource: Wildcard::new(""), ..selector.clone() }, kinds)
}

/// What to register for a selector; a pod's ephemeral containers come with the pod.
fn keys(selector: &KindSelector, kinds: &KnownKinds) -> Vec<(String, String, String)> {
    let (group, version) = (selector.group.as_str(), selector.version.as_str());
    let subresource = selector.subresource.as_str();
    let named = |resource: &str| match subresource {
        "" => resource.to_owned(),
        subresource => format!("{resource}/{subresource}"),
    };
    if selector.kind.as_str() == "*" {
        return vec![(group.to_owned(), version.to_owned(), named("*"))];
    }
    let mut keys = Vec::new();
    for known in kinds.resources(selector) {
        let pods = known.group.is_empty() && known.resource == "pods" && subresource.is_empty();
        if pods {
            let ephemeral = "pods/ephemeralcontainers".to_owned();
            keys.push((known.group.clone(), known.version.clone(), ephemeral));
        }
        keys.push((known.group, known.version, named(&known.resource)));
    }
    keys
}
