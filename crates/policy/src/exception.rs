//! `PolicyException`: requests that a rule is not held against. Those of `kyverno.io/v2` speak of
//! rules, those of `policies.kyverno.io` of CEL policies.

mod expiry;

use jiff::Timestamp;
use serde_json::Value;

use crate::condition::Conditions;
use crate::error::ParseError;
use crate::fields::Fields;
use crate::pod_security::Exclusion;
use crate::policy::expressions::{self, Precondition};
use crate::policy::{Policy, Rule, mentions_roles};
use crate::selection::{Selection, Target};
use crate::wildcard::Wildcard;

/// One exception.
#[derive(Debug)]
pub struct PolicyException {
    name: String,
    namespace: String,
    exempted: Vec<Exempted>,
    /// What requests it is about; `None` where its CEL conditions alone tell.
    selection: Option<Selection>,
    conditions: Conditions,
    cel_conditions: Vec<Precondition>,
    pod_security: Vec<Exclusion>,
    expires: Option<Timestamp>,
    background: bool,
    asks_roles: bool,
    passes: bool,
}

/// A policy that is exempted from.
#[derive(Debug)]
enum Exempted {
    /// Some rules of a policy of `kyverno.io`.
    Rules { policy: Wildcard, rules: Vec<Wildcard> },
    /// A CEL policy, by kind and name.
    Whole { kind: String, name: String },
}

/// Versions of `policies.kyverno.io` whose exceptions are read.
const CEL_VERSIONS: [&str; 3] =
    ["policies.kyverno.io/v1", "policies.kyverno.io/v1beta1", "policies.kyverno.io/v1alpha1"];

impl PolicyException {
    /// Reads an exception.
    ///
    /// # Errors
    /// An unknown field, something missing, an unreadable expression: with its path.
    pub fn parse(document: &Value) -> Result<Self, ParseError> {
        let top = Fields::new(document, "", &["apiVersion", "kind", "metadata", "spec", "status"])?;
        let version = top.required_text("apiVersion")?;
        if !Self::is_exception(document) {
            let message = format!("`{version}` is not a PolicyException that can be read");
            return Err(top.error("apiVersion", message));
        }
        let metadata = top.get("metadata").ok_or_else(|| top.error("metadata", "is required"))?;
        let metadata = Fields::open(metadata, "metadata")?;
        let spec = top.get("spec").ok_or_else(|| top.error("spec", "is required"))?;
        if CEL_VERSIONS.contains(&version) {
            return Self::parse_of_cel(&metadata, spec);
        }
        let known = [
            "background",
            "match",
            "conditions",
            "exceptions",
            "podSecurity",
            "expiresAt",
            "description",
            "properties",
            "reportResult",
        ];
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
            exempted.push(Exempted::Rules { policy, rules });
        }
        if exempted.is_empty() {
            return Err(spec.error("exceptions", "needs at least one policy"));
        }
        let conditions = match spec.get("conditions") {
            Some(conditions) => Conditions::parse(conditions, "spec.conditions")?,
            None => Conditions::default(),
        };
        Ok(Self {
            name: metadata.required_text("name")?.to_owned(),
            namespace: metadata.text("namespace")?.unwrap_or("default").to_owned(),
            exempted,
            asks_roles: selection.names_roles() || mentions_roles(document),
            selection: Some(selection),
            conditions,
            cel_conditions: Vec::new(),
            passes: false,
            pod_security: Exclusion::parse_list(&spec, "podSecurity")?,
            expires: expiry::read(&metadata, &spec)?,
            background: spec.flag("background")?.unwrap_or(true),
        })
    }

    fn parse_of_cel(metadata: &Fields<'_>, spec: &Value) -> Result<Self, ParseError> {
        let known = ["policyRefs", "matchConditions", "images", "allowedValues", "reportResult"];
        let spec = Fields::new(spec, "spec", &known)?;
        let mut exempted = Vec::new();
        for (path, item) in spec.list("policyRefs")? {
            let fields = Fields::new(item, &path, &["name", "kind"])?;
            exempted.push(Exempted::Whole {
                kind: fields.required_text("kind")?.to_owned(),
                name: fields.required_text("name")?.to_owned(),
            });
        }
        if exempted.is_empty() {
            return Err(spec.error("policyRefs", "needs at least one policy"));
        }
        for partial in ["images", "allowedValues"] {
            if !spec.list(partial)?.is_empty() {
                return Err(spec.error(partial, "is not evaluated by this version"));
            }
        }
        let passes = match spec.text("reportResult")? {
            None | Some("skip") => false,
            Some("pass") => true,
            Some(other) => {
                let message = format!("unknown value `{other}`, it is `skip` or `pass`");
                return Err(spec.error("reportResult", message));
            }
        };
        Ok(Self {
            name: metadata.required_text("name")?.to_owned(),
            namespace: metadata.text("namespace")?.unwrap_or("default").to_owned(),
            exempted,
            asks_roles: false,
            selection: None,
            conditions: Conditions::default(),
            cel_conditions: expressions::parse_conditions(&spec)?,
            pod_security: Vec::new(),
            expires: expiry::read(metadata, &spec)?,
            background: true,
            passes,
        })
    }

    /// Whether a document is of a kind that [`Self::parse`] reads.
    pub fn is_exception(document: &Value) -> bool {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        let version = text("apiVersion");
        let known =
            matches!(version, "kyverno.io/v2" | "kyverno.io/v2beta1" | "kyverno.io/v2alpha1");
        (known || CEL_VERSIONS.contains(&version)) && text("kind") == "PolicyException"
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

    /// Whether it has run out.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What is told of one that has run out.
    pub(crate) fn expiry_in_words(&self) -> String {
        let when = self.expires.map_or_else(String::new, |expires| format!(" at {expires}"));
        format!("; exception `{}` expired{when}", self.qualified_name())
    }

    /// When it runs out.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Whether it excuses some controls of a rule rather than the whole rule.
    pub(crate) fn is_partial_for(&self, rule: &Rule) -> bool {
        !self.pod_security.is_empty() && rule.action.is_pod_security()
    }

    /// The controls that it excuses, where it does not excuse the whole of a `podSecurity` rule.
    pub(crate) fn pod_security(&self) -> &[Exclusion] {
        &self.pod_security
    }

    pub(crate) fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Conditions in CEL.
    pub(crate) fn cel_conditions(&self) -> &[Precondition] {
        &self.cel_conditions
    }

    /// Whether it is an exception to policies that are CEL throughout.
    pub fn is_of_cel(&self) -> bool {
        self.exempted.iter().any(|exempted| matches!(exempted, Exempted::Whole { .. }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether what it covers counts as a pass.
    pub(crate) fn passes(&self) -> bool {
        self.passes
    }

    /// Whether it speaks of a rule: by its name, or by the name of the rule it was derived from.
    pub(crate) fn names(&self, policy: &Policy, rule: &str) -> bool {
        let qualified = policy.qualified_name();
        self.exempted.iter().any(|exempted| match exempted {
            Exempted::Rules { policy: named, rules } => {
                !policy.is_cel()
                    && named.matches(&qualified)
                    && rules.iter().any(|name| name.matches(rule))
            }
            Exempted::Whole { kind, name } => *kind == *policy.kind && *name == *policy.name,
        })
    }

    pub(crate) fn fits(&self, target: &Target<'_>) -> bool {
        self.selection.as_ref().is_none_or(|selection| selection.includes(target))
    }
}
