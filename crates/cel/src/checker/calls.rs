//! Calls of functions.

use std::sync::Arc;

use super::{Checked, Checker};
use crate::ast::Expression;
use crate::error::Wrong;
use crate::library::{self, Overload, regular_expression};
use crate::machine::Meter;
use crate::program::{Call, Node};
use crate::types::Type;
use crate::value::Value;

/// What a call whose arguments are all written out may cost when it is made beforehand.
const FOLDING_BUDGET: u64 = 1_000;

/// Most arguments of a call.
const MAX_ARGUMENTS: usize = 64;

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        offset: usize,
        target: Option<&Expression>,
        name: &str,
        arguments: &[Expression],
    ) -> Checked {
        if arguments.len() > MAX_ARGUMENTS {
            let message = format!("more than {MAX_ARGUMENTS} arguments");
            return Err(Wrong::new(offset, message));
        }
        if let Some(expanded) = self.expand(offset, target, name, arguments) {
            return expanded;
        }
        let Some(target) = target else {
            return self.resolve(offset, name, None, arguments);
        };
        if let Some(path) = self.free_path(target)
            && self.declarations.find(&path).is_none()
        {
            let qualified = format!("{path}.{name}");
            if self.is_known(&qualified) {
                return self.resolve(offset, &qualified, None, arguments);
            }
        }
        if let ("or" | "orValue", [other]) = (name, arguments) {
            return self.optional_or(offset, target, name == "orValue", other);
        }
        self.resolve(offset, name, Some(target), arguments)
    }

    fn is_known(&self, name: &str) -> bool {
        !library::overloads(name).is_empty() || !self.declarations.functions(name).is_empty()
    }

    fn resolve(
        &mut self,
        offset: usize,
        name: &str,
        target: Option<&Expression>,
        arguments: &[Expression],
    ) -> Checked {
        if !self.is_known(name) {
            return Err(Wrong::new(offset, format!("unknown function `{name}`")));
        }
        // The values that fill a text may be of any types.
        let around = self.mixed;
        self.mixed |= name == "format";
        let checked: Result<Vec<_>, Wrong> =
            target.into_iter().chain(arguments).map(|argument| self.check(argument)).collect();
        self.mixed = around;
        let (nodes, types): (Vec<Node>, Vec<Type>) = checked?.into_iter().unzip();
        let member = target.is_some();
        let mut result: Option<Type> = None;
        let mut fitting: Vec<Arc<Overload>> = Vec::new();
        let declared = self.declarations.functions(name);
        for overload in library::overloads(name).iter().chain(declared) {
            let Some(made) = overload.signature.result(member, &types) else { continue };
            result = Some(match result {
                Some(known) if known == made => known,
                Some(_) => Type::Dyn,
                None => made,
            });
            fitting.push(Arc::clone(overload));
        }
        let result = result.ok_or_else(|| {
            let shown: Vec<String> = types.iter().map(ToString::to_string).collect();
            let message = format!("no overload of `{name}` takes ({})", shown.join(", "));
            Wrong::new(offset, message)
        })?;
        let pattern = written_pattern(offset, name, &nodes)?;
        let call = Call { name: name.into(), overloads: fitting, arguments: nodes, pattern };
        fold(offset, call).map(|node| (node, result))
    }

    /// `or` and `orValue`. The second may also stand on what is no optional, as the field lets it.
    fn optional_or(
        &mut self,
        offset: usize,
        target: &Expression,
        unwraps: bool,
        other: &Expression,
    ) -> Checked {
        let (node, found) = self.check(target)?;
        let (other_node, other_type) = self.check(other)?;
        let parts = Box::new([node, other_node]);
        if unwraps {
            let held = match found {
                Type::Optional(held) => *held,
                other => other,
            };
            let its_type = super::same(other.offset, Some(held), other_type)?;
            return Ok((Node::OptionalOrValue(parts), its_type));
        }
        if !matches!(found, Type::Optional(_) | Type::Dyn) {
            return Err(Wrong::new(offset, format!("`or` needs an optional value, not `{found}`")));
        }
        Ok((Node::OptionalOr(parts), super::same(other.offset, Some(found), other_type)?))
    }
}

/// The regular expression of a call, compiled where it is written out.
fn written_pattern(
    offset: usize,
    name: &str,
    nodes: &[Node],
) -> Result<Option<regex::Regex>, Wrong> {
    let takes_pattern = regular_expression::takes_pattern(name);
    match nodes.get(1).filter(|_| takes_pattern) {
        Some(Node::Constant(Value::String(text))) => regular_expression::compile(text)
            .map(Some)
            .map_err(|cause| Wrong::new(offset, cause.to_string())),
        _ => Ok(None),
    }
}

/// Makes a call beforehand if all its arguments are written out.
fn fold(offset: usize, call: Call) -> Result<Node, Wrong> {
    let written: Option<Vec<Value<'static>>> = call
        .arguments
        .iter()
        .map(|node| match node {
            Node::Constant(value) => Some(value.clone()),
            _ => None,
        })
        .collect();
    let Some(values) = written else { return Ok(Node::Call(Box::new(call))) };
    match call.run_native(&values, &Meter::new(FOLDING_BUDGET)) {
        Some(Ok(value)) => Ok(Node::Constant(value)),
        Some(Err(fault)) if matches!(&*call.name, "duration" | "timestamp") => {
            Err(Wrong::new(offset, fault.to_string()))
        }
        _ => Ok(Node::Call(Box::new(call))),
    }
}
