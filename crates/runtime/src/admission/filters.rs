//! Requests that no policy is asked about, whatever it says: the field's own default filters, or those
//! of Kyverno's ConfigMap where one is.
//!
//! The format is Kyverno's `resourceFilters`: `[KIND,NAMESPACE,NAME]` one after the other, where KIND
//! may be `group/version/Kind/subresource` and every part may hold `*` and `?`.

use proofstream_policy::Request;

use crate::webhooks::matches;

const DEFAULT: &str = "[Event,*,*] [*/*,kube-system,*] [*/*,kube-public,*] [*/*,kube-node-lease,*] \
    [Node,*,*] [Node/?*,*,*] [APIService,*,*] [APIService/?*,*,*] [TokenReview,*,*] \
    [SubjectAccessReview,*,*] [SelfSubjectAccessReview,*,*] [Binding,*,*] [Pod/binding,*,*] \
    [ReplicaSet,*,*] [ReplicaSet/?*,*,*] [EphemeralReport,*,*] [ClusterEphemeralReport,*,*]";
const DEFAULT_GROUP: &str = "system:nodes";

/// What is never asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filters {
    resources: Vec<ResourceFilter>,
    groups: Vec<String>,
    usernames: Vec<String>,
    own_namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ResourceFilter {
    kind: String,
    subresource: String,
    namespace: String,
    name: String,
}

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a resource filter: write [KIND,NAMESPACE,NAME]")]
pub struct FilterError(String);

// === impl Filters ===

impl Filters {
    /// The default filters; nothing in `own_namespace` is asked about either.
    pub fn new(own_namespace: &str) -> Self {
        Self {
            resources: parse(DEFAULT).unwrap_or_default(),
            groups: vec![DEFAULT_GROUP.to_owned()],
            usernames: Vec::new(),
            own_namespace: own_namespace.to_owned(),
        }
    }

    /// The filters of Kyverno's ConfigMap: `resourceFilters`, `excludeGroups`, `excludeUsernames`.
    /// What it does not say stays as it is by default.
    pub fn of_kyverno(
        own_namespace: &str,
        text: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, FilterError> {
        let mut filters = Self::new(own_namespace);
        let words = |text: String| {
            text.split(',')
                .map(|word| word.trim().to_owned())
                .filter(|word| !word.is_empty())
                .collect()
        };
        if let Some(resources) = text("resourceFilters") {
            filters.resources = parse(&resources)?;
        }
        if let Some(groups) = text("excludeGroups") {
            filters.groups = words(groups);
        }
        if let Some(usernames) = text("excludeUsernames") {
            filters.usernames = words(usernames);
        }
        Ok(filters)
    }

    /// Whether no policy is asked about this request.
    pub fn exclude(&self, request: &Request) -> bool {
        let own_name = (request.kind.kind == "Namespace").then(|| request.name.clone()).flatten();
        let namespace = request.namespace.clone().or(own_name).unwrap_or_default();
        if namespace == "kube-system" || namespace == self.own_namespace {
            return true;
        }
        if let Some(user) = &request.user {
            let excluded = |globs: &[String], text: &str| globs.iter().any(|g| matches(g, text));
            if user.groups.iter().any(|group| excluded(&self.groups, group))
                || excluded(&self.usernames, &user.username)
            {
                return true;
            }
        }
        // `pods/binding` carries a Binding, `pods/exec` a PodExecOptions: filters name the Pod.
        let pod_part = request.subresource.is_some()
            && request.resource.group.is_empty()
            && request.resource.resource == "pods";
        let kind = if pod_part { "Pod" } else { request.kind.kind.as_str() };
        let subresource = request.subresource.as_deref().unwrap_or_default();
        let name = request.name.as_deref().unwrap_or_default();
        self.resources.iter().any(|filter| {
            matches(&filter.kind, kind)
                && (filter.subresource == "*" || matches(&filter.subresource, subresource))
                && matches(&filter.namespace, &namespace)
                && matches(&filter.name, name)
        })
    }
}

fn parse(text: &str) -> Result<Vec<ResourceFilter>, FilterError> {
    let bad = |part: &str| FilterError(part.trim().to_owned());
    let mut filters = Vec::new();
    for part in text.split('[').skip(1) {
        let (inside, _) = part.split_once(']').ok_or_else(|| bad(part))?;
        let mut words = inside.split(',').map(str::trim);
        let kind = words.next().filter(|kind| !kind.is_empty()).ok_or_else(|| bad(inside))?;
        let (kind, subresource) = kind_and_subresource(kind);
        let or_any =
            |word: Option<&str>| word.filter(|word| !word.is_empty()).unwrap_or("*").to_owned();
        filters.push(ResourceFilter {
            kind,
            subresource,
            namespace: or_any(words.next()),
            name: or_any(words.next()),
        });
        if words.next().is_some() {
            return Err(bad(inside));
        }
    }
    Ok(filters)
}

/// The kind and subresource of `group/version/Kind/subresource`, of which only the kind must be there.
/// A part is a group or version if it begins with a small letter and a kind follows.
fn kind_and_subresource(text: &str) -> (String, String) {
    let parts: Vec<&str> = text.split('/').collect();
    let is_kind = |part: &str| part.starts_with(|c: char| c.is_ascii_uppercase());
    let at = parts.iter().position(|part| is_kind(part)).unwrap_or(match parts.len() {
        1 | 2 => 0,
        count => count.saturating_sub(if count > 3 { 2 } else { 1 }),
    });
    let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_owned();
    (part(at), part(at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proofstream_policy::{GroupVersionKind, UserInfo};
    use serde_json::json;

    fn request(namespace: &str, groups: &[&str]) -> Request {
        let mut request = Request::create(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": namespace}
        }));
        request.user = Some(UserInfo {
            username: "alice".to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..UserInfo::default()
        });
        request
    }

    #[test]
    fn the_default_filters_spare_what_runs_the_cluster() {
        let filters = Filters::new("proofstream");
        let excluded = |namespace: &str, kind: &str| {
            let mut request = request(namespace, &[]);
            request.kind.kind = kind.to_owned();
            filters.exclude(&request)
        };
        assert!(!excluded("payments", "Pod"));
        assert!(excluded("kube-system", "Pod"));
        assert!(excluded("kube-node-lease", "Lease"));
        assert!(excluded("proofstream", "Pod"));
        assert!(excluded("payments", "ReplicaSet"));
        assert!(filters.exclude(&request("payments", &["system:nodes"])));
        let mut binding = request("payments", &[]);
        binding.resource.resource = "pods".to_owned();
        binding.kind.kind = "Binding".to_owned();
        binding.subresource = Some("binding".to_owned());
        assert!(filters.exclude(&binding));
        binding.subresource = Some("exec".to_owned());
        binding.kind.kind = "PodExecOptions".to_owned();
        assert!(!filters.exclude(&binding));
    }

    #[test]
    fn a_namespace_is_spared_under_its_own_name() {
        let mut request = Request::create(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}
        }));
        request.kind = GroupVersionKind::from_api_version("v1", "Namespace");
        assert!(Filters::new("proofstream").exclude(&request));
    }

    #[test]
    fn reads_kyvernos_config_map() {
        let filters = Filters::of_kyverno("proofstream", |key| match key {
            "resourceFilters" => Some("[Secret,vault,*][apps/v1/Deployment,*,canary-*]".to_owned()),
            "excludeGroups" => Some("robots, system:nodes".to_owned()),
            _ => None,
        })
        .unwrap();
        let mut secret = request("vault", &[]);
        secret.kind.kind = "Secret".to_owned();
        assert!(filters.exclude(&secret));
        secret.kind.kind = "ReplicaSet".to_owned();
        assert!(!filters.exclude(&secret));
        assert!(filters.exclude(&request("payments", &["robots"])));
        let error = Filters::of_kyverno("p", |_| Some("[Pod,a,b,c]".to_owned())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`Pod,a,b,c` is not a resource filter: write [KIND,NAMESPACE,NAME]"
        );
    }
}
