//! Reading of ValidatingAdmissionPolicy and MutatingAdmissionPolicy with their bindings
//! (`admissionregistration.k8s.io`): the policy says what must hold or what is changed, and each binding
//! where, with which parameters, and what a failure does.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>
//! <https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/>

use serde_json::Value;

use super::cel_kinds::{self, Head, Resources};
use super::expressions::{self, Parameters};
use super::{Policy, Rule, Settings};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::{Mode, RuleKind, Status};
use crate::selection::{Filter, ResourceSelector, Selection};

const GROUP: &str = "admissionregistration.k8s.io";

/// What such a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Validate,
    Mutate,
}

impl Purpose {
    fn of(document: &Value, kind: fn(Self) -> &'static str) -> Option<Self> {
        let is = |purpose: &Self| cel_kinds::is_of_group(document, GROUP, &[kind(*purpose)]);
        [Self::Validate, Self::Mutate].into_iter().find(is)
    }

    fn policy(self) -> &'static str {
        match self {
            Self::Validate => "ValidatingAdmissionPolicy",
            Self::Mutate => "MutatingAdmissionPolicy",
        }
    }

    fn binding(self) -> &'static str {
        match self {
            Self::Validate => "ValidatingAdmissionPolicyBinding",
            Self::Mutate => "MutatingAdmissionPolicyBinding",
        }
    }

    /// The resources of both kinds.
    fn resources(self) -> [&'static str; 2] {
        match self {
            Self::Validate => ["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
            Self::Mutate => ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"],
        }
    }

    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Validate => &[
                "paramKind",
                "matchConstraints",
                "validations",
                "failurePolicy",
                "auditAnnotations",
                "matchConditions",
                "variables",
            ],
            Self::Mutate => &[
                "paramKind",
                "matchConstraints",
                "mutations",
                "failurePolicy",
                "reinvocationPolicy",
                "matchConditions",
                "variables",
            ],
        }
    }
}

/// Whether a document is a ValidatingAdmissionPolicy or a MutatingAdmissionPolicy.
pub fn is_admission_policy(document: &Value) -> bool {
    Purpose::of(document, Purpose::policy).is_some()
}

/// A ValidatingAdmissionPolicyBinding or MutatingAdmissionPolicyBinding.
#[derive(Debug, Clone)]
pub struct PolicyBinding {
    purpose: Purpose,
    name: String,
    policy: String,
    spec: Value,
}

impl PolicyBinding {
    /// Whether a document is one.
    pub fn is_binding(document: &Value) -> bool {
        Purpose::of(document, Purpose::binding).is_some()
    }

    /// Reads one, and checks all of it that does not depend on the policy.
    ///
    /// # Errors
    /// An unknown field or value, or something missing: with its path.
    pub fn parse(document: &Value) -> Result<Self, ParseError> {
        let head = Head::read(document, "")?;
        let purpose = Purpose::of(document, Purpose::binding);
        let purpose = purpose.ok_or_else(|| ParseError::new("kind", "is no policy's binding"))?;
        let known: &[&str] = match purpose {
            Purpose::Validate => &["policyName", "paramRef", "matchResources", "validationActions"],
            Purpose::Mutate => &["policyName", "paramRef", "matchResources"],
        };
        let spec = Fields::new(head.spec, "spec", known)?;
        let made = Self {
            purpose,
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

    /// Whether it puts this policy into force.
    pub fn binds(&self, policy: &Value) -> bool {
        Purpose::of(policy, Purpose::policy) == Some(self.purpose)
            && policy.pointer("/metadata/name").and_then(Value::as_str) == Some(&*self.policy)
    }

    fn spec(&self) -> Result<Fields<'_>, ParseError> {
        Fields::open(&self.spec, "spec")
    }

    /// What a failure does.
    fn mode(&self) -> Result<Mode, ParseError> {
        if self.purpose == Purpose::Mutate {
            return Ok(Mode::Enforce);
        }
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
                cel_kinds::match_resources(value, "spec.matchResources", Some(everything()))
            })
            .transpose()
    }
}

/// What a binding that names no resources is about.
fn everything() -> Filter {
    let resources = ResourceSelector::new(&["*"], &["*"], &["*/*"]);
    Filter::of_resources(resources, Vec::new(), &[], None)
}

/// Reads a policy as it is in force: one rule for each binding, called as the binding is. Without bindings
/// the API server would not ask it at all; it gets one rule then, called as the policy is, as if it were
/// bound everywhere, with `Deny`.
///
/// # Errors
/// An unknown field or value, something missing, an expression that does not compile: with its path.
pub fn parse_admission_policy(
    document: &Value,
    bindings: &[&PolicyBinding],
) -> Result<Policy, ParseError> {
    let head = Head::read(document, "")?;
    let purpose = Purpose::of(document, Purpose::policy);
    let purpose = purpose.ok_or_else(|| ParseError::new("kind", "is no admission policy"))?;
    let spec = Fields::new(head.spec, "spec", purpose.fields())?;
    let settings = cel_kinds::settings(&spec)?;
    let mut rules = Vec::new();
    for binding in bindings {
        rules.push(bound(purpose, &spec, &settings, binding)?);
    }
    if rules.is_empty() {
        let name = head.name;
        rules.push(rule(purpose, &spec, name, &settings, None, Vec::new())?);
    }
    head.policy(purpose.policy(), settings, rules)
}

fn bound(
    purpose: Purpose,
    spec: &Fields<'_>,
    settings: &Settings,
    binding: &PolicyBinding,
) -> Result<Rule, ParseError> {
    let in_binding = binding.spec()?;
    let place = binding.place()?;
    let (matched, excluded) =
        place.map(|place| (place.matched, place.excluded)).unwrap_or_default();
    let reference = in_binding.get("paramRef");
    let made = rule(purpose, spec, &binding.name, settings, reference, excluded)?;
    Ok(Rule { mode: Some(binding.mode()?), confined_to: Selection::any(matched), ..made })
}

fn rule(
    purpose: Purpose,
    spec: &Fields<'_>,
    name: &str,
    settings: &Settings,
    reference: Option<&Value>,
    excluded: Vec<Filter>,
) -> Result<Rule, ParseError> {
    let mut about = cel_kinds::constraints(spec)?;
    about.excluded.extend(excluded);
    about.excluded.push(itself(purpose));
    let on_fault = cel_kinds::unevaluated(settings);
    let parameters = parameters(spec, reference, on_fault)?;
    Ok(match purpose {
        Purpose::Validate => {
            let expressions = expressions::parse_admission(spec, parameters, on_fault)?;
            let action = cel_kinds::demanding(expressions);
            cel_kinds::rule(name, RuleKind::Validate, about, Vec::new(), action)
        }
        Purpose::Mutate => {
            cel_kinds::check_reinvocation(spec)?;
            let (conditions, changes) =
                expressions::parse_mutating_admission(spec, parameters, on_fault)?;
            let action = cel_kinds::changing(changes);
            cel_kinds::rule(name, RuleKind::Mutate, about, conditions, action)
        }
    })
}

/// What such policies are never asked about: a cluster must be able to get rid of a bad one.
fn itself(purpose: Purpose) -> Filter {
    let resources = ResourceSelector::new(&[GROUP], &["*"], &purpose.resources());
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
