//! Validate rules: deny conditions, patterns, loops, assertion trees, Pod Security Standards.

mod assert;
mod constraint;
mod pod_security;

use std::borrow::Cow;

use serde_json::Value;

use super::{RuleAt, Said, expressions};
use crate::jmespath::{Data, Failure};
use crate::pattern::{Pattern, Verdict};
use crate::policy::{Assertion, ForEach, PatternSource, Validation};
use crate::request::Operation;
use crate::response::Status;
use crate::scope::{Element, Frame, Scope};
use crate::trace;

/// Most elements of one loop.
const MAX_ELEMENTS: usize = 100_000;

/// What surrounds an assertion.
struct Ground<'s> {
    at: &'s RuleAt<'s>,
    rule: &'s str,
    validation: &'s Validation,
    scope: &'s Scope<'s>,
    /// What patterns are held against where it is not the request's object.
    element: Option<&'s Value>,
    nesting: usize,
}

/// What a validate rule says; `None` where it has nothing to say (a pattern on a deletion).
pub(super) fn judge<'s>(
    at: &'s RuleAt<'s>,
    validation: &'s Validation,
    scope: &'s Scope<'s>,
) -> Option<Said> {
    let rule = &at.rule.name;
    let ground = Ground { at, rule, validation, scope, element: None, nesting: 0 };
    ground.judge(&validation.assertion)
}

/// Does work whose steps are told below a word.
fn told<T>(word: &'static str, work: impl FnOnce() -> T) -> T {
    trace::within(|| word.to_owned(), work)
}

impl Ground<'_> {
    fn judge(&self, assertion: &Assertion) -> Option<Said> {
        match assertion {
            Assertion::Deny(conditions) => {
                Some(match told("deny where this holds", || conditions.evaluate(self.scope)) {
                    Err(failure) => Said::error("deny conditions cannot be evaluated", &failure),
                    Ok(outcome) if outcome.holds => {
                        Said::new(Status::Fail, self.deny_message(&outcome.messages))
                    }
                    Ok(_) => Said::new(Status::Pass, format!("rule {} passed", self.rule)),
                })
            }
            Assertion::Pattern(source) => self.on_object(|value| self.pattern(source, value)),
            Assertion::AnyPattern(sources) => {
                self.on_object(|value| self.any_pattern(sources, value))
            }
            Assertion::ForEach(loops) => Some(self.for_each(loops)),
            Assertion::Cel(own) => Some(expressions::judge(self.rule, own, self.scope)),
            Assertion::Assert(tree) => assert::judge(self, tree),
            Assertion::PodSecurity(standard) => pod_security::judge(self, standard),
            Assertion::Constraint(constraint) => Some(constraint::judge(self, constraint)),
        }
    }

    /// Patterns are held against the element of the loop or the object; not on a deletion.
    fn on_object(&self, judge: impl FnOnce(&Value) -> Said) -> Option<Said> {
        if let Some(element) = self.element {
            return Some(judge(element));
        }
        let request = self.scope.judgement().request;
        if request.operation == Operation::Delete {
            return None;
        }
        Some(judge(request.object.as_ref().unwrap_or(&Value::Null)))
    }

    fn pattern(&self, source: &PatternSource, value: &Value) -> Said {
        match self.verdict(source, value) {
            Err(failure) => Said::error("variables of the pattern cannot be filled", &failure),
            Ok(Verdict::Pass) => Said::new(Status::Pass, format!("rule {} passed", self.rule)),
            Ok(Verdict::Skip { reason }) => Said::new(Status::Skip, reason),
            Ok(Verdict::Error { reason }) => Said::new(
                Status::Error,
                self.pattern_message(&format!("cannot be judged: {reason}")),
            ),
            Ok(Verdict::Fail { path, reason }) => {
                let detail = format!("failed at {path}: {reason}");
                Said { path: Some(path), ..Said::new(Status::Fail, self.pattern_message(&detail)) }
            }
        }
    }

    fn verdict(&self, source: &PatternSource, value: &Value) -> Result<Verdict, Failure> {
        match source {
            PatternSource::Fixed(pattern) => Ok(told("pattern", || pattern.judge(value))),
            PatternSource::Made(document) => {
                let made = document.resolve(self.scope)?;
                let made = made.to_value()?;
                let pattern = Pattern::compile(&made, "pattern")
                    .map_err(|cause| Failure::invalid(cause.to_string()))?;
                Ok(told("pattern", || pattern.judge(value)))
            }
        }
    }

    fn any_pattern(&self, sources: &[PatternSource], value: &Value) -> Said {
        let (mut failed, mut skipped) = (Vec::new(), Vec::new());
        let mut path = None;
        for (place, source) in sources.iter().enumerate() {
            match self.verdict(source, value) {
                Err(failure) => {
                    return Said::error("variables of the pattern cannot be filled", &failure);
                }
                Ok(Verdict::Pass) => {
                    let message = format!("rule {} passed by anyPattern[{place}]", self.rule);
                    return Said::new(Status::Pass, message);
                }
                Ok(Verdict::Skip { reason }) => {
                    skipped.push(format!("anyPattern[{place}] skipped: {reason}"));
                }
                Ok(Verdict::Error { reason }) => {
                    failed.push(format!("anyPattern[{place}] failed: {reason}"));
                }
                Ok(Verdict::Fail { path: at, reason }) => {
                    failed.push(format!("anyPattern[{place}] failed at {at}: {reason}"));
                    path = path.or(Some(at));
                }
            }
        }
        if failed.is_empty() {
            return Said::new(Status::Skip, skipped.join("; "));
        }
        Said { path, ..Said::new(Status::Fail, self.pattern_message(&failed.join("; "))) }
    }

    fn for_each(&self, loops: &[ForEach]) -> Said {
        let mut applied = 0;
        for each in loops {
            // A list that cannot be read has no elements.
            let elements = match each.list.elements(self.scope) {
                Ok(elements) => elements,
                Err(Failure::Pending) => return Said::error("list", &Failure::Pending),
                Err(_) => continue,
            };
            if elements.len() > MAX_ELEMENTS {
                let message = format!("a loop has more than {MAX_ELEMENTS} elements");
                return Said::new(Status::Error, message);
            }
            match self.elements(each, elements) {
                Ok(count) => applied += count,
                Err(said) => return said,
            }
        }
        if applied == 0 {
            return Said::new(Status::Skip, "no element was judged");
        }
        Said::new(Status::Pass, format!("rule {} passed", self.rule))
    }

    /// Judges each element; the first failure ends it. An error counts only at the last element, as
    /// in the field: an element that cannot be judged does not hide what the others say.
    fn elements(&self, each: &ForEach, elements: Vec<Data<'_>>) -> Result<usize, Said> {
        let mut applied = 0;
        let last = elements.len().saturating_sub(1);
        for (index, value) in elements.into_iter().enumerate() {
            if value.is_null() {
                continue;
            }
            let charged = self.scope.interpreter().charge(1);
            charged.map_err(|failure| Said::error("loop", &failure))?;
            let element = Element { value, index, nesting: self.nesting };
            let heading = || format!("element {index}");
            let said = trace::within(heading, || self.element(each, &element));
            let Some(said) = said else { continue };
            match said.status {
                Status::Pass => applied += 1,
                Status::Skip => {}
                Status::Error if index < last => {}
                _ => return Err(said),
            }
        }
        Ok(applied)
    }

    fn element(&self, each: &ForEach, element: &Element<'_>) -> Option<Said> {
        let with_element = self.scope.with_element(element);
        let frame = Frame::new(&each.context);
        let scope = with_element.with_frame(&frame);
        let conditions = || each.preconditions.evaluate(&scope);
        let met = if each.preconditions.is_empty() {
            conditions()
        } else {
            told("preconditions", conditions)
        };
        match met {
            Err(failure) => {
                return Some(Said::error("preconditions cannot be evaluated", &failure));
            }
            Ok(outcome) if !outcome.holds => {
                return Some(Said::new(Status::Skip, "preconditions not met"));
            }
            Ok(_) => {}
        }
        // Only objects can be what a pattern is held against.
        let value = match element.value.to_value() {
            Ok(value) => value,
            Err(failure) => return Some(Said::error("element", &failure)),
        };
        let scoped = each.element_scope.unwrap_or_else(|| value.is_object());
        if each.element_scope == Some(true) && !value.is_object() {
            let message = "an element is not an object, so `elementScope` cannot be true";
            return Some(Said::new(Status::Error, message));
        }
        let value: Option<Cow<'_, Value>> = scoped.then_some(value);
        let ground = Ground {
            at: self.at,
            rule: self.rule,
            validation: self.validation,
            scope: &scope,
            element: value.as_deref(),
            nesting: self.nesting + 1,
        };
        ground.judge(&each.assertion)
    }

    /// The policy's message with its variables filled; as written where one cannot be.
    fn message(&self) -> Option<String> {
        let template = self.validation.message.as_ref()?;
        let filled = template.resolve_text(self.scope);
        Some(filled.unwrap_or_else(|_| self.validation.raw_message.clone()))
    }

    fn deny_message(&self, details: &[String]) -> String {
        let mut message =
            self.message().unwrap_or_else(|| format!("rule {} denies this", self.rule));
        for detail in details {
            message.push_str("; ");
            message.push_str(detail);
        }
        message
    }

    fn pattern_message(&self, detail: &str) -> String {
        match self.message() {
            Some(message) => {
                let stop = if message.ends_with('.') { "" } else { "." };
                format!("{message}{stop} Rule {} {detail}", self.rule)
            }
            None => format!("rule {} {detail}", self.rule),
        }
    }
}
