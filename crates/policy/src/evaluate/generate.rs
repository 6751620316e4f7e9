//! Generate rules: objects from data, copies of others, loops.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{RuleAt, Said, expressions};
use crate::environment::Lookup;
use crate::generation::Generated;
use crate::jmespath::{Failure, type_name};
use crate::ownership::Owner;
use crate::policy::{GenerateEach, GenerateRule, ObjectTemplate, Product, SourceKind, Work};
use crate::response::{ResourceName, Status};
use crate::scope::{Element, Frame, Scope};
use crate::selection::LabelSelector;
use crate::template::{Document, Template};

/// Most objects that one rule makes of one request.
const MAX_OBJECTS: usize = 1_000;
/// How many objects or errors a message names.
const NAMED: usize = 3;

/// Fields of a source's metadata that belong to its own life in the cluster.
const OWN_LIFE: [&str; 9] = [
    "uid",
    "selfLink",
    "creationTimestamp",
    "managedFields",
    "resourceVersion",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
];

/// A rule at work.
struct Maker<'m> {
    at: &'m RuleAt<'m>,
    rule: &'m GenerateRule,
    trigger: &'m Value,
    objects: Vec<Generated>,
}

/// What a generate rule says, and what it makes.
pub(super) fn make(
    at: &RuleAt<'_>,
    rule: &GenerateRule,
    scope: &Scope<'_>,
) -> (Said, Vec<Generated>) {
    let trigger = scope.judgement().request.subject().unwrap_or(&Value::Null);
    let mut maker = Maker { at, rule, trigger, objects: Vec::new() };
    let mut errors = Vec::new();
    match &rule.work {
        Work::Once(product) => errors.extend(maker.product(product, scope).err()),
        Work::ForEach(loops) => {
            for each in loops {
                maker.for_each(each, scope, &mut errors);
            }
        }
        Work::Expressions(generating) => {
            let made = expressions::generated(generating, scope);
            let pushed = made.and_then(|made| {
                made.into_iter().try_for_each(|(namespace, object)| maker.made(&namespace, &object))
            });
            errors.extend(pushed.err());
        }
    }
    let said = match errors.first() {
        Some(Failure::Pending) => Said::error("generate", &Failure::Pending),
        Some(_) => Said::new(Status::Error, listed(errors.iter().map(ToString::to_string))),
        None if maker.objects.is_empty() => Said::new(Status::Pass, "there is nothing to generate"),
        None => {
            let names = maker.objects.iter().map(|made| describe(&made.name));
            Said::new(Status::Pass, format!("generates {}", listed(names)))
        }
    };
    (said, maker.objects)
}

/// `Secret `shop/pull``, `Namespace `shop``.
fn describe(name: &ResourceName) -> String {
    match &name.namespace {
        Some(namespace) => format!("{} `{namespace}/{}`", name.kind, name.name),
        None => format!("{} `{}`", name.kind, name.name),
    }
}

fn listed(texts: impl ExactSizeIterator<Item = String>) -> String {
    let more = texts.len().saturating_sub(NAMED);
    let mut message = texts.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        message.push_str(" and ");
        message.push_str(&more.to_string());
        message.push_str(" more");
    }
    message
}

impl Maker<'_> {
    /// One element that cannot be made does not keep the others from being made.
    fn for_each(&mut self, each: &GenerateEach, scope: &Scope<'_>, errors: &mut Vec<Failure>) {
        let elements = match each.list.elements(scope) {
            Ok(elements) => elements,
            Err(failure) => return errors.push(failure),
        };
        for (index, value) in elements.into_iter().enumerate() {
            if value.is_null() {
                continue;
            }
            if let Err(failure) = scope.interpreter().charge(1) {
                return errors.push(failure);
            }
            let element = Element { value, index, nesting: 0 };
            let with_element = scope.with_element(&element);
            let frame = Frame::new(&each.context);
            let inner = with_element.with_frame(&frame);
            match each.preconditions.evaluate(&inner) {
                Ok(outcome) if outcome.holds => {
                    errors.extend(self.product(&each.product, &inner).err());
                }
                Ok(_) => {}
                Err(failure) => errors.push(failure),
            }
        }
    }

    fn product(&mut self, product: &Product, scope: &Scope<'_>) -> Result<(), Failure> {
        match product {
            Product::Data { target, data } => {
                let name = self.name(target, scope)?;
                let object = content(data, scope)?;
                self.push(object, name, None)
            }
            Product::Clone { target, namespace, name } => {
                let target = self.name(target, scope)?;
                let source = ResourceName {
                    api_version: target.api_version.clone(),
                    kind: target.kind.clone(),
                    namespace: filled(namespace, scope)?,
                    name: name.resolve_text(scope)?,
                };
                self.stay_inside(source.namespace.as_deref())?;
                self.clone(&source, target, scope)
            }
            Product::CloneList { namespace, source, kinds, selector } => {
                let (target, source) = (filled(namespace, scope)?, filled(source, scope)?);
                self.stay_inside(target.as_deref())?;
                self.stay_inside(source.as_deref())?;
                kinds.iter().try_for_each(|kind| {
                    self.clone_all(
                        kind,
                        source.as_deref(),
                        target.as_deref(),
                        selector.as_ref(),
                        scope,
                    )
                })
            }
        }
    }

    /// Takes an object that an expression made, or one that it copies from the cluster.
    fn made(&mut self, namespace: &str, object: &Value) -> Result<(), Failure> {
        let text = |pointer: &str| {
            let text = object.pointer(pointer).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let lacks = |what: &str| Failure::invalid(format!("an object to be made has no `{what}`"));
        let name = ResourceName {
            api_version: text("/apiVersion").ok_or_else(|| lacks("apiVersion"))?,
            kind: text("/kind").ok_or_else(|| lacks("kind"))?,
            namespace: Some(namespace.to_owned()).filter(|name| !name.is_empty()),
            name: text("/metadata/name").ok_or_else(|| lacks("metadata.name"))?,
        };
        self.stay_inside(name.namespace.as_deref())?;
        // What has a life in the cluster is copied.
        let source = text("/metadata/uid")
            .map(|_| ResourceName { namespace: text("/metadata/namespace"), ..name.clone() });
        self.push(copy(object, true), name, source)
    }

    fn name(&self, template: &ObjectTemplate, scope: &Scope<'_>) -> Result<ResourceName, Failure> {
        let text = |template: &Template, what: &str| match template.resolve_text(scope)? {
            empty if empty.is_empty() => {
                Err(Failure::invalid(format!("`{what}` of the object comes out empty")))
            }
            text => Ok(text),
        };
        let name = ResourceName {
            api_version: text(&template.api_version, "apiVersion")?,
            kind: text(&template.kind, "kind")?,
            namespace: filled(&template.namespace, scope)?,
            name: text(&template.name, "name")?,
        };
        self.stay_inside(name.namespace.as_deref())?;
        Ok(name)
    }

    /// INVARIANT: a policy of a namespace neither makes nor reads anything outside of it.
    fn stay_inside(&self, namespace: Option<&str>) -> Result<(), Failure> {
        match self.at.policy.namespace() {
            Some(own) if namespace != Some(own) => {
                let other = namespace.unwrap_or_default();
                let message =
                    format!("a policy of namespace `{own}` may not reach outside of it: `{other}`");
                Err(Failure::invalid(message))
            }
            _ => Ok(()),
        }
    }

    fn clone(
        &mut self,
        source: &ResourceName,
        target: ResourceName,
        scope: &Scope<'_>,
    ) -> Result<(), Failure> {
        // A copy onto itself is nothing to do.
        if source.namespace == target.namespace && source.name == target.name {
            return Ok(());
        }
        let lookup = Lookup::Object {
            api_version: source.api_version.clone(),
            kind: source.kind.clone(),
            namespace: source.namespace.clone(),
            name: source.name.clone(),
        };
        let found = scope.judgement().answer(lookup).map_err(|failure| match failure {
            Failure::Pending => Failure::Pending,
            other => Failure::invalid(format!("clone source: {other}")),
        })?;
        let object = copy(found, source.namespace != target.namespace);
        self.push(object, target, Some(source.clone()))
    }

    fn clone_all(
        &mut self,
        kind: &SourceKind,
        source: Option<&str>,
        target: Option<&str>,
        selector: Option<&LabelSelector>,
        scope: &Scope<'_>,
    ) -> Result<(), Failure> {
        if source == target {
            return Ok(());
        }
        let lookup = Lookup::Objects {
            api_version: kind.api_version.clone(),
            kind: kind.kind.clone(),
            namespace: source.unwrap_or_default().to_owned(),
            name: String::new(),
            selector: None,
        };
        let found = scope.judgement().answer(lookup).map_err(|failure| match failure {
            Failure::Pending => Failure::Pending,
            other => Failure::invalid(format!("clone sources: {other}")),
        })?;
        let items = found.get("items").unwrap_or(found);
        for item in items.as_array().into_iter().flatten() {
            let labels = item.pointer("/metadata/labels").and_then(Value::as_object);
            if selector.is_some_and(|selector| !selector.matches(&labels)) {
                continue;
            }
            let name = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let named = |namespace: Option<&str>| ResourceName {
                api_version: kind.api_version.clone(),
                kind: kind.kind.clone(),
                namespace: namespace.map(str::to_owned),
                name: name.to_owned(),
            };
            self.push(copy(item, true), named(target), Some(named(source)))?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        mut object: Map<String, Value>,
        name: ResourceName,
        source: Option<ResourceName>,
    ) -> Result<(), Failure> {
        if self.objects.len() >= MAX_OBJECTS {
            return Err(Failure::invalid(format!("more than {MAX_OBJECTS} objects")));
        }
        object.insert("apiVersion".to_owned(), Value::from(name.api_version.as_str()));
        object.insert("kind".to_owned(), Value::from(name.kind.as_str()));
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        let Some(metadata) = metadata.as_object_mut() else {
            return Err(Failure::invalid("`metadata` of the object is not an object"));
        };
        metadata.insert("name".to_owned(), Value::from(name.name.as_str()));
        match &name.namespace {
            Some(namespace) => {
                metadata.insert("namespace".to_owned(), Value::from(namespace.as_str()));
            }
            None => {
                metadata.remove("namespace");
            }
        }
        let mut object = Value::Object(object);
        let policy = self.at.policy;
        let owner = Owner {
            policy: &policy.name,
            policy_namespace: policy.namespace().unwrap_or_default(),
            rule: &self.at.rule.name,
            trigger: self.trigger,
        };
        if !owner.mark(&mut object, source.as_ref()) {
            return Err(Failure::invalid("`metadata.labels` of the object is not an object"));
        }
        self.objects.push(Generated {
            policy_index: self.at.policy_index,
            policy: Arc::clone(&policy.name),
            policy_namespace: policy.namespace.clone(),
            rule: Arc::clone(&self.at.rule.name),
            object,
            name,
            source,
            synchronize: self.rule.synchronize,
            orphan_on_policy_delete: self.rule.orphan,
            server_side_apply: policy.settings.server_side_apply,
        });
        Ok(())
    }
}

/// A text that may come out empty, which is none.
fn filled(template: &Template, scope: &Scope<'_>) -> Result<Option<String>, Failure> {
    Ok(Some(template.resolve_text(scope)?).filter(|text| !text.is_empty()))
}

fn content(data: &Document, scope: &Scope<'_>) -> Result<Map<String, Value>, Failure> {
    match data.resolve(scope)?.into_value()? {
        Value::Object(members) => Ok(members),
        other => {
            let message = format!("`data` comes out as {}, not an object", type_name(&other));
            Err(Failure::invalid(message))
        }
    }
}

/// What a copy takes of its source: everything but what belongs to the source's own life. Owners
/// are of the source's namespace, so another namespace must not refer to them.
fn copy(source: &Value, elsewhere: bool) -> Map<String, Value> {
    let mut members = source.as_object().cloned().unwrap_or_default();
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| {
            !(OWN_LIFE.contains(&key.as_str()) || elsewhere && key == "ownerReferences")
        });
    }
    members
}
