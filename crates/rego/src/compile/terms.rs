//! Terms: what goes through several values becomes a step, what is left has one value.

use std::sync::Arc;

use super::names::{Callee, Meaning, without_value};
use super::{Compiler, Problem};
use crate::ast::{Literal, Term, TermKind};
use crate::builtins;
use crate::error::{Error, Position};
use crate::plan::{Closure, Each, Expression, Makes, Pattern, Root, Step};
use crate::value::Value;

impl Compiler<'_> {
    pub(super) fn term(
        &mut self,
        term: &Term,
        steps: &mut Vec<Step>,
    ) -> Result<Expression, Problem> {
        match &term.kind {
            TermKind::Scalar(value) => Ok(Expression::Constant(value.clone())),
            TermKind::Variable(_) => self.reference(term, &[], term.at, steps),
            TermKind::Reference(head, path) => self.reference(head, path, term.at, steps),
            TermKind::Call(name, arguments) => self.call(name, arguments, term.at, steps),
            TermKind::Array(items) => {
                let items = self.terms(items, steps)?;
                Ok(folded(&items, Value::array).unwrap_or(Expression::Array(items)))
            }
            TermKind::Set(items) => {
                let items = self.terms(items, steps)?;
                Ok(folded(&items, Value::set).unwrap_or(Expression::Set(items)))
            }
            TermKind::Object(members) => {
                let mut made = Vec::new();
                for (key, value) in members {
                    made.push((self.term(key, steps)?, self.term(value, steps)?));
                }
                Ok(folded_object(&made).unwrap_or(Expression::Object(made)))
            }
            TermKind::ArrayOf(head, body) => {
                Ok(Expression::ArrayOf(self.closure(None, head, body)?))
            }
            TermKind::SetOf(head, body) => Ok(Expression::SetOf(self.closure(None, head, body)?)),
            TermKind::ObjectOf(member, body) => {
                Ok(Expression::ObjectOf(self.closure(Some(&member.0), &member.1, body)?))
            }
        }
    }

    fn terms(&mut self, terms: &[Term], steps: &mut Vec<Step>) -> Result<Vec<Expression>, Problem> {
        terms.iter().map(|term| self.term(term, steps)).collect()
    }

    fn closure(
        &mut self,
        key: Option<&Term>,
        head: &Term,
        body: &[Literal],
    ) -> Result<Box<Closure>, Problem> {
        let heads: Vec<&Term> = key.into_iter().chain([head]).collect();
        // Inside, variables of the scopes around have the values that they have: none gets one there.
        let frozen = std::mem::replace(&mut self.frozen, self.bound.len());
        self.open_closure(&heads, body);
        let mut steps = self.body(body)?;
        let key = key.map(|key| self.term(key, &mut steps)).transpose()?;
        let head = self.term(head, &mut steps)?;
        self.close();
        self.frozen = frozen;
        Ok(Box::new(Closure { steps, key, head }))
    }

    pub(super) fn call(
        &mut self,
        name: &str,
        arguments: &[Term],
        at: Position,
        steps: &mut Vec<Step>,
    ) -> Result<Expression, Problem> {
        let callee = self.callee(name, at)?;
        if callee.arity().is_some_and(|arity| arity != arguments.len()) {
            let arity = callee.arity().unwrap_or_default();
            let shown = name.trim_start_matches('$');
            let message = format!("{shown} takes {arity} arguments, not {}", arguments.len());
            return Err(Error::new(at, message).into());
        }
        let arguments = self.terms(arguments, steps)?;
        Ok(match callee {
            Callee::Function(group, _) => Expression::Call(group, arguments),
            Callee::Builtin(builtin) if builtin.name == builtins::WALK => {
                let place = self.unnamed();
                steps.extend(arguments.into_iter().next().map(|of| Step::Walk(place, of)));
                Expression::Slot(place)
            }
            Callee::Builtin(builtin) => Expression::Builtin(builtin, arguments),
        })
    }

    fn reference(
        &mut self,
        head: &Term,
        path: &[Term],
        at: Position,
        steps: &mut Vec<Step>,
    ) -> Result<Expression, Problem> {
        let Some(name) = head.variable() else {
            let base = self.term(head, steps)?;
            return self.follow(base, Vec::new(), path, steps);
        };
        match self.meaning(name) {
            Some(Meaning::Variable(place)) if self.is_bound(place) => {
                self.follow(Expression::Slot(place), Vec::new(), path, steps)
            }
            Some(Meaning::Variable(_)) | None => Err(without_value(name, at)),
            Some(Meaning::Path(prefix)) => self.global(&prefix, path, at, steps),
        }
    }

    /// A reference into the input, into data, or to a rule.
    fn global(
        &mut self,
        prefix: &[Arc<str>],
        path: &[Term],
        at: Position,
        steps: &mut Vec<Step>,
    ) -> Result<Expression, Problem> {
        let leading = path.iter().map_while(Term::text).map(Arc::from);
        let whole: Vec<Arc<str>> = prefix.iter().cloned().chain(leading).collect();
        let keys = |parts: &[Arc<str>]| -> Vec<Expression> {
            parts.iter().map(|part| Expression::Constant(Value::String(part.clone()))).collect()
        };
        let (base, consumed) = match self.group(&whole, at)? {
            Some((group, consumed)) => {
                if let Some(Makes::Function(_)) = self.globals.makes(group) {
                    let message = format!("{} is a function: it must be called", whole.join("."));
                    return Err(Error::new(at, message).into());
                }
                (Expression::Rule(group), consumed)
            }
            None if prefix.first().is_some_and(|first| **first == *"input") => {
                (Expression::Root(Root::Input), 1)
            }
            None => {
                self.asks_data = true;
                (Expression::Root(Root::Data), 1)
            }
        };
        let inner = prefix.get(consumed..).map(keys).unwrap_or_default();
        let skipped = consumed.saturating_sub(prefix.len());
        self.follow(base, inner, path.get(skipped..).unwrap_or_default(), steps)
    }

    /// Members of members; one that has no value yet goes through all of them.
    fn follow(
        &mut self,
        base: Expression,
        mut keys: Vec<Expression>,
        path: &[Term],
        steps: &mut Vec<Step>,
    ) -> Result<Expression, Problem> {
        let mut base = base;
        for part in path {
            if !self.gives(part) {
                keys.push(self.term(part, steps)?);
                continue;
            }
            let collection = get(base, std::mem::take(&mut keys));
            let key = self.pattern(part)?;
            let place = self.unnamed();
            steps.push(Step::Each(Each { collection, key, value: Pattern::Bind(place) }));
            base = Expression::Slot(place);
        }
        Ok(get(base, keys))
    }
}

fn get(base: Expression, keys: Vec<Expression>) -> Expression {
    if keys.is_empty() { base } else { Expression::Get(Box::new(base), keys) }
}

/// A collection whose members are all constant.
fn folded(items: &[Expression], make: impl Fn(Vec<Value>) -> Value) -> Option<Expression> {
    let items: Option<Vec<Value>> = items.iter().map(|item| item.constant().cloned()).collect();
    items.map(|items| Expression::Constant(make(items)))
}

fn folded_object(members: &[(Expression, Expression)]) -> Option<Expression> {
    let pair = |(key, value): &(Expression, Expression)| {
        Some((key.constant()?.clone(), value.constant()?.clone()))
    };
    let members: Option<Vec<(Value, Value)>> = members.iter().map(pair).collect();
    members.map(|members| Expression::Constant(Value::object(members)))
}
