//! The tree of an expression.

use serde_json::Value;

use super::functions::Function;

/// One node.
#[derive(Debug, Clone)]
pub(crate) enum Ast {
    /// `@`
    Current,
    /// `name`
    Field(Box<str>),
    /// `[3]`
    Index(i64),
    /// `[from:to:step]`
    Slice { from: Option<i64>, to: Option<i64>, step: i64 },
    /// `left.right`, `left[3]`
    Chain(Box<Ast>, Box<Ast>),
    /// `left[*].right`
    Each(Box<Ast>, Box<Ast>),
    /// `left[]`, flattened once
    Flatten(Box<Ast>),
    /// `left.*.right`
    EachValue(Box<Ast>, Box<Ast>),
    /// `left[?condition].right`
    Filter { list: Box<Ast>, condition: Box<Ast>, right: Box<Ast> },
    /// `left | right`
    Pipe(Box<Ast>, Box<Ast>),
    /// `left || right`
    Or(Box<Ast>, Box<Ast>),
    /// `left && right`
    And(Box<Ast>, Box<Ast>),
    /// `!inner`
    Not(Box<Ast>),
    /// `left < right`
    Compare(Comparator, Box<Ast>, Box<Ast>),
    /// A literal or a raw string.
    Literal(Value),
    /// `[a, b]`
    List(Vec<Ast>),
    /// `{a: b}`
    Object(Vec<(String, Ast)>),
    /// `name(arguments)`
    Call(&'static Function, Vec<Ast>),
    /// `$name`, where the language has it
    Variable(Box<str>),
    /// `&expression`
    Reference(Box<Ast>),
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
