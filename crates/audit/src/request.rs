//! A request as the API server sees it when it chooses the level: before its body is read.

use std::fmt;

/// A request. Impersonation comes later: the user is the one who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `None` where nobody is known: a request whose sign-in failed.
    pub user: Option<User>,
    /// `get`, `list`, `create`, …; for other paths the HTTP method in lower case.
    pub verb: String,
    /// What it is about.
    pub target: Target,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The groups, those included that the API server adds.
    pub groups: Vec<String>,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An object, or a collection of them.
    Resource(ResourceTarget),
    /// A path that is no resource, such as `/healthz`.
    Path(String),
}

/// An object or a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceTarget {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in the plural.
    pub resource: String,
    /// Empty where there is none.
    pub subresource: String,
    /// Empty for what is in no namespace, and for all namespaces.
    pub namespace: String,
    /// Empty for collections, and where something is created: the body is not read yet.
    pub name: String,
}

// === impl ResourceTarget ===

impl ResourceTarget {
    /// `pods/exec`, `deployments.apps`, `deployments/scale.apps`.
    pub fn qualified(&self) -> String {
        let mut text = self.resource.clone();
        if !self.subresource.is_empty() {
            text.push('/');
            text.push_str(&self.subresource);
        }
        if !self.group.is_empty() {
            text.push('.');
            text.push_str(&self.group);
        }
        text
    }
}

// === impl Request ===

/// As a person would say it: `get pods/exec in payments by alice`.
impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Path(path) => write!(formatter, "{} {path}", self.verb)?,
            Target::Resource(target) => {
                write!(formatter, "{} {}", self.verb, target.qualified())?;
                if !target.name.is_empty() {
                    write!(formatter, " {}", target.name)?;
                }
                if !target.namespace.is_empty() && target.resource != "namespaces" {
                    write!(formatter, " in {}", target.namespace)?;
                }
            }
        }
        match &self.user {
            Some(user) if !user.name.is_empty() => write!(formatter, " by {}", user.name),
            Some(_) => Ok(()),
            None => formatter.write_str(" (nobody signed in)"),
        }
    }
}
