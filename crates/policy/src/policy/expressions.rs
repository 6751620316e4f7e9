//! Expressions of `validate.cel` and `celPreconditions`.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

use proofstream_cel::{Declarations, Program, Type};
use proofstream_schema::AtomicLists;
use serde_json::{Value, json};

use super::{functions, types};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::Status;
use crate::selection::LabelSelector;

/// Most expressions of one kind in a rule.
const MAX_EXPRESSIONS: usize = 200;

/// Where names stand; variables follow in their order.
pub(crate) const OBJECT: usize = 0;
pub(crate) const OLD_OBJECT: usize = 1;
pub(crate) const REQUEST: usize = 2;
pub(crate) const NAMESPACE_OBJECT: usize = 3;
pub(crate) const AUTHORIZER: usize = 4;
pub(crate) const PARAMS: usize = 5;
/// Images of the object, by the list that names them.
pub(crate) const IMAGES: usize = 6;
/// What exceptions allow.
pub(crate) const EXCEPTIONS: usize = 7;
pub(crate) const VARIABLES: usize = 8;

/// What `validate.cel` demands.
#[derive(Debug)]
pub(crate) struct Expressions {
    /// Values of `variables.…`; each may use those before it.
    pub(crate) variables: Vec<Program>,
    /// Conditions that are asked with each of the parameters before the demands.
    pub(crate) conditions: Vec<Precondition>,
    pub(crate) demands: Vec<Demand>,
    pub(crate) parameters: Option<Parameters>,
    pub(crate) on_fault: OnFault,
}

/// What a mutation written in CEL does.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Values of `variables.…`; each may use those before it.
    pub(crate) variables: Vec<Program>,
    pub(crate) mutations: Vec<CelPatch>,
    pub(crate) on_fault: OnFault,
    /// Where the template stands that is seen in the place of the object.
    pub(crate) template: Option<&'static [&'static str]>,
    /// What becomes of lists that are one value each.
    pub(crate) lists: AtomicLists,
    /// The objects with which it is done, one after another, each on what the one before left.
    pub(crate) parameters: Option<Parameters>,
    /// Conditions that are asked with each of the parameters.
    pub(crate) conditions: Vec<Precondition>,
}

/// One mutation.
#[derive(Debug)]
pub(crate) enum CelPatch {
    /// Makes an apply configuration.
    Apply(Program),
    /// Makes a list of operations.
    Operations(Program),
}

/// What the expressions of a rule share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'p> {
    pub(crate) variables: &'p [Program],
    pub(crate) on_fault: OnFault,
    pub(crate) template: Option<&'static [&'static str]>,
}

impl Expressions {
    pub(crate) fn shared(&self) -> Shared<'_> {
        Shared { variables: &self.variables, on_fault: self.on_fault, template: None }
    }
}

impl Changes {
    pub(crate) fn shared(&self) -> Shared<'_> {
        Shared { variables: &self.variables, on_fault: self.on_fault, template: self.template }
    }
}

/// What a rule says where an expression has no value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnFault {
    pub(crate) demand: Status,
    pub(crate) precondition: Status,
    /// Whether the demands after one without value are asked too, and one of them may fail.
    pub(crate) goes_on: bool,
}

/// In the field a demand of `validate.cel` without value is one that does not hold.
pub(crate) const FAILS: OnFault =
    OnFault { demand: Status::Fail, precondition: Status::Fail, goes_on: false };

/// An expression that must hold, and what is said where it does not.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) program: Program,
    pub(crate) message: Option<String>,
    pub(crate) message_program: Option<Program>,
}

/// A condition that must hold for the rule to be judged.
#[derive(Debug)]
pub(crate) struct Precondition {
    pub(crate) name: String,
    pub(crate) program: Program,
}

/// The objects that are bound to `params`, one after another.
#[derive(Debug)]
pub(crate) struct Parameters {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) selector: Option<LabelSelector>,
    /// What the rule says where there are none.
    pub(crate) not_found: Status,
}

/// Names that the conditions of a webhook know.
fn names_of_requests() -> Declarations {
    let mut made = Declarations::default();
    let authorizer = || Type::Opaque("authorizer");
    made.declare("object", OBJECT, Type::Dyn);
    made.declare("oldObject", OLD_OBJECT, Type::Dyn);
    made.declare("request", REQUEST, Type::Dyn);
    made.declare("authorizer", AUTHORIZER, authorizer());
    made.declare("authorizer.requestResource", AUTHORIZER, authorizer());
    made
}

/// Names that every expression of a rule knows.
pub(super) fn declarations(has_parameters: bool) -> Declarations {
    let mut made = names_of_requests();
    made.declare("namespaceObject", NAMESPACE_OBJECT, Type::Dyn);
    if has_parameters {
        made.declare("params", PARAMS, Type::Dyn);
    }
    made
}

/// Reads a rule's `celPreconditions`, and its `validate.cel` if it has one.
pub(super) fn parse(
    rule: &Fields<'_>,
) -> Result<(Vec<Precondition>, Option<Expressions>), ParseError> {
    let validate = rule.get("validate").map(|value| Fields::open(value, &rule.path("validate")));
    let validate = validate.transpose()?;
    let cel = validate.as_ref().and_then(|fields| Some((fields, fields.get("cel")?)));
    let Some((validate, cel)) = cel else {
        return Ok((preconditions(rule, "celPreconditions", &declarations(false))?, None));
    };
    let known =
        ["generate", "expressions", "paramKind", "paramRef", "auditAnnotations", "variables"];
    let fields = Fields::new(cel, &validate.path("cel"), &known)?;
    fields.flag("generate")?;
    let parameters = parameters(&fields)?;
    let mut declared = declarations(parameters.is_some());
    let variables = variables(&fields, &mut declared)?;
    let demands = demands(&fields, "expressions", &declared, validate.text("message")?)?;
    let annotations = annotations(&fields, &declared)?;
    if demands.is_empty() && annotations == 0 {
        return Err(fields.error("expressions", "needs at least one expression"));
    }
    let preconditions = preconditions(rule, "celPreconditions", &declared)?;
    let on_fault = FAILS;
    let conditions = Vec::new();
    Ok((preconditions, Some(Expressions { variables, conditions, demands, parameters, on_fault })))
}

/// Reads the expressions of a ValidatingPolicy. A demand without value is an error there, a condition
/// without value what the failure policy makes of it.
pub(super) fn parse_validating(
    spec: &Fields<'_>,
    namespaced: bool,
    precondition: Status,
) -> Result<(Vec<Precondition>, Expressions), ParseError> {
    let mut declared = declarations_of_policies(namespaced);
    let variables = variables(spec, &mut declared)?;
    let demands = demands(spec, "validations", &declared, None)?;
    let annotations = annotations(spec, &declared)?;
    if demands.is_empty() && annotations == 0 {
        return Err(spec.error("validations", "needs at least one expression"));
    }
    let conditions = preconditions(spec, "matchConditions", &declared)?;
    let on_fault = OnFault { demand: Status::Error, precondition, goes_on: false };
    let (first, parameters) = (Vec::new(), None);
    Ok((conditions, Expressions { variables, conditions: first, demands, parameters, on_fault }))
}

/// Reads the expressions of a ValidatingAdmissionPolicy; where one has no value, the failure policy
/// decides.
pub(super) fn parse_admission(
    spec: &Fields<'_>,
    parameters: Option<Parameters>,
    precondition: Status,
) -> Result<Expressions, ParseError> {
    let mut declared = declarations(spec.get("paramKind").is_some());
    declared.be_strict();
    types::check_request(&mut declared);
    // Conditions come before variables, and do not know them.
    let conditions = preconditions(spec, "matchConditions", &declared)?;
    let variables = variables(spec, &mut declared)?;
    let demands = demands(spec, "validations", &declared, None)?;
    let annotations = annotations(spec, &declared)?;
    if demands.is_empty() && annotations == 0 {
        return Err(spec.error("validations", "needs at least one expression"));
    }
    let goes_on = precondition == Status::Skip;
    let on_fault = OnFault { demand: Status::Error, precondition, goes_on };
    Ok(Expressions { variables, conditions, demands, parameters, on_fault })
}

/// Reads the expressions of a constraint template, to which `params` is the constraint and
/// `variables.params` what stands in it for the template.
pub(super) fn parse_template(
    source: &Fields<'_>,
    precondition: Status,
) -> Result<Expressions, ParseError> {
    let given = json!({ "variables": [
        {
            "name": "anyObject",
            "expression": "has(request.operation) && request.operation == \"DELETE\" && object == null ? oldObject : object",
        },
        {
            "name": "params",
            "expression": "!has(params.spec) ? null : !has(params.spec.parameters) ? null : params.spec.parameters",
        },
    ] });
    let mut declared = declarations(true);
    declared.be_strict();
    types::check_request(&mut declared);
    let conditions = preconditions(source, "matchConditions", &declared)?;
    let mut variables = variables(&Fields::open(&given, "")?, &mut declared)?;
    more_variables(&mut variables, source, &mut declared)?;
    let demands = demands(source, "validations", &declared, None)?;
    if demands.is_empty() {
        return Err(source.error("validations", "needs at least one expression"));
    }
    let on_fault = OnFault { demand: Status::Error, precondition, goes_on: true };
    Ok(Expressions { variables, conditions, demands, parameters: None, on_fault })
}

/// Names that every expression of a CEL policy knows.
pub(super) fn declarations_of_policies(namespaced: bool) -> Declarations {
    let mut declared = declarations(false);
    let texts = || Type::List(Box::new(Type::String));
    let lists = || Type::Map(Box::new(Type::String), Box::new(texts()));
    declared.declare("images", IMAGES, lists());
    declared.declare("exceptions", EXCEPTIONS, lists());
    functions::declare(&mut declared, namespaced);
    declared
}

/// Reads the expressions of a MutatingPolicy. A mutation without value is an error, a condition without
/// value what the failure policy makes of it.
pub(super) fn parse_mutating(
    spec: &Fields<'_>,
    namespaced: bool,
    precondition: Status,
    template: Option<&'static [&'static str]>,
) -> Result<(Vec<Precondition>, Changes), ParseError> {
    let mut declared = declarations_of_policies(namespaced);
    declare_changes(&mut declared);
    let variables = variables(spec, &mut declared)?;
    let mutations = mutations(spec, &declared)?;
    annotations(spec, &declared)?;
    let conditions = preconditions(spec, "matchConditions", &declared)?;
    let on_fault = OnFault { demand: Status::Error, precondition, goes_on: false };
    let lists = AtomicLists::Replaced;
    let changes = Changes {
        variables,
        mutations,
        on_fault,
        template,
        lists,
        parameters: None,
        conditions: Vec::new(),
    };
    Ok((conditions, changes))
}

/// Reads the expressions of a MutatingAdmissionPolicy.
pub(super) fn parse_mutating_admission(
    spec: &Fields<'_>,
    parameters: Option<Parameters>,
    precondition: Status,
) -> Result<(Vec<Precondition>, Changes), ParseError> {
    let mut declared = declarations(spec.get("paramKind").is_some());
    declared.be_strict();
    types::check_request(&mut declared);
    let conditions = preconditions(spec, "matchConditions", &declared)?;
    declare_changes(&mut declared);
    let variables = variables(spec, &mut declared)?;
    let mutations = mutations(spec, &declared)?;
    let on_fault = OnFault { demand: Status::Error, precondition, goes_on: false };
    let (template, lists) = (None, AtomicLists::Refused);
    // With parameters the conditions are asked with each of them.
    let (conditions, of_each) =
        if parameters.is_some() { (Vec::new(), conditions) } else { (conditions, Vec::new()) };
    let changes = Changes {
        variables,
        mutations,
        on_fault,
        template,
        lists,
        parameters,
        conditions: of_each,
    };
    Ok((conditions, changes))
}

/// What mutations make.
fn declare_changes(declared: &mut Declarations) {
    declared.declare_open_message("Object");
    declared.declare_message("JSONPatch", &OPERATION);
}

fn mutations(spec: &Fields<'_>, declared: &Declarations) -> Result<Vec<CelPatch>, ParseError> {
    let mut mutations = Vec::new();
    for (path, item) in entries(spec, "mutations")? {
        mutations.push(mutation(item, &path, declared)?);
    }
    if mutations.is_empty() {
        return Err(spec.error("mutations", "needs at least one mutation"));
    }
    Ok(mutations)
}

/// Fields of an operation that an expression makes.
static OPERATION: [(&str, Type); 4] =
    [("op", Type::String), ("path", Type::String), ("from", Type::String), ("value", Type::Dyn)];

fn mutation(value: &Value, path: &str, declared: &Declarations) -> Result<CelPatch, ParseError> {
    let fields = Fields::new(value, path, &["patchType", "applyConfiguration", "jsonPatch"])?;
    let (own, other) = match fields.required_text("patchType")? {
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        unknown => {
            let hint = crate::spelling::hint(unknown, ["ApplyConfiguration", "JSONPatch"]);
            return Err(fields.error("patchType", format!("unknown value `{unknown}`{hint}")));
        }
    };
    if fields.get(other).is_some() {
        return Err(fields.error(other, format!("cannot stand beside `{own}`")));
    }
    let inner = fields.get(own).ok_or_else(|| fields.error(own, "is required"))?;
    let inner = Fields::new(inner, &fields.path(own), &["expression"])?;
    if own == "applyConfiguration" {
        let wanted = Type::Message("Object".into());
        return compile(&inner, "expression", declared, Some(&wanted)).map(CelPatch::Apply);
    }
    let program = compile(&inner, "expression", declared, None)?;
    let may_be = !declared.is_strict();
    let is_list = match program.result() {
        Type::Dyn => may_be,
        Type::List(of) => match &**of {
            Type::Dyn => may_be,
            Type::Message(name) => &**name == "JSONPatch",
            _ => false,
        },
        _ => false,
    };
    if !is_list {
        let message = format!("must be of type `list(JSONPatch)`, not `{}`", program.result());
        return Err(inner.error("expression", message));
    }
    Ok(CelPatch::Operations(program))
}

/// Reads the conditions of an exception to a CEL policy.
pub(crate) fn parse_conditions(spec: &Fields<'_>) -> Result<Vec<Precondition>, ParseError> {
    let mut declared = declarations(false);
    functions::declare(&mut declared, false);
    preconditions(spec, "matchConditions", &declared)
}

/// Checks conditions that the API server will evaluate.
pub(super) fn check_match_condition(fields: &Fields<'_>) -> Result<(), ParseError> {
    condition(fields, &names_of_requests()).map(|_| ())
}

/// Compiles the expression in a field.
pub(super) fn compile(
    fields: &Fields<'_>,
    name: &str,
    declared: &Declarations,
    wanted: Option<&Type>,
) -> Result<Program, ParseError> {
    let text = fields.required_text(name)?;
    let compiled = match wanted {
        Some(wanted) => Program::compile_as(text, declared, wanted),
        None => Program::compile(text, declared),
    };
    compiled.map_err(|cause| fields.error(name, cause.to_string()))
}

/// The entries of a list, of which there are not too many.
pub(super) fn entries<'v>(
    fields: &Fields<'v>,
    name: &str,
) -> Result<Vec<(String, &'v Value)>, ParseError> {
    let entries = fields.list(name)?;
    if entries.len() > MAX_EXPRESSIONS {
        return Err(fields.error(name, format!("more than {MAX_EXPRESSIONS} entries")));
    }
    Ok(entries)
}

pub(super) fn preconditions(
    rule: &Fields<'_>,
    name: &str,
    declared: &Declarations,
) -> Result<Vec<Precondition>, ParseError> {
    let read = |(path, item): (String, &Value)| {
        let fields = Fields::new(item, &path, &["name", "expression"])?;
        condition(&fields, declared)
    };
    entries(rule, name)?.into_iter().map(read).collect()
}

fn condition(fields: &Fields<'_>, declared: &Declarations) -> Result<Precondition, ParseError> {
    Ok(Precondition {
        name: fields.required_text("name")?.to_owned(),
        program: compile(fields, "expression", declared, Some(&Type::Bool))?,
    })
}

pub(super) fn variables(
    fields: &Fields<'_>,
    declared: &mut Declarations,
) -> Result<Vec<Program>, ParseError> {
    let mut made = Vec::new();
    more_variables(&mut made, fields, declared)?;
    Ok(made)
}

/// Reads variables that come after others.
fn more_variables(
    made: &mut Vec<Program>,
    fields: &Fields<'_>,
    declared: &mut Declarations,
) -> Result<(), ParseError> {
    for (path, item) in entries(fields, "variables")? {
        let inner = Fields::new(item, &path, &["name", "expression"])?;
        let name = inner.required_text("name")?;
        let program = compile(&inner, "expression", declared, None)?;
        let place = VARIABLES + made.len();
        declared.declare(&format!("variables.{name}"), place, program.result().clone());
        made.push(program);
    }
    Ok(())
}

fn demands(
    fields: &Fields<'_>,
    name: &str,
    declared: &Declarations,
    message_of_rule: Option<&str>,
) -> Result<Vec<Demand>, ParseError> {
    let mut made = Vec::new();
    for (path, item) in entries(fields, name)? {
        let known = ["expression", "message", "messageExpression", "reason"];
        let inner = Fields::new(item, &path, &known)?;
        inner.text("reason")?;
        let message = inner.text("message")?.filter(|text| !text.is_empty()).or(message_of_rule);
        let message_program = match inner.text("messageExpression")? {
            Some(text) if !text.is_empty() => {
                Some(compile(&inner, "messageExpression", declared, Some(&Type::String))?)
            }
            _ => None,
        };
        made.push(Demand {
            program: compile(&inner, "expression", declared, Some(&Type::Bool))?,
            message: message.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
            message_program,
        });
    }
    Ok(made)
}

/// Checks the expressions of audit annotations, which add to the audit trail and judge nothing.
fn annotations(fields: &Fields<'_>, declared: &Declarations) -> Result<usize, ParseError> {
    let entries = entries(fields, "auditAnnotations")?;
    for (path, item) in &entries {
        let inner = Fields::new(item, path, &["key", "valueExpression"])?;
        inner.required_text("key")?;
        let program = compile(&inner, "valueExpression", declared, None)?;
        if !matches!(program.result(), Type::String | Type::Null | Type::Dyn) {
            let message = format!("must be of type `string`, not `{}`", program.result());
            return Err(inner.error("valueExpression", message));
        }
    }
    Ok(entries.len())
}

fn parameters(fields: &Fields<'_>) -> Result<Option<Parameters>, ParseError> {
    let (kind, reference) = match (fields.get("paramKind"), fields.get("paramRef")) {
        (None, None) => return Ok(None),
        (Some(kind), Some(reference)) => (kind, reference),
        (Some(_), None) => return Err(fields.error("paramRef", "is required beside `paramKind`")),
        (None, Some(_)) => return Err(fields.error("paramKind", "is required beside `paramRef`")),
    };
    let kind = Fields::new(kind, &fields.path("paramKind"), &["apiVersion", "kind"])?;
    let kind = (kind.required_text("apiVersion")?, kind.required_text("kind")?);
    let mut made = Parameters::bound(fields, kind, reference, Status::Error)?;
    if made.not_found == Status::Skip {
        // In the field one that is named must be there, and none that is selected is nothing to check.
        made.not_found = if made.name.is_some() { Status::Error } else { Status::Pass };
    }
    Ok(Some(made))
}

impl Parameters {
    /// The objects of a kind that a `paramRef` names; a rule says `denied` where there are none and
    /// they are demanded.
    pub(super) fn bound(
        fields: &Fields<'_>,
        (api_version, kind): (&str, &str),
        reference: &Value,
        denied: Status,
    ) -> Result<Self, ParseError> {
        let known = ["name", "namespace", "selector", "parameterNotFoundAction"];
        let reference = Fields::new(reference, &fields.path("paramRef"), &known)?;
        let text = |name: &str| {
            let text = reference.text(name)?;
            Ok::<_, ParseError>(text.filter(|text| !text.is_empty()).map(str::to_owned))
        };
        let name = text("name")?;
        let selector = reference
            .get("selector")
            .map(|selector| LabelSelector::parse(selector, &reference.path("selector")))
            .transpose()?;
        if name.is_some() == selector.is_some() {
            return Err(reference.error("name", "needs exactly one of `name`, `selector`"));
        }
        let not_found = match reference.text("parameterNotFoundAction")? {
            None | Some("Allow") => Status::Skip,
            Some("Deny") => denied,
            Some(other) => {
                let message = format!("unknown value `{other}`, it is `Allow` or `Deny`");
                return Err(reference.error("parameterNotFoundAction", message));
            }
        };
        let namespace = text("namespace")?;
        let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
        Ok(Self { api_version, kind, namespace, name, selector, not_found })
    }
}
