//! What a template and its libraries become.

use crate::compile::{Compiled, compile};
use crate::error::{Error, Fault, Position};
use crate::machine::Machine;
use crate::parser;
use crate::plan::{Group, Makes};
use crate::value::Value;

/// The rule that a template must have.
const VIOLATION: &str = "violation";

/// A module's text, and the version of the language that it is written in.
#[derive(Debug, Clone, Copy)]
pub struct Source<'s> {
    text: &'s str,
    second: bool,
}

impl<'s> Source<'s> {
    /// In the first version (`v0`), which ConstraintTemplates have unless they say otherwise.
    pub fn first(text: &'s str) -> Self {
        Self { text, second: false }
    }

    /// In the second version (`v1`), in which `if`, `contains`, `in` and `every` need no import.
    pub fn second(text: &'s str) -> Self {
        Self { text, second: true }
    }
}

/// A template that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct CompileError {
    /// The library that is wrong, counted from 0; `None` for the template's own module.
    pub library: Option<usize>,
    /// What is wrong with it.
    pub error: Error,
}

/// How much an evaluation may do, and what it is told.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most steps: every expression, member that is gone through and value that is made is one.
    pub steps: u64,
    /// The present moment, in nanoseconds since 1970; `time.now_ns` is undefined where it is not known.
    pub now: Option<i64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 5_000_000, now: None }
    }
}

/// A compiled template.
#[derive(Debug)]
pub struct Program {
    groups: Vec<Group>,
    violation: usize,
    asks_data: bool,
}

impl Program {
    /// Compiles a template's module with its libraries.
    ///
    /// # Errors
    /// What cannot be read; names and functions that are not known; variables without a value;
    /// recursion; a template without a partial set `violation`; a library outside of the package `lib`.
    pub fn compile(template: &Source<'_>, libraries: &[Source<'_>]) -> Result<Self, CompileError> {
        let wrong = |place: usize, error| CompileError { library: place.checked_sub(1), error };
        let mut modules = Vec::new();
        for (place, source) in std::iter::once(template).chain(libraries).enumerate() {
            let module =
                parser::module(source.text, source.second).map_err(|error| wrong(place, error))?;
            if place > 0 && module.package.first().is_none_or(|first| **first != *"lib") {
                let message = "the package of a library must be lib or below it";
                return Err(wrong(place, Error::new(Position { line: 1, column: 1 }, message)));
            }
            modules.push(module);
        }
        let Compiled { groups, asks_data } =
            compile(&modules).map_err(|(place, error)| wrong(place, error))?;
        let package = modules.first().map(|module| module.package.join(".")).unwrap_or_default();
        let name = format!("data.{package}.{VIOLATION}");
        let violation = groups
            .iter()
            .position(|group| group.name == name && group.makes == Makes::Set)
            .ok_or_else(|| {
                let message = "a template needs a rule `violation[{\"msg\": msg}] { … }`";
                wrong(0, Error::new(Position { line: 1, column: 1 }, message))
            })?;
        Ok(Self { groups, violation, asks_data })
    }

    /// Whether it looks into `data.inventory`.
    pub fn asks_data(&self) -> bool {
        self.asks_data
    }

    /// What violates, each once, in the order of the language: objects with `msg` and perhaps `details`.
    /// `input` holds `review` and `parameters`, `data` holds `inventory`.
    ///
    /// # Errors
    /// [`Fault`]: no result came of it.
    pub fn violations(
        &self,
        input: Value,
        data: Value,
        limits: Limits,
    ) -> Result<Vec<Value>, Fault> {
        let mut machine = Machine::new(&self.groups, input, data, limits);
        let found = machine.rule(self.violation)?;
        Ok(found.as_ref().and_then(Value::items).map(<[Value]>::to_vec).unwrap_or_default())
    }
}
