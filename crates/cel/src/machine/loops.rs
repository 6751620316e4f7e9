//! Loops over lists and maps.

use std::collections::BTreeMap;

use super::{Machine, as_key, no_overload};
use crate::error::Fault;
use crate::library::{Outcome, lists};
use crate::program::{Comprehension, Loop};
use crate::value::{Key, Value};

/// What a loop has made so far.
#[derive(Default)]
struct Progress<'v> {
    /// A fault that a later element may still make irrelevant.
    fault: Option<Fault>,
    count: usize,
    items: Vec<Value<'v>>,
    keys: Vec<Value<'v>>,
    entries: BTreeMap<Key<'v>, Value<'v>>,
}

impl<'v> Machine<'_, 'v> {
    pub(super) fn comprehension(&mut self, comprehension: &Comprehension) -> Outcome<'v> {
        let range = self.evaluate(&comprehension.range)?;
        let mut progress = Progress::default();
        let depth = self.locals.len();
        let decided = self.elements(comprehension, &range, &mut progress);
        self.locals.truncate(depth);
        if let Some(decided) = decided? {
            return Ok(decided);
        }
        match comprehension.kind {
            Loop::All => progress.fault.map_or(Ok(Value::Bool(true)), Err),
            Loop::Exists => progress.fault.map_or(Ok(Value::Bool(false)), Err),
            Loop::ExistsOne => Ok(Value::Bool(progress.count == 1)),
            Loop::List | Loop::Filter => Ok(Value::list(progress.items)),
            Loop::Map | Loop::MapEntry => Ok(Value::map(progress.entries)),
            Loop::SortBy => lists::sorted_by(self.meter, progress.items, progress.keys),
        }
    }

    /// Goes through the elements; a value where one decides the whole.
    fn elements(
        &mut self,
        comprehension: &Comprehension,
        range: &Value<'v>,
        progress: &mut Progress<'v>,
    ) -> Result<Option<Value<'v>>, Fault> {
        match range {
            Value::List(list) => {
                for (place, element) in list.iter().enumerate() {
                    let (first, second) = if comprehension.two_names {
                        (Value::length(place), Some(element))
                    } else {
                        (element, None)
                    };
                    if let Some(decided) = self.element(comprehension, first, second, progress)? {
                        return Ok(Some(decided));
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in map.entries() {
                    let second = comprehension.two_names.then_some(value);
                    if let Some(decided) = self.element(comprehension, key, second, progress)? {
                        return Ok(Some(decided));
                    }
                }
            }
            other => return Err(no_overload("a loop", std::slice::from_ref(other))),
        }
        Ok(None)
    }

    fn element(
        &mut self,
        comprehension: &Comprehension,
        first: Value<'v>,
        second: Option<Value<'v>>,
        progress: &mut Progress<'v>,
    ) -> Result<Option<Value<'v>>, Fault> {
        self.meter.charge(1)?;
        let depth = self.locals.len();
        self.locals.push(first.clone());
        self.locals.extend(second);
        let made = self.body(comprehension, first, progress);
        self.locals.truncate(depth);
        made
    }

    fn body(
        &mut self,
        comprehension: &Comprehension,
        first: Value<'v>,
        progress: &mut Progress<'v>,
    ) -> Result<Option<Value<'v>>, Fault> {
        if let Some(condition) = &comprehension.condition {
            match self.evaluate(condition)? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(None),
                other => return Err(no_overload("a loop's condition", &[other])),
            }
        }
        let made = self.evaluate(&comprehension.body);
        match comprehension.kind {
            Loop::All | Loop::Exists => {
                let decisive = comprehension.kind == Loop::Exists;
                match made {
                    Ok(Value::Bool(value)) if value == decisive => {
                        return Ok(Some(Value::Bool(decisive)));
                    }
                    Ok(Value::Bool(_)) => {}
                    Ok(other) => {
                        progress
                            .fault
                            .get_or_insert_with(|| no_overload("a loop's predicate", &[other]));
                    }
                    Err(fault) if fault.is_absorbed() => {
                        progress.fault.get_or_insert(fault);
                    }
                    Err(fault) => return Err(fault),
                }
            }
            Loop::ExistsOne => progress.count += usize::from(truth(made?)?),
            Loop::Filter => {
                if truth(made?)? {
                    progress.items.push(first);
                }
            }
            Loop::List => progress.items.push(made?),
            Loop::SortBy => {
                progress.keys.push(made?);
                progress.items.push(first);
            }
            Loop::Map => {
                let made = made?;
                progress.entries.insert(as_key(&first)?, made);
            }
            Loop::MapEntry => progress.merge(made?)?,
        }
        Ok(None)
    }
}

impl<'v> Progress<'v> {
    /// Takes the entries of a map that one element was made to.
    fn merge(&mut self, made: Value<'v>) -> Result<(), Fault> {
        let Value::Map(map) = made else { return Err(no_overload("transformMapEntry", &[made])) };
        for (key, value) in map.entries() {
            let key = as_key(&key)?;
            if self.entries.contains_key(&key) {
                return Err(Fault::invalid(format!("the key `{key}` is made twice")));
            }
            self.entries.insert(key, value);
        }
        Ok(())
    }
}

fn truth(value: Value<'_>) -> Result<bool, Fault> {
    match value {
        Value::Bool(value) => Ok(value),
        other => Err(no_overload("a loop's predicate", &[other])),
    }
}
