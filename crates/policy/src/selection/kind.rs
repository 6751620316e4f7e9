//! Kinds as policies name them: `Pod`, `v1/Pod`, `apps/v1/Deployment`, `Pod/exec`, `*`.

use super::Target;
use crate::error::ParseError;
use crate::kinds;
use crate::request::Request;
use crate::wildcard::Wildcard;

/// One kind, each part possibly a glob.
#[derive(Debug, Clone)]
pub(crate) struct KindSelector {
    pub(crate) group: Wildcard,
    pub(crate) version: Wildcard,
    pub(crate) kind: Wildcard,
    /// Empty for the object itself.
    pub(crate) subresource: Wildcard,
}

/// The kind that holds the subresource which a request asks for.
pub(crate) struct Parent<'r> {
    pub(crate) kind: &'r str,
    pub(crate) group: &'r str,
    pub(crate) version: &'r str,
}

/// The parent of a subresource's request, where it differs from the request's kind.
pub(super) fn parent(request: &Request) -> Option<Parent<'_>> {
    request.subresource.as_deref().filter(|subresource| !subresource.is_empty())?;
    let resource = &request.resource;
    let known = kinds::by_resource(&resource.group, &resource.resource)?;
    Some(Parent { kind: known.kind, group: &resource.group, version: &resource.version })
}

/// Whether a part of a selector is an API version (`v1`, `v1beta2`, `*`).
fn is_version(text: &str) -> bool {
    text == "*"
        || text.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// As policies write it, parts that fit all left out.
impl std::fmt::Display for KindSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in [&self.group, &self.version] {
            if !matches!(part.as_str(), "*" | "") {
                write!(f, "{}/", part.as_str())?;
            }
        }
        f.write_str(self.kind.as_str())?;
        match self.subresource.as_str() {
            "" | "*" => Ok(()),
            subresource => write!(f, "/{subresource}"),
        }
    }
}

impl KindSelector {
    pub(crate) fn parse(text: &str, path: &str) -> Result<Self, ParseError> {
        let unreadable = || {
            ParseError::new(
                path,
                format!("`{text}` is not a kind such as `Pod`, `apps/v1/Deployment`, `Pod/exec`"),
            )
        };
        let mut parts: Vec<&str> = text.split('/').collect();
        // A dot before a subresource is the older way to write it.
        if let Some((kind, subresource)) = parts.last().and_then(|last| last.split_once('.')) {
            parts.pop();
            parts.push(kind);
            parts.push(subresource);
        }
        if parts.iter().any(|part| part.is_empty() || part.contains(char::is_whitespace)) {
            return Err(unreadable());
        }
        let (group, version, kind, subresource) = match parts.as_slice() {
            [kind] => ("*", "*", *kind, ""),
            ["*", "*"] => ("*", "*", "*", "*"),
            ["*", rest] if rest.chars().all(|c| !c.is_ascii_uppercase()) => ("*", "*", "*", *rest),
            [version, kind] if is_version(version) => ("*", *version, *kind, ""),
            [kind, subresource] => ("*", "*", *kind, *subresource),
            [group, version, kind] if is_version(version) => (*group, *version, *kind, ""),
            [version, kind, subresource] if is_version(version) => {
                ("*", *version, *kind, *subresource)
            }
            [group, version, kind, subresource] => (*group, *version, *kind, *subresource),
            _ => return Err(unreadable()),
        };
        Ok(Self {
            group: Wildcard::new(group),
            version: Wildcard::new(version),
            kind: Wildcard::new(kind),
            subresource: Wildcard::new(subresource),
        })
    }

    pub(super) fn matches(&self, target: &Target<'_>) -> bool {
        let request = target.request;
        let subresource = request.subresource.as_deref().unwrap_or_default();
        let own = &request.kind;
        let (kind, group, version) = target.kind.as_ref().map_or_else(
            || (own.kind.as_str(), own.group.as_str(), own.version.as_str()),
            |parent| (parent.kind, parent.group, parent.version),
        );
        self.kind.matches(kind)
            && self.group.matches(group)
            && self.version.matches(version)
            && (self.subresource.matches(subresource)
                || (subresource == "ephemeralcontainers" && kind == "Pod"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        for (text, expected) in [
            ("Pod", ["*", "*", "Pod", ""]),
            ("*", ["*", "*", "*", ""]),
            ("v1/Pod", ["*", "v1", "Pod", ""]),
            ("apps/v1/Deployment", ["apps", "v1", "Deployment", ""]),
            ("*/v1/Deployment", ["*", "v1", "Deployment", ""]),
            ("apps/*/Deployment", ["apps", "*", "Deployment", ""]),
            ("Pod/exec", ["*", "*", "Pod", "exec"]),
            ("Pod.status", ["*", "*", "Pod", "status"]),
            ("v1/Pod/exec", ["*", "v1", "Pod", "exec"]),
            ("apps/v1/Deployment/scale", ["apps", "v1", "Deployment", "scale"]),
            ("*/*", ["*", "*", "*", "*"]),
            ("*/scale", ["*", "*", "*", "scale"]),
            ("*/Pod", ["*", "*", "Pod", ""]),
            (
                "networking.k8s.io/v1/NetworkPolicy",
                ["networking.k8s.io", "v1", "NetworkPolicy", ""],
            ),
        ] {
            let kind = KindSelector::parse(text, "kinds[0]").unwrap();
            let parts = [kind.group, kind.version, kind.kind, kind.subresource];
            assert_eq!(parts.each_ref().map(Wildcard::as_str), expected, "{text}");
        }
        for text in ["", "/Pod", "a b", "a/b/c/d/e"] {
            assert!(KindSelector::parse(text, "kinds[0]").is_err(), "{text}");
        }
    }
}
