//! Reading of GeneratingPolicy and NamespacedGeneratingPolicy documents (`policies.kyverno.io`).

use proofstream_cel::{Program, Type};
use serde_json::Value;

use super::cel_kinds::{self, Head};
use super::expressions::{
    OnFault, Precondition, Shared, compile, declarations_of_policies, entries, preconditions,
    variables,
};
use super::generation::{GenerateRule, Work};
use super::{Action, Policy, functions};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::{RuleKind, Status};

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
    let (conditions, generation) = expressions(&spec, namespaced, on_fault)?;
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

/// Expressions that make objects.
#[derive(Debug)]
pub(crate) struct Generating {
    /// Values of `variables.…`; each may use those before it.
    pub(crate) variables: Vec<Program>,
    pub(crate) programs: Vec<Program>,
    pub(crate) on_fault: OnFault,
    /// `apiVersion` and kind of objects that are written out in them.
    pub(crate) kinds: Vec<(String, String)>,
}

impl Generating {
    pub(crate) fn shared(&self) -> Shared<'_> {
        Shared { variables: &self.variables, on_fault: self.on_fault, template: None }
    }
}

/// Reads the expressions of a GeneratingPolicy.
fn expressions(
    spec: &Fields<'_>,
    namespaced: bool,
    precondition: Status,
) -> Result<(Vec<Precondition>, Generating), ParseError> {
    let mut declared = declarations_of_policies(namespaced);
    functions::declare_generator(&mut declared);
    let variables = variables(spec, &mut declared)?;
    let mut programs = Vec::new();
    for (path, item) in entries(spec, "generate")? {
        let inner = Fields::new(item, &path, &["expression"])?;
        programs.push(compile(&inner, "expression", &declared, Some(&Type::Bool))?);
    }
    if programs.is_empty() {
        return Err(spec.error("generate", "needs at least one expression"));
    }
    let conditions = preconditions(spec, "matchConditions", &declared)?;
    let on_fault = OnFault { demand: Status::Error, precondition, goes_on: false };
    let kinds = variables.iter().chain(&programs).flat_map(written_kinds).collect();
    Ok((conditions, Generating { variables, programs, on_fault, kinds }))
}

/// The kinds of objects that are written out in an expression; none where that is not plain to see.
fn written_kinds(program: &Program) -> Vec<(String, String)> {
    let all = |key: &str| -> Vec<String> {
        let pattern = format!(r#"["']{key}["']\s*:\s*(?:dyn\(\s*)?["']([^"']+)["']"#);
        let Ok(pattern) = regex::Regex::new(&pattern) else { return Vec::new() };
        let found = pattern.captures_iter(program.expression());
        found.filter_map(|groups| Some(groups.get(1)?.as_str().to_owned())).collect()
    };
    let (versions, kinds) = (all("apiVersion"), all("kind"));
    if versions.len() != kinds.len() {
        return Vec::new();
    }
    versions.into_iter().zip(kinds).collect()
}
