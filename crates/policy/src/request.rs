//! What a policy judges: one request to the API server, or one object in its stead.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kinds;

/// A kind with its API group and version; the core group is the empty string.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupVersionKind {
    /// API group, empty for the core group.
    pub group: String,
    /// API version, as in `v1`.
    pub version: String,
    /// Kind, as in `Pod`.
    pub kind: String,
}

impl GroupVersionKind {
    /// From an object's `apiVersion` and `kind`.
    pub fn from_api_version(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// The resource of this kind, as in `pods`; of a kind that is not built in, as names are usually made.
    pub fn resource(&self) -> String {
        let known = kinds::BUILT_IN.iter().find(|k| k.kind == self.kind && k.group == self.group);
        known.map_or_else(|| kinds::guessed_resource(&self.kind), |known| known.resource.to_owned())
    }

    /// The `apiVersion` of objects of this kind.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// A resource (plural, lower case) with its API group and version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupVersionResource {
    /// API group, empty for the core group.
    pub group: String,
    /// API version, as in `v1`.
    pub version: String,
    /// Resource, as in `pods`.
    pub resource: String,
}

/// What the request does to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// The object is created.
    Create,
    /// The object is changed (`update` and `patch`).
    Update,
    /// The object is deleted.
    Delete,
    /// A connection is opened (`exec`, `attach`, `port-forward`, `proxy`).
    Connect,
}

impl Operation {
    /// All operations, in the order of the API server's documentation.
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Delete, Self::Connect];

    /// The word of the admission API, as in `CREATE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }

    /// Reads the word of the admission API; anything else is `None`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == word)
    }
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserInfo {
    /// Name, as in `system:serviceaccount:payments:deployer`.
    pub username: String,
    /// Identity that outlives the name; empty where unknown.
    pub uid: String,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// Further claims of the authenticator.
    pub extra: BTreeMap<String, Vec<String>>,
    /// Roles bound to the user, as `namespace:name`.
    pub roles: Vec<String>,
    /// Cluster roles bound to the user.
    pub cluster_roles: Vec<String>,
    /// Why `roles` and `cluster_roles` are not known, where they are not: a rule that asks for them
    /// cannot be judged then.
    #[serde(skip)]
    pub roles_unknown: Option<String>,
}

/// One request to the API server (or one object that is judged as if it were created).
#[derive(Debug, Clone)]
pub struct Request {
    /// The request's uid; empty offline.
    pub uid: String,
    /// What is done.
    pub operation: Operation,
    /// The kind of `object`.
    pub kind: GroupVersionKind,
    /// The resource that is asked for; empty fields where unknown.
    pub resource: GroupVersionResource,
    /// As in `status`, `exec`, `ephemeralcontainers`.
    pub subresource: Option<String>,
    /// Namespace of the object, `None` for cluster-scoped ones.
    pub namespace: Option<String>,
    /// Name of the object; `None` where the server will make one.
    pub name: Option<String>,
    /// The object as it would become; `None` on DELETE.
    pub object: Option<Value>,
    /// The object as it is, on UPDATE and DELETE.
    pub old_object: Option<Value>,
    /// Options of the request (`CreateOptions`, …).
    pub options: Option<Value>,
    /// Who asks; `None` offline, where filters on users do not narrow a match.
    pub user: Option<UserInfo>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// Labels of the object's namespace; `None` where unknown.
    pub namespace_labels: Option<BTreeMap<String, String>>,
}

impl Request {
    /// A CREATE of an object, as offline and background judgements see it. Kind, namespace and name
    /// are read from the object; the resource stays empty.
    pub fn create(object: Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let kind = GroupVersionKind::from_api_version(
            text("/apiVersion").unwrap_or_default(),
            text("/kind").unwrap_or_default(),
        );
        let namespace =
            text("/metadata/namespace").filter(|name| !name.is_empty()).map(str::to_owned);
        let name = text("/metadata/name").filter(|name| !name.is_empty()).map(str::to_owned);
        Self {
            uid: String::new(),
            operation: Operation::Create,
            kind,
            resource: GroupVersionResource::default(),
            subresource: None,
            namespace,
            name,
            object: Some(object),
            old_object: None,
            options: None,
            user: None,
            dry_run: false,
            namespace_labels: None,
        }
    }

    /// The same request about another object, without a copy of its own.
    pub(crate) fn with_object(&self, object: Value) -> Self {
        Self {
            uid: self.uid.clone(),
            operation: self.operation,
            kind: self.kind.clone(),
            resource: self.resource.clone(),
            subresource: self.subresource.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            object: Some(object),
            old_object: self.old_object.clone(),
            options: self.options.clone(),
            user: self.user.clone(),
            dry_run: self.dry_run,
            namespace_labels: self.namespace_labels.clone(),
        }
    }

    /// Who is behind the object, `KIND/NAME`: its controller, or the object itself.
    pub fn owner(&self) -> String {
        let subject = self.subject();
        let text = |value: &Value, key: &str| {
            value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let owners = subject.and_then(|object| object.pointer("/metadata/ownerReferences"));
        let controller = owners
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
        if let Some(owner) = controller {
            return format!("{}/{}", text(owner, "kind"), text(owner, "name"));
        }
        let metadata = subject.and_then(|object| object.get("metadata"));
        let named = |key: &str| metadata.map(|metadata| text(metadata, key));
        let filled = |name: &String| !name.is_empty();
        let name = named("name").filter(filled).or(self.name.clone()).filter(filled);
        let name = name.or(named("generateName")).unwrap_or_default();
        format!("{}/{name}", self.kind.kind)
    }

    /// The object that the request is about: the new one, or on DELETE the old one.
    pub fn subject(&self) -> Option<&Value> {
        match self.operation {
            Operation::Delete => self.old_object.as_ref().or(self.object.as_ref()),
            _ => self.object.as_ref().or(self.old_object.as_ref()),
        }
    }
}
