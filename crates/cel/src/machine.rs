//! The evaluation of a compiled expression.

mod access;
mod arithmetic;
mod loops;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use arithmetic::add;

use crate::error::Fault;
use crate::library::{Ground, Outcome, Run};
use crate::program::{Call, Node};
use crate::value::{Key, List, Message, Text, Value};

/// What knows the values of declared names and runs declared functions.
pub trait Host<'v> {
    /// The value of a declared name.
    ///
    /// # Errors
    /// Why it has none.
    fn variable(&self, slot: usize, meter: &Meter) -> Result<Value<'v>, Fault>;

    /// The result of a declared function.
    ///
    /// # Errors
    /// Why it has none.
    fn call(
        &self,
        function: usize,
        arguments: &[Value<'v>],
        meter: &Meter,
    ) -> Result<Value<'v>, Fault> {
        let _ = (function, arguments, meter);
        Err(Fault::invalid("the function has no meaning here"))
    }
}

/// What an evaluation may still cost. A step costs one; texts cost a tenth of their bytes.
#[derive(Debug)]
pub struct Meter {
    left: Cell<u64>,
    limit: u64,
}

impl Meter {
    /// A meter that lets an evaluation take so many steps.
    pub fn new(limit: u64) -> Self {
        Self { left: Cell::new(limit), limit }
    }

    /// Takes steps.
    ///
    /// # Errors
    /// No more are left.
    pub fn charge(&self, steps: u64) -> Result<(), Fault> {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(Fault::OutOfBudget(self.limit))
    }

    /// Takes the steps of going through so many bytes.
    pub(crate) fn charge_text(&self, bytes: usize) -> Result<(), Fault> {
        self.charge_count(bytes / 10)
    }

    /// Takes a step an element.
    pub(crate) fn charge_count(&self, count: usize) -> Result<(), Fault> {
        self.charge(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// Steps taken so far.
    pub fn taken(&self) -> u64 {
        self.limit - self.left.get()
    }
}

/// An evaluation.
pub(crate) struct Machine<'m, 'v> {
    host: &'m dyn Host<'v>,
    meter: &'m Meter,
    /// Values of macros' names around the place.
    locals: Vec<Value<'v>>,
}

impl<'m, 'v> Machine<'m, 'v> {
    pub(crate) fn new(host: &'m dyn Host<'v>, meter: &'m Meter) -> Self {
        Self { host, meter, locals: Vec::new() }
    }

    pub(crate) fn evaluate(&mut self, node: &Node) -> Outcome<'v> {
        self.meter.charge(1)?;
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Variable(slot) => self.host.variable(*slot, self.meter),
            Node::Local(place) => {
                // INVARIANT: the checker gave places in the order in which values are pushed.
                self.locals
                    .get(*place)
                    .cloned()
                    .ok_or_else(|| Fault::invalid("a name has no value"))
            }
            Node::Select(operand, field) => access::field(&self.evaluate(operand)?, field),
            Node::Has(operand, field) => {
                Ok(Value::Bool(access::has_field(&self.evaluate(operand)?, field)))
            }
            Node::OptionalSelect(operand, field) => {
                let operand = self.evaluate(operand)?;
                Ok(Value::optional(access::field_if_there(&operand, field)))
            }
            Node::Index(parts) => {
                let [operand, key] = &**parts;
                let (operand, key) = (self.evaluate(operand)?, self.evaluate(key)?);
                access::index(&operand, &key)
            }
            Node::OptionalIndex(parts) => {
                let [operand, key] = &**parts;
                let (operand, key) = (self.evaluate(operand)?, self.evaluate(key)?);
                Ok(Value::optional(access::element_if_there(&operand, &key)))
            }
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Message(name, fields) => self.message(name, fields),
            Node::And(operands) => self.logical(operands, false),
            Node::Or(operands) => self.logical(operands, true),
            Node::Not(operand) => match self.evaluate(operand)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                other => Err(no_overload("!", &[other])),
            },
            Node::Negate(operand) => arithmetic::negate(&self.evaluate(operand)?),
            Node::Binary(operator, parts) => {
                let [left, right] = &**parts;
                let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
                arithmetic::binary(self.meter, *operator, &left, &right)
            }
            Node::Conditional(parts) => {
                let [condition, then, otherwise] = &**parts;
                match self.evaluate(condition)? {
                    Value::Bool(true) => self.evaluate(then),
                    Value::Bool(false) => self.evaluate(otherwise),
                    other => Err(no_overload("?:", &[other])),
                }
            }
            Node::OptionalOr(parts) => self.optional_or(parts, false),
            Node::OptionalOrValue(parts) => self.optional_or(parts, true),
            Node::Call(call) => self.call(call),
            Node::Comprehension(comprehension) => self.comprehension(comprehension),
            Node::Bind(parts) => {
                let [value, body] = &**parts;
                let value = self.evaluate(value)?;
                self.with_local(value, body)
            }
            Node::OptionalMap(parts, flat) => self.optional_map(parts, *flat),
        }
    }

    /// The optional value, or the other where there is none; `orValue` also unwraps it, and lets
    /// stand what is no optional.
    fn optional_or(&mut self, parts: &[Node; 2], unwraps: bool) -> Outcome<'v> {
        let [operand, other] = parts;
        match self.evaluate(operand)? {
            Value::Optional(None) => self.evaluate(other),
            Value::Optional(Some(held)) if unwraps => Ok((*held).clone()),
            found if unwraps || matches!(found, Value::Optional(_)) => Ok(found),
            found => Err(no_overload("or", &[found])),
        }
    }

    fn with_local(&mut self, value: Value<'v>, body: &Node) -> Outcome<'v> {
        self.locals.push(value);
        let made = self.evaluate(body);
        self.locals.pop();
        made
    }

    /// `&&` (decided by false) and `||` (by true): a fault on one side gives way to a decision on the
    /// other.
    fn logical(&mut self, operands: &[Node], decisive: bool) -> Outcome<'v> {
        let mut fault = None;
        for operand in operands {
            match self.evaluate(operand) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(other) => {
                    let symbol = if decisive { "||" } else { "&&" };
                    fault.get_or_insert_with(|| no_overload(symbol, &[other]));
                }
                Err(found) if found.is_absorbed() => {
                    fault.get_or_insert(found);
                }
                Err(found) => return Err(found),
            }
        }
        fault.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn list(&mut self, elements: &[(Node, bool)]) -> Outcome<'v> {
        let mut items = Vec::with_capacity(elements.len());
        for (node, optional) in elements {
            match (self.evaluate(node)?, optional) {
                (Value::Optional(Some(held)), true) => items.push((*held).clone()),
                (Value::Optional(None), true) => {}
                (other, true) => return Err(no_overload("[?]", &[other])),
                (value, false) => items.push(value),
            }
        }
        Ok(Value::list(items))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Outcome<'v> {
        let mut made = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.evaluate(key)?;
            let key = as_key(&key)?;
            let value = match (self.evaluate(value)?, optional) {
                (Value::Optional(Some(held)), true) => (*held).clone(),
                (Value::Optional(None), true) => continue,
                (other, true) => return Err(no_overload("{?}", &[other])),
                (value, false) => value,
            };
            if made.contains_key(&key) {
                return Err(Fault::invalid(format!("the key `{key}` stands twice in a map")));
            }
            made.insert(key, value);
        }
        Ok(Value::map(made))
    }

    fn message(&mut self, name: &Arc<str>, fields: &[(Box<str>, Node, bool)]) -> Outcome<'v> {
        let mut made = BTreeMap::new();
        for (field, value, optional) in fields {
            let value = match (self.evaluate(value)?, optional) {
                (Value::Optional(Some(held)), true) => (*held).clone(),
                (Value::Optional(None), true) => continue,
                (other, true) => return Err(no_overload("{?}", &[other])),
                (value, false) => value,
            };
            made.insert(field.clone(), value);
        }
        Ok(Value::Message(Arc::new(Message { name: Arc::clone(name), fields: made })))
    }

    fn call(&mut self, call: &Call) -> Outcome<'v> {
        match call.arguments.as_slice() {
            [] => self.run(call, &[]),
            [one] => {
                let values = [self.evaluate(one)?];
                self.run(call, &values)
            }
            [one, two] => {
                let values = [self.evaluate(one)?, self.evaluate(two)?];
                self.run(call, &values)
            }
            more => {
                let values: Vec<Value<'v>> =
                    more.iter().map(|node| self.evaluate(node)).collect::<Result<_, _>>()?;
                self.run(call, &values)
            }
        }
    }

    fn run(&self, call: &Call, values: &[Value<'v>]) -> Outcome<'v> {
        let fitting = call.overloads.iter().find(|overload| overload.signature.admits(values));
        let overload = fitting.ok_or_else(|| no_overload(&call.name, values))?;
        match overload.run {
            Run::Native(native) => {
                native(&Ground { meter: self.meter, pattern: call.pattern.as_ref() }, values)
            }
            Run::Host(function) => self.host.call(function, values, self.meter),
        }
    }

    fn optional_map(&mut self, parts: &[Node; 2], flat: bool) -> Outcome<'v> {
        let [operand, body] = parts;
        let held = match self.evaluate(operand)? {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(held)) => (*held).clone(),
            other => return Err(no_overload("optMap", &[other])),
        };
        let made = self.with_local(held, body)?;
        match made {
            Value::Optional(_) if flat => Ok(made),
            other if flat => Err(no_overload("optFlatMap", &[other])),
            other => Ok(other.some()),
        }
    }
}

impl Call {
    /// Runs the call if no host is needed for it; `None` where one is.
    pub(crate) fn run_native<'v>(
        &self,
        values: &[Value<'v>],
        meter: &Meter,
    ) -> Option<Outcome<'v>> {
        let overload = self.overloads.iter().find(|overload| overload.signature.admits(values))?;
        match overload.run {
            Run::Native(native) => {
                Some(native(&Ground { meter, pattern: self.pattern.as_ref() }, values))
            }
            Run::Host(_) => None,
        }
    }
}

/// A value as a key.
pub(crate) fn as_key<'v>(value: &Value<'v>) -> Result<Key<'v>, Fault> {
    value.as_key().ok_or_else(|| {
        Fault::invalid(format!("a value of type `{}` cannot be a key", value.type_name()))
    })
}

pub(crate) fn no_overload(name: &str, values: &[Value<'_>]) -> Fault {
    let shown: Vec<String> = values.iter().map(Value::type_name).collect();
    Fault::NoSuchOverload(format!("`{name}` on ({})", shown.join(", ")))
}

/// One text after another.
pub(crate) fn joined<'v>(meter: &Meter, parts: &[&str]) -> Outcome<'v> {
    meter.charge_text(parts.iter().map(|part| part.len()).sum())?;
    Ok(Value::String(Text::Shared(parts.concat().into())))
}

/// One list after another.
pub(crate) fn appended<'v>(meter: &Meter, left: &List<'v>, right: &List<'v>) -> Outcome<'v> {
    if right.is_empty() {
        return Ok(Value::List(left.clone()));
    }
    if left.is_empty() {
        return Ok(Value::List(right.clone()));
    }
    meter.charge_count(left.len() + right.len())?;
    Ok(Value::list(left.iter().chain(right.iter()).collect()))
}
