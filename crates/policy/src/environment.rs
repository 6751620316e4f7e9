//! What surrounds a judgement: the time, randomness, values given by a test, answers to lookups.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

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
    /// All objects of a kind in a namespace, answered with a list of them (or an object with
    /// `items`).
    Objects {
        /// Their `apiVersion`.
        api_version: String,
        /// Their kind.
        kind: String,
        /// Their namespace; `None` for a kind without.
        namespace: Option<String>,
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
    /// A `GlobalContextEntry`, answered with its cached data.
    Global {
        /// Name of the entry.
        name: String,
        /// Name of one of its projections; empty for the whole.
        projection: String,
    },
    /// What a registry knows of an image, answered with the object that the field's policies expect
    /// (`image`, `resolvedImage`, `registry`, `repository`, `identifier`, `manifest`, `configData`).
    Image {
        /// The image as the policy names it.
        reference: String,
    },
}

impl Lookup {
    /// In words, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::ConfigMap { namespace, name } => format!("ConfigMap `{namespace}/{name}`"),
            Self::ApiCall { method, url_path, .. } => format!("API call `{method} {url_path}`"),
            Self::Object { kind, namespace: Some(namespace), name, .. } => {
                format!("{kind} `{namespace}/{name}`")
            }
            Self::Object { kind, namespace: None, name, .. } => format!("{kind} `{name}`"),
            Self::Objects { kind, namespace, .. } => {
                format!("all {kind} of `{}`", namespace.as_deref().unwrap_or("*"))
            }
            Self::Service { method, url, .. } => format!("call `{method} {url}`"),
            Self::Global { name, .. } => format!("global context entry `{name}`"),
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
        }
    }
}
