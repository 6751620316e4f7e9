//! Mutate rules: patches of the request's object, loops over them, patches of existing objects.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    FOR_NOBODY, RuleAt, Said, approach, asks_for_nobody, dress, dress_for, exempted, in_scope,
    mutating,
};
use crate::environment::Lookup;
use crate::jmespath::{Data, Failure};
use crate::mutation::TargetMutation;
use crate::patch::{self, Manner, Merged, PatchError};
use crate::policy::{Action, Change, Loop, Mutate, MutateTarget, Operations, Patch};
use crate::request::Operation;
use crate::response::{ResourceName, RuleResponse, Status};
use crate::scope::{Element, Frame, Judgement, Patched, Scope};
use crate::selection::Target;

/// Most elements of one loop.
const MAX_ELEMENTS: usize = 100_000;
/// Most existing objects that one target may name.
const MAX_TARGETS: usize = 10_000;

/// What the patches of a rule are applied to.
#[derive(Clone, Copy)]
enum Subject<'s> {
    Request(&'s Value),
    Target(&'s Value),
}

impl<'s> Subject<'s> {
    fn object(self) -> &'s Value {
        match self {
            Self::Request(object) | Self::Target(object) => object,
        }
    }

    /// The same, as patches have left it.
    fn with(self, object: &Value) -> Subject<'_> {
        match self {
            Self::Request(_) => Subject::Request(object),
            Self::Target(_) => Subject::Target(object),
        }
    }

    fn patched<'c>(self, judgement: &'c Judgement<'c>) -> Patched<'c>
    where
        's: 'c,
    {
        match self {
            Self::Request(object) => Patched::of_request(judgement, object),
            Self::Target(object) => Patched::target(judgement, object),
        }
    }
}

/// Mutates the object of a request by a rule; `None` where the rule is not about it. The object comes
/// with the response where it changed.
pub(crate) fn rule(
    judgement: &Judgement<'_>,
    target: &Target<'_>,
    at: &RuleAt<'_>,
    empty: &Map<String, Value>,
) -> Option<(RuleResponse, Option<Value>)> {
    let request = judgement.request;
    // What is deleted is not patched.
    let object = request.object.as_ref().filter(|_| request.operation != Operation::Delete)?;
    if let Err(said) = approach(judgement, target, at)? {
        return Some((dress(said, request, target, at), None));
    }
    let mutate = match &at.rule.action {
        Action::Mutate(mutate) => mutate,
        Action::NotSupported(what) => {
            return Some((dress(Said::not_supported(what), request, target, at), None));
        }
        _ => return None,
    };
    let outcome = if let Some((said, _)) = exempted(judgement, target, at, empty) {
        Err(said)
    } else {
        let work = |scope: &Scope<'_>| change(&mutate.change, scope, Subject::Request(object));
        in_scope(judgement, at, empty, work).and_then(|outcome| outcome)
    };
    let (said, object) = told(outcome);
    Some((dress(said, request, target, at), object))
}

/// Mutates existing objects by a rule that has targets; nothing where the rule is not about the
/// request.
pub(crate) fn existing(
    judgement: &Judgement<'_>,
    target: &Target<'_>,
    at: &RuleAt<'_>,
    empty: &Map<String, Value>,
) -> Vec<TargetMutation> {
    let request = judgement.request;
    let Some(mutate) = mutate_of(at) else { return Vec::new() };
    let alone = |said| TargetMutation {
        response: dress(said, request, target, at),
        target: None,
        object: None,
    };
    match approach(judgement, target, at) {
        None => return Vec::new(),
        Some(Err(said)) => return vec![alone(said)],
        Some(Ok(())) => {}
    }
    if let Some((said, _)) = exempted(judgement, target, at, empty) {
        return vec![alone(said)];
    }
    if asks_for_nobody(judgement, at.rule) {
        return vec![alone(Said::new(Status::Error, FOR_NOBODY))];
    }
    let work = |scope: &Scope<'_>| {
        let mut made = Vec::new();
        for spec in &mutate.targets {
            match found(spec, scope, at) {
                Ok(objects) => made.extend(objects.into_iter().map(|object| {
                    let (said, changed) = told(one_target(mutate, spec, scope, object));
                    TargetMutation {
                        response: dress_for(said, request, Arc::new(name_of(object)), at),
                        target: Some(object.clone()),
                        object: changed,
                    }
                })),
                Err(said) => made.push(alone(said)),
            }
        }
        if made.is_empty() {
            made.push(alone(Said::new(Status::Skip, "no target exists")));
        }
        made
    };
    let made = in_scope(judgement, at, empty, work);
    made.unwrap_or_else(|said| vec![alone(said)])
}

fn mutate_of<'p>(at: &RuleAt<'p>) -> Option<&'p Mutate> {
    match &at.rule.action {
        Action::Mutate(mutate) => Some(mutate),
        _ => None,
    }
}

/// What a rule says of what it did.
fn told(outcome: Result<Value, Said>) -> (Said, Option<Value>) {
    match outcome {
        Err(said) => (said, None),
        Ok(object) => {
            let name = name_of(&object);
            let within = name.namespace.map(|name| format!(" in namespace {name}"));
            let within = within.unwrap_or_default();
            let message = format!("mutated {}/{}{within}", name.kind, name.name);
            (Said::new(Status::Pass, message), Some(object))
        }
    }
}

fn name_of(object: &Value) -> ResourceName {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let named = Some(text("/metadata/name")).filter(|name| !name.is_empty());
    ResourceName {
        api_version: text("/apiVersion").to_owned(),
        kind: text("/kind").to_owned(),
        namespace: Some(text("/metadata/namespace"))
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        name: named.unwrap_or_else(|| text("/metadata/generateName")).to_owned(),
    }
}

// === Targets ===

/// The existing objects that a target names.
fn found<'s>(
    spec: &MutateTarget,
    scope: &Scope<'s>,
    at: &RuleAt<'_>,
) -> Result<Vec<&'s Value>, Said> {
    let failed = |failure: &Failure| Said::error("targets cannot be found", failure);
    let text = |template: &crate::template::Template| template.resolve_text(scope);
    let lookup = || -> Result<Lookup, Failure> {
        let selector = match &spec.selector {
            Some(document) => Some(document.resolve(scope)?.into_value()?.to_string()),
            None => None,
        };
        // A policy in a namespace reaches no further than it.
        let namespace = match &at.policy.namespace {
            Some(namespace) => namespace.to_string(),
            None => text(&spec.namespace)?,
        };
        Ok(Lookup::Objects {
            api_version: text(&spec.api_version)?,
            kind: text(&spec.kind)?,
            namespace,
            name: text(&spec.name)?,
            selector,
        })
    };
    let uid = text(&spec.uid).map_err(|failure| failed(&failure))?;
    let lookup = lookup().map_err(|failure| failed(&failure))?;
    let answer = scope.judgement().answer(lookup).map_err(|failure| failed(&failure))?;
    let Value::Array(objects) = answer else {
        return Err(Said::new(
            Status::Error,
            "targets cannot be found: no list of objects came back",
        ));
    };
    if objects.len() > MAX_TARGETS {
        let message = format!("a target names more than {MAX_TARGETS} objects");
        return Err(Said::new(Status::Error, message));
    }
    let is_meant = |object: &&Value| {
        uid.is_empty() || object.pointer("/metadata/uid").and_then(Value::as_str) == Some(&uid)
    };
    Ok(objects.iter().filter(is_meant).collect())
}

fn one_target(
    mutate: &Mutate,
    spec: &MutateTarget,
    scope: &Scope<'_>,
    object: &Value,
) -> Result<Value, Said> {
    let subject = Subject::Target(object);
    let patched = subject.patched(scope.judgement());
    let with_target = scope.with_patched(&patched);
    let frame = Frame::new(&spec.context);
    let scope = with_target.with_frame(&frame);
    match spec.preconditions.evaluate(&scope) {
        Err(failure) => {
            Err(Said::error("preconditions of the target cannot be evaluated", &failure))
        }
        Ok(outcome) if !outcome.holds => {
            Err(Said::new(Status::Skip, "preconditions of the target not met"))
        }
        Ok(_) => change(&mutate.change, &scope, subject),
    }
}

// === Patches ===

/// The object as a change leaves it.
///
/// # Errors
/// What the rule says where it changes nothing, or cannot.
fn change(change: &Change, scope: &Scope<'_>, subject: Subject<'_>) -> Result<Value, Said> {
    let mut object = Cow::Borrowed(subject.object());
    match change {
        Change::Patch(patch) => {
            if let Merged::Unmet(reason) = apply(patch, scope, &mut object)? {
                return Err(Said::new(Status::Skip, format!("no patches applied: {reason}")));
            }
            match object {
                Cow::Owned(changed) if changed != *subject.object() => Ok(changed),
                _ => Err(Said::new(Status::Skip, "no patches applied: they change nothing")),
            }
        }
        Change::Expressions(changes) => mutating::change(changes, scope, subject.object()),
        Change::ForEach(loops) => {
            let applied = for_each(loops, scope, subject, &mut object, 0)?;
            match object {
                Cow::Owned(changed) if applied > 0 => Ok(changed),
                _ => Err(Said::new(Status::Skip, "no patches applied: no loop changes anything")),
            }
        }
    }
}

/// Runs loops one after the other, each on the object as those before it left it; `request.object`
/// stays what it was when the loop began. Gives how many of them changed the object.
fn for_each(
    loops: &[Loop],
    scope: &Scope<'_>,
    subject: Subject<'_>,
    object: &mut Cow<'_, Value>,
    nesting: usize,
) -> Result<usize, Said> {
    let mut applied = 0;
    let mut left: Option<Value> = None;
    for (place, each) in loops.iter().enumerate() {
        let before = left.as_ref().map_or(subject, |left| subject.with(left));
        let patched = before.patched(scope.judgement());
        let scope = scope.with_patched(&patched);
        let failed = |failure: &Failure| Said::error(&format!("foreach[{place}].list"), failure);
        let elements = each.list.elements(&scope).map_err(|failure| failed(&failure))?;
        if elements.len() > MAX_ELEMENTS {
            let message = format!("foreach[{place}] has more than {MAX_ELEMENTS} elements");
            return Err(Said::new(Status::Error, message));
        }
        let patches =
            run_loop(each, elements, &scope, before, object, nesting).map_err(|said| Said {
                message: format!("foreach[{place}]: {}", said.message),
                ..said
            })?;
        // Inside of a loop the outermost one looks whether anything changed: comparing whole objects
        // for each of its elements would cost too much.
        let changed = patches > 0 && (nesting > 0 || **object != *before.object());
        if !changed {
            continue;
        }
        applied += 1;
        if place + 1 < loops.len() {
            let charged = scope.interpreter().charge(patch::weight(object));
            charged.map_err(|failure| failed(&failure))?;
            left = Some(object.clone().into_owned());
        }
    }
    Ok(applied)
}

/// Runs one loop; gives how many patches were applied.
fn run_loop(
    each: &Loop,
    elements: Vec<Data<'_>>,
    scope: &Scope<'_>,
    before: Subject<'_>,
    object: &mut Cow<'_, Value>,
    nesting: usize,
) -> Result<usize, Said> {
    let mut applied = 0;
    let mut numbered: Vec<_> = elements.into_iter().enumerate().collect();
    if each.descending {
        numbered.reverse();
    }
    for (index, value) in numbered {
        if value.is_null() {
            continue;
        }
        let charged = scope.interpreter().charge(1);
        charged.map_err(|failure| Said::error("loop", &failure))?;
        let element = Element { value, index, nesting };
        let with_element = scope.with_element(&element);
        let frame = Frame::new(&each.context);
        let scope = with_element.with_frame(&frame);
        match each.preconditions.evaluate(&scope) {
            Err(failure) => {
                return Err(Said::error("preconditions cannot be evaluated", &failure));
            }
            Ok(outcome) if !outcome.holds => continue,
            Ok(_) => {}
        }
        match &each.change {
            Change::Patch(patch) => {
                if let Merged::Applied = apply(patch, &scope, object)? {
                    applied += 1;
                }
            }
            Change::ForEach(loops) => {
                applied += for_each(loops, &scope, before, object, nesting + 1)?;
            }
            // INVARIANT: no loop is read with expressions in it.
            Change::Expressions(_) => {}
        }
    }
    Ok(applied)
}

/// Applies a patch with its variables filled. After an error the object is thrown away.
fn apply(patch: &Patch, scope: &Scope<'_>, object: &mut Cow<'_, Value>) -> Result<Merged, Said> {
    let unfilled =
        |failure: &Failure| Said::error("variables of the patch cannot be filled", failure);
    match patch {
        Patch::Strategic(document) => {
            let filled = document.resolve(scope).map_err(|failure| unfilled(&failure))?;
            let filled = filled.to_value().map_err(|failure| unfilled(&failure))?;
            let charged = scope.interpreter().charge(patch::weight(&filled));
            charged.map_err(|failure| unfilled(&failure))?;
            patch::merge_strategic(&filled, object)
                .map_err(|error| Said::error("the patch cannot be applied", &error.into()))
        }
        Patch::Operations(operations) => {
            let read;
            let operations = match operations {
                Operations::Fixed(operations) => operations,
                Operations::Made(template) => {
                    let text =
                        template.resolve_text(scope).map_err(|failure| unfilled(&failure))?;
                    let charged = scope.interpreter().charge(text.len() / 64);
                    charged.map_err(|failure| unfilled(&failure))?;
                    read = patch::read_operations(&text, "patchesJson6902").map_err(|error| {
                        Said::new(Status::Error, format!("the patch cannot be read: {error}"))
                    })?;
                    &read
                }
            };
            patch::apply_operations(operations, object, Manner::Lenient, &|steps| {
                scope.interpreter().charge(steps)
            })
            .map_err(|failure| Said::error("the patch cannot be applied", &failure))?;
            Ok(Merged::Applied)
        }
    }
}

impl From<PatchError> for Failure {
    fn from(error: PatchError) -> Self {
        Self::invalid(error.to_string())
    }
}
