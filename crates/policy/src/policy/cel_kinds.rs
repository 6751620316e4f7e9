//! What the CEL kinds of `policies.kyverno.io` have in common: how a policy is called, how it acts, what
//! it is about, and for which controllers of pods it gets rules.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::autogen::{self, Template};
use super::expressions::{Changes, Expressions, Precondition};
use super::mutation::{Change, Mutate};
use super::validation::{Assertion, Validation};
use super::{Action, Policy, Rule, Settings};
use crate::condition::Conditions;
use crate::error::ParseError;
use crate::fields::Fields;
use crate::request::Operation;
use crate::response::{FailurePolicy, Mode, RuleKind, Status};
use crate::selection::{Filter, LabelSelector, ResourceSelector, Selection};
use crate::spelling;

const GROUP: &str = "policies.kyverno.io";
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

/// Controllers that get rules where nothing says otherwise: resource, API group, whether the
/// template is a job's.
const CONTROLLERS: [(&str, &str, bool); 6] = [
    ("daemonsets", "apps", false),
    ("deployments", "apps", false),
    ("jobs", "batch", false),
    ("replicasets", "apps", false),
    ("statefulsets", "apps", false),
    ("cronjobs", "batch", true),
];

/// Whether a document is of Kyverno's group, and of one of these kinds.
pub(super) fn is_of(document: &Value, kinds: &[&str]) -> bool {
    is_of_group(document, GROUP, kinds)
}

/// Whether a document is of a group, and of one of these kinds.
pub(super) fn is_of_group(document: &Value, wanted: &str, kinds: &[&str]) -> bool {
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    text("apiVersion")
        .split_once('/')
        .is_some_and(|(group, version)| group == wanted && VERSIONS.contains(&version))
        && kinds.contains(&text("kind"))
}

/// How a policy is called, and what it says.
pub(super) struct Head<'v> {
    pub(super) name: &'v str,
    /// That of a policy of the namespaced kind.
    pub(super) namespace: Option<Arc<str>>,
    pub(super) spec: &'v Value,
    metadata: Fields<'v>,
}

impl<'v> Head<'v> {
    /// Reads all of a document but its specification.
    pub(super) fn read(document: &'v Value, namespaced: &str) -> Result<Self, ParseError> {
        let top = Fields::new(document, "", &["apiVersion", "kind", "metadata", "spec", "status"])?;
        let namespaced = top.required_text("kind")? == namespaced;
        let metadata = top.get("metadata").ok_or_else(|| top.error("metadata", "is required"))?;
        let metadata = Fields::open(metadata, "metadata")?;
        let namespace = namespaced.then(|| metadata.text("namespace")).transpose()?;
        let namespace = namespace
            .map(|given| given.filter(|text| !text.is_empty()).unwrap_or("default").into());
        let spec = top.get("spec").ok_or_else(|| top.error("spec", "is required"))?;
        Ok(Self { name: metadata.required_text("name")?, namespace, spec, metadata })
    }

    /// The policy of these rules.
    pub(super) fn policy(
        self,
        kind: impl Into<Cow<'static, str>>,
        settings: Settings,
        rules: Vec<Rule>,
    ) -> Result<Policy, ParseError> {
        let annotations: BTreeMap<String, String> = self
            .metadata
            .text_map("annotations")?
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok(Policy {
            kind: kind.into(),
            name: self.name.into(),
            namespace: self.namespace,
            uid: self.metadata.text("uid")?.map(str::to_owned),
            resource_version: self.metadata.text("resourceVersion")?.map(str::to_owned),
            annotations,
            settings,
            rules,
            managed_by: None,
        })
    }
}

/// Reads how a policy acts.
pub(super) fn settings(spec: &Fields<'_>) -> Result<Settings, ParseError> {
    let failure_policy = match spec.text("failurePolicy")? {
        None | Some("Fail") => FailurePolicy::Fail,
        Some("Ignore") => FailurePolicy::Ignore,
        Some(other) => {
            let message = format!("unknown value `{other}`, it is `Fail` or `Ignore`");
            return Err(spec.error("failurePolicy", message));
        }
    };
    let webhook = spec
        .get("webhookConfiguration")
        .map(|value| Fields::new(value, &spec.path("webhookConfiguration"), &["timeoutSeconds"]));
    let timeout_seconds = match webhook.transpose()? {
        None => None,
        Some(webhook) => webhook
            .integer("timeoutSeconds")?
            .map(|seconds| {
                let fits = u32::try_from(seconds).ok().filter(|seconds| (1..=30).contains(seconds));
                fits.ok_or_else(|| {
                    webhook.error("timeoutSeconds", format!("`{seconds}` is not in 1 to 30"))
                })
            })
            .transpose()?,
    };
    let evaluation = match spec.get("evaluation") {
        Some(value) => {
            let known = [
                "mode",
                "admission",
                "background",
                "mutateExisting",
                "synchronize",
                "generateExisting",
                "orphanDownstreamOnPolicyDelete",
            ];
            Some(Fields::new(value, &spec.path("evaluation"), &known)?)
        }
        None => None,
    };
    let enabled = |name: &str| {
        let Some(value) = evaluation.as_ref().and_then(|fields| Some((fields, fields.get(name)?)))
        else {
            return Ok(true);
        };
        let inner = Fields::new(value.1, &value.0.path(name), &["enabled"])?;
        Ok::<_, ParseError>(inner.flag("enabled")?.unwrap_or(true))
    };
    let actions = actions(spec)?;
    let denies = actions.is_empty() || actions.contains(&"Deny");
    Ok(Settings {
        generate_existing: false,
        server_side_apply: false,
        mutate_existing_on_update: false,
        mode: if denies { Mode::Enforce } else { Mode::Audit },
        overrides: Vec::new(),
        failure_policy,
        timeout_seconds,
        match_conditions: Vec::new(),
        background: enabled("background")?,
        admission: enabled("admission")?,
        apply_one: false,
        emit_warning: actions.contains(&"Warn"),
    })
}

/// What a rule says where a condition has no value.
pub(super) fn unevaluated(settings: &Settings) -> Status {
    match settings.failure_policy {
        FailurePolicy::Fail => Status::Error,
        FailurePolicy::Ignore => Status::Skip,
    }
}

/// Checks `reinvocationPolicy`, which is the API server's affair.
pub(super) fn check_reinvocation(spec: &Fields<'_>) -> Result<(), ParseError> {
    match spec.text("reinvocationPolicy")? {
        None | Some("Never" | "IfNeeded" | "") => Ok(()),
        Some(word) => {
            let message = format!("unknown value `{word}`, it is `Never` or `IfNeeded`");
            Err(spec.error("reinvocationPolicy", message))
        }
    }
}

/// A rule of a policy that is CEL throughout.
pub(super) fn rule(
    name: &str,
    kind: RuleKind,
    about: Resources,
    conditions: Vec<Precondition>,
    action: Action,
) -> Rule {
    Rule {
        asks_roles: false,
        name: name.into(),
        kind,
        selection: Selection::Any(about.matched),
        confined_to: None,
        exclusion: Selection::any(about.excluded),
        context: Vec::new(),
        preconditions: Conditions::default(),
        skip_background_requests: false,
        action,
        mode: None,
        overrides: Vec::new(),
        allow_existing_violations: false,
        derived: false,
        cel_preconditions: conditions,
    }
}

/// What a rule does that demands what expressions say.
pub(super) fn demanding(expressions: Expressions) -> Action {
    let assertion = Assertion::Cel(expressions);
    let validation = Validation { message: None, raw_message: String::new(), assertion };
    Action::Validate(Box::new(validation))
}

/// What a rule does that changes the object as expressions say.
pub(super) fn changing(changes: Changes) -> Action {
    let change = Change::Expressions(Box::new(changes));
    Action::Mutate(Box::new(Mutate { change, targets: Vec::new(), on_policy_update: None }))
}

/// The words of `validationActions`.
pub(super) fn actions<'v>(spec: &Fields<'v>) -> Result<Vec<&'v str>, ParseError> {
    let actions = spec.texts("validationActions")?;
    let known = ["Deny", "Audit", "Warn"];
    if let Some(unknown) = actions.iter().find(|action| !known.contains(action)) {
        let hint = spelling::hint(unknown, known);
        return Err(spec.error("validationActions", format!("unknown action `{unknown}`{hint}")));
    }
    Ok(actions)
}

/// The templates of controllers for which rules are derived, and for each the constraints of the derived
/// rule.
pub(super) fn derived_for(spec: &Fields<'_>) -> Result<Vec<(Template, Value)>, ParseError> {
    let controllers = controllers(spec)?;
    let operations = spec
        .get("matchConstraints")
        .and_then(|value| value.pointer("/resourceRules/0/operations"))
        .cloned();
    let mut made = Vec::new();
    for template in [autogen::WORKLOAD, autogen::CRON_JOB] {
        let rules: Vec<Value> = CONTROLLERS
            .iter()
            .filter(|(resource, _, jobs)| {
                *jobs == template.is_of_cron_jobs() && controllers.contains(resource)
            })
            .map(|(resource, group, _)| {
                json!({
                    "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource],
                    "operations": operations,
                })
            })
            .collect();
        if !rules.is_empty() {
            made.push((template, json!({ "resourceRules": rules })));
        }
    }
    Ok(made)
}

/// The controllers for which rules are derived: only from constraints that name pods and no more.
fn controllers<'v>(spec: &Fields<'v>) -> Result<Vec<&'v str>, ParseError> {
    let mut wanted: Vec<&str> = CONTROLLERS.map(|(resource, ..)| resource).to_vec();
    if let Some(autogen) = spec.get("autogen") {
        let known = ["podControllers", "validatingAdmissionPolicy", "vapGenerator"];
        let autogen = Fields::new(autogen, &spec.path("autogen"), &known)?;
        if let Some(inner) = autogen.get("podControllers") {
            let inner = Fields::new(inner, &autogen.path("podControllers"), &["controllers"])?;
            if inner.get("controllers").is_some() {
                wanted = inner.texts("controllers")?;
            }
        }
    }
    let constraints = spec.get("matchConstraints").unwrap_or(&Value::Null);
    let selects = |name: &str| {
        constraints.get(name).and_then(Value::as_object).is_some_and(|selector| {
            selector.values().any(|part| match part {
                Value::Array(items) => !items.is_empty(),
                Value::Object(members) => !members.is_empty(),
                _ => false,
            })
        })
    };
    let list = |value: &'v Value, name: &str| {
        value.get(name).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice)
    };
    let only_pods = match list(constraints, "resourceRules") {
        [rule] => {
            let is = |name: &str, wanted: &str| matches!(list(rule, name), [Value::String(text)] if text == wanted);
            list(rule, "resourceNames").is_empty()
                && is("apiGroups", "")
                && is("apiVersions", "v1")
                && is("resources", "pods")
        }
        _ => false,
    };
    let narrowed = selects("namespaceSelector")
        || selects("objectSelector")
        || !list(constraints, "excludeResourceRules").is_empty();
    Ok(if only_pods && !narrowed { wanted } else { Vec::new() })
}

/// What a policy or a binding is about.
pub(crate) struct Resources {
    pub(crate) matched: Vec<Filter>,
    pub(crate) excluded: Vec<Filter>,
}

/// Reads `matchConstraints`: what is matched, and what of it is not.
pub(super) fn constraints(spec: &Fields<'_>) -> Result<Resources, ParseError> {
    let value = spec
        .get("matchConstraints")
        .ok_or_else(|| spec.error("matchConstraints", "is required"))?;
    match_resources(value, &spec.path("matchConstraints"), None)
}

/// Reads a set of resources with what is not in it; `all` is meant where none are named.
pub(super) fn match_resources(
    value: &Value,
    path: &str,
    all: Option<Filter>,
) -> Result<Resources, ParseError> {
    let known = [
        "resourceRules",
        "excludeResourceRules",
        "namespaceSelector",
        "objectSelector",
        "matchPolicy",
    ];
    let fields = Fields::new(value, path, &known)?;
    if let Some(word) = fields.text("matchPolicy")?
        && !matches!(word, "Equivalent" | "Exact")
    {
        let message = format!("unknown value `{word}`, it is `Equivalent` or `Exact`");
        return Err(fields.error("matchPolicy", message));
    }
    let selector = |name: &str| {
        let value = fields.get(name);
        value.map(|value| LabelSelector::parse(value, &fields.path(name))).transpose()
    };
    let mut filters = Vec::new();
    for (path, item) in fields.list("resourceRules")? {
        filters.push(resource_rule(item, &path)?);
    }
    if filters.is_empty() {
        filters.extend(all);
    }
    let mut matched = Vec::new();
    for filter in filters {
        let (object, namespace) = (selector("objectSelector")?, selector("namespaceSelector")?);
        matched.push(filter.with_selectors(object, namespace));
    }
    if matched.is_empty() {
        return Err(fields.error("resourceRules", "needs at least one rule"));
    }
    let mut excluded = Vec::new();
    for (path, item) in fields.list("excludeResourceRules")? {
        excluded.push(resource_rule(item, &path)?);
    }
    Ok(Resources { matched, excluded })
}

fn resource_rule(value: &Value, path: &str) -> Result<Filter, ParseError> {
    let known = ["apiGroups", "apiVersions", "resources", "operations", "resourceNames", "scope"];
    let fields = Fields::new(value, path, &known)?;
    let required = |name: &str| {
        let texts = fields.texts(name)?;
        if texts.is_empty() {
            Err(fields.error(name, "needs at least one entry"))
        } else {
            Ok(texts)
        }
    };
    let resources = ResourceSelector::new(
        &required("apiGroups")?,
        &required("apiVersions")?,
        &required("resources")?,
    );
    let mut operations = Vec::new();
    for word in fields.texts("operations")? {
        if word == "*" {
            operations = Vec::new();
            break;
        }
        let operation = Operation::from_word(word).ok_or_else(|| {
            let hint = spelling::hint(word, Operation::ALL.map(Operation::as_str));
            fields.error("operations", format!("unknown operation `{word}`{hint}"))
        })?;
        operations.push(operation);
    }
    let scope = match fields.text("scope")? {
        None | Some("*") => None,
        Some("Namespaced") => Some(true),
        Some("Cluster") => Some(false),
        Some(other) => {
            let message = format!("unknown value `{other}`, it is `Namespaced`, `Cluster` or `*`");
            return Err(fields.error("scope", message));
        }
    };
    Ok(Filter::of_resources(resources, operations, &fields.texts("resourceNames")?, scope))
}
