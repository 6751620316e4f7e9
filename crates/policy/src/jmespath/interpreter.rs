//! Evaluation of the tree.

use std::cell::Cell;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Failure;
use super::ast::{Ast, Comparator};
use super::data::Data;

/// What evaluation needs beside the data: the clock's value, a seed, and a budget of steps.
pub(crate) struct Interpreter {
    pub(crate) now: Timestamp,
    random: Cell<u64>,
    steps: Cell<usize>,
}

/// Steps that one judgement may take: elements visited, bytes made.
const MAX_STEPS: usize = 5_000_000;

impl Interpreter {
    pub(crate) fn new(now: Timestamp, seed: u64) -> Self {
        Self { now, random: Cell::new(seed ^ 0x9E37_79B9_7F4A_7C15), steps: Cell::new(MAX_STEPS) }
    }

    /// Takes steps from the budget.
    pub(crate) fn charge(&self, steps: usize) -> Result<(), Failure> {
        let left = self.steps.get().checked_sub(steps).ok_or_else(|| {
            Failure::invalid(format!("evaluation took more than {MAX_STEPS} steps"))
        })?;
        self.steps.set(left);
        Ok(())
    }

    /// The next number of the seeded sequence (`SplitMix64`).
    pub(crate) fn next_random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evaluates where a missing key is nothing.
    pub(crate) fn forgiving<'a>(&self, ast: &'a Ast, node: &Data<'a>) -> Result<Data<'a>, Failure> {
        match self.evaluate(ast, node) {
            Err(Failure::NotFound(_)) => Ok(Data::NULL),
            other => other,
        }
    }

    /// Evaluates an expression at a node.
    pub(crate) fn evaluate<'a>(&self, ast: &'a Ast, node: &Data<'a>) -> Result<Data<'a>, Failure> {
        self.charge(1)?;
        match ast {
            Ast::Current => Ok(node.clone()),
            Ast::Literal(value) => Ok(Data::Borrowed(value)),
            Ast::Field(name) => field(node, name),
            Ast::Index(index) => Ok(at(node, *index)),
            Ast::Slice { from, to, step } => self.slice(node, *from, *to, *step),
            Ast::Chain(left, right) => {
                let left = self.evaluate(left, node)?;
                self.evaluate(right, &left)
            }
            Ast::Pipe(left, right) => {
                let left = self.forgiving(left, node)?;
                self.evaluate(right, &left)
            }
            Ast::Or(left, right) => {
                let left = self.forgiving(left, node)?;
                if left.is_false() { self.forgiving(right, node) } else { Ok(left) }
            }
            Ast::And(left, right) => {
                let left = self.forgiving(left, node)?;
                if left.is_false() { Ok(left) } else { self.forgiving(right, node) }
            }
            Ast::Not(inner) => {
                Ok(Data::Owned(Value::Bool(self.forgiving(inner, node)?.is_false())))
            }
            Ast::Compare(comparator, left, right) => {
                let left = self.forgiving(left, node)?;
                let right = self.forgiving(right, node)?;
                compare(*comparator, &left, &right)
            }
            Ast::Reference(inner) => Ok(Data::Reference(inner)),
            Ast::Variable(name) => Err(Failure::invalid(format!("unknown name `${name}`"))),
            _ => self.evaluate_compound(ast, node),
        }
    }

    fn evaluate_compound<'a>(&self, ast: &'a Ast, node: &Data<'a>) -> Result<Data<'a>, Failure> {
        match ast {
            Ast::Each(list, right) => {
                let Some(elements) = self.forgiving(list, node)?.into_elements() else {
                    return Ok(Data::NULL);
                };
                self.project(elements, right)
            }
            Ast::EachValue(object, right) => {
                let object = self.forgiving(object, node)?;
                let elements = match object {
                    Data::Borrowed(Value::Object(members)) => {
                        members.values().map(Data::Borrowed).collect()
                    }
                    other => match other.into_value()? {
                        Value::Object(members) => {
                            members.into_iter().map(|(_, value)| Data::Owned(value)).collect()
                        }
                        _ => return Ok(Data::NULL),
                    },
                };
                self.project(elements, right)
            }
            Ast::Filter { list, condition, right } => {
                let Some(elements) = self.forgiving(list, node)?.into_elements() else {
                    return Ok(Data::NULL);
                };
                let mut kept = Vec::new();
                for element in elements {
                    if !self.forgiving(condition, &element)?.is_false() {
                        kept.push(element);
                    }
                }
                self.project(kept, right)
            }
            Ast::Flatten(list) => self.flatten(list, node),
            Ast::List(items) => {
                if node.is_null() {
                    return Ok(Data::NULL);
                }
                let made: Result<_, _> =
                    items.iter().map(|item| self.forgiving(item, node)).collect();
                Ok(Data::List(made?))
            }
            Ast::Object(entries) => {
                if node.is_null() {
                    return Ok(Data::NULL);
                }
                let mut made = Map::new();
                for (name, item) in entries {
                    made.insert(name.clone(), self.forgiving(item, node)?.into_value()?);
                }
                Ok(Data::Owned(Value::Object(made)))
            }
            Ast::Call(function, arguments) => {
                let arguments: Result<Vec<_>, _> =
                    arguments.iter().map(|argument| self.forgiving(argument, node)).collect();
                function.call(self, arguments?)
            }
            _ => Ok(Data::NULL),
        }
    }

    fn project<'a>(&self, elements: Vec<Data<'a>>, right: &'a Ast) -> Result<Data<'a>, Failure> {
        self.charge(elements.len())?;
        if matches!(right, Ast::Current) {
            return Ok(Data::List(elements.into_iter().filter(|e| !e.is_null()).collect()));
        }
        let mut made = Vec::with_capacity(elements.len());
        for element in elements {
            let value = self.forgiving(right, &element)?;
            if !value.is_null() {
                made.push(value);
            }
        }
        Ok(Data::List(made))
    }

    fn flatten<'a>(&self, list: &'a Ast, node: &Data<'a>) -> Result<Data<'a>, Failure> {
        let Some(elements) = self.forgiving(list, node)?.into_elements() else {
            return Ok(Data::NULL);
        };
        let mut flat = Vec::with_capacity(elements.len());
        for element in elements {
            if element.is_list() {
                flat.extend(element.into_elements().unwrap_or_default());
            } else {
                flat.push(element);
            }
        }
        self.charge(flat.len())?;
        Ok(Data::List(flat))
    }

    fn slice<'a>(
        &self,
        node: &Data<'a>,
        from: Option<i64>,
        to: Option<i64>,
        step: i64,
    ) -> Result<Data<'a>, Failure> {
        let Some(elements) = node.clone().into_elements() else { return Ok(Data::NULL) };
        self.charge(elements.len())?;
        let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
        let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let clamp = |place: i64| {
            let place = if place < 0 { place.saturating_add(length) } else { place };
            place.clamp(lowest, highest)
        };
        let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
        let mut place = from.map_or(first, clamp);
        let end = to.map_or(last, clamp);
        let mut kept = Vec::new();
        while (step > 0 && place < end) || (step < 0 && place > end) {
            if let Some(element) = usize::try_from(place).ok().and_then(|i| elements.get(i)) {
                kept.push(element.clone());
            }
            place = place.saturating_add(step);
        }
        Ok(Data::List(kept))
    }
}

/// A member of an object: missing is a failure; a member of anything else is nothing.
fn field<'a>(node: &Data<'a>, name: &str) -> Result<Data<'a>, Failure> {
    let missing = || Failure::NotFound(name.to_owned());
    match node {
        Data::Borrowed(Value::Object(members)) => {
            members.get(name).map(Data::Borrowed).ok_or_else(missing)
        }
        Data::Owned(Value::Object(members)) => {
            members.get(name).cloned().map(Data::Owned).ok_or_else(missing)
        }
        Data::Lazy(document) => document.member(name)?.ok_or_else(missing),
        _ => Ok(Data::NULL),
    }
}

fn at<'a>(node: &Data<'a>, index: i64) -> Data<'a> {
    let Some(length) = node.list_length() else { return Data::NULL };
    let place = if index < 0 {
        i64::try_from(length).unwrap_or(i64::MAX).saturating_add(index)
    } else {
        index
    };
    usize::try_from(place).ok().and_then(|place| node.element(place)).unwrap_or(Data::NULL)
}

fn compare<'a>(
    comparator: Comparator,
    left: &Data<'a>,
    right: &Data<'a>,
) -> Result<Data<'a>, Failure> {
    let verdict = match comparator {
        Comparator::Equal => left.equals(right)?,
        Comparator::NotEqual => !left.equals(right)?,
        ordering => {
            let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else {
                return Ok(Data::NULL);
            };
            match ordering {
                Comparator::Less => left < right,
                Comparator::LessOrEqual => left <= right,
                Comparator::Greater => left > right,
                _ => left >= right,
            }
        }
    };
    Ok(Data::Owned(Value::Bool(verdict)))
}
