//! Bodies: each expression becomes steps, as soon as every variable that it needs has a value.

use super::names::without_value;
use super::{Compiler, Problem};
use crate::ast::{self, Literal, Statement, Term, TermKind};
use crate::error::Error;
use crate::plan::{Each, Expression, Override, Pattern, Root, Step};
use crate::value::Value;

impl Compiler<'_> {
    /// The steps of a body, in an order in which every variable has a value before it is used.
    pub(super) fn body(&mut self, body: &[Literal]) -> Result<Vec<Step>, Problem> {
        let mut steps = Vec::new();
        let mut left: Vec<&Literal> = body.iter().collect();
        while !left.is_empty() {
            let mut first_problem = None;
            let mut taken = None;
            for (place, literal) in left.iter().enumerate() {
                match self.attempt(|compiler| compiler.literal(literal)) {
                    Ok(more) => {
                        steps.extend(more);
                        taken = Some(place);
                        break;
                    }
                    Err(Problem::Final(error)) => return Err(Problem::Final(error)),
                    Err(problem) => first_problem = first_problem.or(Some(problem)),
                }
            }
            match (taken, first_problem) {
                (Some(place), _) => drop(left.remove(place)),
                (None, Some(problem)) => return Err(problem),
                (None, None) => break,
            }
        }
        Ok(steps)
    }

    /// Tries something that leaves no trace where it fails.
    pub(super) fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let (bound, scopes, frozen) = (self.bound.clone(), self.scopes.len(), self.frozen);
        let done = work(self);
        if done.is_err() {
            self.bound = bound;
            self.scopes.truncate(scopes);
            self.frozen = frozen;
        }
        done
    }

    fn literal(&mut self, literal: &Literal) -> Result<Vec<Step>, Problem> {
        let frozen = self.frozen;
        if literal.negated {
            self.frozen = self.bound.len();
        }
        let mut before = Vec::new();
        let mut overrides = Vec::new();
        for (target, value) in &literal.with {
            let (root, path) = override_target(target)?;
            overrides.push(Override { root, path, value: self.term(value, &mut before)? });
        }
        let mut steps = self.statement(&literal.statement)?;
        self.frozen = frozen;
        if !overrides.is_empty() {
            before.push(Step::With(overrides, steps));
            steps = before;
        }
        Ok(if literal.negated { vec![Step::Not(steps)] } else { steps })
    }

    fn statement(&mut self, statement: &Statement) -> Result<Vec<Step>, Problem> {
        let mut steps = Vec::new();
        match statement {
            Statement::Declare(_) => {}
            Statement::Expression(term) => self.expression(term, &mut steps)?,
            Statement::Assign(left, right) => {
                let value = self.term(right, &mut steps)?;
                let pattern = self.pattern(left)?;
                steps.push(Step::Match(pattern, value));
            }
            Statement::Unify(left, right) => self.unify(left, right, &mut steps)?,
            Statement::SomeIn(each) => {
                let each = self.each(each, &mut steps)?;
                steps.push(Step::Each(each));
            }
            Statement::Every(each, body) => {
                let collection = self.term(&each.collection, &mut steps)?;
                let own: Vec<&Term> = each.key.iter().chain([&each.value]).collect();
                let frozen = std::mem::replace(&mut self.frozen, self.bound.len());
                self.open_every(&own, body);
                let key = each.key.as_ref().map(|key| self.pattern(key)).transpose()?;
                let (key, value) = (key.unwrap_or(Pattern::Any), self.pattern(&each.value)?);
                let body = self.body(body)?;
                self.close();
                self.frozen = frozen;
                steps.push(Step::Every(Each { collection, key, value }, body));
            }
        }
        Ok(steps)
    }

    fn each(&mut self, each: &ast::Each, steps: &mut Vec<Step>) -> Result<Each, Problem> {
        let collection = self.term(&each.collection, steps)?;
        let key = each.key.as_ref().map(|key| self.pattern(key)).transpose()?;
        let value = self.pattern(&each.value)?;
        Ok(Each { collection, key: key.unwrap_or(Pattern::Any), value })
    }

    fn expression(&mut self, term: &Term, steps: &mut Vec<Step>) -> Result<(), Problem> {
        if let TermKind::Call(name, arguments) = &term.kind
            && let callee = self.callee(name, term.at)?
            && callee.arity().is_some_and(|arity| arguments.len() == arity + 1)
            && let Some((output, inputs)) = arguments.split_last()
        {
            // The last argument takes the result.
            let call = self.call(name, inputs, term.at, steps)?;
            let pattern = self.pattern(output)?;
            steps.push(Step::Match(pattern, call));
            return Ok(());
        }
        let value = self.term(term, steps)?;
        steps.push(Step::Test(value));
        Ok(())
    }

    fn unify(&mut self, left: &Term, right: &Term, steps: &mut Vec<Step>) -> Result<(), Problem> {
        for (value, pattern) in [(right, left), (left, right)] {
            let attempt = self.attempt(|compiler| {
                let mut made = Vec::new();
                let value = compiler.term(value, &mut made)?;
                if compiler.gives(pattern) {
                    let pattern = compiler.pattern(pattern)?;
                    made.push(Step::Match(pattern, value));
                } else {
                    let other = compiler.term(pattern, &mut made)?;
                    made.push(Step::Match(Pattern::Equal(other), value));
                }
                Ok(made)
            });
            match attempt {
                Ok(made) => {
                    steps.extend(made);
                    return Ok(());
                }
                Err(Problem::Final(error)) => return Err(Problem::Final(error)),
                Err(Problem::Unsafe(_)) => {}
            }
        }
        match (&left.kind, &right.kind) {
            (TermKind::Array(left), TermKind::Array(right)) if left.len() == right.len() => {
                left.iter().zip(right).try_for_each(|(left, right)| self.unify(left, right, steps))
            }
            (TermKind::Object(left), TermKind::Object(right)) if left.len() == right.len() => {
                let pairs = left.iter().zip(right);
                for ((left_key, left), (right_key, right)) in pairs {
                    self.unify(left_key, right_key, steps)?;
                    self.unify(left, right, steps)?;
                }
                Ok(())
            }
            _ => {
                let name = left.variable().or(right.variable()).map_or("_", |name| name);
                Err(without_value(name, left.at))
            }
        }
    }

    /// A pattern, of which variables that have no value yet get one.
    pub(super) fn pattern(&mut self, term: &Term) -> Result<Pattern, Problem> {
        if let Some(name) = term.variable() {
            if **name == *"_" {
                return Ok(Pattern::Any);
            }
            if let Some(place) = self.unbound(term) {
                self.bind(place, name, term.at)?;
                return Ok(Pattern::Bind(place));
            }
        }
        match &term.kind {
            TermKind::Array(items) if self.gives(term) => {
                let items = items.iter().map(|item| self.pattern(item));
                Ok(Pattern::Array(items.collect::<Result<_, _>>()?))
            }
            TermKind::Object(members) if self.gives(term) => {
                let mut patterns = Vec::new();
                for (key, value) in members {
                    patterns.push((self.plain(key)?, self.pattern(value)?));
                }
                Ok(Pattern::Object(patterns))
            }
            _ => Ok(Pattern::Equal(self.plain(term)?)),
        }
    }

    /// Whether a pattern gives a variable a value.
    pub(super) fn gives(&self, term: &Term) -> bool {
        match &term.kind {
            TermKind::Variable(name) => **name == *"_" || self.unbound(term).is_some(),
            TermKind::Array(items) => items.iter().any(|item| self.gives(item)),
            TermKind::Object(members) => members.iter().any(|(_, value)| self.gives(value)),
            _ => false,
        }
    }

    /// A term that goes through no collection of its own.
    fn plain(&mut self, term: &Term) -> Result<Expression, Problem> {
        let mut steps = Vec::new();
        let value = self.term(term, &mut steps)?;
        if steps.is_empty() {
            return Ok(value);
        }
        // Another order may give the variable inside a value first.
        Err(without_value("_", term.at))
    }
}

/// What `with` replaces.
fn override_target(target: &Term) -> Result<(Root, Vec<Value>), Error> {
    let unknown =
        || Error::new(target.at, "`with` can replace input, data.inventory and parts of them");
    let (head, path) = match &target.kind {
        TermKind::Variable(name) => (name, &[] as &[Term]),
        TermKind::Reference(head, path) => (head.variable().ok_or_else(unknown)?, path.as_slice()),
        _ => return Err(unknown()),
    };
    let key = |term: &Term| term.text().map(Value::text).ok_or_else(unknown);
    let path: Vec<Value> = path.iter().map(key).collect::<Result<_, _>>()?;
    match &**head {
        "input" => Ok((Root::Input, path)),
        "data" if path.first().and_then(Value::as_text) == Some(super::EXTERNAL) => {
            Ok((Root::Data, path))
        }
        _ => Err(unknown()),
    }
}
