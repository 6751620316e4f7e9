//! Rules and functions: what their clauses make together.

use super::{Frame, Known, Machine, object};
use crate::error::Fault;
use crate::plan::{Branch, Clause, Group, Makes};
use crate::value::Value;

impl<'p> Machine<'p> {
    /// The value of a group, made once for an input; `None` where it is undefined.
    pub(crate) fn rule(&mut self, place: usize) -> Result<Option<Value>, Fault> {
        if let Some(Known::Made(known)) = self.known.get(place) {
            return Ok(known.clone());
        }
        let Some(group) = self.groups.get(place) else { return Ok(None) };
        let made = match group.makes {
            Makes::Value | Makes::Function(_) => self.one(group, &[])?,
            Makes::Set => {
                let mut items = Vec::new();
                self.parts(group, &mut |key, _| items.push(key))?;
                Some(Value::set(items))
            }
            Makes::Object => {
                let mut members = Vec::new();
                self.parts(group, &mut |key, value| members.push((key, value)))?;
                Some(object(members)?)
            }
        };
        if let Some(known) = self.known.get_mut(place) {
            *known = Known::Made(made.clone());
        }
        Ok(made)
    }

    /// What a function makes of its arguments.
    pub(super) fn call(
        &mut self,
        place: usize,
        arguments: &[Value],
    ) -> Result<Option<Value>, Fault> {
        match self.groups.get(place) {
            Some(group) => self.one(group, arguments),
            None => Ok(None),
        }
    }

    /// The one value that all clauses agree on, or the default.
    fn one(&mut self, group: &'p Group, arguments: &[Value]) -> Result<Option<Value>, Fault> {
        let mut made: Option<Value> = None;
        for clause in &group.clauses {
            let mut frame = vec![Value::Null; clause.slots];
            if !self.takes(clause, arguments, &mut frame)? {
                continue;
            }
            for branch in &clause.branches {
                if self.speak(group, branch, &mut frame, &mut made)? {
                    break;
                }
            }
        }
        match (made, &group.default) {
            (None, Some(default)) => self.value(default, &mut []),
            (made, _) => Ok(made),
        }
    }

    fn takes(
        &mut self,
        clause: &'p Clause,
        arguments: &[Value],
        frame: &mut Frame,
    ) -> Result<bool, Fault> {
        self.meter.spend(1)?;
        for (pattern, argument) in clause.parameters.iter().zip(arguments) {
            if !self.fits(pattern, argument, frame)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a branch has a value; it must be the one that there already is.
    fn speak(
        &mut self,
        group: &'p Group,
        branch: &'p Branch,
        frame: &mut Frame,
        made: &mut Option<Value>,
    ) -> Result<bool, Fault> {
        // A constant is the same for every solution: the first is enough.
        let constant = branch.value.constant().is_some();
        let mut spoke = false;
        self.run(&branch.steps, frame, &mut |machine, frame| {
            if let Some(value) = machine.value(&branch.value, frame)? {
                spoke = true;
                match made {
                    Some(made) if *made != value => {
                        return Err(Fault::Conflict { rule: group.name.clone() });
                    }
                    _ => *made = Some(value),
                }
            }
            Ok(!constant)
        })?;
        Ok(spoke)
    }

    /// Every member that the clauses of a set or an object make.
    fn parts(&mut self, group: &'p Group, take: &mut dyn FnMut(Value, Value)) -> Result<(), Fault> {
        for clause in &group.clauses {
            let mut frame = vec![Value::Null; clause.slots];
            for branch in &clause.branches {
                let Some(key) = &branch.key else { continue };
                let mut spoke = false;
                self.run(&branch.steps, &mut frame, &mut |machine, frame| {
                    let key: Option<Value> = machine.value(key, frame)?;
                    let value = machine.value(&branch.value, frame)?;
                    if let (Some(key), Some(value)) = (key, value) {
                        spoke = true;
                        machine.meter.spend(1)?;
                        take(key, value);
                    }
                    Ok(true)
                })?;
                if spoke {
                    break;
                }
            }
        }
        Ok(())
    }
}
