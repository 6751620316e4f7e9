//! Values and user infos that stand in for what a cluster would know (`cli.kyverno.io` Values and
//! UserInfo).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use proofstream_policy::{GroupVersionKind, UserInfo};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::exit::Failure;
use crate::offline::files;

/// A Values file, or the `values` of a test.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Values {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Option<Value>,
    #[serde(rename = "globalValues")]
    global: Map<String, Value>,
    policies: Vec<PolicyValues>,
    namespace_selector: Vec<NamespaceLabels>,
    namespaces: Vec<Value>,
    subresources: Vec<Subresource>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct PolicyValues {
    name: String,
    resources: Vec<ResourceValues>,
    rules: Vec<RuleValues>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ResourceValues {
    name: String,
    values: Map<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RuleValues {
    name: String,
    values: Map<String, Value>,
    foreach_values: Map<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct NamespaceLabels {
    name: String,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Subresource {
    subresource: ApiResource,
    parent_resource: ApiResource,
}

/// What discovery says of a resource.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ApiResource {
    name: String,
    group: String,
    version: String,
    kind: String,
}

/// Values for one rule, by (policy, rule).
pub type ByRule = HashMap<(String, String), Map<String, Value>>;

// === impl Values ===

impl Values {
    /// Reads a Values file.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let values: Self = files::read_one(path, "one `cli.kyverno.io/v1alpha1` Values object")?;
        match values.kind.as_deref() {
            None | Some("Values" | "Value") => Ok(values),
            Some(other) => {
                let message = format!("{}: kind `{other}` is not Values", path.display());
                Err(Failure::input(message))
            }
        }
    }

    /// The policies that have values of their own for an object.
    pub fn policies_with_values_for(&self, resource: &str) -> Vec<&str> {
        let has = |policy: &&PolicyValues| policy.resources.iter().any(|own| own.name == resource);
        self.policies.iter().filter(has).map(|policy| policy.name.as_str()).collect()
    }

    /// Values for one policy and one object: the global ones, overridden by the object's own.
    pub fn variables(&self, policy: Option<&str>, resource: &str) -> Map<String, Value> {
        let mut variables = self.global.clone();
        let policies = self.policies.iter().filter(|each| Some(each.name.as_str()) == policy);
        for own in policies.flat_map(|each| &each.resources).filter(|each| each.name == resource) {
            variables.extend(own.values.clone());
        }
        variables
    }

    /// Values of rules, and values of the elements of their foreach.
    pub fn by_rule(&self) -> (ByRule, ByRule) {
        let mut values = ByRule::new();
        let mut elements = ByRule::new();
        for policy in &self.policies {
            for rule in &policy.rules {
                let key = (policy.name.clone(), rule.name.clone());
                if !rule.values.is_empty() {
                    values.insert(key.clone(), rule.values.clone());
                }
                if !rule.foreach_values.is_empty() {
                    elements.insert(key, rule.foreach_values.clone());
                }
            }
        }
        (values, elements)
    }

    /// Labels of the namespaces that the values name.
    pub fn namespaces(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let objects = self.namespaces.iter().filter_map(namespace_labels);
        let selectors =
            self.namespace_selector.iter().map(|each| (each.name.clone(), each.labels.clone()));
        objects.chain(selectors).collect()
    }

    /// The subresource that an object of a kind stands for, such as `scale` for a Scale; the values
    /// say so, because a manifest cannot.
    pub fn subresource(&self, kind: &GroupVersionKind) -> Option<String> {
        let same = |resource: &ApiResource| {
            resource.kind == kind.kind
                && resource.group == kind.group
                && (resource.version.is_empty() || resource.version == kind.version)
        };
        let found = self.subresources.iter().find(|each| same(&each.subresource))?;
        let (_, name) = found.subresource.name.split_once('/')?;
        (!found.parent_resource.name.is_empty() || !name.is_empty()).then(|| name.to_owned())
    }
}

/// Name and labels of a Namespace object; `None` for anything else.
pub fn namespace_labels(object: &Value) -> Option<(String, BTreeMap<String, String>)> {
    let is_namespace = object.get("kind")?.as_str()? == "Namespace"
        && object.get("apiVersion").is_none_or(|version| version == "v1");
    if !is_namespace {
        return None;
    }
    let metadata = object.get("metadata")?;
    let name = metadata.get("name")?.as_str()?.to_owned();
    let labels = metadata.get("labels").and_then(Value::as_object);
    let mut labels: BTreeMap<String, String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    // The API server labels every namespace with its name.
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
    Some((name, labels))
}

/// A UserInfo file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct UserInfoFile {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Option<Value>,
    roles: Vec<String>,
    cluster_roles: Vec<String>,
    user_info: UserInfo,
}

/// Reads a UserInfo file.
pub fn load_user(path: &Path) -> Result<UserInfo, Failure> {
    let what = "one `cli.kyverno.io/v1alpha1` UserInfo object";
    let file: UserInfoFile = files::read_one(path, what)?;
    if let Some(other) = file.kind.as_deref().filter(|kind| *kind != "UserInfo") {
        let message = format!("{}: kind `{other}` is not UserInfo", path.display());
        return Err(Failure::input(message));
    }
    let mut user = file.user_info;
    user.roles.extend(file.roles);
    user.cluster_roles.extend(file.cluster_roles);
    Ok(user)
}
