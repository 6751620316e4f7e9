//! From what is parsed to what can run: names to places, calls to overloads, types inferred.

mod calls;
mod macros;

use std::sync::Arc;

use crate::ast::{Binary, Expression, Kind, Unary};
use crate::error::Wrong;
use crate::library;
use crate::program::{Declarations, Node};
use crate::types::{Bound, Type};
use crate::value::Value;

/// What an expression becomes, and its type.
pub(crate) type Checked = Result<(Node, Type), Wrong>;

/// Names and types while an expression is checked.
pub(crate) struct Checker<'d> {
    declarations: &'d Declarations,
    /// Names of macros around the place, in the order of the evaluation's stack.
    locals: Vec<(String, Type)>,
    /// Whether lists and maps may be written with elements of different types.
    mixed: bool,
}

impl<'d> Checker<'d> {
    pub(crate) fn new(declarations: &'d Declarations) -> Self {
        Self { declarations, locals: Vec::new(), mixed: false }
    }

    pub(crate) fn check(&mut self, expression: &Expression) -> Checked {
        let offset = expression.offset;
        match &expression.kind {
            Kind::Literal(value) => Ok((Node::Constant(value.clone()), Type::of(value))),
            Kind::Name(name) => self.name(offset, name),
            Kind::Select { operand, field, optional } => {
                if let Some(found) = self.declared(expression) {
                    return Ok(found);
                }
                self.select(offset, operand, field, *optional)
            }
            Kind::Index { operand, key, optional } => self.index(offset, operand, key, *optional),
            Kind::Call { target, name, arguments } => {
                self.call(offset, target.as_deref(), name, arguments)
            }
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Message { name, fields } => self.message(offset, name, fields),
            Kind::Unary { operator, operand } => self.unary(offset, *operator, operand),
            Kind::Binary { operator, left, right } => self.binary(offset, *operator, left, right),
            Kind::And(operands) => {
                self.logical(operands).map(|nodes| (Node::And(nodes), Type::Bool))
            }
            Kind::Or(operands) => self.logical(operands).map(|nodes| (Node::Or(nodes), Type::Bool)),
            Kind::Conditional(parts) => self.conditional(parts),
        }
    }

    fn local(&self, name: &str) -> Option<usize> {
        self.locals.iter().rposition(|(known, _)| known == name)
    }

    fn name(&self, offset: usize, name: &str) -> Checked {
        if let Some(place) = self.local(name) {
            let its_type = self.locals.get(place).map_or(Type::Dyn, |(_, found)| found.clone());
            return Ok((Node::Local(place), its_type));
        }
        if let Some((slot, its_type)) = self.declarations.find(name) {
            return Ok((Node::Variable(*slot), its_type.clone()));
        }
        if let Some(found) = Type::named(name) {
            return Ok((Node::Constant(Value::Type(found.into())), Type::Type));
        }
        Err(Wrong::new(offset, format!("undeclared reference to `{name}`{}", self.hint(name))))
    }

    /// A name in declarations that is written nearly so.
    fn hint(&self, name: &str) -> String {
        let near = self.declarations.names().find(|known| known.eq_ignore_ascii_case(name));
        near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
    }

    /// A declared name or a type that is written with dots.
    fn declared(&self, expression: &Expression) -> Option<(Node, Type)> {
        let path = self.free_path(expression)?;
        if let Some((slot, its_type)) = self.declarations.find(&path) {
            return Some((Node::Variable(*slot), its_type.clone()));
        }
        let named = Type::named(&path).filter(|_| path.contains('.'))?;
        Some((Node::Constant(Value::Type(named.into())), Type::Type))
    }

    /// The dotted names of an expression, if they do not begin with a name of a macro.
    fn free_path(&self, expression: &Expression) -> Option<String> {
        let path = expression.dotted()?;
        let first = path.split('.').next().unwrap_or_default();
        self.local(first).is_none().then_some(path)
    }

    fn select(
        &mut self,
        offset: usize,
        operand: &Expression,
        field: &str,
        optional: bool,
    ) -> Checked {
        if let Some(path) = self.free_path(operand)
            && self.declarations.find(&path).is_none()
            && self.declarations.knows(&path)
        {
            let message = format!("undeclared reference to `{path}.{field}`");
            return Err(Wrong::new(offset, message));
        }
        let (node, found) = self.check(operand)?;
        let held = self.field_type(offset, &found, field)?;
        let (node, field) = (Box::new(node), Box::from(field));
        if optional {
            return Ok((Node::OptionalSelect(node, field), Type::optional(held)));
        }
        let viral = matches!(found, Type::Optional(_));
        let its_type = if viral { Type::optional(held) } else { held };
        Ok((Node::Select(node, field), its_type))
    }

    /// The type of a field of a value.
    fn field_type(&self, offset: usize, operand: &Type, field: &str) -> Result<Type, Wrong> {
        match operand {
            Type::Dyn => Ok(Type::Dyn),
            Type::Message(name) => match self.declarations.structure(name) {
                None => Ok(Type::Dyn),
                Some(fields) => fields.get(field).cloned().ok_or_else(|| {
                    let near = fields.keys().find(|known| known.eq_ignore_ascii_case(field));
                    let hint = near.map(|near| format!(", did you mean `{near}`?"));
                    let message = format!("undefined field `{field}`{}", hint.unwrap_or_default());
                    Wrong::new(offset, message)
                }),
            },
            Type::Map(key, value) if matches!(**key, Type::String | Type::Dyn) => {
                Ok((**value).clone())
            }
            Type::Optional(inner) => self.field_type(offset, inner, field),
            found => {
                let message = format!("a value of type `{found}` has no field `{field}`");
                Err(Wrong::new(offset, message))
            }
        }
    }

    fn index(
        &mut self,
        offset: usize,
        operand: &Expression,
        key: &Expression,
        optional: bool,
    ) -> Checked {
        let (node, found) = self.check(operand)?;
        let (key, key_type) = self.check(key)?;
        let inner = match &found {
            Type::Optional(inner) => inner,
            other => other,
        };
        let held = match inner {
            Type::Dyn => Some(Type::Dyn),
            Type::List(of)
                if matches!(key_type, Type::Int | Type::Uint | Type::Dyn | Type::Double) =>
            {
                Some((**of).clone())
            }
            Type::Map(of, value) if Bound::default().accepts(of, &key_type) => {
                Some((**value).clone())
            }
            _ => None,
        };
        let held = held.ok_or_else(|| {
            let message = format!("a value of type `{found}` has no index of type `{key_type}`");
            Wrong::new(offset, message)
        })?;
        let parts = Box::new([node, key]);
        if optional {
            return Ok((Node::OptionalIndex(parts), Type::optional(held)));
        }
        let viral = matches!(found, Type::Optional(_));
        Ok((Node::Index(parts), if viral { Type::optional(held) } else { held }))
    }

    fn list(&mut self, elements: &[crate::ast::Element]) -> Checked {
        let mut nodes = Vec::with_capacity(elements.len());
        let mut held: Option<Type> = None;
        for element in elements {
            let (node, mut found) = self.check(&element.value)?;
            if element.optional {
                found = inside_optional(element.value.offset, found)?;
            }
            held = Some(self.element(element.value.offset, held, found)?);
            nodes.push((node, element.optional));
        }
        let its_type = Type::List(Box::new(held.unwrap_or(Type::Dyn)));
        let constants: Option<Vec<Value<'static>>> = nodes
            .iter()
            .map(|(node, optional)| match node {
                Node::Constant(value) if !optional => Some(value.clone()),
                _ => None,
            })
            .collect();
        let node = constants.map_or(Node::List(nodes), |all| Node::Constant(Value::list(all)));
        Ok((node, its_type))
    }

    fn map(&mut self, entries: &[crate::ast::Entry]) -> Checked {
        let mut nodes = Vec::with_capacity(entries.len());
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            let (key, key_type) = self.check(&entry.key)?;
            let (value, mut value_type) = self.check(&entry.value)?;
            if entry.optional {
                value_type = inside_optional(entry.value.offset, value_type)?;
            }
            keys = Some(self.element(entry.key.offset, keys, key_type)?);
            values = Some(self.element(entry.value.offset, values, value_type)?);
            nodes.push((key, value, entry.optional));
        }
        let or_dyn = |found: Option<Type>| Box::new(found.unwrap_or(Type::Dyn));
        Ok((Node::Map(nodes), Type::Map(or_dyn(keys), or_dyn(values))))
    }

    fn message(&mut self, offset: usize, name: &str, fields: &[crate::ast::Field]) -> Checked {
        let declared = self.declarations.message(name).ok_or_else(|| {
            Wrong::new(offset, format!("values of type `{name}` cannot be made here"))
        })?;
        let mut nodes: Vec<(Box<str>, Node, bool)> = Vec::with_capacity(fields.len());
        for field in fields {
            let (node, mut found) = self.check(&field.value)?;
            let offset = field.value.offset;
            if field.optional {
                found = inside_optional(offset, found)?;
            }
            let wanted = match declared {
                None => &Type::Dyn,
                Some(known) => known
                    .iter()
                    .find_map(|(name, wanted)| (*name == field.name).then_some(wanted))
                    .ok_or_else(|| {
                        Wrong::new(offset, format!("`{name}` has no field `{}`", field.name))
                    })?,
            };
            if !Bound::default().accepts(wanted, &found) {
                let message = format!(
                    "field `{}` of `{name}` must be of type `{wanted}`, not `{found}`",
                    field.name
                );
                return Err(Wrong::new(offset, message));
            }
            if nodes.iter().any(|(known, ..)| **known == *field.name) {
                return Err(Wrong::new(offset, format!("field `{}` stands twice", field.name)));
            }
            nodes.push((field.name.as_str().into(), node, field.optional));
        }
        let name: Arc<str> = name.into();
        Ok((Node::Message(Arc::clone(&name), nodes), Type::Message(name)))
    }

    /// The type of the elements of a list or a map that is written out.
    fn element(&self, offset: usize, known: Option<Type>, found: Type) -> Result<Type, Wrong> {
        match known {
            Some(known) if self.mixed => Ok(known.join(&found)),
            // Elsewhere `dyn` stands for whatever it may be; written side by side it is a type of its own.
            Some(known) if (known == Type::Dyn) != (found == Type::Dyn) => {
                Err(Wrong::new(offset, format!("elements of types `{known}` and `{found}`")))
            }
            known => same(offset, known, found),
        }
    }

    fn unary(&mut self, offset: usize, operator: Unary, operand: &Expression) -> Checked {
        let (node, found) = self.check(operand)?;
        let node = Box::new(node);
        match (operator, &found) {
            (Unary::Not, Type::Bool | Type::Dyn) => Ok((Node::Not(node), Type::Bool)),
            (Unary::Negate, Type::Int | Type::Double | Type::Dyn | Type::Duration) => {
                Ok((Node::Negate(node), found))
            }
            (Unary::Not, _) => Err(Wrong::new(offset, format!("`!` cannot take `{found}`"))),
            (Unary::Negate, _) => Err(Wrong::new(offset, format!("`-` cannot take `{found}`"))),
        }
    }

    fn binary(
        &mut self,
        offset: usize,
        operator: Binary,
        left: &Expression,
        right: &Expression,
    ) -> Checked {
        let (left, left_type) = self.check(left)?;
        let (right, right_type) = self.check(right)?;
        let symbol = operator.symbol();
        let result = library::operator_result(symbol, &[left_type.clone(), right_type.clone()]);
        let result = result.ok_or_else(|| {
            let message = format!("`{symbol}` cannot take `{left_type}` and `{right_type}`");
            Wrong::new(offset, message)
        })?;
        Ok((Node::Binary(operator, Box::new([left, right])), result))
    }

    fn logical(&mut self, operands: &[Expression]) -> Result<Vec<Node>, Wrong> {
        operands.iter().map(|operand| self.predicate(operand)).collect()
    }

    /// An expression that must be a boolean.
    fn predicate(&mut self, operand: &Expression) -> Result<Node, Wrong> {
        let (node, found) = self.check(operand)?;
        match found {
            Type::Bool | Type::Dyn => Ok(node),
            other => {
                Err(Wrong::new(operand.offset, format!("must be of type `bool`, not `{other}`")))
            }
        }
    }

    fn conditional(&mut self, parts: &[Expression; 3]) -> Checked {
        let [condition, then, otherwise] = parts;
        let condition = self.predicate(condition)?;
        let (then_node, then_type) = self.check(then)?;
        let (else_node, else_type) = self.check(otherwise)?;
        let its_type = same(otherwise.offset, Some(then_type), else_type)?;
        Ok((Node::Conditional(Box::new([condition, then_node, else_node])), its_type))
    }
}

fn inside_optional(offset: usize, found: Type) -> Result<Type, Wrong> {
    match found {
        Type::Optional(inner) => Ok(*inner),
        Type::Dyn => Ok(Type::Dyn),
        other => Err(Wrong::new(offset, format!("`?` needs an optional value, not `{other}`"))),
    }
}

/// The type of elements that must be of one type.
fn same(offset: usize, known: Option<Type>, found: Type) -> Result<Type, Wrong> {
    let Some(known) = known else { return Ok(found) };
    let fits = Bound::default().accepts(&known, &found) || Bound::default().accepts(&found, &known);
    if !fits {
        return Err(Wrong::new(offset, format!("must be of type `{known}`, not `{found}`")));
    }
    if known == Type::Null {
        return Ok(found);
    }
    if found == Type::Null { Ok(known) } else { Ok(known.join(&found)) }
}
