//! `PolicyException` (`kyverno.io/v2`): requests that a rule is not held against.

use serde_json::Value;

use crate::condition::Conditions;
use crate::error::ParseError;
use crate::fields::Fields;
use crate::policy::{Policy, mentions_roles};
use crate::selection::{Selection, Target};
use crate::wildcard::Wildcard;

/// One exception.
#[derive(Debug)]
pub struct PolicyException {
    name: String,
    namespace: String,
    exempted: Vec<Exempted>,
    selection: Selection,
    conditions: Conditions,
    background: bool,
    asks_roles: bool,
}

#[derive(Debug)]
struct Exempted {
    policy: Wildcard,
    rules: Vec<Wildcard>,
}

impl PolicyException {
    /// Reads an exception.
    ///
    /// # Errors
    /// An unknown field, something missing, an unreadable expression: with its path.
    pub fn parse(document: &Value) -> Result<Self, ParseError> {
        let top = Fields::new(document, "", &["apiVersion", "kind", "metadata", "spec"])?;
        let version = top.required_text("apiVersion")?;
        if !Self::is_exception(document) {
            let message = format!("`{version}` is not a PolicyException that can be read");
            return Err(top.error("apiVersion", message));
        }
        let metadata = top.get("metadata").ok_or_else(|| top.error("metadata", "is required"))?;
        let metadata = Fields::open(metadata, "metadata")?;
        let spec = top.get("spec").ok_or_else(|| top.error("spec", "is required"))?;
        let known = ["background", "match", "conditions", "exceptions", "podSecurity"];
        let spec = Fields::new(spec, "spec", &known)?;
        let matched = spec.get("match").ok_or_else(|| spec.error("match", "is required"))?;
        let selection = Selection::parse(matched, "spec.match")?
            .ok_or_else(|| spec.error("match", "names nothing, so it would exempt nothing"))?;
        let mut exempted = Vec::new();
        for (path, item) in spec.list("exceptions")? {
            let fields = Fields::new(item, &path, &["policyName", "ruleNames"])?;
            let rules: Vec<Wildcard> =
                fields.texts("ruleNames")?.into_iter().map(Wildcard::new).collect();
            if rules.is_empty() {
                return Err(fields.error("ruleNames", "needs at least one rule"));
            }
            let policy = Wildcard::new(fields.required_text("policyName")?);
            exempted.push(Exempted { policy, rules });
        }
        if exempted.is_empty() {
            return Err(spec.error("exceptions", "needs at least one policy"));
        }
        let conditions = match spec.get("conditions") {
            Some(conditions) => Conditions::parse(conditions, "spec.conditions")?,
            None => Conditions::default(),
        };
        if !spec.list("podSecurity")?.is_empty() {
            return Err(spec.error("podSecurity", "is not evaluated by this version"));
        }
        Ok(Self {
            name: metadata.required_text("name")?.to_owned(),
            namespace: metadata.text("namespace")?.unwrap_or("default").to_owned(),
            exempted,
            asks_roles: selection.names_roles() || mentions_roles(document),
            selection,
            conditions,
            background: spec.flag("background")?.unwrap_or(true),
        })
    }

    /// Whether a document is of a kind that [`Self::parse`] reads.
    pub fn is_exception(document: &Value) -> bool {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        matches!(text("apiVersion"), "kyverno.io/v2" | "kyverno.io/v2beta1" | "kyverno.io/v2alpha1")
            && text("kind") == "PolicyException"
    }

    /// `namespace/name`.
    pub fn qualified_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(crate) fn asks_roles(&self) -> bool {
        self.asks_roles
    }

    pub(crate) fn is_background(&self) -> bool {
        self.background
    }

    pub(crate) fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Whether it speaks of a rule: by its name, or by the name of the rule it was derived from.
    pub(crate) fn names(&self, policy: &Policy, rule: &str) -> bool {
        let qualified = policy.qualified_name();
        self.exempted.iter().any(|exempted| {
            exempted.policy.matches(&qualified)
                && exempted.rules.iter().any(|name| name.matches(rule))
        })
    }

    pub(crate) fn fits(&self, target: &Target<'_>) -> bool {
        self.selection.includes(target)
    }
}
