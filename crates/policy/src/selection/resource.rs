//! Resources as `matchConstraints` name them: API groups, versions, `pods`, `pods/exec`, `*/scale`.

use super::Target;
use crate::kinds;
use crate::wildcard::Wildcard;

/// The resources of one rule of a policy's constraints.
#[derive(Debug)]
pub(crate) struct ResourceSelector {
    pub(crate) groups: Vec<Wildcard>,
    pub(crate) versions: Vec<Wildcard>,
    /// Resource and subresource; the latter is empty for the object itself.
    pub(crate) resources: Vec<(Wildcard, Wildcard)>,
}

/// Groups and resources, as in `apps: deployments, replicasets`.
impl std::fmt::Display for ResourceSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups: Vec<&str> = self.groups.iter().map(Wildcard::as_str).collect();
        let resources: Vec<String> = self
            .resources
            .iter()
            .map(|(resource, subresource)| match subresource.as_str() {
                "" => resource.as_str().to_owned(),
                subresource => format!("{}/{subresource}", resource.as_str()),
            })
            .collect();
        let group = match groups.join(", ") {
            core if core.is_empty() => "core".to_owned(),
            groups => groups,
        };
        write!(f, "{group}: {}", resources.join(", "))
    }
}

impl ResourceSelector {
    pub(crate) fn new(groups: &[&str], versions: &[&str], resources: &[&str]) -> Self {
        let globs = |texts: &[&str]| texts.iter().map(|text| Wildcard::new(text)).collect();
        let split = |text: &&str| {
            let (resource, subresource) = text.split_once('/').unwrap_or((text, ""));
            (Wildcard::new(resource), Wildcard::new(subresource))
        };
        Self {
            groups: globs(groups),
            versions: globs(versions),
            resources: resources.iter().map(split).collect(),
        }
    }

    /// Whether a request asks for one of them. Offline the resource is told by the kind.
    pub(super) fn matches(&self, target: &Target<'_>) -> bool {
        let request = target.request;
        let asked = &request.resource;
        let guessed;
        let (group, version, resource) = if asked.resource.is_empty() {
            let kind = &request.kind;
            guessed = kinds::resource_of(&kind.group, &kind.kind);
            (kind.group.as_str(), kind.version.as_str(), guessed.as_str())
        } else {
            (asked.group.as_str(), asked.version.as_str(), asked.resource.as_str())
        };
        let subresource = request.subresource.as_deref().unwrap_or_default();
        let any = |globs: &[Wildcard], text: &str| globs.iter().any(|glob| glob.matches(text));
        any(&self.groups, group)
            && any(&self.versions, version)
            && self.resources.iter().any(|(wanted, wanted_subresource)| {
                wanted.matches(resource) && wanted_subresource.matches(subresource)
            })
    }

    /// The built-in kinds that they all are; `None` where some may be another.
    pub(crate) fn built_in_kinds(&self) -> Option<Vec<&'static str>> {
        let mut found = Vec::new();
        for group in &self.groups {
            for (resource, _) in &self.resources {
                let literal = group.is_literal() && resource.is_literal();
                let known = kinds::by_resource(group.as_str(), resource.as_str());
                found.push(known.filter(|_| literal)?.kind);
            }
        }
        Some(found)
    }
}
