//! References to container images (`registry/path/name:tag@digest`), with the defaults of the field.

use serde_json::{Map, Value};

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";

/// An image reference in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    registry: String,
    path: String,
    name: String,
    tag: String,
    digest: String,
}

impl Image {
    pub(crate) fn parse(reference: &str) -> Option<Self> {
        let reference = reference.trim();
        if reference.is_empty()
            || reference.len() > 4_096
            || reference.contains(char::is_whitespace)
        {
            return None;
        }
        let (rest, digest) = reference.split_once('@').unwrap_or((reference, ""));
        if !digest.is_empty() && !digest.contains(':') {
            return None;
        }
        // A colon after the last slash is a tag's; one before it is a port's.
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((head, tag)) if !tag.contains('/') => (head, tag),
            _ => (rest, ""),
        };
        let (registry, path) = match rest.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => (DEFAULT_REGISTRY, rest),
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.is_empty() {
            return None;
        }
        let tag = if tag.is_empty() && digest.is_empty() { DEFAULT_TAG } else { tag };
        Some(Self {
            registry: registry.to_owned(),
            path: path.to_owned(),
            name: name.to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        })
    }

    /// The whole reference, defaults written out.
    pub(crate) fn reference(&self) -> String {
        let named = format!("{}/{}", self.registry, self.path);
        match (self.tag.is_empty(), self.digest.is_empty()) {
            (_, false) => format!("{named}@{}", self.digest),
            (false, true) => format!("{named}:{}", self.tag),
            (true, true) => named,
        }
    }

    fn into_value(self) -> Value {
        let mut made = Map::new();
        made.insert("reference".to_owned(), Value::String(self.reference()));
        let with_tag = if self.tag.is_empty() {
            format!("{}/{}", self.registry, self.path)
        } else {
            format!("{}/{}:{}", self.registry, self.path, self.tag)
        };
        made.insert("referenceWithTag".to_owned(), Value::String(with_tag));
        made.insert("registry".to_owned(), Value::String(self.registry));
        made.insert("path".to_owned(), Value::String(self.path));
        made.insert("name".to_owned(), Value::String(self.name));
        if !self.tag.is_empty() {
            made.insert("tag".to_owned(), Value::String(self.tag));
        }
        if !self.digest.is_empty() {
            made.insert("digest".to_owned(), Value::String(self.digest));
        }
        Value::Object(made)
    }
}

/// The variable `images`: of each list of containers of a pod or a pod template, name to parts.
pub(crate) fn images_of(object: &Value) -> Value {
    let spec = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec", "/spec"]
        .into_iter()
        .filter_map(|pointer| object.pointer(pointer))
        .find(|spec| spec.get("containers").is_some());
    let mut made = Map::new();
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        let mut named = Map::new();
        let containers = spec.and_then(|spec| spec.get(list)).and_then(Value::as_array);
        for container in containers.into_iter().flatten() {
            let text = |key: &str| container.get(key).and_then(Value::as_str);
            if let (Some(name), Some(image)) = (text("name"), text("image").and_then(Image::parse))
            {
                named.insert(name.to_owned(), image.into_value());
            }
        }
        if !named.is_empty() {
            made.insert(list.to_owned(), Value::Object(named));
        }
    }
    Value::Object(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_written_out() {
        for (reference, normal) in [
            ("nginx", "docker.io/nginx:latest"),
            ("nginx:1.2", "docker.io/nginx:1.2"),
            ("ghcr.io/a/b", "ghcr.io/a/b:latest"),
            ("localhost:5000/a:1", "localhost:5000/a:1"),
            ("a/b@sha256:00", "docker.io/a/b@sha256:00"),
        ] {
            assert_eq!(Image::parse(reference).unwrap().reference(), normal);
        }
        assert_eq!(Image::parse(""), None);
        assert_eq!(Image::parse("a b"), None);
    }
}
