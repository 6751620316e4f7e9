//! Reading of MutatingPolicy and NamespacedMutatingPolicy documents (`policies.kyverno.io`).

use serde_json::{Value, json};

use super::cel_kinds::{self, Head};
use super::expressions;
use super::{Action, Policy, Rule, Settings};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::RuleKind;

const CLUSTER_WIDE: &str = "MutatingPolicy";
const NAMESPACED: &str = "NamespacedMutatingPolicy";

pub(super) const SPEC_FIELDS: [&str; 12] = [
    "matchConstraints",
    "targetMatchConstraints",
    "mutations",
    "failurePolicy",
    "auditAnnotations",
    "matchConditions",
    "variables",
    "autogen",
    "webhookConfiguration",
    "evaluation",
    "reinvocationPolicy",
    "reportMode",
];

pub(super) fn is_policy(document: &Value) -> bool {
    cel_kinds::is_of(document, &[CLUSTER_WIDE, NAMESPACED])
}

pub(super) fn policy(document: &Value) -> Result<Policy, ParseError> {
    let head = Head::read(document, NAMESPACED)?;
    let spec = Fields::tolerant(head.spec, "spec", &SPEC_FIELDS)?;
    cel_kinds::check_reinvocation(&spec)?;
    let settings = cel_kinds::settings(&spec)?;
    let namespaced = head.namespace.is_some();
    let mut rules = vec![rule(&spec, &spec, head.name, &settings, namespaced, None)?];
    for (template, constraints) in cel_kinds::derived_for(&spec)? {
        let about = json!({ "matchConstraints": constraints });
        let about = Fields::open(&about, "spec")?;
        let name = format!("{}{}", template.prefix(), head.name);
        let keys = Some(template.keys());
        let derived = rule(&spec, &about, &name, &settings, namespaced, keys)?;
        rules.push(Rule { derived: true, ..derived });
    }
    let kind = if namespaced { NAMESPACED } else { CLUSTER_WIDE };
    head.policy(kind, settings, rules)
}

/// The rule of a policy about what `about` selects. Of controllers it sees the pod's template, at
/// `template`, in the place of the pod.
fn rule(
    spec: &Fields<'_>,
    about: &Fields<'_>,
    name: &str,
    settings: &Settings,
    namespaced: bool,
    template: Option<&'static [&'static str]>,
) -> Result<Rule, ParseError> {
    let about = cel_kinds::constraints(about)?;
    let (conditions, changes) =
        expressions::parse_mutating(spec, namespaced, cel_kinds::unevaluated(settings), template)?;
    let targets_others = spec.get("targetMatchConstraints").is_some_and(|value| !value.is_null());
    let existing = spec.get("evaluation").and_then(|value| value.get("mutateExisting"));
    let changes_existing =
        existing.and_then(|value| value.get("enabled")).and_then(Value::as_bool) == Some(true);
    let action = if targets_others {
        Action::NotSupported("targetMatchConstraints")
    } else if changes_existing {
        // Such a policy leaves requests as they are.
        Action::NotSupported("evaluation.mutateExisting")
    } else {
        cel_kinds::changing(changes)
    };
    Ok(cel_kinds::rule(name, RuleKind::Mutate, about, conditions, action))
}
