//! Runs a program: steps from left to right, each with what follows it as often as it holds.

mod patterns;
mod rules;

use crate::builtins::Meter;
use crate::error::Fault;
use crate::plan::{Closure, Expression, Group, Override, Root, Step};
use crate::program::Limits;
use crate::value::Value;

/// Values of the variables of one clause.
pub(crate) type Frame = [Value];

/// What is done with each solution; whether more are wanted.
type Then<'t, 'p> = &'t mut dyn FnMut(&mut Machine<'p>, &mut Frame) -> Result<bool, Fault>;

pub(crate) struct Machine<'p> {
    groups: &'p [Group],
    input: Value,
    data: Value,
    /// Values of groups that are known already.
    known: Vec<Known>,
    meter: Meter,
}

/// What is known of a group's value.
#[derive(Clone)]
enum Known {
    Unasked,
    Made(Option<Value>),
}

impl<'p> Machine<'p> {
    pub(crate) fn new(groups: &'p [Group], input: Value, data: Value, limits: Limits) -> Self {
        Self {
            groups,
            input,
            data,
            known: vec![Known::Unasked; groups.len()],
            meter: Meter::new(limits),
        }
    }

    /// Runs steps; whether more solutions are wanted.
    fn run(
        &mut self,
        steps: &'p [Step],
        frame: &mut Frame,
        then: Then<'_, 'p>,
    ) -> Result<bool, Fault> {
        let mut rest = steps;
        while let Some((step, tail)) = rest.split_first() {
            self.meter.spend(1)?;
            let holds = match step {
                Step::Test(expression) => {
                    self.value(expression, frame)?.is_some_and(|value| !value.is_false())
                }
                Step::Match(pattern, expression) => match self.value(expression, frame)? {
                    Some(value) => self.fits(pattern, &value, frame)?,
                    None => false,
                },
                Step::Not(inner) => !self.holds(inner, frame)?,
                Step::Every(each, body) => {
                    let Some(collection) = self.value(&each.collection, frame)? else {
                        return Ok(true);
                    };
                    let mut all = true;
                    self.go_through(&collection, |machine, key, value| {
                        all = machine.fits(&each.key, key, frame)?
                            && machine.fits(&each.value, value, frame)?
                            && machine.holds(body, frame)?;
                        Ok(all)
                    })?;
                    all
                }
                Step::Each(each) => {
                    let Some(collection) = self.value(&each.collection, frame)? else {
                        return Ok(true);
                    };
                    return self.go_through(&collection, |machine, key, value| {
                        if machine.fits(&each.key, key, frame)?
                            && machine.fits(&each.value, value, frame)?
                        {
                            return machine.run(tail, frame, then);
                        }
                        Ok(true)
                    });
                }
                Step::Walk(place, of) => {
                    let Some(of) = self.value(of, frame)? else { return Ok(true) };
                    return self.walk(&of, &mut Vec::new(), &mut |machine, found| {
                        if let Some(slot) = frame.get_mut(*place) {
                            slot.clone_from(found);
                        }
                        machine.run(tail, frame, then)
                    });
                }
                Step::With(overrides, inner) => {
                    return self.run_with(overrides, inner, tail, frame, then);
                }
            };
            if !holds {
                return Ok(true);
            }
            rest = tail;
        }
        then(self, frame)
    }

    /// Whether steps hold at least once.
    fn holds(&mut self, steps: &'p [Step], frame: &mut Frame) -> Result<bool, Fault> {
        let more = self.run(steps, frame, &mut |_, _| Ok(false))?;
        Ok(!more)
    }

    /// Goes through a collection: keys and values of objects, positions and values of arrays, members
    /// of sets twice.
    fn go_through(
        &mut self,
        collection: &Value,
        mut each: impl FnMut(&mut Self, &Value, &Value) -> Result<bool, Fault>,
    ) -> Result<bool, Fault> {
        match collection {
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.meter.spend(1)?;
                    if !each(self, &Value::count(place), item)? {
                        return Ok(false);
                    }
                }
            }
            Value::Set(items) => {
                for item in items.iter() {
                    self.meter.spend(1)?;
                    if !each(self, item, item)? {
                        return Ok(false);
                    }
                }
            }
            Value::Object(members) => {
                for (key, value) in members.iter() {
                    self.meter.spend(1)?;
                    if !each(self, key, value)? {
                        return Ok(false);
                    }
                }
            }
            _ => {}
        }
        Ok(true)
    }

    /// Every `[path, value]` inside a value, itself first.
    fn walk(
        &mut self,
        of: &Value,
        path: &mut Vec<Value>,
        each: &mut dyn FnMut(&mut Self, &Value) -> Result<bool, Fault>,
    ) -> Result<bool, Fault> {
        self.meter.spend(1 + path.len() as u64)?;
        let found = Value::array([Value::array(path.iter().cloned()), of.clone()]);
        if !each(self, &found)? {
            return Ok(false);
        }
        let of = of.clone();
        self.go_through(&of, |machine, key, value| {
            path.push(key.clone());
            let more = machine.walk(value, path, each);
            path.pop();
            more
        })
    }

    /// Runs steps with other inputs, and what follows them with the inputs as they were.
    fn run_with(
        &mut self,
        overrides: &'p [Override],
        inner: &'p [Step],
        tail: &'p [Step],
        frame: &mut Frame,
        then: Then<'_, 'p>,
    ) -> Result<bool, Fault> {
        let (mut input, mut data) = (self.input.clone(), self.data.clone());
        for entry in overrides {
            let Some(value) = self.value(&entry.value, frame)? else { return Ok(true) };
            let root = if entry.root == Root::Input { &mut input } else { &mut data };
            *root = replaced(root, &entry.path, value);
        }
        let mut other = (input, data, vec![Known::Unasked; self.groups.len()]);
        self.swap(&mut other);
        let more = self.run(inner, frame, &mut |machine, frame| {
            machine.swap(&mut other);
            let more = machine.run(tail, frame, then);
            machine.swap(&mut other);
            more
        });
        self.swap(&mut other);
        more
    }

    fn swap(&mut self, other: &mut (Value, Value, Vec<Known>)) {
        std::mem::swap(&mut self.input, &mut other.0);
        std::mem::swap(&mut self.data, &mut other.1);
        std::mem::swap(&mut self.known, &mut other.2);
    }

    /// The value of an expression; `None` where it is undefined.
    fn value(
        &mut self,
        expression: &'p Expression,
        frame: &mut Frame,
    ) -> Result<Option<Value>, Fault> {
        Ok(match expression {
            Expression::Constant(value) => Some(value.clone()),
            Expression::Slot(place) => frame.get(*place).cloned(),
            Expression::Root(Root::Input) => Some(self.input.clone()),
            Expression::Root(Root::Data) => Some(self.data.clone()),
            Expression::Rule(group) => self.rule(*group)?,
            Expression::Get(base, keys) => return self.member(base, keys, frame),
            Expression::Call(group, arguments) => {
                let Some(arguments) = self.values(arguments, frame)? else { return Ok(None) };
                self.call(*group, &arguments)?
            }
            Expression::Builtin(builtin, arguments) => {
                let Some(arguments) = self.values(arguments, frame)? else { return Ok(None) };
                let value = builtin.call(&arguments, &mut self.meter)?;
                self.meter.spend(value.as_ref().map_or(1, Value::weight))?;
                value
            }
            Expression::Array(items) => {
                self.values(items, frame)?.map(|items| Value::Array(items.into()))
            }
            Expression::Set(items) => self.values(items, frame)?.map(Value::set),
            Expression::Object(members) => {
                let mut made = Vec::with_capacity(members.len());
                for (key, value) in members {
                    let Some(key) = self.value(key, frame)? else { return Ok(None) };
                    let Some(value) = self.value(value, frame)? else { return Ok(None) };
                    made.push((key, value));
                }
                Some(object(made)?)
            }
            Expression::ArrayOf(closure) => {
                Some(Value::Array(self.collect(closure, frame)?.into()))
            }
            Expression::SetOf(closure) => Some(Value::set(self.collect(closure, frame)?)),
            Expression::ObjectOf(closure) => Some(self.collect_object(closure, frame)?),
        })
    }

    fn values(
        &mut self,
        expressions: &'p [Expression],
        frame: &mut Frame,
    ) -> Result<Option<Vec<Value>>, Fault> {
        let mut values = Vec::with_capacity(expressions.len());
        for expression in expressions {
            let Some(value) = self.value(expression, frame)? else { return Ok(None) };
            values.push(value);
        }
        self.meter.spend(values.len() as u64)?;
        Ok(Some(values))
    }

    fn member(
        &mut self,
        base: &'p Expression,
        keys: &'p [Expression],
        frame: &mut Frame,
    ) -> Result<Option<Value>, Fault> {
        self.meter.spend(keys.len() as u64)?;
        let constants = keys.iter().all(|key| key.constant().is_some());
        if constants {
            // The usual case is followed without a copy of what lies between.
            let start = match base {
                Expression::Root(Root::Input) => Some(&self.input),
                Expression::Root(Root::Data) => Some(&self.data),
                Expression::Slot(place) => frame.get(*place),
                _ => None,
            };
            if let Some(start) = start {
                let found = keys.iter().try_fold(start, |at, key| at.get(key.constant()?));
                return Ok(found.cloned());
            }
        }
        let Some(mut at) = self.value(base, frame)? else { return Ok(None) };
        for key in keys {
            let Some(key) = self.value(key, frame)? else { return Ok(None) };
            let Some(next) = at.get(&key).cloned() else { return Ok(None) };
            at = next;
        }
        Ok(Some(at))
    }

    fn collect(&mut self, closure: &'p Closure, frame: &mut Frame) -> Result<Vec<Value>, Fault> {
        let mut items = Vec::new();
        self.run(&closure.steps, frame, &mut |machine, frame| {
            items.extend(machine.value(&closure.head, frame)?);
            Ok(true)
        })?;
        Ok(items)
    }

    fn collect_object(&mut self, closure: &'p Closure, frame: &mut Frame) -> Result<Value, Fault> {
        let mut members = Vec::new();
        let Some(key) = &closure.key else { return Ok(Value::object([])) };
        self.run(&closure.steps, frame, &mut |machine, frame| {
            if let Some(key) = machine.value(key, frame)?
                && let Some(value) = machine.value(&closure.head, frame)?
            {
                members.push((key, value));
            }
            Ok(true)
        })?;
        object(members)
    }
}

/// An object; two different values of one key are a fault.
fn object(mut members: Vec<(Value, Value)>) -> Result<Value, Fault> {
    members.sort();
    members.dedup();
    let twice = members.windows(2).find_map(|pair| match pair {
        [(left, _), (right, _)] if left == right => Some(left.to_string()),
        _ => None,
    });
    match twice {
        Some(key) => Err(Fault::Key { key }),
        None => Ok(Value::Object(members.into())),
    }
}

/// A value with another one at a path.
fn replaced(of: &Value, path: &[Value], by: Value) -> Value {
    let Some((key, rest)) = path.split_first() else { return by };
    let inner = replaced(of.get(key).unwrap_or(&Value::Null), rest, by);
    let others = of.members().unwrap_or_default().iter().filter(|(own, _)| own != key).cloned();
    Value::object(others.chain([(key.clone(), inner)]))
}
