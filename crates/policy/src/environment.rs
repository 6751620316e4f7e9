//! What surrounds a judgement: the time, randomness, values given by a test, answers to lookups.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::inventory::Inventory;
use crate::selection::LabelSelector;
use crate::wildcard::Wildcard;

/// Something that a policy must know and that only the caller can fetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// A `ConfigMap`, answered with the whole object.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A call to the API server, answered with the decoded body.
    ApiCall {
        /// `GET` or `POST`.
        method: String,
        /// Path with query, as in `/api/v1/namespaces/payments/pods`.
        url_path: String,
        /// Body of a POST as JSON text.
        body: Option<String>,
    },
    /// One object, answered with the whole of it.
    Object {
        /// Its `apiVersion`.
        api_version: String,
        /// Its kind.
        kind: String,
        /// Its namespace; `None` for a kind without.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
    /// A call to another service, answered with the decoded body.
    Service {
        /// `GET` or `POST`.
        method: String,
        /// Whole address.
        url: String,
        /// Body of a POST as JSON text.
        body: Option<String>,
        /// Certificates (PEM) that the service is verified with.
        ca_bundle: Option<String>,
        /// Headers to send.
        headers: Vec<(String, String)>,
    },
    /// Existing objects (the targets of a mutation), answered with a list of them.
    Objects {
        /// Their `apiVersion`; may have globs.
        api_version: String,
        /// Their kind, with `/subresource` where one is meant; may have globs.
        kind: String,
        /// Their namespace; may have globs; empty for all.
        namespace: String,
        /// Their name; may have globs; empty for all.
        name: String,
        /// A label selector as JSON text.
        selector: Option<String>,
    },
    /// A `GlobalContextEntry`, answered with its cached data.
    Global {
        /// Name of the entry.
        name: String,
        /// Name of one of its projections; empty for the whole.
        projection: String,
    },
    /// Objects of a kind that policies take as parameters, answered with the list of them.
    Parameters {
        /// `apiVersion` of the objects.
        api_version: String,
        /// Their kind.
        kind: String,
        /// The namespace in which they are looked for, if the kind has one.
        namespace: Option<String>,
        /// The name of the only one; every one where it is `None`.
        name: Option<String>,
    },
    /// What a registry knows of an image, answered with the object that the field's policies expect
    /// (`image`, `resolvedImage`, `registry`, `repository`, `identifier`, `manifest`, `configData`).
    Image {
        /// The image as the policy names it.
        reference: String,
    },
}

impl Lookup {
    /// Whether an object is among those that a lookup of objects asks for.
    pub fn selects(&self, object: &Value) -> bool {
        let Self::Objects { api_version, kind, namespace, name, selector } = self else {
            return false;
        };
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
        let fits = |glob: &str, found: &str| glob.is_empty() || Wildcard::new(glob).matches(found);
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        let selected = |selector: &String| {
            let selector = serde_json::from_str(selector).unwrap_or(Value::Null);
            LabelSelector::parse(&selector, "selector")
                .is_ok_and(|selector| selector.matches(&labels))
        };
        fits(api_version, text("/apiVersion"))
            && fits(kind, text("/kind"))
            && fits(namespace, text("/metadata/namespace"))
            && fits(name, text("/metadata/name"))
            && selector.as_ref().is_none_or(selected)
    }

    /// In words, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::ConfigMap { namespace, name } => format!("ConfigMap `{namespace}/{name}`"),
            Self::ApiCall { method, url_path, .. } => format!("API call `{method} {url_path}`"),
            Self::Object { kind, namespace: Some(namespace), name, .. } => {
                format!("{kind} `{namespace}/{name}`")
            }
            Self::Object { kind, namespace: None, name, .. } => format!("{kind} `{name}`"),
            Self::Service { method, url, .. } => format!("call `{method} {url}`"),
            Self::Objects { api_version, kind, namespace, name, .. } => {
                let name = if name.is_empty() { "*" } else { name };
                let place = if namespace.is_empty() { "*" } else { namespace };
                format!("objects `{api_version}/{kind}` called `{place}/{name}`")
            }
            Self::Global { name, .. } => format!("global context entry `{name}`"),
            Self::Parameters { api_version, kind, name: Some(name), .. } => {
                format!("`{api_version}` {kind} `{name}`")
            }
            Self::Parameters { api_version, kind, .. } => format!("objects `{api_version}` {kind}"),
            Self::Image { reference } => format!("image `{reference}`"),
        }
    }
}

/// What the caller found: the value, or why there is none.
pub type Answer = Result<Value, String>;

/// Why the judgement is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trigger {
    /// A request is to be admitted.
    #[default]
    Admission,
    /// Something that already runs is looked at.
    Background,
}

/// What surrounds a judgement; the same environment and request always give the same evaluation.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The present moment.
    pub now: Timestamp,
    /// Seed of `random()`.
    pub seed: u64,
    /// Why the judgement is made.
    pub trigger: Trigger,
    /// Values that stand above everything a policy loads (a test's mock values). A key is a dotted
    /// path, as in `request.operation` or `dictionary.data.allowed`.
    pub variables: Map<String, Value>,
    /// Values for one rule alone: (policy, rule) to values, above `variables`.
    pub rule_variables: HashMap<(String, String), Map<String, Value>>,
    /// Values for the elements of a rule's foreach: (policy, rule) to name to one value an element.
    pub foreach_variables: HashMap<(String, String), Map<String, Value>>,
    /// Answers to lookups that the caller has made.
    pub answers: HashMap<Lookup, Answer>,
    /// What lookups mean when they have no answer: `Needs` (false), or an error of the rule (true).
    pub offline: bool,
    /// Objects that stand in for a cluster's where policies take parameters; `None` where there is a
    /// cluster to ask.
    pub parameters: Option<Value>,
    /// The other objects of the cluster; `None` where they are not known, and code that asks for them
    /// cannot be judged.
    pub inventory: Option<Inventory>,
}

impl Environment {
    /// The parameters that a lookup asks for, of those that stand in for a cluster's.
    pub(crate) fn parameters_for(&self, lookup: &Lookup) -> Option<Value> {
        let Lookup::Parameters { api_version, kind, namespace, name } = lookup else { return None };
        let all = self.parameters.as_ref()?.as_array()?;
        let text = |object: &Value, pointer: &str| {
            object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let fits = |object: &&Value| {
            let its_namespace = text(object, "/metadata/namespace");
            text(object, "/apiVersion") == *api_version
                && text(object, "/kind") == *kind
                && (its_namespace.is_empty() || namespace.as_ref() == Some(&its_namespace))
                && name.as_ref().is_none_or(|name| text(object, "/metadata/name") == *name)
        };
        Some(all.iter().filter(fits).cloned().collect())
    }
}

impl Environment {
    /// An environment at a moment, for admission, with nothing else in it.
    pub fn at(now: Timestamp) -> Self {
        Self {
            now,
            seed: 0,
            trigger: Trigger::Admission,
            variables: Map::new(),
            rule_variables: HashMap::new(),
            foreach_variables: HashMap::new(),
            answers: HashMap::new(),
            offline: false,
            parameters: None,
            inventory: None,
        }
    }
}
