//! Macros: `has`, loops, `cel.bind`, `optMap`.

use super::{Checked, Checker};
use crate::ast::{Expression, Kind};
use crate::error::Wrong;
use crate::program::{Comprehension, Loop, Node};
use crate::types::Type;
use crate::value::Value;

impl Checker<'_> {
    /// What a macro stands for; `None` where it is none.
    pub(super) fn expand(
        &mut self,
        offset: usize,
        target: Option<&Expression>,
        name: &str,
        arguments: &[Expression],
    ) -> Option<Checked> {
        let Some(target) = target else {
            return match (name, arguments) {
                ("has", [argument]) => Some(self.has(offset, argument)),
                _ => None,
            };
        };
        let is_bind = name == "bind" && !self.declarations.is_strict();
        if is_bind && matches!(&target.kind, Kind::Name(module) if module == "cel") {
            return match arguments {
                [local, value, body] => Some(self.bind(local, value, body)),
                _ => Some(Err(Wrong::new(offset, "`cel.bind` takes a name, a value and a body"))),
            };
        }
        let kind = match name {
            "all" => Loop::All,
            "exists" => Loop::Exists,
            "exists_one" | "existsOne" => Loop::ExistsOne,
            "map" | "transformList" => Loop::List,
            "filter" => Loop::Filter,
            "transformMap" => Loop::Map,
            "transformMapEntry" => Loop::MapEntry,
            "sortBy" => Loop::SortBy,
            "optMap" | "optFlatMap" => {
                let [local, body] = arguments else { return None };
                return Some(self.optional_map(target, local, body, name == "optFlatMap"));
            }
            _ => return None,
        };
        let (names, condition, body) = match (name, arguments) {
            (
                "all" | "exists" | "exists_one" | "existsOne" | "filter" | "map" | "sortBy",
                [first, body],
            ) => (vec![first], None, body),
            ("map", [first, condition, body]) => (vec![first], Some(condition), body),
            (
                "all" | "exists" | "exists_one" | "existsOne" | "transformList" | "transformMap"
                | "transformMapEntry",
                [first, second, body],
            ) => (vec![first, second], None, body),
            (
                "transformList" | "transformMap" | "transformMapEntry",
                [first, second, condition, body],
            ) => (vec![first, second], Some(condition), body),
            _ => {
                let message = format!("`{name}` does not take {} arguments", arguments.len());
                return Some(Err(Wrong::new(offset, message)));
            }
        };
        Some(self.comprehension(kind, target, &names, condition, body))
    }

    fn has(&mut self, offset: usize, argument: &Expression) -> Checked {
        let Kind::Select { operand, field, optional } = &argument.kind else {
            return Err(Wrong::new(offset, "`has` takes a field, as in `has(object.spec)`"));
        };
        if self.declared(argument).is_some() {
            return Ok((Node::Constant(Value::Bool(true)), Type::Bool));
        }
        let (node, _) = self.select(offset, operand, field, *optional)?;
        let node = match node {
            Node::Select(operand, field) | Node::OptionalSelect(operand, field) => {
                Node::Has(operand, field)
            }
            other => other,
        };
        Ok((node, Type::Bool))
    }

    fn bind(&mut self, local: &Expression, value: &Expression, body: &Expression) -> Checked {
        let name = simple_name(local)?;
        let (value, value_type) = self.check(value)?;
        let (body, its_type) = self.with_locals(&[(name, value_type)], |this| this.check(body))?;
        Ok((Node::Bind(Box::new([value, body])), its_type))
    }

    fn optional_map(
        &mut self,
        target: &Expression,
        local: &Expression,
        body: &Expression,
        flat: bool,
    ) -> Checked {
        let name = simple_name(local)?;
        let (node, found) = self.check(target)?;
        let held = super::inside_optional(target.offset, found)?;
        let (body_node, made) = self.with_locals(&[(name, held)], |this| this.check(body))?;
        let its_type = match made {
            Type::Optional(_) | Type::Dyn if flat => made,
            other if flat => {
                let message = format!("`optFlatMap` needs an optional value, not `{other}`");
                return Err(Wrong::new(body.offset, message));
            }
            other => Type::optional(other),
        };
        Ok((Node::OptionalMap(Box::new([node, body_node]), flat), its_type))
    }

    fn comprehension(
        &mut self,
        kind: Loop,
        target: &Expression,
        names: &[&Expression],
        condition: Option<&Expression>,
        body: &Expression,
    ) -> Checked {
        let (range, found) = self.check(target)?;
        let two_names = names.len() == 2;
        let (first, second) = element_types(&found, two_names).ok_or_else(|| {
            Wrong::new(target.offset, format!("a value of type `{found}` has no elements"))
        })?;
        let mut locals = Vec::new();
        for (name, its_type) in names.iter().zip([first.clone(), second]) {
            let name = simple_name(name)?;
            if locals.iter().any(|(known, _)| *known == name) {
                return Err(Wrong::new(target.offset, format!("two names are `{name}`")));
            }
            locals.push((name, its_type));
        }
        let predicate = matches!(kind, Loop::All | Loop::Exists | Loop::ExistsOne | Loop::Filter);
        let (condition, (body, made)) = self.with_locals(&locals, |this| {
            let condition = condition.map(|condition| this.predicate(condition)).transpose()?;
            let body =
                if predicate { (this.predicate(body)?, Type::Bool) } else { this.check(body)? };
            Ok((condition, body))
        })?;
        let its_type = match kind {
            Loop::All | Loop::Exists | Loop::ExistsOne => Type::Bool,
            Loop::Filter | Loop::SortBy => Type::List(Box::new(first)),
            Loop::List => Type::List(Box::new(made)),
            Loop::Map => match found {
                Type::Map(key, _) => Type::Map(key, Box::new(made)),
                Type::List(_) => Type::Map(Box::new(Type::Int), Box::new(made)),
                _ => Type::Dyn,
            },
            Loop::MapEntry => match made {
                Type::Map(..) | Type::Dyn => made,
                other => {
                    let message = format!("`transformMapEntry` needs a map, not `{other}`");
                    return Err(Wrong::new(target.offset, message));
                }
            },
        };
        let comprehension = Comprehension { kind, range, two_names, condition, body };
        Ok((Node::Comprehension(Box::new(comprehension)), its_type))
    }

    fn with_locals<T>(
        &mut self,
        locals: &[(String, Type)],
        work: impl FnOnce(&mut Self) -> Result<T, Wrong>,
    ) -> Result<T, Wrong> {
        let before = self.locals.len();
        self.locals.extend_from_slice(locals);
        let made = work(self);
        self.locals.truncate(before);
        made
    }
}

/// Types of the names of a loop.
fn element_types(range: &Type, two_names: bool) -> Option<(Type, Type)> {
    Some(match range {
        Type::Dyn => (Type::Dyn, Type::Dyn),
        Type::List(of) if two_names => (Type::Int, (**of).clone()),
        Type::List(of) => ((**of).clone(), Type::Dyn),
        Type::Map(key, value) => ((**key).clone(), (**value).clone()),
        _ => return None,
    })
}

fn simple_name(expression: &Expression) -> Result<String, Wrong> {
    match &expression.kind {
        Kind::Name(name) => Ok(name.clone()),
        _ => Err(Wrong::new(expression.offset, "must be a simple name")),
    }
}
