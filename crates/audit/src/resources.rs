//! The resources that an API server serves by itself, in every version of theirs that it knows.
//!
//! `data/resources.tsv` is written by an end-to-end test from a real API server's discovery with all APIs on
//! (`UPDATE_RESOURCES=1`), and held against it by the same test.

use std::sync::LazyLock;

const TABLE: &str = include_str!("../data/resources.tsv");

/// Whether objects of a resource stand in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In namespaces.
    Namespaced,
    /// In none.
    Cluster,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownResource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource in the plural.
    pub resource: &'static str,
    /// Where its objects stand.
    pub scope: Scope,
    /// Its subresources, sorted.
    pub subresources: Vec<&'static str>,
}

static KNOWN: LazyLock<Vec<KnownResource>> =
    LazyLock::new(|| TABLE.lines().filter_map(resource).collect());

/// All resources of Kubernetes itself, sorted by group and name.
pub fn known_resources() -> &'static [KnownResource] {
    &KNOWN
}

/// A resource of this group.
pub(crate) fn known(group: &str, resource: &str) -> Option<&'static KnownResource> {
    KNOWN.iter().find(|known| known.group == group && known.resource == resource)
}

/// Whether Kubernetes itself serves this group.
pub(crate) fn is_known_group(group: &str) -> bool {
    KNOWN.iter().any(|known| known.group == group)
}

/// Whether a resource may be served: all of Kubernetes' own are known, and groups of others have a dot.
pub(crate) fn may_exist(group: &str, resource: &str) -> bool {
    known(group, resource).is_some() || (!is_known_group(group) && group.contains('.'))
}

fn resource(line: &'static str) -> Option<KnownResource> {
    let mut columns = line.split('\t');
    let group = columns.next()?;
    let resource = columns.next().filter(|_| !line.starts_with('#'))?;
    let scope = match columns.next()? {
        "cluster" => Scope::Cluster,
        _ => Scope::Namespaced,
    };
    let subresources = columns.next().unwrap_or_default();
    let subresources = subresources.split(',').filter(|name| !name.is_empty()).collect();
    Some(KnownResource { group, resource, scope, subresources })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(known_resources().len(), lines);
        let pods = known("", "pods").expect("pods");
        assert!(pods.subresources.contains(&"exec") && pods.scope == Scope::Namespaced);
        assert_eq!(known("", "nodes").expect("nodes").scope, Scope::Cluster);
        assert!(is_known_group("apps") && !is_known_group("core"));
    }
}
