//! What is known of a value's type.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde_json::Value;

use crate::open_api;

/// Types by their names, and the names of the types of kinds.
#[derive(Debug, Default)]
pub struct Schemas {
    pub(crate) types: HashMap<String, Node>,
    /// By `apiVersion` and `kind`.
    pub(crate) kinds: HashMap<(String, String), String>,
}

/// A type as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// Nothing is known: structures are merged, lists replaced.
    Unknown,
    /// A text, a whole number, a number, a boolean, or one of several of them.
    Scalar(Scalar),
    /// A list.
    List(Box<List>),
    /// A structure or a map.
    Map(Box<Map>),
    /// A type that has a name.
    Named(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    Text,
    Number,
    Boolean,
    /// A quantity, a port: whatever is no list and no map.
    Any,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct List {
    pub(crate) element: Node,
    pub(crate) relation: Relation,
}

/// What makes elements of a list the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Nothing: the list is one value.
    Atomic,
    /// Their value.
    Set,
    /// These members of them.
    Keys(Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Map {
    /// Members that are declared.
    pub(crate) members: BTreeMap<String, Member>,
    /// All others, where there may be others.
    pub(crate) others: Option<Node>,
    pub(crate) is_atomic: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) node: Node,
    /// What the API server makes of it where it is not there.
    pub(crate) default: Option<Value>,
    /// Whether a structure of a type that is merged elsewhere is one value here.
    pub(crate) is_atomic: bool,
}

/// The type of a value: a place in [`Schemas`].
#[derive(Debug, Clone, Copy)]
pub struct Shape<'s> {
    schemas: &'s Schemas,
    node: &'s Node,
    is_atomic: bool,
}

/// What kind of type a value has.
#[derive(Debug, Clone, Copy)]
pub enum Described<'s> {
    /// Of any, or of one that is not known.
    Any,
    /// A text.
    Text,
    /// A boolean.
    Boolean,
    /// A number.
    Number,
    /// A list of such elements.
    List(Shape<'s>),
    /// A map of any names to such values.
    Map(Shape<'s>),
    /// A structure of its declared members alone, with its name if it has one.
    Structure(Option<&'s str>),
}

impl Schemas {
    /// Kubernetes' own kinds.
    pub fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<Schemas> = LazyLock::new(|| {
            let text = include_str!("../data/kubernetes.json");
            // INVARIANT: a test reads the file and compares it with what a real API server publishes.
            let document = serde_json::from_str(text).unwrap_or_default();
            Schemas::read([&document])
        });
        &BUILT_IN
    }

    /// Reads OpenAPI v3 documents. Of a type that stands in several the first counts.
    pub fn read<'d>(documents: impl IntoIterator<Item = &'d Value>) -> Self {
        let mut made = Self::default();
        for document in documents {
            open_api::read(document, &mut made);
        }
        made
    }

    /// The type of a kind.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<Shape<'_>> {
        let name = self.kinds.get(&(api_version.to_owned(), kind.to_owned()))?;
        Some(Shape { schemas: self, node: self.types.get(name)?, is_atomic: false })
    }

    /// The kinds that are known: `apiVersion` and `kind`.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kinds.keys().map(|(version, kind)| (version.as_str(), kind.as_str()))
    }
}

impl<'s> Shape<'s> {
    /// The type of which nothing is known.
    pub(crate) fn unknown() -> Self {
        static NOTHING: LazyLock<Schemas> = LazyLock::new(Schemas::default);
        Self { schemas: &NOTHING, node: &Node::Unknown, is_atomic: false }
    }

    /// The type itself, names followed. A name that stands for nothing is a type of which nothing is
    /// known.
    pub(crate) fn node(&self) -> &'s Node {
        let mut node = self.node;
        // INVARIANT: a name for a name is not followed for ever.
        for _ in 0..8 {
            match node {
                Node::Named(name) => match self.schemas.types.get(name) {
                    Some(found) => node = found,
                    None => return &Node::Unknown,
                },
                found => return found,
            }
        }
        &Node::Unknown
    }

    /// Whether a structure of this type is one value.
    pub(crate) fn is_atomic(&self) -> bool {
        self.is_atomic || matches!(self.node(), Node::Map(map) if map.is_atomic)
    }

    pub(crate) fn at(&self, node: &'s Node) -> Self {
        Self { schemas: self.schemas, node, is_atomic: false }
    }

    /// The type of a member that is declared.
    pub fn declared(&self, name: &str) -> Option<Self> {
        let Node::Map(map) = self.node() else { return None };
        let member = map.members.get(name)?;
        Some(Self { is_atomic: member.is_atomic, ..self.at(&member.node) })
    }

    /// The type of a member; `None` where there can be no such member.
    pub fn member(&self, name: &str) -> Option<Self> {
        if let Some(declared) = self.declared(name) {
            return Some(declared);
        }
        match self.node() {
            Node::Map(map) => map.others.as_ref().map(|others| self.at(others)),
            Node::Unknown => Some(Self::unknown()),
            Node::Scalar(_) | Node::List(_) | Node::Named(_) => None,
        }
    }

    /// Names of the declared members, in order.
    pub fn members(&self) -> impl Iterator<Item = &'s str> {
        let map = match self.node() {
            Node::Map(map) => Some(map),
            _ => None,
        };
        map.into_iter().flat_map(|map| map.members.keys().map(String::as_str))
    }

    /// What the API server makes of a member that is not there.
    pub fn default_of(&self, name: &str) -> Option<&'s Value> {
        match self.node() {
            Node::Map(map) => map.members.get(name)?.default.as_ref(),
            _ => None,
        }
    }

    /// What kind of type it is.
    pub fn describe(&self) -> Described<'s> {
        let named = match self.node {
            Node::Named(name) => Some(name.as_str()),
            _ => None,
        };
        match self.node() {
            Node::Scalar(Scalar::Text) => Described::Text,
            Node::Scalar(Scalar::Boolean) => Described::Boolean,
            Node::Scalar(Scalar::Number) => Described::Number,
            Node::Unknown | Node::Named(_) | Node::Scalar(Scalar::Any) => Described::Any,
            Node::List(list) => Described::List(self.at(&list.element)),
            Node::Map(map) if map.members.is_empty() => match &map.others {
                Some(others) => Described::Map(self.at(others)),
                None => Described::Any,
            },
            Node::Map(map) if map.others.is_some() => Described::Any,
            Node::Map(_) => Described::Structure(named),
        }
    }

    /// The type of a list's elements.
    pub fn element(&self) -> Option<Self> {
        match self.node() {
            Node::List(list) => Some(self.at(&list.element)),
            Node::Unknown => Some(Self::unknown()),
            Node::Scalar(_) | Node::Map(_) | Node::Named(_) => None,
        }
    }

    /// What makes elements of a list the same.
    pub(crate) fn relation(&self) -> &'s Relation {
        match self.node() {
            Node::List(list) => &list.relation,
            _ => &Relation::Atomic,
        }
    }
}
