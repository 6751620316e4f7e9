//! Paths of the API server.

use serde_json::Value;

use crate::environment::Lookup;
use crate::kinds;

/// The path of a collection; in no namespace where its name is empty.
///
/// # Errors
/// The part that cannot stand in a path: what comes from an object may not lead elsewhere.
pub(crate) fn collection(
    api_version: &str,
    resource: &str,
    namespace: &str,
) -> Result<String, String> {
    let mut path = String::from(if api_version.contains('/') { "/apis" } else { "/api" });
    let namespaces = if namespace.is_empty() { vec![] } else { vec!["namespaces", namespace] };
    for part in api_version.split('/').chain(namespaces).chain(resource.split('/')) {
        path.push('/');
        path.push_str(checked(part)?);
    }
    Ok(path)
}

/// A part of a path.
///
/// # Errors
/// It cannot be one.
pub(crate) fn checked(part: &str) -> Result<&str, String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if part.is_empty() || part == "." || part == ".." || !part.chars().all(inner) {
        return Err(format!("`{part}` cannot be part of an API server's path"));
    }
    Ok(part)
}

impl Lookup {
    /// The calls that an object answers: the one for it, then those that list it, in its namespace
    /// and everywhere. Of a kind that is not built in the resource is guessed.
    pub fn answered_by(object: &Value) -> Vec<Self> {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let api_version = text("/apiVersion");
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let resource = kinds::resource_of(group, text("/kind"));
        let get =
            |url_path: String| Self::ApiCall { method: "GET".to_owned(), url_path, body: None };
        let namespace = text("/metadata/namespace");
        let Ok(within) = collection(api_version, &resource, namespace) else { return Vec::new() };
        let Ok(name) = checked(text("/metadata/name")) else { return Vec::new() };
        let mut answered = vec![get(format!("{within}/{name}")), get(within)];
        if !namespace.is_empty() {
            answered.extend(collection(api_version, &resource, "").map(get));
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_nowhere_else() {
        assert_eq!(collection("v1", "pods", "a").unwrap(), "/api/v1/namespaces/a/pods");
        assert_eq!(collection("apps/v1", "deployments", "").unwrap(), "/apis/apps/v1/deployments");
        for (api_version, resource, namespace) in
            [("v1", "pods", "../x"), ("v1", "pods?a", ""), ("..", "pods", ""), ("v1", "", "a")]
        {
            assert!(collection(api_version, resource, namespace).is_err());
        }
    }
}
