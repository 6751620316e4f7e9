//! An object as a watch brings it, read once and without what nobody asks for.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Often the larger half of an object; it says nothing to a policy.
const MANAGED_FIELDS: &str = "managedFields";

/// An object as JSON, without its managed fields.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// What a watch must know of it: name, namespace, UID and version.
    metadata: ObjectMeta,
    pub(super) fields: Map<String, Value>,
}

impl Resource for Object {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = deserializer.deserialize_map(Members { without: None })?;
        let text = |key: &str| fields.get("metadata")?.get(key)?.as_str().map(str::to_owned);
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, fields })
    }
}

/// Reads an object member by member: the members of `metadata` without one of them.
struct Members {
    without: Option<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut read = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = match (self.without, key.as_str()) {
                (None, "metadata") => {
                    let inner = Self { without: Some(MANAGED_FIELDS) };
                    Value::Object(members.next_value_seed(inner)?)
                }
                (Some(without), name) if name == without => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
                _ => members.next_value()?,
            };
            read.insert(key, value);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::ResourceExt as _;
    use serde_json::json;

    #[test]
    fn managed_fields_are_left_out_and_nothing_else() {
        let text = json!({
            "apiVersion": "v1", "kind": "Pod", "spec": {"metadata": {"managedFields": [1]}},
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7",
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
                "labels": {"managedFields": "kept"}},
        });
        let object: Object = serde_json::from_str(&text.to_string()).unwrap();
        assert_eq!(object.resource_version().as_deref(), Some("7"));
        assert_eq!((object.name_any().as_str(), object.uid().as_deref()), ("a", Some("u")));
        let mut wanted = text;
        wanted["metadata"].as_object_mut().unwrap().remove(MANAGED_FIELDS);
        assert_eq!(Value::Object(object.fields), wanted);
        assert!(serde_json::from_str::<Object>(r#"{"metadata": 3}"#).is_err());
    }
}
