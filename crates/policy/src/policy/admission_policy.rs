//! Reading of ValidatingAdmissionPolicy with its bindings (`admissionregistration.k8s.io`): the policy
//! says what must hold, and each binding where, with which parameters, and what a failure does.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

use serde_json::Value;

use super::cel_kinds::{self, Head, Resources};
use super::expressions::{self, Parameters};
use super::validation::{Assertion, Validation};
use super::{Action, Policy, Rule, Settings};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::{FailurePolicy, Mode, RuleKind, Status};
use crate::selection::{Filter, ResourceSelector, Selection};

const GROUP: &str = "admissionregistration.k8s.io";
const POLICY: &str = "ValidatingAdmissionPolicy";
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

const SPEC_FIELDS: [&str; 7] = [
    "paramKind",
    "matchConstraints",
    "validations",
    "failurePolicy",
    "auditAnnotations",
    "matchConditions",
    "variables",
];

/// Whether a document is a ValidatingAdmissionPolicy.
pub fn is_admission_policy(document: &Value) -> bool {
    cel_kinds::is_of_group(document, GROUP, &[POLICY])
}

/// A ValidatingAdmissionPolicyBinding.
#[derive(Debug, Clone)]
pub struct PolicyBinding {
    name: String,
    policy: String,
    spec: Value,
}

impl PolicyBinding {
    /// Whether a document is one.
    pub fn is_binding(document: &Value) -> bool {
        cel_kinds::is_of_group(document, GROUP, &[BINDING])
    }

    /// Reads one, and checks all of it that does not depend on the policy.
    ///
    /// # Errors
    /// An unknown field or value, or something missing: with its path.
    pub fn parse(document: &Value) -> Result<Self, ParseError> {
        let head = Head::read(document, "")?;
        let known = ["policyName", "paramRef", "matchResources", "validationActions"];
        let spec = Fields::new(head.spec, "spec", &known)?;
        let made = Self {
            name: head.name.to_owned(),
            policy: spec.required_text("policyName")?.to_owned(),
            spec: head.spec.clone(),
        };
        made.mode()?;
        made.place()?;
        if let Some(reference) = spec.get("paramRef") {
            Parameters::bound(&spec, ("", ""), reference, Status::Error)?;
        }
        Ok(made)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the policy that it puts into force.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    fn spec(&self) -> Result<Fields<'_>, ParseError> {
        Fields::open(&self.spec, "spec")
    }

    /// What a failure does.
    fn mode(&self) -> Result<Mode, ParseError> {
        let spec = self.spec()?;
        let actions = cel_kinds::actions(&spec)?;
        if actions.is_empty() {
            return Err(spec.error("validationActions", "needs at least one action"));
        }
        if actions.contains(&"Deny") && actions.contains(&"Warn") {
            let message =
                "`Deny` and `Warn` cannot stand together: one failure would be told twice";
            return Err(spec.error("validationActions", message));
        }
        Ok(if actions.contains(&"Deny") { Mode::Enforce } else { Mode::Audit })
    }

    /// Where it puts the policy into force: `None` for wherever the policy matches.
    fn place(&self) -> Result<Option<Resources>, ParseError> {
        self.spec()?
            .get("matchResources")
            .map(|value| {
                cel_kinds::match_resources(value, "spec.matchResources", || Some(everything()))
            })
            .transpose()
    }
}

/// What a binding that names no resources is about.
fn everything() -> Filter {
    let resources = ResourceSelector::new(&["*"], &["*"], &["*/*"]);
    Filter::of_resources(resources, Vec::new(), &[], None)
}

/// Reads a ValidatingAdmissionPolicy as it is in force: one rule for each binding, called as the binding
/// is. Without bindings the API server would not ask it at all; it gets one rule then, called as the
/// policy is, which judges what it matches as if it were bound everywhere and denied.
///
/// # Errors
/// An unknown field or value, something missing, an expression that does not compile: with its path.
pub fn parse_admission_policy(
    document: &Value,
    bindings: &[&PolicyBinding],
) -> Result<Policy, ParseError> {
    let head = Head::read(document, "")?;
    let spec = Fields::new(head.spec, "spec", &SPEC_FIELDS)?;
    let settings = cel_kinds::settings(&spec)?;
    let mut rules = Vec::new();
    for binding in bindings {
        rules.push(bound(&spec, &settings, binding)?);
    }
    if rules.is_empty() {
        rules.push(rule(&spec, head.name, &settings, None, Vec::new())?);
    }
    head.policy(POLICY, settings, rules)
}

fn bound(
    spec: &Fields<'_>,
    settings: &Settings,
    binding: &PolicyBinding,
) -> Result<Rule, ParseError> {
    let in_binding = binding.spec()?;
    let place = binding.place()?;
    let (matched, excluded) =
        place.map(|place| (place.matched, place.excluded)).unwrap_or_default();
    let made = rule(spec, &binding.name, settings, in_binding.get("paramRef"), excluded)?;
    Ok(Rule { mode: Some(binding.mode()?), confined_to: Selection::any(matched), ..made })
}

fn rule(
    spec: &Fields<'_>,
    name: &str,
    settings: &Settings,
    reference: Option<&Value>,
    mut excluded: Vec<Filter>,
) -> Result<Rule, ParseError> {
    let about = cel_kinds::constraints(spec)?;
    excluded.extend(about.excluded);
    excluded.push(itself());
    let on_fault = match settings.failure_policy {
        FailurePolicy::Fail => Status::Error,
        FailurePolicy::Ignore => Status::Skip,
    };
    let parameters = parameters(spec, reference, on_fault)?;
    let expressions = expressions::parse_admission(spec, parameters, on_fault)?;
    let assertion = Assertion::Cel(expressions);
    let validation = Validation { message: None, raw_message: String::new(), assertion };
    Ok(Rule {
        asks_roles: false,
        name: name.into(),
        kind: RuleKind::Validate,
        selection: Selection::Any(about.matched),
        confined_to: None,
        exclusion: Selection::any(excluded),
        context: Vec::new(),
        preconditions: crate::condition::Conditions::default(),
        skip_background_requests: false,
        action: Action::Validate(Box::new(validation)),
        mode: None,
        overrides: Vec::new(),
        allow_existing_violations: false,
        derived: false,
        cel_preconditions: Vec::new(),
    })
}

/// What such policies are never asked about: a cluster must be able to get rid of a bad one.
fn itself() -> Filter {
    let resources = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
    let resources = ResourceSelector::new(&[GROUP], &["*"], &resources);
    Filter::of_resources(resources, Vec::new(), &[], None)
}

/// The parameters of a policy with a binding's reference; without reference `params` is null.
fn parameters(
    spec: &Fields<'_>,
    reference: Option<&Value>,
    not_found: Status,
) -> Result<Option<Parameters>, ParseError> {
    let Some(kind) = spec.get("paramKind") else { return Ok(None) };
    let fields = Fields::new(kind, &spec.path("paramKind"), &["apiVersion", "kind"])?;
    let kind = (fields.required_text("apiVersion")?, fields.required_text("kind")?);
    reference.map(|reference| Parameters::bound(spec, kind, reference, not_found)).transpose()
}
