//! A question about a request, as flags and lines of a file put it, made into a request.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::address;
use crate::request::{Request, ResourceTarget, Target, User};

const ANONYMOUS: &str = "system:anonymous";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// A question. What is left out is unknown: no user is nobody, no group is the core group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ask {
    /// The verb, or an HTTP method.
    pub verb: String,
    /// `pods`, `pods/exec`, and as kubectl writes it `deployments.apps`.
    pub resource: Option<String>,
    /// For those who keep it apart from the resource.
    pub subresource: Option<String>,
    /// The API group.
    pub group: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// A path, in place of a resource.
    pub path: Option<String>,
    /// Who signed in (not whom they impersonate).
    pub user: Option<String>,
    /// Their groups. Left out, those follow that a name brings with it; `[]` is none.
    pub groups: Option<Vec<String>>,
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Not JSON, or a value of another type.
    #[error("{0}")]
    Json(String),
    /// There is no verb.
    #[error("`verb` is missing")]
    NoVerb,
    /// Neither a resource nor a path.
    #[error("`resource` or `path` is missing")]
    NoTarget,
    /// A path and what belongs to resources.
    #[error("`path` stands alone: `{0}` belongs to a resource")]
    Both(&'static str),
    /// The path does not begin with a slash.
    #[error("path `{0}` does not begin with `/`")]
    Path(String),
    /// `pods/exec` with a subresource beside it.
    #[error("resource `{0}` has a subresource already")]
    Subresource(String),
    /// A group in the resource and another one beside it.
    #[error("resource `{0}` names another group than `{1}`")]
    Group(String, String),
}

// === impl Ask ===

impl Ask {
    /// The keys that a line may have.
    pub const KEYS: [&'static str; 9] =
        ["verb", "resource", "subresource", "group", "namespace", "name", "path", "user", "groups"];

    /// Reads one line of a file; gives the keys that mean nothing here beside it.
    pub fn read(line: &str) -> Result<(Self, Vec<String>), AskError> {
        let json = |error: serde_json::Error| {
            let text = error.to_string();
            let said = text.split(" at line ").next().unwrap_or(&text);
            match error.column() {
                0 => AskError::Json(said.to_owned()),
                column => AskError::Json(format!("{said}, at column {column}")),
            }
        };
        let object: Map<String, Value> = serde_json::from_str(line.trim_end()).map_err(json)?;
        let unknown = object.keys().filter(|key| !Self::KEYS.contains(&key.as_str())).cloned();
        let unknown = unknown.collect();
        let present = object.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let ask = serde_json::from_value(Value::Object(present)).map_err(json)?;
        Ok((ask, unknown))
    }

    /// The request that is asked about.
    pub fn request(&self) -> Result<Request, AskError> {
        let user = self.user();
        if self.verb.is_empty() {
            return Err(AskError::NoVerb);
        }
        if let Some(path) = self.path.as_deref().filter(|path| !path.is_empty()) {
            return self.of_path(user, path);
        }
        let resource = self.resource.as_deref().filter(|resource| !resource.is_empty());
        let mut target = self.resource_target(resource.ok_or(AskError::NoTarget)?)?;
        let verb = resource_verb(&self.verb, &target.name);
        settle(&mut target, &verb);
        Ok(Request { user, verb, target: Target::Resource(target) })
    }

    fn of_path(&self, user: Option<User>, path: &str) -> Result<Request, AskError> {
        let beside = [
            ("resource", &self.resource),
            ("subresource", &self.subresource),
            ("group", &self.group),
            ("namespace", &self.namespace),
            ("name", &self.name),
        ];
        let beside =
            beside.iter().find(|(_, value)| value.as_ref().is_some_and(|it| !it.is_empty()));
        if let Some((key, _)) = beside {
            return Err(AskError::Both(key));
        }
        if !path.starts_with('/') {
            return Err(AskError::Path(path.to_owned()));
        }
        let (bare, query) = path.split_once('?').unwrap_or((path, ""));
        let (target, own) = address::target(bare);
        let verb = match (&target, own) {
            (_, Some(verb)) => verb.to_owned(),
            (Target::Path(_), None) => self.verb.to_ascii_lowercase(),
            (Target::Resource(target), None) => {
                let verb = resource_verb(&self.verb, &target.name);
                let of_collection = match verb.as_str() {
                    "get" | "list" if watches(query) => "watch",
                    "get" => "list",
                    "delete" => "deletecollection",
                    _ => verb.as_str(),
                };
                if target.name.is_empty() { of_collection.to_owned() } else { verb }
            }
        };
        Ok(Request { user, verb, target })
    }

    fn resource_target(&self, text: &str) -> Result<ResourceTarget, AskError> {
        let (text, given) = match &self.subresource {
            Some(subresource) if !subresource.is_empty() => {
                if text.contains('/') {
                    return Err(AskError::Subresource(text.to_owned()));
                }
                (text, subresource.as_str())
            }
            _ => text.split_once('/').unwrap_or((text, "")),
        };
        // The group may follow the resource or the subresource: no name of either has a dot.
        let (resource, first) = text.split_once('.').unwrap_or((text, ""));
        let (subresource, second) = given.split_once('.').unwrap_or((given, ""));
        let written = if first.is_empty() { second } else { first };
        let group = self.group.as_deref().unwrap_or(written);
        if !written.is_empty() && group != written {
            return Err(AskError::Group(text.to_owned(), group.to_owned()));
        }
        Ok(ResourceTarget {
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: self.namespace.clone().unwrap_or_default(),
            name: self.name.clone().unwrap_or_default(),
        })
    }

    /// The user, with the groups that the API server gives by itself.
    fn user(&self) -> Option<User> {
        let name = self.user.clone().unwrap_or_default();
        let mut groups = self.groups.clone().unwrap_or_default();
        if name.is_empty() && groups.is_empty() {
            return None;
        }
        if self.groups.is_none() {
            return Some(User { groups: groups_of(&name), name });
        }
        let known = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
        if name != ANONYMOUS && !groups.iter().any(known) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Some(User { name, groups })
    }
}

/// The groups of somebody of whom no more than the name is known.
pub(crate) fn groups_of(name: &str) -> Vec<String> {
    if name == ANONYMOUS {
        return vec![UNAUTHENTICATED.to_owned()];
    }
    let mut groups = brought_by(name);
    groups.push(AUTHENTICATED.to_owned());
    groups
}

/// The groups that a service account's token or a node's certificate always carries.
fn brought_by(name: &str) -> Vec<String> {
    if let Some(rest) = name.strip_prefix("system:serviceaccount:") {
        let namespace = rest.split(':').next().unwrap_or_default();
        let all = "system:serviceaccounts";
        return vec![all.to_owned(), format!("{all}:{namespace}")];
    }
    match name.strip_prefix("system:node:") {
        Some(_) => vec!["system:nodes".to_owned()],
        None => Vec::new(),
    }
}

/// HTTP methods stand for verbs of resources; other words stay as they are.
fn resource_verb(verb: &str, name: &str) -> String {
    let verb = verb.to_ascii_lowercase();
    let said = match verb.as_str() {
        "post" => "create",
        "put" => "update",
        "head" if name.is_empty() => "list",
        "head" => "get",
        other => other,
    };
    said.to_owned()
}

/// `watch=true`, as a query says it.
fn watches(query: &str) -> bool {
    let values = query.split('&').filter_map(|pair| pair.strip_prefix("watch="));
    values.into_iter().next().is_some_and(|value| value != "false" && value != "0")
}

/// What the API server knows of the target when it chooses the level.
fn settle(target: &mut ResourceTarget, verb: &str) {
    // The body is not read yet, so that what is created has no name; and a collection never has one.
    let unnamed = verb == "create" && target.subresource.is_empty() || verb == "deletecollection";
    if unnamed {
        target.name.clear();
    }
    // The address of a namespace is that of what lies in it.
    if target.resource == "namespaces" && target.namespace.is_empty() {
        target.namespace.clone_from(&target.name);
    }
}
