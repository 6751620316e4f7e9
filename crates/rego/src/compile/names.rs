//! What names mean: variables of the scopes around, rules of the package, imports, built-in functions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Compiler, EXTERNAL, Problem};
use crate::ast::{Literal, Rule, Statement, Term, TermKind};
use crate::builtins::{self, Builtin};
use crate::error::{Error, Position};
use crate::plan::Makes;

/// What a name stands for.
pub(super) enum Meaning {
    /// The variable at a place.
    Variable(usize),
    /// A path that begins with `input` or `data`.
    Path(Vec<Arc<str>>),
}

/// What is called.
#[derive(Clone, Copy)]
pub(super) enum Callee {
    Function(usize, usize),
    Builtin(&'static Builtin),
}

impl Callee {
    /// How many arguments it takes; `None` where any number will do.
    pub(super) fn arity(self) -> Option<usize> {
        match self {
            Self::Function(_, arity) => Some(arity),
            Self::Builtin(builtin) => builtin.arity,
        }
    }
}

/// The names of a body: those that it declares, and those that it mentions outside of comprehensions.
#[derive(Default)]
struct Mentioned {
    declared: BTreeSet<Arc<str>>,
    mentioned: BTreeSet<Arc<str>>,
}

impl Compiler<'_> {
    /// Opens the scope of a clause: its parameters are new names, whatever else they may mean.
    pub(super) fn open_clause(&mut self, rule: &Rule) {
        let mut names = Mentioned::default();
        let mut parameters = Mentioned::default();
        parameters.terms(&rule.parameters);
        names.declared = parameters.mentioned;
        names.terms(rule.key.iter().chain(&rule.value));
        names.body(&rule.body);
        for (value, body) in &rule.otherwise {
            names.terms(value);
            names.body(body);
        }
        self.open(names);
    }

    /// Opens the scope of a body inside another.
    pub(super) fn open_closure(&mut self, heads: &[&Term], body: &[Literal]) {
        let mut names = Mentioned::default();
        names.terms(heads.iter().copied());
        names.body(body);
        self.open(names);
    }

    /// Opens the scope of `every`, whose key and value are new names.
    pub(super) fn open_every(&mut self, own: &[&Term], body: &[Literal]) {
        let (mut names, mut patterns) = (Mentioned::default(), Mentioned::default());
        patterns.terms(own.iter().copied());
        names.declared = patterns.mentioned;
        names.body(body);
        self.open(names);
    }

    pub(super) fn close(&mut self) {
        self.scopes.pop();
    }

    fn open(&mut self, names: Mentioned) {
        let mut scope = BTreeMap::new();
        let unknown: Vec<Arc<str>> =
            names.mentioned.into_iter().filter(|name| self.meaning(name).is_none()).collect();
        for name in names.declared.into_iter().chain(unknown) {
            scope.entry(name).or_insert_with(|| {
                self.bound.push(false);
                self.bound.len() - 1
            });
        }
        self.slots = self.slots.max(self.bound.len());
        self.scopes.push(scope);
    }

    /// A place for a value without a name.
    pub(super) fn unnamed(&mut self) -> usize {
        self.bound.push(true);
        self.slots = self.slots.max(self.bound.len());
        self.bound.len() - 1
    }

    pub(super) fn meaning(&self, name: &Arc<str>) -> Option<Meaning> {
        if let Some(place) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            return Some(Meaning::Variable(*place));
        }
        if self.globals.find(&self.module.package, name).is_some() {
            let mut path: Vec<Arc<str>> = vec!["data".into()];
            path.extend(self.module.package.iter().cloned());
            path.push(name.clone());
            return Some(Meaning::Path(path));
        }
        if let Some(import) = self.module.imports.iter().find(|import| import.name == *name) {
            return Some(Meaning::Path(import.path.clone()));
        }
        matches!(&**name, "input" | "data").then(|| Meaning::Path(vec![name.clone()]))
    }

    /// The variable that a term is and that has no value yet: its place.
    pub(super) fn unbound(&self, term: &Term) -> Option<usize> {
        match self.meaning(term.variable()?)? {
            Meaning::Variable(place) if !self.is_bound(place) => Some(place),
            _ => None,
        }
    }

    pub(super) fn is_bound(&self, place: usize) -> bool {
        self.bound.get(place).copied().unwrap_or_default()
    }

    /// Gives a variable a value.
    pub(super) fn bind(&mut self, place: usize, name: &str, at: Position) -> Result<(), Problem> {
        if place < self.frozen {
            return Err(without_value(name, at));
        }
        if let Some(bound) = self.bound.get_mut(place) {
            *bound = true;
        }
        Ok(())
    }

    /// The group that a path leads to, and how many of its parts name it.
    pub(super) fn group(
        &mut self,
        path: &[Arc<str>],
        at: Position,
    ) -> Result<Option<(usize, usize)>, Error> {
        let Some((root, rest)) = path.split_first() else { return Ok(None) };
        if **root != *"data" {
            return Ok(None);
        }
        for length in (1..=rest.len()).rev() {
            let known = rest.get(..length).and_then(|part| self.globals.groups.get(part));
            if let Some(group) = known.copied() {
                self.used.insert(group);
                return Ok(Some((group, length + 1)));
            }
        }
        if rest.first().is_some_and(|first| **first == *EXTERNAL) {
            return Ok(None);
        }
        let shown = path.join(".");
        let is_package = self.globals.packages.iter().any(|package| package.starts_with(rest));
        let message = if is_package {
            format!("{shown} is a package: refer to a rule in it")
        } else {
            format!(
                "{shown} is not known: data.inventory and rules of libraries can be referred to"
            )
        };
        Err(Error::new(at, message))
    }

    /// What a name calls.
    pub(super) fn callee(&mut self, name: &str, at: Position) -> Result<Callee, Error> {
        if let Some(operator) = name.strip_prefix('$') {
            return builtins::find(operator).map(Callee::Builtin).ok_or_else(|| unknown(name, at));
        }
        let parts: Vec<Arc<str>> = name.split('.').map(Arc::from).collect();
        if let Some((first, rest)) = parts.split_first()
            && let Some(Meaning::Path(mut path)) = self.meaning(first)
        {
            path.extend(rest.iter().cloned());
            // A name of the package may be that of a built-in function with more parts to it.
            let found = if builtins::find(name).is_some() {
                self.group(&path, at).ok().flatten()
            } else {
                self.group(&path, at)?
            };
            if let Some((group, length)) = found
                && length == path.len()
                && let Some(Makes::Function(arity)) = self.globals.makes(group)
            {
                return Ok(Callee::Function(group, arity));
            }
        }
        builtins::find(name).map(Callee::Builtin).ok_or_else(|| unknown(name, at))
    }
}

pub(super) fn without_value(name: &str, at: Position) -> Problem {
    let message = format!("the variable `{name}` has no value: no expression gives it one");
    Problem::Unsafe(Error::new(at, message))
}

fn unknown(name: &str, at: Position) -> Error {
    Error::new(at, format!("the function {name} is not known"))
}

impl Mentioned {
    fn body(&mut self, body: &[Literal]) {
        for literal in body {
            match &literal.statement {
                Statement::Expression(term) => self.term(term),
                Statement::Assign(left, right) => {
                    let mut pattern = Self::default();
                    pattern.pattern(left);
                    self.declared.extend(pattern.mentioned);
                    self.term(left);
                    self.term(right);
                }
                Statement::Unify(left, right) => {
                    self.term(left);
                    self.term(right);
                }
                Statement::Declare(names) => self.declared.extend(names.iter().cloned()),
                Statement::SomeIn(each) => {
                    let mut pattern = Self::default();
                    pattern.patterns(each.key.iter().chain([&each.value]));
                    self.declared.extend(pattern.mentioned);
                    self.term(&each.collection);
                }
                Statement::Every(each, _) => self.term(&each.collection),
            }
            for (target, value) in &literal.with {
                self.term(target);
                self.term(value);
            }
        }
    }

    /// Names that a pattern declares: variables, but not those inside references and calls.
    fn pattern(&mut self, term: &Term) {
        match &term.kind {
            TermKind::Variable(name) if **name != *"_" => {
                self.mentioned.insert(name.clone());
            }
            TermKind::Array(items) => self.patterns(items),
            TermKind::Object(members) => self.patterns(members.iter().map(|(_, value)| value)),
            _ => {}
        }
    }

    fn terms<'t>(&mut self, terms: impl IntoIterator<Item = &'t Term>) {
        for term in terms {
            self.term(term);
        }
    }

    fn patterns<'t>(&mut self, terms: impl IntoIterator<Item = &'t Term>) {
        for term in terms {
            self.pattern(term);
        }
    }

    fn term(&mut self, term: &Term) {
        match &term.kind {
            TermKind::Variable(name) if **name != *"_" => {
                self.mentioned.insert(name.clone());
            }
            TermKind::Reference(head, path) => {
                self.term(head);
                self.terms(path);
            }
            TermKind::Call(_, items) | TermKind::Array(items) | TermKind::Set(items) => {
                self.terms(items);
            }
            TermKind::Object(members) => {
                self.terms(members.iter().flat_map(|(key, value)| [key, value]));
            }
            TermKind::Variable(_)
            | TermKind::Scalar(_)
            | TermKind::ArrayOf(..)
            | TermKind::SetOf(..)
            | TermKind::ObjectOf(..) => {}
        }
    }
}
