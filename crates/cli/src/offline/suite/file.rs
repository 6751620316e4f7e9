//! A Suite as it is written.

use proofstream_manifest::Document;
use proofstream_policy::{GroupVersionResource, Request, Review};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::exit::Failure;

/// Tests of constraints.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Suite {
    api_version: String,
    kind: String,
    metadata: Value,
    pub(super) skip: bool,
    pub(super) tests: Vec<Test>,
}

/// One template with one constraint, and cases for both.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Test {
    pub(super) name: String,
    /// Paths, from the Suite's folder.
    pub(super) template: String,
    pub(super) constraint: String,
    pub(super) expansion: Option<String>,
    /// Whether template or constraint must be refused.
    pub(super) invalid: bool,
    skip: Value,
    pub(super) cases: Vec<Case>,
}

/// One object, and what must come of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) skip: bool,
    /// The path of the file with the object, or with an AdmissionReview.
    pub(super) object: String,
    /// Paths of files with other objects of the cluster.
    pub(super) inventory: Vec<String>,
    pub(super) assertions: Vec<Assertion>,
}

/// How many violations there must be whose message fits.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Assertion {
    pub(super) violations: Count,
    pub(super) message: Option<String>,
}

/// `yes`, `no`, or a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub(super) enum Count {
    #[default]
    Some,
    None,
    Exactly(usize),
}

impl TryFrom<Value> for Count {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = |number: u64| usize::try_from(number).ok().map(Self::Exactly);
        let read = match &value {
            Value::Null | Value::Bool(true) => Some(Self::Some),
            Value::Bool(false) => Some(Self::None),
            Value::Number(count) => count.as_u64().and_then(number),
            Value::String(text) => match text.as_str() {
                "yes" | "" => Some(Self::Some),
                "no" => Some(Self::None),
                text => text.parse().ok().and_then(number),
            },
            _ => None,
        };
        read.ok_or_else(|| format!("violations: {value} is neither yes, no nor a number"))
    }
}

// === impl Suite ===

impl Suite {
    /// Reads a document; `None` where it is no Suite.
    pub(super) fn read(document: &Document) -> Result<Option<Self>, Failure> {
        let text = |key: &str| document.value.get(key).and_then(Value::as_str).unwrap_or_default();
        let group = text("apiVersion").split('/').next().unwrap_or_default();
        if text("kind") != "Suite" || group != "test.gatekeeper.sh" {
            return Ok(None);
        }
        let suite: Self = serde_json::from_value(document.value.clone()).map_err(|error| {
            let (file, line) = (&document.file, document.line);
            Failure::input(format!("{file}:{line}: {error}"))
                .help("the file must hold Suites of `test.gatekeeper.sh/v1alpha1`")
        })?;
        Ok(Some(suite))
    }
}

impl Test {
    /// Whether its author has set it aside: with a word why, or just so.
    pub(super) fn is_skipped(&self) -> bool {
        match &self.skip {
            Value::Bool(skip) => *skip,
            Value::String(reason) => !reason.is_empty(),
            _ => false,
        }
    }
}

impl Case {
    /// What is expected, in words.
    pub(super) fn expected(&self) -> String {
        let words: Vec<String> = self.assertions.iter().map(Assertion::in_words).collect();
        words.join(", ")
    }
}

impl Assertion {
    fn in_words(&self) -> String {
        let count = match self.violations {
            Count::Some => "violations".to_owned(),
            Count::None => "no violations".to_owned(),
            Count::Exactly(count) => super::counted(count),
        };
        match &self.message {
            Some(message) => format!("{count} with `{message}`"),
            None => count,
        }
    }
}

/// The request in an AdmissionReview; `None` where the object is none. Tests leave out what only an API
/// server knows.
pub(super) fn request(object: &Value) -> Result<Option<Request>, String> {
    if object.get("kind").and_then(Value::as_str) != Some("AdmissionReview") {
        return Ok(None);
    }
    let mut review = object.clone();
    let request = review.get_mut("request").and_then(Value::as_object_mut);
    let request = request.ok_or("the AdmissionReview holds no request")?;
    let is_object = |name: &str| request.get(name).is_some_and(Value::is_object);
    let subject = ["object", "oldObject"].into_iter().find(|name| is_object(name));
    let subject = subject.and_then(|name| request.get(name)).cloned();
    let subject = subject.ok_or("the AdmissionReview holds neither object nor oldObject")?;
    let made = Request::create(subject);
    let defaults = [
        ("uid", json!("")),
        ("kind", json!(made.kind)),
        ("resource", json!(GroupVersionResource::default())),
        ("operation", json!("CREATE")),
        ("name", json!(made.name)),
        ("namespace", json!(made.namespace)),
    ];
    for (name, default) in defaults {
        request.entry(name).or_insert(default);
    }
    let review: Review =
        serde_json::from_value(review).map_err(|error| format!("the AdmissionReview: {error}"))?;
    Ok(Some(review.request))
}
