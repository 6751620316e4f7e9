//! What a URL of the API server is about: a resource, or another path.
//!
//! Specification: <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris>.

use crate::request::{ResourceTarget, Target};

/// Beside these, what follows a namespace's name is a resource in it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// The target of a path, and the verb that the path itself asks for (`watch` in `/api/v1/watch/pods`).
pub(crate) fn target(path: &str) -> (Target, Option<&'static str>) {
    resource(path).unwrap_or_else(|| (Target::Path(path.to_owned()), None))
}

fn resource(path: &str) -> Option<(Target, Option<&'static str>)> {
    let trimmed = path.trim_matches('/');
    let mut parts = trimmed.split('/');
    let group = match parts.next()? {
        "api" => "",
        "apis" => parts.next()?,
        _ => return None,
    };
    let _version = parts.next()?;
    let mut rest: Vec<&str> = parts.collect();
    let verb = match *rest.first()? {
        "watch" if rest.len() > 1 => Some("watch"),
        "proxy" if rest.len() > 1 => Some("proxy"),
        _ => None,
    };
    if verb.is_some() {
        rest.remove(0);
    }
    let mut namespace = "";
    if let ["namespaces", name, more @ ..] = rest.as_slice() {
        namespace = name;
        if let [next, ..] = more
            && !NAMESPACE_SUBRESOURCES.contains(next)
        {
            rest = more.to_vec();
        }
    }
    let part = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
    let subresource = if verb == Some("proxy") { String::new() } else { part(2) };
    let target = ResourceTarget {
        group: group.to_owned(),
        resource: part(0),
        subresource,
        namespace: namespace.to_owned(),
        name: part(1),
    };
    Some((Target::Resource(target), verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> String {
        match target(path) {
            (Target::Path(path), _) => format!("path {path}"),
            (Target::Resource(target), verb) => {
                let ResourceTarget { namespace, name, .. } = &target;
                format!("{} [{namespace}] [{name}] {verb:?}", target.qualified())
            }
        }
    }

    #[test]
    fn paths_are_read_as_the_api_server_does() {
        assert_eq!(told("/healthz"), "path /healthz");
        assert_eq!(told("/"), "path /");
        assert_eq!(told("/api/v1"), "path /api/v1");
        assert_eq!(told("/apis/apps/v1"), "path /apis/apps/v1");
        assert_eq!(told("/api/v1/pods"), "pods [] [] None");
        assert_eq!(told("/api/v1/namespaces/a/pods/p/exec"), "pods/exec [a] [p] None");
        assert_eq!(
            told("/apis/apps/v1/namespaces/a/deployments/d"),
            "deployments.apps [a] [d] None"
        );
        assert_eq!(told("/api/v1/namespaces"), "namespaces [] [] None");
        // A namespace is in itself.
        assert_eq!(told("/api/v1/namespaces/a"), "namespaces [a] [a] None");
        assert_eq!(told("/api/v1/namespaces/a/finalize"), "namespaces/finalize [a] [a] None");
        assert_eq!(told("/api/v1/watch/namespaces/a/pods"), "pods [a] [] Some(\"watch\")");
        assert_eq!(told("/api/v1/nodes/n/proxy/logs/x"), "nodes/proxy [] [n] None");
    }
}
