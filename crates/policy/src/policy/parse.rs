//! Reading of ClusterPolicy and Policy documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::autogen;
use super::expressions::{self, Expressions};
use super::generation;
use super::mutation;
use super::validation::{self, Assertion, Validation};
use super::{Action, ImageVerification, MatchCondition, ModeOverride, Policy, Rule, Settings};
use crate::context;
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::{FailurePolicy, Mode, RuleKind};
use crate::selection::Selection;
use crate::spelling;
use crate::template::Template;
use crate::wildcard::Wildcard;

/// Versions of `kyverno.io` whose policies are read.
const VERSIONS: [&str; 4] = ["v1", "v2beta1", "v2alpha1", "v2"];
/// How expressions read the roles of the user.
const ROLES: [&str; 2] = ["request.roles", "request.clusterRoles"];
/// Most rules of one policy.
const MAX_RULES: usize = 500;

pub(super) const SPEC_FIELDS: [&str; 19] = [
    "rules",
    "applyRules",
    "failurePolicy",
    "validationFailureAction",
    "validationFailureActionOverrides",
    "emitWarning",
    "admission",
    "background",
    "schemaValidation",
    "webhookTimeoutSeconds",
    "mutateExistingOnPolicyUpdate",
    "generateExistingOnPolicyUpdate",
    "generateExisting",
    "useServerSideApply",
    "webhookConfiguration",
    "autogen",
    "reportMode",
    "priority",
    "skipBackgroundRequests",
];

pub(super) const RULE_FIELDS: [&str; 14] = [
    "name",
    "context",
    "reportProperties",
    "match",
    "exclude",
    "imageExtractors",
    "preconditions",
    "celPreconditions",
    "mutate",
    "validate",
    "generate",
    "verifyImages",
    "skipBackgroundRequests",
    "apiCall",
];

const VALIDATE_FIELDS: [&str; 13] = [
    "failureAction",
    "failureActionOverrides",
    "allowExistingViolations",
    "message",
    "manifests",
    "foreach",
    "pattern",
    "anyPattern",
    "deny",
    "podSecurity",
    "cel",
    "assert",
    "validationFailureAction",
];

pub(super) fn is_policy(document: &Value) -> bool {
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    text("apiVersion").split_once('/').is_some_and(|(group, version)| {
        group == "kyverno.io"
            && VERSIONS.contains(&version)
            && matches!(text("kind"), "ClusterPolicy" | "Policy")
    })
}

pub(super) fn policy(document: &Value) -> Result<Policy, ParseError> {
    let top = Fields::new(document, "", &["apiVersion", "kind", "metadata", "spec", "status"])?;
    let (version, kind) = (top.required_text("apiVersion")?, top.required_text("kind")?);
    if !is_policy(document) {
        let message = format!("`{version}` `{kind}` is not a policy that can be read");
        return Err(top.error("kind", message));
    }
    let metadata = top.get("metadata").ok_or_else(|| top.error("metadata", "is required"))?;
    let metadata = Fields::open(metadata, "metadata")?;
    let name: Arc<str> = metadata.required_text("name")?.into();
    let namespace = match (kind, metadata.text("namespace")?) {
        ("Policy", namespace) => {
            Some(Arc::from(namespace.filter(|text| !text.is_empty()).unwrap_or("default")))
        }
        _ => None,
    };
    let annotations: BTreeMap<String, String> = metadata
        .text_map("annotations")?
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let spec = top.get("spec").ok_or_else(|| top.error("spec", "is required"))?;
    let spec_fields = Fields::tolerant(spec, "spec", &SPEC_FIELDS)?;
    let settings = settings(&spec_fields)?;
    let rules = rules(&spec_fields, spec, &annotations)?;
    if let Some(namespace) = &namespace {
        confine(&rules, namespace)?;
    }
    let managed_by = annotations
        .get(autogen::ANNOTATION)
        .filter(|controllers| !controllers.eq_ignore_ascii_case("none"))
        .cloned();
    Ok(Policy {
        kind: if namespace.is_some() { "Policy".into() } else { "ClusterPolicy".into() },
        name,
        namespace,
        uid: metadata.text("uid")?.map(str::to_owned),
        resource_version: metadata.text("resourceVersion")?.map(str::to_owned),
        annotations,
        settings,
        rules,
        managed_by,
    })
}

fn settings(spec: &Fields<'_>) -> Result<Settings, ParseError> {
    let webhook = spec
        .get("webhookConfiguration")
        .map(|value| {
            let known = ["failurePolicy", "timeoutSeconds", "matchConditions"];
            Fields::new(value, &spec.path("webhookConfiguration"), &known)
        })
        .transpose()?;
    let newer = webhook.as_ref();
    let failure = newer
        .and_then(|fields| fields.get("failurePolicy").map(|_| (fields, "failurePolicy")))
        .or_else(|| spec.get("failurePolicy").map(|_| (spec, "failurePolicy")));
    let failure_policy = failure
        .map(|(fields, name)| {
            let words = [("Fail", FailurePolicy::Fail), ("Ignore", FailurePolicy::Ignore)];
            one_of(fields, name, &words)
        })
        .transpose()?
        .flatten()
        .unwrap_or_default();
    let timeout = match newer.map(|fields| fields.integer("timeoutSeconds")).transpose()?.flatten()
    {
        Some(timeout) => Some(timeout),
        None => spec.integer("webhookTimeoutSeconds")?,
    };
    let timeout_seconds = timeout
        .map(|seconds| {
            u32::try_from(seconds).ok().filter(|seconds| (1..=30).contains(seconds)).ok_or_else(
                || spec.error("webhookTimeoutSeconds", format!("`{seconds}` is not in 1 to 30")),
            )
        })
        .transpose()?;
    let mut match_conditions = Vec::new();
    if let Some(fields) = newer {
        for (path, item) in fields.list("matchConditions")? {
            let inner = Fields::new(item, &path, &["name", "expression"])?;
            expressions::check_match_condition(&inner)?;
            match_conditions.push(MatchCondition {
                name: inner.required_text("name")?.to_owned(),
                expression: inner.required_text("expression")?.to_owned(),
            });
        }
    }
    let apply = one_of(spec, "applyRules", &[("All", false), ("One", true)])?;
    Ok(Settings {
        mode: mode(spec, "validationFailureAction")?.unwrap_or(Mode::Audit),
        overrides: overrides(spec, "validationFailureActionOverrides")?,
        failure_policy,
        timeout_seconds,
        match_conditions,
        background: spec.flag("background")?.unwrap_or(true),
        admission: spec.flag("admission")?.unwrap_or(true),
        apply_one: apply.unwrap_or(false),
        emit_warning: spec.flag("emitWarning")?.unwrap_or(false),
        generate_existing: spec
            .flag("generateExisting")?
            .or(spec.flag("generateExistingOnPolicyUpdate")?)
            .unwrap_or(false),
        server_side_apply: spec.flag("useServerSideApply")?.unwrap_or(false),
        mutate_existing_on_update: spec.flag("mutateExistingOnPolicyUpdate")?.unwrap_or(false),
    })
}

/// One of some words.
fn one_of<T: Copy>(
    fields: &Fields<'_>,
    name: &str,
    words: &[(&str, T)],
) -> Result<Option<T>, ParseError> {
    let Some(word) = fields.text(name)? else { return Ok(None) };
    let known = words.iter().find(|(known, _)| *known == word);
    known.map(|(_, value)| Some(*value)).ok_or_else(|| {
        let hint = spelling::hint(word, words.iter().map(|(known, _)| *known));
        fields.error(name, format!("unknown value `{word}`{hint}"))
    })
}

fn mode(fields: &Fields<'_>, name: &str) -> Result<Option<Mode>, ParseError> {
    let words = [
        ("Enforce", Mode::Enforce),
        ("enforce", Mode::Enforce),
        ("Audit", Mode::Audit),
        ("audit", Mode::Audit),
    ];
    one_of(fields, name, &words)
}

fn overrides(fields: &Fields<'_>, name: &str) -> Result<Vec<ModeOverride>, ParseError> {
    let mut made = Vec::new();
    for (path, item) in fields.list(name)? {
        let inner = Fields::new(item, &path, &["action", "namespaces", "namespaceSelector"])?;
        made.push(ModeOverride {
            mode: mode(&inner, "action")?.ok_or_else(|| inner.error("action", "is required"))?,
            namespaces: inner.texts("namespaces")?.into_iter().map(Wildcard::new).collect(),
            namespace_selector: inner
                .get("namespaceSelector")
                .map(|value| {
                    crate::selection::LabelSelector::parse(value, &inner.path("namespaceSelector"))
                })
                .transpose()?,
        });
    }
    Ok(made)
}

fn rules(
    spec_fields: &Fields<'_>,
    spec: &Value,
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<Rule>, ParseError> {
    let written = spec_fields.list("rules")?;
    if written.is_empty() {
        return Err(spec_fields.error("rules", "needs at least one rule"));
    }
    if written.len() > MAX_RULES {
        return Err(spec_fields.error("rules", format!("more than {MAX_RULES} rules")));
    }
    let mut rules = Vec::new();
    for (path, item) in &written {
        let parsed = rule(item, path, false)?;
        if rules.iter().any(|known: &Rule| known.name == parsed.name) {
            let message = format!("another rule is called `{}`", parsed.name);
            return Err(ParseError::new(format!("{path}.name"), message));
        }
        rules.push(parsed);
    }
    let controllers = autogen::controllers(spec, annotations.get(autogen::ANNOTATION));
    for (path, item) in &written {
        for derived in autogen::derive(item, &controllers) {
            let parsed = rule(&derived, path, true)?;
            if rules.iter().all(|known: &Rule| known.name != parsed.name) {
                rules.push(parsed);
            }
        }
    }
    Ok(rules)
}

fn rule(value: &Value, path: &str, derived: bool) -> Result<Rule, ParseError> {
    let fields = Fields::tolerant(value, path, &RULE_FIELDS)?;
    let name: Arc<str> = fields.required_text("name")?.into();
    let matched = fields.get("match").ok_or_else(|| fields.error("match", "is required"))?;
    let selection = Selection::parse(matched, &fields.path("match"))?
        .ok_or_else(|| fields.error("match", "names nothing, so the rule would match nothing"))?;
    let exclusion = fields
        .get("exclude")
        .map(|value| Selection::parse(value, &fields.path("exclude")))
        .transpose()?
        .flatten();
    let kinds: Vec<&str> = ["validate", "mutate", "generate", "verifyImages"]
        .into_iter()
        .filter(|name| fields.get(name).is_some())
        .collect();
    let [body] = kinds.as_slice() else {
        let message = "needs exactly one of `validate`, `mutate`, `generate`, `verifyImages`";
        return Err(ParseError::new(path, message));
    };
    let in_filters =
        selection.names_roles() || exclusion.as_ref().is_some_and(Selection::names_roles);
    let (cel_preconditions, cel) = expressions::parse(&fields)?;
    let mut made = Rule {
        name,
        asks_roles: in_filters || mentions_roles(value),
        kind: RuleKind::Validate,
        selection,
        confined_to: None,
        exclusion,
        context: context::parse(&fields)?,
        preconditions: validation::preconditions(&fields)?,
        skip_background_requests: fields.flag("skipBackgroundRequests")?.unwrap_or(true),
        action: Action::NotSupported("mutate"),
        mode: None,
        overrides: Vec::new(),
        allow_existing_violations: true,
        derived,
        cel_preconditions,
    };
    match *body {
        "validate" => validate(&fields, cel, &mut made)?,
        "mutate" => {
            made.kind = RuleKind::Mutate;
            made.action = Action::Mutate(Box::new(mutation::mutate(&fields)?));
        }
        "generate" => {
            made.kind = RuleKind::Generate;
            made.action = Action::Generate(Box::new(generation::parse(&fields)?));
        }
        _ => {
            made.kind = RuleKind::VerifyImages;
            made.action = match fields.get("imageExtractors") {
                Some(_) => Action::NotSupported("verifyImages with imageExtractors"),
                None => Action::VerifyImages(ImageVerification::parse_list(&fields)?),
            };
            // The newer place of the mode is each entry; they may not differ.
            for (path, item) in fields.list("verifyImages")? {
                let entry = Fields::open(item, &path)?;
                made.mode = made.mode.or(mode(&entry, "failureAction")?);
            }
        }
    }
    Ok(made)
}

/// Holds the rules of a policy of a namespace to that namespace.
fn confine(rules: &[Rule], namespace: &str) -> Result<(), ParseError> {
    // Generate rules are never derived, so each stands at its own place in the document.
    for (place, rule) in rules.iter().filter(|rule| !rule.derived).enumerate() {
        if let Action::Generate(generation) = &rule.action {
            generation.confine(namespace, &format!("spec.rules[{place}].generate"))?;
        }
    }
    Ok(())
}

/// Whether some expression of a document reads the roles of the user.
pub(crate) fn mentions_roles(value: &Value) -> bool {
    match value {
        Value::String(text) => ROLES.iter().any(|name| text.contains(name)),
        Value::Array(items) => items.iter().any(mentions_roles),
        Value::Object(members) => members.values().any(mentions_roles),
        _ => false,
    }
}

fn validate(
    rule_fields: &Fields<'_>,
    cel: Option<Expressions>,
    made: &mut Rule,
) -> Result<(), ParseError> {
    let path = rule_fields.path("validate");
    let value = rule_fields.get("validate").unwrap_or(&Value::Null);
    let fields = Fields::new(value, &path, &VALIDATE_FIELDS)?;
    let older = mode(&fields, "validationFailureAction")?;
    made.mode = mode(&fields, "failureAction")?.or(older);
    made.overrides = overrides(&fields, "failureActionOverrides")?;
    made.allow_existing_violations = fields.flag("allowExistingViolations")?.unwrap_or(true);
    if fields.get("manifests").is_some() {
        made.action = Action::NotSupported("validate.manifests");
        return Ok(());
    }
    let own = validation::assertion(&fields, 0)?;
    if let (Some(_), Some(_)) = (&own, &cel) {
        return Err(fields.error("cel", "cannot stand beside another demand"));
    }
    let assertion = cel.map(Assertion::Cel).or(own).ok_or_else(|| {
        ParseError::new(
            &path,
            "needs one of `pattern`, `anyPattern`, `deny`, `foreach`, `podSecurity`, `cel`, \
             `assert`, `manifests`",
        )
    })?;
    let raw_message = fields.text("message")?.unwrap_or_default().to_owned();
    let message = if raw_message.is_empty() {
        None
    } else {
        Some(Template::compile(&raw_message, &fields.path("message"))?)
    };
    made.action = Action::Validate(Box::new(Validation { message, raw_message, assertion }));
    Ok(())
}
