//! From modules to a program: names are resolved, bodies put into an order in which every variable has a
//! value before it is used, and recursion is refused.

mod body;
mod names;
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ast::{Module, Rule, RuleKind};
use crate::error::{Error, Position};
use crate::plan::{Branch, Clause, Expression, Group, Makes};
use crate::value::Value;

/// Data that is not made by rules.
const EXTERNAL: &str = "inventory";

/// What modules define, before any body is read.
pub(crate) struct Globals {
    /// Place of each group by its path, the package first.
    groups: BTreeMap<Vec<Arc<str>>, usize>,
    made: Vec<(Makes, String)>,
    packages: BTreeSet<Vec<Arc<str>>>,
}

/// An error, and whether another order of the body may mend it.
pub(crate) enum Problem {
    /// A variable has no value yet.
    Unsafe(Error),
    Final(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Problem {
    fn into_error(self) -> Error {
        match self {
            Self::Unsafe(error) | Self::Final(error) => error,
        }
    }
}

/// Compiles one body after another of one clause.
pub(crate) struct Compiler<'g> {
    globals: &'g Globals,
    module: &'g Module,
    /// Places of variables, the innermost scope last.
    scopes: Vec<BTreeMap<Arc<str>, usize>>,
    /// Whether the variable at each place has a value.
    bound: Vec<bool>,
    /// Variables below this place get no value here, as the expression is negated.
    frozen: usize,
    /// Most variables at a time.
    slots: usize,
    /// Groups that are referred to.
    used: BTreeSet<usize>,
    /// Whether data that is not made by rules is referred to.
    asks_data: bool,
}

/// What modules become.
pub(crate) struct Compiled {
    pub(crate) groups: Vec<Group>,
    /// Whether they look into data that is not made by rules.
    pub(crate) asks_data: bool,
}

/// Compiles modules; the first is that of the template, the others its libraries. An error names its
/// module by its place.
pub(crate) fn compile(modules: &[Module]) -> Result<Compiled, (usize, Error)> {
    let globals = Globals::of(modules)?;
    let mut groups: Vec<Group> = globals
        .made
        .iter()
        .map(|(makes, name)| Group {
            name: name.clone(),
            makes: *makes,
            default: None,
            clauses: Vec::new(),
        })
        .collect();
    let mut edges: Vec<(BTreeSet<usize>, usize, Position)> =
        groups.iter().map(|_| (BTreeSet::new(), 0, Position::default())).collect();
    let mut asks_data = false;
    for (place, module) in modules.iter().enumerate() {
        for rule in &module.rules {
            let Some(own) = globals.find(&module.package, &rule.name) else { continue };
            let mut compiler = Compiler::new(&globals, module);
            let (default, clause) =
                compiler.rule(rule).map_err(|error| (place, error.into_error()))?;
            if let (Some(group), Some(edge)) = (groups.get_mut(own), edges.get_mut(own)) {
                group.clauses.extend(clause);
                group.default = default.or(group.default.take());
                asks_data |= compiler.asks_data;
                edge.0.extend(compiler.used);
                (edge.1, edge.2) = (place, rule.at);
            }
        }
    }
    match recursion(&edges) {
        None => Ok(Compiled { groups, asks_data }),
        Some(circle) => {
            let name = |place: &usize| globals.made.get(*place).map_or("", |(_, name)| &**name);
            let names: Vec<&str> = circle.iter().map(name).collect();
            let (module, at) = circle
                .first()
                .and_then(|first| edges.get(*first))
                .map_or((0, Position::default()), |(_, module, at)| (*module, *at));
            let message = format!("rules must not refer to themselves: {}", names.join(" -> "));
            Err((module, Error::new(at, message)))
        }
    }
}

/// A circle of groups that refer to one another, the first again at the end.
fn recursion(edges: &[(BTreeSet<usize>, usize, Position)]) -> Option<Vec<usize>> {
    fn visit(
        at: usize,
        edges: &[(BTreeSet<usize>, usize, Position)],
        done: &mut BTreeSet<usize>,
        way: &mut Vec<usize>,
    ) -> Option<Vec<usize>> {
        if let Some(start) = way.iter().position(|own| *own == at) {
            let mut circle: Vec<usize> = way.iter().skip(start).copied().collect();
            circle.push(at);
            return Some(circle);
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let next = edges.get(at).into_iter().flat_map(|(used, ..)| used);
        let found = next.copied().find_map(|next| visit(next, edges, done, way));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    (0..edges.len()).find_map(|at| visit(at, edges, &mut done, &mut Vec::new()))
}

// === impl Globals ===

impl Globals {
    fn of(modules: &[Module]) -> Result<Self, (usize, Error)> {
        let mut globals =
            Self { groups: BTreeMap::new(), made: Vec::new(), packages: BTreeSet::new() };
        for (place, module) in modules.iter().enumerate() {
            globals.packages.insert(module.package.clone());
            for rule in &module.rules {
                globals.add(module, rule).map_err(|error| (place, error))?;
            }
        }
        Ok(globals)
    }

    fn add(&mut self, module: &Module, rule: &Rule) -> Result<(), Error> {
        let makes = match rule.kind {
            RuleKind::Value => Makes::Value,
            RuleKind::Set => Makes::Set,
            RuleKind::Object => Makes::Object,
            RuleKind::Function => Makes::Function(rule.parameters.len()),
        };
        let mut path = module.package.clone();
        path.push(rule.name.clone());
        if let Some((known, name)) = self.groups.get(&path).and_then(|at| self.made.get(*at)) {
            if *known == makes || rule.is_default {
                return Ok(());
            }
            let message = format!("{name} is defined in two ways that do not go together");
            return Err(Error::new(rule.at, message));
        }
        self.made.push((makes, format!("data.{}", path.join("."))));
        self.groups.insert(path, self.made.len() - 1);
        Ok(())
    }

    fn find(&self, package: &[Arc<str>], name: &Arc<str>) -> Option<usize> {
        let mut path = package.to_vec();
        path.push(name.clone());
        self.groups.get(&path).copied()
    }

    fn makes(&self, group: usize) -> Option<Makes> {
        self.made.get(group).map(|(makes, _)| *makes)
    }
}

// === impl Compiler ===

impl<'g> Compiler<'g> {
    fn new(globals: &'g Globals, module: &'g Module) -> Self {
        Self {
            globals,
            module,
            scopes: Vec::new(),
            bound: Vec::new(),
            frozen: 0,
            slots: 0,
            used: BTreeSet::new(),
            asks_data: false,
        }
    }

    /// The default value that a rule gives, or the clause that it is.
    fn rule(&mut self, rule: &Rule) -> Result<(Option<Expression>, Option<Clause>), Problem> {
        let constant = |value: bool| Expression::Constant(Value::Bool(value));
        if rule.is_default {
            self.scopes.push(BTreeMap::new());
            let Some(term) = &rule.value else {
                return Err(Error::new(rule.at, "a default rule needs a value").into());
            };
            let value = self.term(term, &mut Vec::new())?;
            return if value.constant().is_some() {
                Ok((Some(value), None))
            } else {
                Err(Error::new(rule.at, "a default value must be constant").into())
            };
        }
        self.open_clause(rule);
        let mut parameters = Vec::new();
        for term in &rule.parameters {
            parameters.push(self.pattern(term)?);
        }
        let given = self.bound.clone();
        let bodies = std::iter::once((rule.value.as_ref(), rule.body.as_slice()));
        let otherwise =
            rule.otherwise.iter().map(|(value, body)| (value.as_ref(), body.as_slice()));
        let mut branches = Vec::new();
        for (value, body) in bodies.chain(otherwise) {
            self.bound.clone_from(&given);
            let mut steps = self.body(body)?;
            let key = rule.key.as_ref().map(|key| self.term(key, &mut steps)).transpose()?;
            let value = match value {
                Some(value) => self.term(value, &mut steps)?,
                None => constant(true),
            };
            branches.push(Branch { steps, key, value });
        }
        Ok((None, Some(Clause { slots: self.slots, parameters, branches })))
    }
}
