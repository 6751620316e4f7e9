//! Values for the variables (`$name`) of an expression.

use serde_json::Value;

use super::Failure;
use super::ast::Ast;

impl Ast {
    /// The parts of which it is made.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Chain(left, right)
            | Self::Each(left, right)
            | Self::EachValue(left, right)
            | Self::Pipe(left, right)
            | Self::Or(left, right)
            | Self::And(left, right)
            | Self::Compare(_, left, right) => vec![left, right],
            Self::Filter { list, condition, right } => vec![list, condition, right],
            Self::Flatten(inner) | Self::Not(inner) | Self::Reference(inner) => vec![inner],
            Self::List(items) | Self::Call(_, items) => items.iter().collect(),
            Self::Object(entries) => entries.iter().map(|(_, item)| item).collect(),
            Self::Current
            | Self::Field(_)
            | Self::Index(_)
            | Self::Slice { .. }
            | Self::Literal(_)
            | Self::Variable(_) => Vec::new(),
        }
    }

    /// The same, to be changed.
    fn parts_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Chain(left, right)
            | Self::Each(left, right)
            | Self::EachValue(left, right)
            | Self::Pipe(left, right)
            | Self::Or(left, right)
            | Self::And(left, right)
            | Self::Compare(_, left, right) => vec![left, right],
            Self::Filter { list, condition, right } => vec![list, condition, right],
            Self::Flatten(inner) | Self::Not(inner) | Self::Reference(inner) => vec![inner],
            Self::List(items) | Self::Call(_, items) => items.iter_mut().collect(),
            Self::Object(entries) => entries.iter_mut().map(|(_, item)| item).collect(),
            Self::Current
            | Self::Field(_)
            | Self::Index(_)
            | Self::Slice { .. }
            | Self::Literal(_)
            | Self::Variable(_) => Vec::new(),
        }
    }

    pub(crate) fn has_variables(&self) -> bool {
        matches!(self, Self::Variable(_)) || self.parts().into_iter().any(Self::has_variables)
    }

    /// The expression with every variable replaced by its value.
    pub(crate) fn bind(
        &self,
        value_of: &dyn Fn(&str) -> Result<Value, Failure>,
    ) -> Result<Self, Failure> {
        let mut bound = self.clone();
        bound.replace_variables(value_of)?;
        Ok(bound)
    }

    // INVARIANT: the parser bounds the depth of every tree.
    fn replace_variables(
        &mut self,
        value_of: &dyn Fn(&str) -> Result<Value, Failure>,
    ) -> Result<(), Failure> {
        if let Self::Variable(name) = self {
            *self = Self::Literal(value_of(name)?);
            return Ok(());
        }
        self.parts_mut().into_iter().try_for_each(|part| part.replace_variables(value_of))
    }
}
