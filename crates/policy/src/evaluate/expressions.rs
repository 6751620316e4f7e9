//! Validate rules written in CEL, and CEL preconditions.

use std::cell::{OnceCell, RefCell};
use std::sync::LazyLock;

use proofstream_cel::{Fault, Host, Meter, Opaque, Program, Value as CelValue};
use serde_json::{Map, Value, json};

use super::{Said, functions, mutating};
use crate::environment::Lookup;
use crate::jmespath::Failure;
use crate::policy::Generating;
use crate::policy::expressions::{
    AUTHORIZER, Demand, EXCEPTIONS, Expressions, FAILS, IMAGES, NAMESPACE_OBJECT, OBJECT,
    OLD_OBJECT, OnFault, PARAMS, Parameters, Precondition, REQUEST, Shared, VARIABLES,
};
use crate::response::Status;
use crate::scope::Scope;
use crate::trace::{self, StepOutcome};

/// What the expressions of one rule may cost, as in Kubernetes.
pub(super) const BUDGET: u64 = 10_000_000;
/// What telling a value may cost.
const TOLD: u64 = 10_000;
/// Longest message that an expression may make, as in Kubernetes.
const MAX_MESSAGE: usize = 5 * 1024;

/// What expressions read.
pub(super) struct Sources<'s> {
    scope: &'s Scope<'s>,
    parameter: Option<&'s Value>,
    /// Where the template stands that is seen in the place of the object.
    template: Option<&'static [&'static str]>,
    object_view: OnceCell<Value>,
    old_object_view: OnceCell<Value>,
    request: OnceCell<Value>,
    namespace: OnceCell<Value>,
    images: OnceCell<Value>,
}

/// A value, or why there is none.
pub(super) type Found<'s> = Result<CelValue<'s>, Fault>;

/// What expressions ask for values.
pub(super) struct Ground<'s> {
    sources: &'s Sources<'s>,
    /// The object where it is no more what it was when the request came.
    object: Option<&'s Value>,
    variables: &'s [Program],
    /// Values of variables that were asked for; each is made once.
    pub(super) known: RefCell<Vec<Option<Found<'s>>>>,
}

/// What the preconditions of a rule say; `None` where they hold.
pub(crate) fn preconditions<'s>(
    preconditions: &'s [Precondition],
    shared: Option<Shared<'s>>,
    scope: &'s Scope<'s>,
) -> Option<Said> {
    if preconditions.is_empty() {
        return None;
    }
    let sources = Sources::new(scope, None, shared.and_then(|shared| shared.template));
    let variables = shared.map(|shared| shared.variables).unwrap_or_default();
    let ground = Ground::new(&sources, variables);
    let on_fault = shared.map_or(FAILS, |shared| shared.on_fault);
    unmet(preconditions, &ground, &Meter::new(BUDGET), on_fault)
}

/// The condition that does not hold; one that has no value tells only where all others hold.
pub(super) fn unmet<'s>(
    conditions: &'s [Precondition],
    ground: &Ground<'s>,
    meter: &Meter,
    on_fault: OnFault,
) -> Option<Said> {
    let mut failed = None;
    for condition in conditions {
        let value = condition.program.evaluate(ground, meter);
        trace::answer(matches!(value, Ok(CelValue::Bool(true))), || {
            let expression = one_line(condition.program.expression());
            format!("condition {}: {expression}", condition.name)
        });
        match value {
            Ok(CelValue::Bool(true)) => {}
            Ok(CelValue::Bool(false)) => {
                let message = format!("CEL precondition `{}` not met", condition.name);
                return Some(Said::new(Status::Skip, message));
            }
            Ok(other) => {
                let found = Fault::Invalid(format!("it is of type `{}`", other.type_name()));
                failed.get_or_insert((condition, found));
            }
            Err(fault) => {
                failed.get_or_insert((condition, fault));
            }
        }
    }
    failed.map(|(condition, fault)| {
        let message = format!("CEL precondition `{}` resulted in error: {fault}", condition.name);
        Said::new(on_fault.precondition, message)
    })
}

/// What a rule's expressions say: with several parameters, what they say with the one that counts most.
pub(super) fn judge(rule: &str, expressions: &Expressions, scope: &Scope<'_>) -> Said {
    let passed = || Said::new(Status::Pass, format!("rule {rule} passed"));
    let meter = Meter::new(BUDGET);
    let Some(parameters) = &expressions.parameters else {
        return judge_with(expressions, scope, None, &meter).unwrap_or_else(passed);
    };
    let found = match parameters.found(scope) {
        Ok(found) => found,
        Err(said) => return said,
    };
    let said = found.iter().map(|parameter| {
        judge_with(expressions, scope, Some(parameter), &meter).unwrap_or_else(passed)
    });
    weightiest(said, expressions.on_fault).unwrap_or_else(passed)
}

/// Of several statements the first that refuses, or else the first that passes.
fn weightiest(said: impl Iterator<Item = Said>, on_fault: OnFault) -> Option<Said> {
    let weight = |said: &Said| match said.status {
        Status::Fail => 0,
        // Where faults are passed over, a failure counts more.
        Status::Error => u8::from(on_fault.goes_on),
        Status::Pass => 2,
        _ => 3,
    };
    said.min_by_key(weight)
}

/// The first demand that does not hold, or what the conditions say before.
fn judge_with(
    expressions: &Expressions,
    scope: &Scope<'_>,
    parameter: Option<&Value>,
    meter: &Meter,
) -> Option<Said> {
    let sources = Sources::new(scope, parameter, None);
    let ground = Ground::new(&sources, &expressions.variables);
    let on_fault = expressions.on_fault;
    if let Some(said) = unmet(&expressions.conditions, &ground, meter, on_fault) {
        return Some(said);
    }
    let mut broken = broken(expressions, &ground, meter);
    if on_fault.goes_on { weightiest(broken, on_fault) } else { broken.next() }
}

/// Every demand that does not hold with a parameter; what the conditions say before, alone.
pub(super) fn all_broken(
    expressions: &Expressions,
    scope: &Scope<'_>,
    parameter: &Value,
) -> Result<Vec<Said>, Said> {
    let meter = Meter::new(BUDGET);
    let sources = Sources::new(scope, Some(parameter), None);
    let ground = Ground::new(&sources, &expressions.variables);
    match unmet(&expressions.conditions, &ground, &meter, expressions.on_fault) {
        Some(said) => Err(said),
        None => Ok(broken(expressions, &ground, &meter).collect()),
    }
}

/// What expressions of a rule make, each object with its namespace.
pub(super) fn generated(
    generating: &Generating,
    scope: &Scope<'_>,
) -> Result<Vec<(String, Value)>, Failure> {
    let meter = Meter::new(BUDGET);
    let sources = Sources::new(scope, None, None);
    let ground = Ground::new(&sources, &generating.variables);
    scope.judgement().take_made();
    for program in &generating.programs {
        let value = program.evaluate(&ground, &meter);
        trace::answer(matches!(value, Ok(CelValue::Bool(true))), || {
            format!("expression {}", one_line(program.expression()))
        });
        match value {
            Ok(_) => {}
            Err(Fault::Pending) => return Err(Failure::Pending),
            Err(fault) => {
                let expression = one_line(program.expression());
                let message = format!("expression `{expression}` resulted in error: {fault}");
                return Err(Failure::invalid(message));
            }
        }
    }
    Ok(scope.judgement().take_made())
}

/// An expression without its line breaks.
fn one_line(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The demands that do not hold.
fn broken<'e, 's>(
    expressions: &'s Expressions,
    ground: &'e Ground<'s>,
    meter: &'e Meter,
) -> impl Iterator<Item = Said> + use<'e, 's> {
    let on_fault = expressions.on_fault;
    expressions.demands.iter().filter_map(move |demand| {
        let value = demand.program.evaluate(ground, meter);
        trace::answer(matches!(value, Ok(CelValue::Bool(true))), || {
            format!("expression {}", one_line(demand.program.expression()))
        });
        let fault = match value {
            Ok(CelValue::Bool(true)) => return None,
            Ok(CelValue::Bool(false)) => {
                return Some(Said::new(Status::Fail, demand.message(ground, meter)));
            }
            Ok(other) => format!("its value is of type `{}`, not `bool`", other.type_name()),
            Err(fault) => fault.to_string(),
        };
        let expression = demand.program.expression().trim();
        let message = format!("expression `{expression}` resulted in error: {fault}");
        Some(Said::new(on_fault.demand, message))
    })
}

impl Demand {
    /// What is said where it does not hold.
    fn message(&self, ground: &Ground<'_>, meter: &Meter) -> String {
        let made = self.message_program.as_ref().and_then(|program| {
            let value = program.evaluate(ground, meter).ok()?;
            let text = value.as_str()?.trim();
            let fits = !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n');
            fits.then(|| text.to_owned())
        });
        made.or_else(|| self.message.clone())
            .unwrap_or_else(|| format!("failed expression: {}", self.program.expression().trim()))
    }
}

impl Parameters {
    /// The objects that are bound to `params`; what the rule says where they cannot be found, or where
    /// there are none and that matters.
    pub(super) fn found(&self, scope: &Scope<'_>) -> Result<Vec<Value>, Said> {
        match self.find(scope) {
            Ok(found) if found.is_empty() && self.not_found != Status::Pass => {
                Err(Said::new(self.not_found, self.not_found_in_words()))
            }
            Ok(found) => Ok(found),
            Err(failure) => Err(Said::error("parameters cannot be found", &failure)),
        }
    }

    /// The objects that are bound to `params`.
    fn find(&self, scope: &Scope<'_>) -> Result<Vec<Value>, Failure> {
        let judgement = scope.judgement();
        let namespace = self.namespace.clone().or_else(|| judgement.request.namespace.clone());
        let lookup = Lookup::Parameters {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            namespace,
            name: self.name.clone(),
        };
        let answer = match judgement.environment.parameters_for(&lookup) {
            Some(standing_in) => standing_in,
            None => judgement.answer(lookup)?.clone(),
        };
        let listed = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let fits = |object: &&Value| {
            let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
            self.selector.as_ref().is_none_or(|selector| selector.matches(&labels))
        };
        let found: Vec<Value> = listed.iter().filter(fits).cloned().collect();
        Ok(found)
    }

    fn not_found_in_words(&self) -> String {
        match &self.name {
            Some(name) => format!("parameters cannot be found: there is no {} `{name}`", self.kind),
            None => format!("parameters cannot be found: no {} has such labels", self.kind),
        }
    }
}

impl<'s> Sources<'s> {
    pub(super) fn new(
        scope: &'s Scope<'s>,
        parameter: Option<&'s Value>,
        template: Option<&'static [&'static str]>,
    ) -> Self {
        Self {
            scope,
            parameter,
            template,
            object_view: OnceCell::new(),
            old_object_view: OnceCell::new(),
            request: OnceCell::new(),
            namespace: OnceCell::new(),
            images: OnceCell::new(),
        }
    }

    /// An object as expressions see it.
    fn seen<'a>(
        &'a self,
        object: Option<&'a Value>,
        view: &'a OnceCell<Value>,
    ) -> Option<&'a Value> {
        let object = object?;
        Some(match self.template {
            Some(keys) => view.get_or_init(|| mutating::view(object, keys)),
            None => object,
        })
    }

    /// The request as the API server shows it to expressions: what is empty is left out.
    fn request(&self) -> &Value {
        self.request.get_or_init(|| self.scope.request_without_objects())
    }

    /// The images that the object names, by the list of containers; of a deletion the old object.
    fn images(&self) -> &Value {
        let request = self.scope.judgement().request;
        self.images.get_or_init(|| request.subject().map_or_else(|| json!({}), named_images))
    }

    /// What exceptions allow: nothing, because those that allow a part only are not read.
    #[expect(clippy::unused_self, reason = "exceptions belong to what expressions read")]
    fn allowed(&self) -> &Value {
        static NOTHING: LazyLock<Value> =
            LazyLock::new(|| json!({"allowedImages": [], "allowedValues": []}));
        &NOTHING
    }

    /// The namespace of the object; null for objects without one, and for namespaces themselves.
    fn namespace(&self) -> Result<&Value, Fault> {
        if let Some(known) = self.namespace.get() {
            return Ok(known);
        }
        let judgement = self.scope.judgement();
        let request = judgement.request;
        let made = match request.namespace.as_deref() {
            Some(name) if request.kind.kind != "Namespace" && !name.is_empty() => {
                let url_path = format!("/api/v1/namespaces/{name}");
                let lookup = Lookup::ApiCall { method: "GET".to_owned(), url_path, body: None };
                let environment = judgement.environment;
                if (environment.offline || environment.parameters.is_some())
                    && !environment.answers.contains_key(&lookup)
                {
                    namespace_from_labels(name, request.namespace_labels.as_ref())
                } else {
                    judgement.answer(lookup).map_err(|failure| fault(&failure))?.clone()
                }
            }
            _ => Value::Null,
        };
        Ok(self.namespace.get_or_init(|| made))
    }
}

/// What is known offline of a namespace.
fn namespace_from_labels(
    name: &str,
    labels: Option<&std::collections::BTreeMap<String, String>>,
) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(name));
    if let Some(labels) = labels {
        metadata.insert("labels".to_owned(), json!(labels));
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}

pub(super) fn fault(failure: &Failure) -> Fault {
    match failure {
        Failure::Pending => Fault::Pending,
        other => Fault::Invalid(other.to_string()),
    }
}

impl<'s> Ground<'s> {
    fn new(sources: &'s Sources<'s>, variables: &'s [Program]) -> Self {
        let known = variables.iter().map(|_| None).collect();
        Self { sources, object: None, variables, known: RefCell::new(known) }
    }

    /// The same for an object that was changed, with what is known of variables.
    pub(super) fn of(
        sources: &'s Sources<'s>,
        variables: &'s [Program],
        object: &'s Value,
        known: Vec<Option<Found<'s>>>,
    ) -> Self {
        Self { sources, object: Some(object), variables, known: RefCell::new(known) }
    }

    fn own_variable(&self, place: usize, meter: &Meter) -> Found<'s> {
        if let Some(Some(found)) = self.known.borrow().get(place) {
            return found.clone();
        }
        let program =
            self.variables.get(place).ok_or_else(|| Fault::Invalid("no such name".to_owned()))?;
        let found = program.evaluate(self, meter);
        trace::note(StepOutcome::Info, || {
            let expression = one_line(program.expression());
            match &found {
                Ok(value) => match value.to_json(&Meter::new(TOLD)) {
                    Ok(json) => format!("variable {expression} is {}", trace::shown(&json)),
                    Err(_) => format!("variable {expression} is a {}", value.type_name()),
                },
                Err(fault) => format!("variable {expression} has no value: {fault}"),
            }
        });
        if let Some(cell) = self.known.borrow_mut().get_mut(place) {
            *cell = Some(found.clone());
        }
        found
    }
}

/// Where pods stand in what holds them.
const POD_SPECS: [&str; 3] =
    ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];

fn named_images(object: &Value) -> Value {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let place = match kind {
        "Pod" => 0,
        "CronJob" => 2,
        _ => 1,
    };
    let spec = POD_SPECS.get(place).and_then(|pointer| object.pointer(pointer));
    let list = |name: &str, pointer: &str| -> Value {
        let listed = spec.and_then(|spec| spec.get(name)).and_then(Value::as_array);
        listed.into_iter().flatten().filter_map(|each| each.pointer(pointer)).cloned().collect()
    };
    json!({
        "containers": list("containers", "/image"),
        "initContainers": list("initContainers", "/image"),
        "ephemeralContainers": list("ephemeralContainers", "/image"),
        "imageVolumes": list("volumes", "/image/reference"),
    })
}

impl<'s> Host<'s> for Ground<'s> {
    fn variable(&self, slot: usize, meter: &Meter) -> Found<'s> {
        let request = self.sources.scope.judgement().request;
        let there = |object: Option<&'s Value>| object.map_or(CelValue::Null, CelValue::from_json);
        Ok(match slot {
            OBJECT => {
                there(self.object.or_else(|| {
                    self.sources.seen(request.object.as_ref(), &self.sources.object_view)
                }))
            }
            OLD_OBJECT => {
                let old = request.old_object.as_ref();
                there(self.sources.seen(old, &self.sources.old_object_view))
            }
            REQUEST => CelValue::from_json(self.sources.request()),
            NAMESPACE_OBJECT => CelValue::from_json(self.sources.namespace()?),
            AUTHORIZER => CelValue::Opaque(std::sync::Arc::new(Opaque::Authorizer)),
            PARAMS => there(self.sources.parameter),
            IMAGES => CelValue::from_json(self.sources.images()),
            EXCEPTIONS => CelValue::from_json(self.sources.allowed()),
            other => return self.own_variable(other.saturating_sub(VARIABLES), meter),
        })
    }

    fn call(&self, function: usize, arguments: &[CelValue<'s>], meter: &Meter) -> Found<'s> {
        functions::call(self.sources.scope.judgement(), function, arguments, meter)
    }
}
