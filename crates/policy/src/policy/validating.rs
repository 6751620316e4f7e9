//! Reading of ValidatingPolicy and NamespacedValidatingPolicy documents (`policies.kyverno.io`).

use serde_json::{Map, Value};

use super::autogen::{self, Template};
use super::cel_kinds::{self, Head};
use super::expressions;
use super::{Action, Policy, Rule, Settings};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::RuleKind;

const CLUSTER_WIDE: &str = "ValidatingPolicy";
const NAMESPACED: &str = "NamespacedValidatingPolicy";

pub(super) const SPEC_FIELDS: [&str; 12] = [
    "matchConstraints",
    "validations",
    "failurePolicy",
    "auditAnnotations",
    "matchConditions",
    "variables",
    "autogen",
    "validationActions",
    "webhookConfiguration",
    "evaluation",
    "admission",
    "reportMode",
];

pub(super) fn is_policy(document: &Value) -> bool {
    cel_kinds::is_of(document, &[CLUSTER_WIDE, NAMESPACED])
}

pub(super) fn policy(document: &Value) -> Result<Policy, ParseError> {
    let head = Head::read(document, NAMESPACED)?;
    let fields = Fields::tolerant(head.spec, "spec", &SPEC_FIELDS)?;
    let settings = cel_kinds::settings(&fields)?;
    let rules = rules(head.spec, &fields, head.name, &settings, head.namespace.as_deref())?;
    let kind = if head.namespace.is_some() { NAMESPACED } else { CLUSTER_WIDE };
    head.policy(kind, settings, rules)
}

/// The rule as written, which is called as the policy is, and those derived from it for the
/// controllers of pods.
fn rules(
    spec: &Value,
    fields: &Fields<'_>,
    name: &str,
    settings: &Settings,
    namespace: Option<&str>,
) -> Result<Vec<Rule>, ParseError> {
    let mode = fields.get("evaluation").and_then(|value| value.get("mode")).and_then(Value::as_str);
    match mode {
        None | Some("Kubernetes") => {}
        Some("JSON") => {
            let mut only = rule(fields, name, settings, namespace)?;
            only.action = Action::NotSupported("evaluation.mode JSON");
            return Ok(vec![only]);
        }
        Some(other) => {
            let message = format!("unknown mode `{other}`, it is `Kubernetes` or `JSON`");
            return Err(ParseError::new("spec.evaluation.mode", message));
        }
    }
    let mut made = vec![rule(fields, name, settings, namespace)?];
    for (template, constraints) in cel_kinds::derived_for(fields)? {
        let derived = derive(spec, template, constraints);
        let fields = Fields::open(&derived, "spec")?;
        let name = format!("{}{name}", template.prefix());
        let mut derived = rule(&fields, &name, settings, namespace)?;
        derived.derived = true;
        made.push(derived);
    }
    Ok(made)
}

/// A specification for controllers: what expressions read of a pod becomes what they read of the
/// template.
fn derive(spec: &Value, template: Template, constraints: Value) -> Value {
    let mut made = Map::new();
    for part in ["matchConditions", "validations", "auditAnnotations", "variables"] {
        if let Some(value) = spec.get(part) {
            let mut value = value.clone();
            autogen::rewrite(&mut value, template, "", &[".namespace", ".name"]);
            made.insert(part.to_owned(), value);
        }
    }
    made.insert("matchConstraints".to_owned(), constraints);
    Value::Object(made)
}

fn rule(
    spec: &Fields<'_>,
    name: &str,
    settings: &Settings,
    namespace: Option<&str>,
) -> Result<Rule, ParseError> {
    let about = cel_kinds::constraints(spec)?;
    let (conditions, expressions) =
        expressions::parse_validating(spec, namespace.is_some(), cel_kinds::unevaluated(settings))?;
    let action = cel_kinds::demanding(expressions);
    Ok(cel_kinds::rule(name, RuleKind::Validate, about, conditions, action))
}
