//! Expressions as parsed.

use crate::value::Value;

/// An expression, and where it begins in bytes.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) offset: usize,
    pub(crate) kind: Kind,
}

/// What kind of expression.
#[derive(Debug)]
pub(crate) enum Kind {
    Literal(Value<'static>),
    Name(String),
    Select {
        operand: Box<Expression>,
        field: String,
        optional: bool,
    },
    Index {
        operand: Box<Expression>,
        key: Box<Expression>,
        optional: bool,
    },
    Call {
        target: Option<Box<Expression>>,
        name: String,
        arguments: Vec<Expression>,
    },
    List(Vec<Element>),
    Map(Vec<Entry>),
    Message {
        name: String,
        fields: Vec<Field>,
    },
    Unary {
        operator: Unary,
        operand: Box<Expression>,
    },
    Binary {
        operator: Binary,
        left: Box<Expression>,
        right: Box<Expression>,
    },
    /// A chain of `&&`: two operands or more.
    And(Vec<Expression>),
    /// A chain of `||`: two operands or more.
    Or(Vec<Expression>),
    Conditional(Box<[Expression; 3]>),
}

/// An element of a list; an optional one stands only where it has a value.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) value: Expression,
    pub(crate) optional: bool,
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Expression,
    pub(crate) optional: bool,
}

/// An entry of a map.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Expression,
    pub(crate) value: Expression,
    pub(crate) optional: bool,
}

/// Operators before an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Not,
    Negate,
}

/// Operators between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Binary {
    /// As written.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

impl Expression {
    pub(crate) fn new(offset: usize, kind: Kind) -> Self {
        Self { offset, kind }
    }

    /// The name, or the names with dots between, that the expression is.
    pub(crate) fn dotted(&self) -> Option<String> {
        match &self.kind {
            Kind::Name(name) => Some(name.clone()),
            Kind::Select { operand, field, optional: false } => {
                operand.dotted().map(|before| format!("{before}.{field}"))
            }
            _ => None,
        }
    }
}
