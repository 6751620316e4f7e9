//! Which policy it is, and where it stands.

use std::path::PathBuf;

use proofstream_policy::is_constraint;
use serde_json::Value;

use super::definitions::{self, EXCEPTION, constraint_key};

/// Identifies a policy among all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// `ClusterPolicy`, `Policy`, `PolicyException`, as [`definitions::Kind::key`] has it.
    pub kind: String,
    /// Namespace of a namespaced one.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// Where a policy was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// From the API server.
    Cluster,
    /// From a file of a policy directory.
    File(PathBuf),
}

// === impl PolicyKey ===

impl PolicyKey {
    /// From a document's own words; `None` where it has no kind or name.
    pub fn of(document: &Value) -> Option<Self> {
        let text = |pointer: &str| {
            document.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
        };
        Some(Self {
            kind: match definitions::Kind::of(document) {
                Some(kind) => kind.key(),
                None if is_constraint(document) => constraint_key(text("/kind")?),
                None => text("/kind")?.to_owned(),
            },
            namespace: text("/metadata/namespace").map(str::to_owned),
            name: text("/metadata/name")?.to_owned(),
        })
    }

    /// Whether it is an exception, of whichever group.
    pub fn is_exception(&self) -> bool {
        self.kind.split('.').next() == Some(EXCEPTION)
    }

    /// `NAME`, or `NAMESPACE/NAME`.
    pub fn full_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

// === impl Origin ===

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster => formatter.write_str("cluster"),
            Self::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}
