//! Mutations written in CEL: apply configurations, and lists of RFC 6902 operations.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/>

use std::borrow::Cow;

use proofstream_cel::{List, Meter, Value as CelValue};
use proofstream_schema::Schemas;
use serde_json::{Map, Value};

use super::Said;
use super::expressions::{BUDGET, Found, Ground, Sources, unmet};
use crate::patch::{self, Manner, PatchError};
use crate::policy::expressions::{CelPatch, Changes};
use crate::response::Status;
use crate::scope::Scope;

/// The object as the mutations of a policy leave it, each working on what the one before left.
///
/// # Errors
/// What the rule says where they change nothing, or cannot.
pub(super) fn change(changes: &Changes, scope: &Scope<'_>, object: &Value) -> Result<Value, Said> {
    let meter = Meter::new(BUDGET);
    let Some(parameters) = &changes.parameters else {
        return change_with(changes, scope, None, object, &meter);
    };
    let mut current = Cow::Borrowed(object);
    for parameter in parameters.found(scope)? {
        match change_with(changes, scope, Some(&parameter), &current, &meter) {
            Ok(changed) => current = Cow::Owned(changed),
            Err(said) if matches!(said.status, Status::Pass | Status::Skip) => {}
            Err(said) => return Err(said),
        }
    }
    match current {
        Cow::Owned(changed) if changed != *object => Ok(changed),
        _ => Err(unchanged()),
    }
}

fn unchanged() -> Said {
    Said::new(Status::Pass, "the mutations change nothing")
}

/// The same with one of the parameters.
fn change_with(
    changes: &Changes,
    scope: &Scope<'_>,
    parameter: Option<&Value>,
    object: &Value,
    meter: &Meter,
) -> Result<Value, Said> {
    let sources = Sources::new(scope, parameter, changes.template);
    let none = || changes.variables.iter().map(|_| None).collect();
    let ground = Ground::of(&sources, &changes.variables, object, none());
    if let Some(said) = unmet(&changes.conditions, &ground, meter, changes.on_fault) {
        return Err(said);
    }
    let run = Run { changes, sources: &sources, meter };
    match run.from(0, object, none())? {
        Some(changed) if changed != *object => Ok(changed),
        _ => Err(unchanged()),
    }
}

/// The mutations of one policy on one object, within one budget.
#[derive(Clone, Copy)]
struct Run<'s> {
    changes: &'s Changes,
    sources: &'s Sources<'s>,
    meter: &'s Meter,
}

impl<'s> Run<'s> {
    /// The object as the mutations from one on leave it; `None` where there are none. Values of
    /// variables that were asked for stay what they were.
    fn from(
        self,
        number: usize,
        object: &'s Value,
        known: Vec<Option<Found<'s>>>,
    ) -> Result<Option<Value>, Said> {
        let Some(mutation) = self.changes.mutations.get(number) else { return Ok(None) };
        let failed =
            |message: String| Said::new(Status::Error, format!("mutations[{number}]: {message}"));
        let template = self.changes.template;
        let seen = template.map_or(Cow::Borrowed(object), |keys| Cow::Owned(view(object, keys)));
        let ground = Ground::of(self.sources, &self.changes.variables, &seen, known);
        let program = match mutation {
            CelPatch::Apply(program) | CelPatch::Operations(program) => program,
        };
        let value = program.evaluate(&ground, self.meter);
        let value = value.map_err(|fault| {
            let expression = program.expression().trim();
            failed(format!("expression `{expression}` resulted in error: {fault}"))
        })?;
        let changed = match mutation {
            CelPatch::Apply(_) => self.apply(&value, object),
            CelPatch::Operations(_) => self.operate(&value, object),
        };
        let changed = changed.map_err(failed)?;
        drop(value);
        let known = ground.known.into_inner();
        let run = Run { changes: self.changes, sources: self.sources, meter: self.meter };
        let later = run.from(number + 1, &changed, known)?;
        Ok(Some(later.unwrap_or(changed)))
    }

    /// Merges an apply configuration.
    fn apply(self, value: &CelValue<'_>, object: &Value) -> Result<Value, String> {
        let CelValue::Message(message) = value else {
            return Err(format!("its value is of type `{}`, not `Object`", value.type_name()));
        };
        message.check_names().map_err(|fault| fault.to_string())?;
        let configuration = value.to_json(self.meter).map_err(|fault| fault.to_string())?;
        let mut configuration = match self.changes.template {
            Some(keys) => wrapped(configuration, keys),
            None => configuration,
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        if let Some(members) = configuration.as_object_mut() {
            for key in ["apiVersion", "kind"] {
                members.insert(key.to_owned(), Value::from(text(key)));
            }
        }
        let shape = Schemas::built_in().of_kind(text("apiVersion"), text("kind"));
        proofstream_schema::apply(shape, object, &configuration, self.changes.lists)
            .map_err(|error| format!("the configuration cannot be applied: {error}"))
    }

    /// Runs operations. One that tests and fails leaves the object as it was.
    fn operate(self, value: &CelValue<'_>, object: &Value) -> Result<Value, String> {
        let CelValue::List(list) = value else {
            return Err(format!("its value is of type `{}`, not a list", value.type_name()));
        };
        let operations = self.operations(list)?;
        let mut object = Cow::Borrowed(object);
        let charge = |steps: usize| {
            let steps = u64::try_from(steps).unwrap_or(u64::MAX);
            self.meter.charge(steps).map_err(|fault| PatchError::new(".", fault.to_string()))
        };
        let before = object.clone();
        match patch::apply_operations(&operations, &mut object, Manner::Strict, &charge) {
            Ok(()) => Ok(object.into_owned()),
            Err(error) if error.is_failed_test() => Ok(before.into_owned()),
            Err(error) => Err(format!("the patch cannot be applied: {error}")),
        }
    }

    fn operations(self, list: &List<'_>) -> Result<Vec<patch::Operation>, String> {
        let mut items = Vec::with_capacity(list.len());
        for item in list.iter() {
            let CelValue::Message(message) = &item else {
                return Err(format!("an element is of type `{}`", item.type_name()));
            };
            if let Some(CelValue::Message(value)) = message.fields.get("value") {
                value.check_names().map_err(|fault| fault.to_string())?;
            }
            let mut operation = item.to_json(self.meter).map_err(|fault| fault.to_string())?;
            if let (Some(keys), Some(members)) = (self.changes.template, operation.as_object_mut())
            {
                for key in ["path", "from"] {
                    if let Some(Value::String(path)) = members.get_mut(key) {
                        carry_over(path, keys);
                    }
                }
            }
            items.push(operation);
        }
        patch::read_operation_list(&items, "patch").map_err(|error| error.to_string())
    }
}

/// What a template has of its own beside its specification.
const OF_TEMPLATES: [&str; 2] = ["labels", "annotations"];

/// The controller as a pod of its template would look: the template's specification, labels and
/// annotations, all else the controller's.
pub(super) fn view(object: &Value, keys: &[&str]) -> Value {
    let template = keys.iter().try_fold(object, |value, key| value.get(key));
    let template = template.unwrap_or(&Value::Null);
    let mut seen = object.as_object().cloned().unwrap_or_default();
    match template.get("spec") {
        Some(spec) => seen.insert("spec".to_owned(), spec.clone()),
        None => seen.remove("spec"),
    };
    let metadata = seen.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        for key in OF_TEMPLATES {
            match template.get("metadata").and_then(|own| own.get(key)) {
                Some(own) => metadata.insert(key.to_owned(), own.clone()),
                None => metadata.remove(key),
            };
        }
    }
    Value::Object(seen)
}

/// A configuration of a pod as one of the controller whose template is at `keys`.
fn wrapped(configuration: Value, keys: &[&str]) -> Value {
    keys.iter().rev().fold(configuration, |inner, key| {
        Value::Object(Map::from_iter([((*key).to_owned(), inner)]))
    })
}

/// A path in a pod as one in the template at `keys`.
fn carry_over(path: &mut String, keys: &[&str]) {
    let mut steps = path.split('/').skip(1);
    let is_of_template = match (steps.next(), steps.next()) {
        (Some("spec"), _) => true,
        (Some("metadata"), Some(next)) => OF_TEMPLATES.contains(&next),
        _ => false,
    };
    if is_of_template {
        *path = format!("/{}{path}", keys.join("/"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_is_seen_as_its_pod() {
        let object = json!({
            "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"of": "controller"}},
            "spec": {"replicas": 2, "template": {
                "metadata": {"annotations": {"of": "template"}}, "spec": {"hostPID": true},
            }},
        });
        assert_eq!(
            view(&object, &["spec", "template"]),
            json!({
                "kind": "Deployment",
                "metadata": {"name": "web", "annotations": {"of": "template"}},
                "spec": {"hostPID": true},
            })
        );
    }

    #[test]
    fn paths_of_a_pod_are_carried_over() {
        let carried = |path: &str| {
            let mut path = path.to_owned();
            carry_over(&mut path, &["spec", "template"]);
            path
        };
        assert_eq!(carried("/spec/hostPID"), "/spec/template/spec/hostPID");
        assert_eq!(carried("/metadata/labels/a"), "/spec/template/metadata/labels/a");
        assert_eq!(carried("/metadata/name"), "/metadata/name");
    }
}
