//! Reading of Gatekeeper's ConstraintTemplate and of the constraints of its kind. A template says what is
//! demanded, in Rego or in CEL; each constraint says where, with which parameters, and what a failure
//! does.
//!
//! <https://open-policy-agent.github.io/gatekeeper/website/docs/constrainttemplates>

use std::sync::Arc;

use proofstream_rego::{CompileError, Program, Source, Value as RegoValue};
use serde_json::{Value, json};

use super::cel_kinds::{self, Head, Resources};
use super::expressions::{self, Expressions};
use super::validation::{Assertion, Validation};
use super::{Action, Policy, Settings, parameters_schema};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::request::Operation;
use crate::response::{FailurePolicy, Mode, RuleKind, Status};
use crate::selection::{Filter, Selection};
use crate::spelling;

const TEMPLATES: &str = "templates.gatekeeper.sh";
const CONSTRAINTS: &str = "constraints.gatekeeper.sh";
/// The one target that reviews requests to an API server.
const TARGET: &str = "admission.k8s.gatekeeper.sh";
const ACTIONS: [&str; 3] = ["deny", "warn", "dryrun"];

/// A ConstraintTemplate, compiled.
#[derive(Debug)]
pub struct ConstraintTemplate {
    name: String,
    kind: String,
    /// The schema of its parameters.
    schema: Value,
    engine: Engine,
}

#[derive(Debug, Clone)]
enum Engine {
    Rego(Arc<Program>),
    /// The source, with where it stands.
    Cel(Value, String),
}

/// What a constraint demands.
#[derive(Debug)]
pub(crate) enum Constraint {
    Rego {
        program: Arc<Program>,
        parameters: RegoValue,
    },
    /// Expressions, and the constraint itself, which is `params` to them.
    Cel {
        expressions: Box<Expressions>,
        document: Value,
    },
}

/// Whether a document is a ConstraintTemplate.
pub fn is_template(document: &Value) -> bool {
    group_of(document) == TEMPLATES && text(document, "/kind") == "ConstraintTemplate"
}

/// Whether a document is a constraint: an object of a kind that a ConstraintTemplate made.
pub fn is_constraint(document: &Value) -> bool {
    group_of(document) == CONSTRAINTS
}

fn text<'v>(document: &'v Value, pointer: &str) -> &'v str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn group_of(document: &Value) -> &str {
    text(document, "/apiVersion").split('/').next().unwrap_or_default()
}

// === impl ConstraintTemplate ===

impl ConstraintTemplate {
    /// Reads a template and compiles its code. Where there is Rego and CEL, CEL is taken.
    ///
    /// # Errors
    /// Something missing, code that does not compile or recurses, functions that are not known: with
    /// its path, and for code with line and column in it.
    pub fn parse(document: &Value) -> Result<Self, ParseError> {
        let head = Head::read(document, "")?;
        let spec = Fields::open(head.spec, "spec")?;
        let kind = head.spec.pointer("/crd/spec/names/kind").and_then(Value::as_str);
        let kind = kind.filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(|| spec.error("crd.spec.names.kind", "is required"))?;
        if head.name != kind.to_lowercase() {
            let message = format!("must be the kind in lower case, `{}`", kind.to_lowercase());
            return Err(ParseError::new("metadata.name", message));
        }
        let targets = spec.list("targets")?;
        let [(path, target)] = targets.as_slice() else {
            return Err(spec.error("targets", "needs exactly one target"));
        };
        let known = ["target", "rego", "libs", "code", "operations"];
        let target = Fields::tolerant(target, path, &known)?;
        let name = target.required_text("target")?;
        if name != TARGET {
            let message = format!("unknown target `{name}`, it is `{TARGET}`");
            return Err(target.error("target", message));
        }
        let schema = head.spec.pointer("/crd/spec/validation/openAPIV3Schema");
        Ok(Self {
            name: head.name.to_owned(),
            kind: kind.to_owned(),
            schema: schema.cloned().unwrap_or(Value::Null),
            engine: engine(&target)?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of its constraints.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether its code looks at other objects of the cluster (`data.inventory`).
    pub fn asks_inventory(&self) -> bool {
        matches!(&self.engine, Engine::Rego(program) if program.asks_data())
    }

    /// Reads a constraint of this template: a policy of the constraint's kind and name, with one rule
    /// that is called as the kind is.
    ///
    /// # Errors
    /// A constraint of another kind, an unknown field or action, parameters that the template's schema
    /// does not allow: with its path.
    pub fn constraint(&self, document: &Value) -> Result<Policy, ParseError> {
        // One that says nothing more is about everything, and denies.
        let mut whole = document.clone();
        if let Some(members) = whole.as_object_mut() {
            members.entry("spec").or_insert_with(|| json!({}));
        }
        let document = &whole;
        let head = Head::read(document, "")?;
        let kind = text(document, "/kind");
        if !is_constraint(document) || kind != self.kind {
            let message = format!("is not `{}`, the kind of the template", self.kind);
            return Err(ParseError::new("kind", message));
        }
        let known = ["enforcementAction", "scopedEnforcementActions", "match", "parameters"];
        let spec = Fields::new(head.spec, "spec", &known)?;
        let parameters = spec.get("parameters").cloned().unwrap_or_else(|| json!({}));
        parameters_schema::check(&self.schema, &parameters, "spec.parameters")?;
        let filter = match spec.get("match") {
            Some(value) => Filter::of_constraint(value, "spec.match")?,
            None => Filter::of_constraint(&json!({}), "spec.match")?,
        };
        let constraint = match &self.engine {
            Engine::Rego(program) => Constraint::Rego {
                program: Arc::clone(program),
                parameters: RegoValue::from_json(&parameters),
            },
            Engine::Cel(source, path) => Constraint::Cel {
                expressions: Box::new(expressions_of(&Fields::open(source, path)?)?),
                document: document.clone(),
            },
        };
        let settings = settings(&spec)?;
        let about = Resources { matched: vec![filter], excluded: Vec::new() };
        let assertion = Assertion::Constraint(constraint);
        let validation = Validation { message: None, raw_message: String::new(), assertion };
        let action = Action::Validate(Box::new(validation));
        let rule = cel_kinds::rule(kind, RuleKind::Validate, about, Vec::new(), action);
        head.policy(kind.to_owned(), settings, vec![rule])
    }
}

/// The code of a target: CEL before Rego.
fn engine(target: &Fields<'_>) -> Result<Engine, ParseError> {
    let mut rego = None;
    for (path, item) in target.list("code")? {
        let code = Fields::new(item, &path, &["engine", "source"])?;
        let name = code.required_text("engine")?;
        let source = code.get("source").ok_or_else(|| code.error("source", "is required"))?;
        match name {
            "K8sNativeValidation" => {
                expressions_of(&Fields::open(source, &code.path("source"))?)?;
                return Ok(Engine::Cel(source.clone(), code.path("source")));
            }
            "Rego" => rego = Some(Fields::open(source, &code.path("source"))?),
            other => {
                let hint = spelling::hint(other, ["Rego", "K8sNativeValidation"]);
                return Err(code.error("engine", format!("unknown engine `{other}`{hint}")));
            }
        }
    }
    match rego {
        Some(source) => compile(&source),
        None if target.get("rego").is_some() => compile(target),
        None => Err(target.error("code", "needs Rego or CEL, and there is neither")),
    }
}

fn compile(source: &Fields<'_>) -> Result<Engine, ParseError> {
    let read = match source.text("version")? {
        Some("v1") => Source::second,
        None | Some("v0" | "") => Source::first,
        Some(other) => {
            let message = format!("unknown version `{other}`, it is `v0` or `v1`");
            return Err(source.error("version", message));
        }
    };
    let libraries: Vec<Source<'_>> = source.texts("libs")?.into_iter().map(read).collect();
    let program = Program::compile(&read(source.required_text("rego")?), &libraries);
    let program = program.map_err(|CompileError { library, error }| {
        let field = library.map_or("rego".to_owned(), |place| format!("libs[{place}]"));
        source.error(&field, error.to_string())
    })?;
    Ok(Engine::Rego(Arc::new(program)))
}

fn expressions_of(source: &Fields<'_>) -> Result<Expressions, ParseError> {
    let known = ["failurePolicy", "matchConditions", "variables", "validations", "generateVAP"];
    source.get("failurePolicy").map(|_| source.text("failurePolicy")).transpose()?;
    if let Some(name) = source.unknown(&known).next() {
        let hint = spelling::hint(name, known);
        return Err(source.error(name, format!("unknown field `{name}`{hint}")));
    }
    let on_fault = match source.text("failurePolicy")? {
        None | Some("Fail" | "") => Status::Error,
        Some("Ignore") => Status::Skip,
        Some(other) => {
            let message = format!("unknown value `{other}`, it is `Fail` or `Ignore`");
            return Err(source.error("failurePolicy", message));
        }
    };
    expressions::parse_template(source, on_fault)
}

/// How a constraint acts: at admission, and on what already runs.
fn settings(spec: &Fields<'_>) -> Result<Settings, ParseError> {
    let action = spec.text("enforcementAction")?.filter(|word| !word.is_empty()).unwrap_or("deny");
    let unknown = |path: String, word: &str| {
        let hint = spelling::hint(word, ACTIONS);
        ParseError::new(&path, format!("unknown action `{word}`{hint}"))
    };
    let (mut at_admission, mut in_background) = (Vec::new(), Vec::new());
    if action == "scoped" {
        for (path, item) in spec.list("scopedEnforcementActions")? {
            let scoped = Fields::new(item, &path, &["action", "enforcementPoints"])?;
            let word = scoped.required_text("action")?;
            if !ACTIONS.contains(&word) {
                return Err(unknown(scoped.path("action"), word));
            }
            for (path, point) in scoped.list("enforcementPoints")? {
                let point = Fields::new(point, &path, &["name"])?;
                let name = point.required_text("name")?;
                if matches!(name, "*" | "validation.gatekeeper.sh") {
                    at_admission.push(word);
                }
                if matches!(name, "*" | "audit.gatekeeper.sh") {
                    in_background.push(word);
                }
            }
        }
    } else if ACTIONS.contains(&action) {
        at_admission.push(action);
        in_background.push(action);
    } else {
        return Err(unknown(spec.path("enforcementAction"), action));
    }
    Ok(Settings {
        mode: if at_admission.contains(&"deny") { Mode::Enforce } else { Mode::Audit },
        overrides: Vec::new(),
        failure_policy: FailurePolicy::Ignore,
        timeout_seconds: None,
        match_conditions: Vec::new(),
        background: !in_background.is_empty(),
        admission: !at_admission.is_empty(),
        apply_one: false,
        emit_warning: at_admission.contains(&"warn"),
        generate_existing: false,
        server_side_apply: false,
        mutate_existing_on_update: false,
    })
}

impl Policy {
    /// The same about requests of these operations alone. A constraint does not say which it is about: that
    /// is up to what asks it.
    #[must_use]
    pub fn at_operations(mut self, operations: &[Operation]) -> Self {
        for rule in &mut self.rules {
            let (Selection::Any(filters) | Selection::All(filters)) = &mut rule.selection;
            for filter in filters {
                filter.operations = operations.to_vec();
            }
        }
        self
    }
}

impl super::Rule {
    /// The `match` of the constraint that the rule is.
    pub(crate) fn constraint_match(&self) -> Option<&crate::selection::ConstraintMatch> {
        match &self.selection {
            Selection::Any(filters) | Selection::All(filters) => {
                filters.first()?.constraint.as_ref()
            }
        }
    }
}
