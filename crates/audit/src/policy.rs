//! An audit policy, and the rule of it that decides about a request.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::request::{Request, ResourceTarget, Target, User};

/// The version of the API that is read.
pub(crate) const API_VERSION: &str = "audit.k8s.io/v1";

/// How much of a request is logged, in growing order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who, what, when, where and how it ended.
    Metadata,
    /// The same and the request's body.
    Request,
    /// The same and the response's body.
    RequestResponse,
}

/// A moment of a request at which an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Stage {
    /// Before anything is done about it.
    RequestReceived,
    /// The headers are out, the body follows: long-running requests only.
    ResponseStarted,
    /// All is done.
    ResponseComplete,
    /// The handler died.
    Panic,
}

/// A policy as the API server takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPolicy {
    /// At least one; the first that matches decides.
    pub rules: Vec<Rule>,
    /// Left out of every rule.
    pub omit_stages: Vec<Stage>,
    /// Whether `metadata.managedFields` stay out of bodies, where a rule does not say.
    pub omit_managed_fields: bool,
}

/// One rule: all that it names must match; what it leaves empty matches anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// What is logged.
    pub level: Level,
    /// Names of users, whole: there are no wildcards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Groups, any one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_groups: Vec<String>,
    /// Verbs, whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
    /// Namespaces, whole; the empty one stands for what is in no namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Resources. With `namespaces`, this makes the rule one about resources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<GroupResources>,
    /// Paths that are no resources; a `*` at the end stands for anything.
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
    /// Left out beside the policy's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub omit_stages: Vec<Stage>,
    /// Overrides the policy's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omit_managed_fields: Option<bool>,
}

/// Resources of one API group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupResources {
    /// The group; empty for the core group, `*` for all.
    pub group: String,
    /// `pods`, `pods/exec`, `pods/*`, `*/scale`, `*`; empty for all of the group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names of objects; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
}

/// What is decided about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What is logged of it.
    pub level: Level,
    /// The rule that decided, from 0; `None` where none matched, which means that nothing is logged.
    pub rule: Option<usize>,
    /// Stages without an event, sorted.
    pub omit_stages: Vec<Stage>,
    /// Whether managed fields stay out of the bodies.
    pub omit_managed_fields: bool,
}

// === impl Level ===

impl Level {
    /// All, in growing order.
    pub const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    /// The level with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == text)
    }

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

// === impl Stage ===

impl Stage {
    /// All, in the order of a request.
    pub const ALL: [Self; 4] =
        [Self::RequestReceived, Self::ResponseStarted, Self::ResponseComplete, Self::Panic];

    /// The stage with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == text)
    }

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

// === impl AuditPolicy ===

/// As a document, its fields in the order in which people write them.
impl Serialize for AuditPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Policy", 5)?;
        document.serialize_field("apiVersion", API_VERSION)?;
        document.serialize_field("kind", "Policy")?;
        if !self.omit_stages.is_empty() {
            document.serialize_field("omitStages", &self.omit_stages)?;
        }
        if self.omit_managed_fields {
            document.serialize_field("omitManagedFields", &true)?;
        }
        document.serialize_field("rules", &self.rules)?;
        document.end()
    }
}

impl AuditPolicy {
    /// What is logged of a request: the first rule that matches decides.
    pub fn judge(&self, request: &Request) -> Judgement {
        let rule = self.rules.iter().position(|rule| rule.mismatch(request).is_none());
        let decided = rule.and_then(|index| self.rules.get(index));
        let mut omit_stages = self.omit_stages.clone();
        omit_stages.extend(decided.iter().flat_map(|rule| &rule.omit_stages));
        omit_stages.sort_unstable();
        omit_stages.dedup();
        Judgement {
            level: decided.map_or(Level::None, |rule| rule.level),
            rule,
            omit_stages,
            omit_managed_fields: decided
                .and_then(|rule| rule.omit_managed_fields)
                .unwrap_or(self.omit_managed_fields),
        }
    }

    /// The level and the rule alone.
    pub(crate) fn decide(&self, request: &Request) -> (Level, Option<usize>) {
        let mut rules = self.rules.iter().enumerate();
        match rules.find(|(_, rule)| rule.mismatch(request).is_none()) {
            Some((index, rule)) => (rule.level, Some(index)),
            None => (Level::None, None),
        }
    }

    /// Why it is decided so, in one sentence without a full stop.
    pub fn why(&self, request: &Request, judgement: &Judgement) -> String {
        let decided = judgement.rule.and_then(|index| Some((index, self.rules.get(index)?)));
        let Some((index, rule)) = decided else {
            return "no rule matches, and what no rule matches is not logged".to_owned();
        };
        let matched = rule.matched(request);
        let first = if index == 0 { "matches" } else { "is the first that matches" };
        if matched.is_empty() {
            return format!("rules[{index}] {first}: it applies to everything");
        }
        format!("rules[{index}] {first}: {}", matched.join(", "))
    }
}

// === impl Rule ===

impl Rule {
    /// A rule about resources, given as `(group, resources)`.
    pub(crate) fn about(level: Level, verbs: &[&str], resources: &[(&str, &[&str])]) -> Self {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let entry = |(group, names): &(&str, &[&str])| GroupResources {
            group: (*group).to_owned(),
            resources: owned(names),
            resource_names: Vec::new(),
        };
        let resources = resources.iter().map(entry).collect();
        Self { level, verbs: owned(verbs), resources, ..Self::default() }
    }

    /// The first thing about a request for which this rule does not match it; `None` where it matches.
    pub fn mismatch(&self, request: &Request) -> Option<String> {
        self.user_mismatch(request.user.as_ref()).or_else(|| self.target_mismatch(request))
    }

    fn user_mismatch(&self, user: Option<&User>) -> Option<String> {
        if self.users.is_empty() && self.user_groups.is_empty() {
            return None;
        }
        let Some(user) = user else {
            return Some("it names users or groups, and the request has none".to_owned());
        };
        if !self.users.is_empty() && !self.users.contains(&user.name) {
            return Some(format!("user `{}` is not in its users", user.name));
        }
        let any = user.groups.iter().any(|group| self.user_groups.contains(group));
        (!self.user_groups.is_empty() && !any)
            .then(|| "no group of the user is in its userGroups".to_owned())
    }

    fn target_mismatch(&self, request: &Request) -> Option<String> {
        if !self.verbs.is_empty() && !self.verbs.contains(&request.verb) {
            return Some(format!("verb `{}` is not in its verbs", request.verb));
        }
        match &request.target {
            Target::Resource(target) => self.resource_mismatch(target),
            Target::Path(path) => self.path_mismatch(path),
        }
    }

    fn resource_mismatch(&self, target: &ResourceTarget) -> Option<String> {
        if !self.is_about_resources() {
            return (!self.non_resource_urls.is_empty())
                .then(|| "it is about paths, and this is a resource".to_owned());
        }
        if !self.namespaces.is_empty() && !self.namespaces.contains(&target.namespace) {
            return Some(match target.namespace.as_str() {
                "" => {
                    "the request is in no namespace, and \"\" is not in its namespaces".to_owned()
                }
                namespace => format!("namespace `{namespace}` is not in its namespaces"),
            });
        }
        if self.resources.is_empty() || self.entry(target).is_some() {
            return None;
        }
        Some(format!("{} is not in its resources", target.qualified()))
    }

    fn path_mismatch(&self, path: &str) -> Option<String> {
        if self.is_about_resources() {
            return Some("it is about resources, and this is a path".to_owned());
        }
        let all = self.non_resource_urls.is_empty();
        let any = self.non_resource_urls.iter().any(|wanted| path_matches(wanted, path));
        (!all && !any).then(|| format!("path `{path}` is not in its nonResourceURLs"))
    }

    /// A rule with resources or namespaces is never asked about other paths.
    pub(crate) fn is_about_resources(&self) -> bool {
        !self.resources.is_empty() || !self.namespaces.is_empty()
    }

    /// The entry, and what of it, that covers a resource.
    fn entry(&self, target: &ResourceTarget) -> Option<(&GroupResources, Option<&str>)> {
        self.resources.iter().find_map(|entry| Some((entry, entry.covers(target)?)))
    }

    /// What of the rule a request that it matches is held against.
    fn matched(&self, request: &Request) -> Vec<String> {
        let mut matched = Vec::new();
        if let Some(user) = &request.user {
            if !self.users.is_empty() {
                matched.push(format!("user `{}`", user.name));
            }
            let group = user.groups.iter().find(|group| self.user_groups.contains(group));
            matched.extend(group.map(|group| format!("group `{group}`")));
        }
        if !self.verbs.is_empty() {
            matched.push(format!("verb `{}`", request.verb));
        }
        match &request.target {
            Target::Resource(target) => {
                if !self.namespaces.is_empty() {
                    matched.push(match target.namespace.as_str() {
                        "" => "no namespace".to_owned(),
                        namespace => format!("namespace `{namespace}`"),
                    });
                }
                matched.extend(self.entry(target).map(|(entry, what)| entry.told(what)));
            }
            Target::Path(path) => {
                let urls = &self.non_resource_urls;
                let url = urls.iter().find(|wanted| path_matches(wanted, path));
                matched.extend(url.map(|url| format!("nonResourceURL `{url}`")));
            }
        }
        matched
    }
}

// === impl GroupResources ===

impl GroupResources {
    /// What of this entry covers a resource: `Some(None)` where it names none and so covers its group.
    #[allow(clippy::option_option, reason = "covered by no name is not the same as not covered")]
    fn covers(&self, target: &ResourceTarget) -> Option<Option<&str>> {
        if self.group != "*" && self.group != target.group {
            return None;
        }
        if self.resources.is_empty() {
            return Some(None);
        }
        if !self.resource_names.is_empty() && !self.resource_names.contains(&target.name) {
            return None;
        }
        let pattern = self.resources.iter().find(|pattern| resource_matches(pattern, target));
        pattern.map(|pattern| Some(pattern.as_str()))
    }

    fn told(&self, what: Option<&str>) -> String {
        let group = match self.group.as_str() {
            "" => "the core group".to_owned(),
            "*" => "every group".to_owned(),
            group => format!("group `{group}`"),
        };
        match what {
            Some(pattern) => format!("`{pattern}` of {group}"),
            None => format!("all of {group}"),
        }
    }
}

/// `pods/*` covers `pods` itself as well; so the API server does it.
fn resource_matches(pattern: &str, target: &ResourceTarget) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once('/') {
        None => target.subresource.is_empty() && pattern == target.resource,
        Some((resource, "*")) if resource == target.resource => true,
        Some(("*", subresource)) if !target.subresource.is_empty() => {
            subresource == target.subresource
        }
        Some((resource, subresource)) => {
            !target.subresource.is_empty()
                && resource == target.resource
                && subresource == target.subresource
        }
    }
}

fn path_matches(wanted: &str, path: &str) -> bool {
    wanted == "*"
        || wanted == path
        || (wanted.ends_with('*') && path.starts_with(wanted.trim_end_matches('*')))
}
