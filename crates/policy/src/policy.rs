//! Policies as parsed: what they are called, how they act, and their rules ready to be judged.

mod admission_policy;
mod autogen;
mod cel_kinds;
pub(crate) mod deleting;
pub(crate) mod expressions;
pub(crate) mod functions;
mod gatekeeper;
mod generating;
mod generation;
mod mutating;
mod mutation;
mod parameters_schema;
mod parse;
mod types;
mod validating;
mod validation;
mod verification;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::condition::Conditions;
use crate::context::ContextEntry;
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::{FailurePolicy, Mode, RuleKind};
use crate::selection::{Filter, LabelSelector, Selection};
use crate::wildcard::Wildcard;
pub use admission_policy::{PolicyBinding, is_admission_policy, parse_admission_policy};
pub(crate) use gatekeeper::Constraint;
pub use gatekeeper::{ConstraintTemplate, is_constraint, is_template};
pub(crate) use generating::Generating;
pub(crate) use generation::{
    GenerateEach, GenerateRule, ObjectTemplate, Product, SourceKind, Work,
};
pub(crate) use mutation::{Change, Loop, Mutate, Operations, Patch, Target as MutateTarget};
pub(crate) use parse::mentions_roles;
pub use types::{TypeWarning, type_warnings};
pub(crate) use validation::{Assertion, ForEach, PatternSource, PodSecurity, Validation};
pub(crate) use verification::ImageVerification;

/// Reads a policy document (`kyverno.io` ClusterPolicy or Policy, `policies.kyverno.io`
/// ValidatingPolicy, MutatingPolicy, GeneratingPolicy and their namespaced twins) and compiles its expressions.
///
/// # Errors
/// Anything that is not a policy, an unknown field, an unreadable expression: with its path.
pub fn parse(document: &Value) -> Result<Policy, ParseError> {
    if validating::is_policy(document) {
        validating::policy(document)
    } else if mutating::is_policy(document) {
        mutating::policy(document)
    } else if generating::is_policy(document) {
        generating::policy(document)
    } else {
        parse::policy(document)
    }
}

/// The rules that are derived from a policy's rules for pods, as they would be written out.
pub fn derived_rules(document: &Value) -> Vec<Value> {
    let spec = document.get("spec").unwrap_or(&Value::Null);
    let annotation = document
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(autogen::ANNOTATION).and_then(Value::as_str).map(str::to_owned));
    let controllers = autogen::controllers(spec, annotation.as_ref());
    let rules = spec.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    rules.iter().flat_map(|rule| autogen::derive(rule, &controllers)).collect()
}

/// Paths of the settings in a policy's document that are not known here and have no effect: what a later
/// version of upstream has added.
pub fn unknown_settings(document: &Value) -> Vec<String> {
    let known: &[&str] = if validating::is_policy(document) {
        &validating::SPEC_FIELDS
    } else if mutating::is_policy(document) {
        &mutating::SPEC_FIELDS
    } else if generating::is_policy(document) {
        &generating::SPEC_FIELDS
    } else {
        &parse::SPEC_FIELDS
    };
    let spec = document.get("spec").unwrap_or(&Value::Null);
    let rules = spec.get("rules").and_then(Value::as_array).into_iter().flatten().enumerate();
    let rules = rules.map(|(place, rule)| (format!("spec.rules[{place}]"), rule));
    let mut found = Vec::new();
    for (path, value) in [("spec".to_owned(), spec)].into_iter().chain(rules) {
        let known = if path == "spec" { known } else { &parse::RULE_FIELDS };
        if let Ok(fields) = Fields::open(value, &path) {
            found.extend(fields.unknown(known).map(|name| fields.path(name)));
        }
    }
    found
}

/// Whether a document is of a kind that [`parse`] reads.
pub fn is_policy(document: &Value) -> bool {
    let kinds =
        [parse::is_policy, validating::is_policy, mutating::is_policy, generating::is_policy];
    kinds.iter().any(|is_policy| is_policy(document))
}

/// One policy.
#[derive(Debug)]
pub struct Policy {
    pub(crate) kind: Cow<'static, str>,
    pub(crate) name: Arc<str>,
    pub(crate) namespace: Option<Arc<str>>,
    uid: Option<String>,
    resource_version: Option<String>,
    annotations: BTreeMap<String, String>,
    pub(crate) settings: Settings,
    pub(crate) rules: Vec<Rule>,
    /// Controllers whose pods are judged through them alone (the autogen annotation).
    pub(crate) managed_by: Option<String>,
}

/// How a policy acts.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the document")]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) overrides: Vec<ModeOverride>,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) timeout_seconds: Option<u32>,
    pub(crate) match_conditions: Vec<MatchCondition>,
    pub(crate) background: bool,
    pub(crate) admission: bool,
    pub(crate) apply_one: bool,
    pub(crate) emit_warning: bool,
    /// Whether generate rules that say nothing of it look at objects older than the policy.
    pub(crate) generate_existing: bool,
    pub(crate) server_side_apply: bool,
    pub(crate) mutate_existing_on_update: bool,
}

/// A CEL condition that the API server checks before it calls the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchCondition {
    /// Its name.
    pub name: String,
    /// The CEL expression.
    pub expression: String,
}

/// Another mode for some namespaces.
#[derive(Debug)]
pub(crate) struct ModeOverride {
    pub(crate) mode: Mode,
    pub(crate) namespaces: Vec<Wildcard>,
    pub(crate) namespace_selector: Option<LabelSelector>,
}

/// One rule, written or derived from a rule for pods.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the document or says what it asks for"
)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) kind: RuleKind,
    pub(crate) selection: Selection,
    /// What it must also be about (the resources of a binding).
    pub(crate) confined_to: Option<Selection>,
    pub(crate) exclusion: Option<Selection>,
    pub(crate) context: Vec<ContextEntry>,
    pub(crate) preconditions: Conditions,
    pub(crate) skip_background_requests: bool,
    pub(crate) action: Action,
    pub(crate) mode: Option<Mode>,
    pub(crate) overrides: Vec<ModeOverride>,
    pub(crate) allow_existing_violations: bool,
    /// Whether it was derived from a rule for pods.
    pub(crate) derived: bool,
    /// Whether it must know the roles of the user.
    pub(crate) asks_roles: bool,
    pub(crate) cel_preconditions: Vec<expressions::Precondition>,
}

/// What a rule does.
#[derive(Debug)]
pub(crate) enum Action {
    Validate(Box<Validation>),
    Generate(Box<GenerateRule>),
    Mutate(Box<Mutate>),
    VerifyImages(Vec<ImageVerification>),
    /// Something that is not done yet, in words.
    NotSupported(&'static str),
}

impl Action {
    /// What the CEL of a rule shares: variables, and what is said where an expression has no value.
    pub(crate) fn shared_by_expressions(&self) -> Option<expressions::Shared<'_>> {
        match self {
            Self::Validate(validation) => {
                validation.expressions().map(expressions::Expressions::shared)
            }
            Self::Generate(generation) => match &generation.work {
                Work::Expressions(expressions) => Some(expressions.shared()),
                Work::Once(_) | Work::ForEach(_) => None,
            },
            Self::Mutate(mutate) => match &mutate.change {
                Change::Expressions(changes) => Some(changes.shared()),
                Change::Patch(_) | Change::ForEach(_) => None,
            },
            _ => None,
        }
    }

    pub(crate) fn is_pod_security(&self) -> bool {
        matches!(self, Self::Validate(validation)
            if matches!(validation.assertion, Assertion::PodSecurity(_)))
    }
}

impl Policy {
    /// Its kind, as in `ClusterPolicy`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether it is of a kind that is CEL throughout.
    pub(crate) fn is_cel(&self) -> bool {
        !matches!(&*self.kind, "ClusterPolicy" | "Policy")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace; `None` for cluster-wide policies.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Its uid, if the document has one.
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// Its resource version, if the document has one.
    pub fn resource_version(&self) -> Option<&str> {
        self.resource_version.as_deref()
    }

    /// Its annotations, among them the controls it stands for.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Whether it judges what already runs.
    pub fn is_background(&self) -> bool {
        self.settings.background
    }

    /// Whether it judges requests.
    pub fn is_admission(&self) -> bool {
        self.settings.admission
    }

    /// Whether it must know the roles of the user.
    pub fn asks_roles(&self) -> bool {
        self.rules.iter().any(|rule| rule.asks_roles)
    }

    /// What a failure does where no override says otherwise.
    pub fn mode(&self) -> Mode {
        self.settings.mode
    }

    /// Every mode that a failure of it can have, overrides and rules included.
    pub fn modes(&self) -> Vec<Mode> {
        let settings = &self.settings;
        let of_rules = self.rules.iter().flat_map(|rule| {
            let own = rule.mode.unwrap_or(settings.mode);
            rule.overrides.iter().map(|entry| entry.mode).chain([own])
        });
        let all: Vec<Mode> =
            settings.overrides.iter().map(|entry| entry.mode).chain(of_rules).collect();
        [Mode::Enforce, Mode::Audit].into_iter().filter(|mode| all.contains(mode)).collect()
    }

    /// What becomes of requests that it cannot judge.
    pub fn failure_policy(&self) -> FailurePolicy {
        self.settings.failure_policy
    }

    /// The CEL conditions under which the API server asks about it at all.
    pub fn match_conditions(&self) -> &[MatchCondition] {
        &self.settings.match_conditions
    }

    /// Whether violations of it in Audit mode are also said to the user.
    pub fn emits_warnings(&self) -> bool {
        self.settings.emit_warning
    }

    /// Whether it has rules that change the object of a request.
    pub fn mutates(&self) -> bool {
        self.mutations().any(|mutate| mutate.targets.is_empty())
    }

    /// Whether it has rules that change objects that exist.
    pub fn mutates_existing(&self) -> bool {
        self.mutations().any(|mutate| !mutate.targets.is_empty())
    }

    /// Whether it changes objects that exist also when it is made or changed itself.
    pub fn mutates_existing_on_update(&self) -> bool {
        self.mutations().filter(|mutate| !mutate.targets.is_empty()).any(|mutate| {
            mutate.on_policy_update.unwrap_or(self.settings.mutate_existing_on_update)
        })
    }

    fn mutations(&self) -> impl Iterator<Item = &Mutate> {
        self.rules.iter().filter_map(|rule| match &rule.action {
            Action::Mutate(mutate) => Some(&**mutate),
            _ => None,
        })
    }

    /// Names of its rules, derived ones included, in order.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    /// Whether it judges objects, and no failure of it refuses a request.
    pub fn only_audits(&self) -> bool {
        self.rules.iter().any(|rule| rule.kind == RuleKind::Validate)
            && !(self.is_admission() && self.modes().contains(&Mode::Enforce))
    }

    /// The namespaces that its rules name, globs as they are written; none where it is about all.
    pub fn namespaces(&self) -> Vec<String> {
        if let Some(own) = &self.namespace {
            return vec![own.to_string()];
        }
        let filters = self.rules.iter().flat_map(|rule| rule.selection.filters());
        filters.flat_map(Filter::namespace_globs).map(str::to_owned).collect()
    }

    /// What in it is not judged yet: (rule, what).
    pub fn not_supported(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.iter().filter_map(|rule| match rule.action {
            Action::NotSupported(what) => Some((&*rule.name, what)),
            Action::VerifyImages(_) => Some((&*rule.name, "verifyImages")),
            Action::Validate(_) | Action::Mutate(_) | Action::Generate(_) => None,
        })
    }
}
