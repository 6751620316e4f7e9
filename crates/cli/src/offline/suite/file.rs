//! A Suite as it is written.

use proofstream_manifest::Document;
use proofstream_policy::{GroupVersionKind, GroupVersionResource, Operation, Request, UserInfo};
use serde::Deserialize;
use serde_json::Value;

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

/// The request in an AdmissionReview; `None` where the object is none.
pub(super) fn request(object: &Value) -> Result<Option<Request>, String> {
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let is_review = text(object, "/kind") == "AdmissionReview"
        && text(object, "/apiVersion").starts_with("admission.k8s.io/");
    if !is_review {
        return Ok(None);
    }
    let request = object.get("request").filter(|request| request.is_object());
    let request = request.ok_or("the AdmissionReview holds no request")?;
    let part = |name: &str| request.get(name).filter(|value| value.is_object()).cloned();
    let (new, old) = (part("object"), part("oldObject"));
    let subject = new.as_ref().or(old.as_ref());
    let subject = subject.ok_or("the AdmissionReview holds neither object nor oldObject")?;
    let mut made = Request::create(subject.clone());
    if let Some(kind) = part("kind") {
        let [group, version, kind] = ["/group", "/version", "/kind"].map(|name| text(&kind, name));
        made.kind = GroupVersionKind { group, version, kind };
    }
    if let Some(named) = part("resource") {
        let [group, version, resource] =
            ["/group", "/version", "/resource"].map(|name| text(&named, name));
        made.resource = GroupVersionResource { group, version, resource };
    }
    let filled = |name: &str| Some(text(request, name)).filter(|text| !text.is_empty());
    made.uid = text(request, "/uid");
    made.subresource = filled("/subResource");
    made.namespace = filled("/namespace").or(made.namespace);
    made.name = filled("/name").or(made.name);
    let operation = filled("/operation").unwrap_or_else(|| "CREATE".to_owned());
    made.operation = Operation::from_word(&operation)
        .ok_or_else(|| format!("the AdmissionReview's operation `{operation}` is not known"))?;
    made.dry_run = request.get("dryRun") == Some(&Value::Bool(true));
    made.options = part("options");
    (made.object, made.old_object) = (new, old);
    if let Some(user) = part("userInfo") {
        let user: UserInfo = serde_json::from_value(user)
            .map_err(|error| format!("the AdmissionReview's userInfo: {error}"))?;
        made.user = Some(user);
    }
    Ok(Some(made))
}
