//! `JMESPath` as the policies of the field use it: an expression is read once into a tree, and
//! evaluated over borrowed JSON.
//!
//! Two things differ from <https://jmespath.org/specification.html>, as policies rely on them: a key
//! that is missing from an object is a failure ([`Failure::NotFound`]) where it stands alone, and
//! nothing (null) inside `||`, `&&`, `!`, comparisons, arguments, projections, pipes and multiselects;
//! and there are some fifty more functions.

mod ast;
mod binding;
mod data;
mod functions;
mod interpreter;
mod lexer;
mod parser;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use ast::Ast;
pub(crate) use data::{Data, Document, json_text, same, type_name};
pub(crate) use functions::hexadecimal;
pub(crate) use interpreter::Interpreter;

/// Longest expression that is read, in bytes.
pub(crate) const MAX_EXPRESSION: usize = 64 * 1024;
/// Deepest nesting of an expression.
pub(crate) const MAX_DEPTH: usize = 100;

/// Why an expression cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at offset {offset} of `{expression}`")]
pub(crate) struct SyntaxError {
    /// Byte offset in the expression.
    pub(crate) offset: usize,
    /// What is wrong there.
    pub(crate) message: String,
    /// The expression, cut where it is long.
    pub(crate) expression: String,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// A key that is not in its object.
    #[error("unknown key `{0}`")]
    NotFound(String),
    /// Anything else: types, arguments, limits.
    #[error("{0}")]
    Invalid(String),
    /// A lookup that the caller must make first.
    #[error("waiting for a lookup")]
    Pending,
}

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }
}

/// Reads an expression.
pub(crate) fn compile(expression: &str) -> Result<Ast, SyntaxError> {
    parser::parse(expression, Variables::Unknown)
}

/// Reads an expression in which `$name` stands for a value ([`Ast::bind`]).
pub(crate) fn compile_with_variables(expression: &str) -> Result<Ast, SyntaxError> {
    parser::parse(expression, Variables::Known)
}

/// Whether `$name` is part of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variables {
    Known,
    Unknown,
}

/// The value of an expression at a node, for callers that shape data as policies do.
///
/// # Errors
/// The expression cannot be read, or has no value there.
pub fn query(expression: &str, node: &Value, now: Timestamp) -> Result<Value, String> {
    let ast = compile(expression.trim()).map_err(|error| error.to_string())?;
    let value = Interpreter::new(now, 0).evaluate(&ast, &Data::Borrowed(node));
    value.and_then(Data::into_value).map_err(|failure| failure.to_string())
}

#[cfg(test)]
mod tests;
