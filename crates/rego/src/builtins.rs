//! Functions of the language. What an argument of a wrong type makes is undefined, as it is for OPA.

mod collections;
mod encoding;
mod format;
mod network;
mod numbers;
mod objects;
mod operators;
mod patterns;
mod text;
mod time;
mod units;

use crate::error::Fault;
use crate::program::Limits;
use crate::value::Value;

/// The function with many values, which is a step of its own.
pub(crate) const WALK: &str = "walk";

/// What a call makes: a value, or undefined.
pub(crate) type Outcome = Result<Option<Value>, Fault>;

/// One function.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    /// How many arguments it takes; `None` for any number.
    pub(crate) arity: Option<usize>,
    run: Run,
}

#[derive(Debug, Clone, Copy)]
enum Run {
    /// Its time does not grow with its arguments.
    Quick(fn(&[Value]) -> Option<Value>),
    /// Its time grows with its arguments.
    Linear(fn(&[Value]) -> Option<Value>),
    /// It says itself what it costs.
    Metered(fn(&[Value], &mut Meter) -> Outcome),
}

/// Counts what an evaluation does.
pub(crate) struct Meter {
    limit: u64,
    left: u64,
    /// The present moment, in nanoseconds since 1970.
    pub(crate) now: Option<i64>,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limit: limits.steps, left: limits.steps, now: limits.now }
    }

    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Fault> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Fault::Budget { limit: self.limit }),
        }
    }
}

impl Builtin {
    const fn quick(name: &'static str, arity: usize, run: fn(&[Value]) -> Option<Value>) -> Self {
        Self { name, arity: Some(arity), run: Run::Quick(run) }
    }

    const fn linear(name: &'static str, arity: usize, run: fn(&[Value]) -> Option<Value>) -> Self {
        Self { name, arity: Some(arity), run: Run::Linear(run) }
    }

    const fn metered(
        name: &'static str,
        arity: usize,
        run: fn(&[Value], &mut Meter) -> Outcome,
    ) -> Self {
        Self { name, arity: Some(arity), run: Run::Metered(run) }
    }

    pub(crate) fn call(&self, arguments: &[Value], meter: &mut Meter) -> Outcome {
        match self.run {
            Run::Quick(run) => Ok(run(arguments)),
            Run::Linear(run) => {
                meter.spend(arguments.iter().map(Value::weight).sum::<u64>() / 4)?;
                Ok(run(arguments))
            }
            Run::Metered(run) => run(arguments, meter),
        }
    }
}

/// The function of a name.
pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    let lists: [&'static [Builtin]; 11] = [
        operators::ALL,
        numbers::ALL,
        collections::ALL,
        objects::ALL,
        text::ALL,
        format::ALL,
        patterns::ALL,
        encoding::ALL,
        time::ALL,
        network::ALL,
        units::ALL,
    ];
    lists.into_iter().flatten().find(|builtin| builtin.name == name)
}

#[cfg(test)]
mod tests;
