//! Reading of GeneratingPolicy and NamespacedGeneratingPolicy documents (`policies.kyverno.io`).

use super::cel_kinds::{self, Head};
use super::expressions;
use super::generation::{GenerateRule, Work};
use super::{Action, Policy};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::RuleKind;
use serde_json::Value;

const CLUSTER_WIDE: &str = "GeneratingPolicy";
const NAMESPACED: &str = "NamespacedGeneratingPolicy";

pub(super) const SPEC_FIELDS: [&str; 8] = [
    "matchConstraints",
    "matchConditions",
    "variables",
    "generate",
    "evaluation",
    "webhookConfiguration",
    "failurePolicy",
    "reportMode",
];

pub(super) fn is_policy(document: &Value) -> bool {
    cel_kinds::is_of(document, &[CLUSTER_WIDE, NAMESPACED])
}

pub(super) fn policy(document: &Value) -> Result<Policy, ParseError> {
    let head = Head::read(document, NAMESPACED)?;
    let spec = Fields::tolerant(head.spec, "spec", &SPEC_FIELDS)?;
    let settings = cel_kinds::settings(&spec)?;
    let about = cel_kinds::constraints(&spec)?;
    let on_fault = cel_kinds::unevaluated(&settings);
    let namespaced = head.namespace.is_some();
    let (conditions, generation) = expressions::parse_generating(&spec, namespaced, on_fault)?;
    let enabled = |name: &str| {
        let setting = spec.get("evaluation").and_then(|value| value.get(name));
        setting.and_then(|value| value.get("enabled")).and_then(Value::as_bool)
    };
    let action = Action::Generate(Box::new(GenerateRule {
        synchronize: enabled("synchronize").unwrap_or(false),
        existing: enabled("generateExisting"),
        orphan: enabled("orphanDownstreamOnPolicyDelete").unwrap_or(false),
        work: Work::Expressions(Box::new(generation)),
    }));
    let rule = cel_kinds::rule(head.name, RuleKind::Generate, about, conditions, action);
    let kind = if namespaced { NAMESPACED } else { CLUSTER_WIDE };
    head.policy(kind, settings, vec![rule])
}
