//! Values against patterns.

use super::{Frame, Machine};
use crate::error::Fault;
use crate::plan::Pattern;
use crate::value::Value;

impl<'p> Machine<'p> {
    /// Whether a value fits; variables of the pattern get their values.
    pub(super) fn fits(
        &mut self,
        pattern: &'p Pattern,
        value: &Value,
        frame: &mut Frame,
    ) -> Result<bool, Fault> {
        match pattern {
            Pattern::Any => Ok(true),
            Pattern::Bind(place) => {
                if let Some(slot) = frame.get_mut(*place) {
                    slot.clone_from(value);
                }
                Ok(true)
            }
            Pattern::Equal(expression) => {
                let expected = self.value(expression, frame)?;
                Ok(expected.is_some_and(|expected| expected == *value))
            }
            Pattern::Array(patterns) => {
                let Value::Array(items) = value else { return Ok(false) };
                if items.len() != patterns.len() {
                    return Ok(false);
                }
                for (pattern, item) in patterns.iter().zip(items.iter()) {
                    if !self.fits(pattern, item, frame)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Pattern::Object(patterns) => {
                if value.members().is_none_or(|members| members.len() != patterns.len()) {
                    return Ok(false);
                }
                for (key, pattern) in patterns {
                    let Some(key) = self.value(key, frame)? else { return Ok(false) };
                    let Some(item) = value.get(&key) else { return Ok(false) };
                    if !self.fits(pattern, item, frame)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}
