//! A program as it is run: every variable has a place, every expression at most one value, and what
//! goes through several values is a step of its own.

use crate::builtins::Builtin;
use crate::value::Value;

/// All clauses of one name.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its path, as in `data.lib.exempt.is_exempt`.
    pub(crate) name: String,
    pub(crate) makes: Makes,
    /// The value where no clause gives one.
    pub(crate) default: Option<Expression>,
    pub(crate) clauses: Vec<Clause>,
}

/// What the clauses of a group make together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Makes {
    Value,
    Set,
    Object,
    /// With so many parameters.
    Function(usize),
}

#[derive(Debug)]
pub(crate) struct Clause {
    /// How many variables it has.
    pub(crate) slots: usize,
    pub(crate) parameters: Vec<Pattern>,
    /// The body, and what follows `else`: the first that holds speaks.
    pub(crate) branches: Vec<Branch>,
}

#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) steps: Vec<Step>,
    pub(crate) key: Option<Expression>,
    pub(crate) value: Expression,
}

/// One step of a body; it holds, fails, or holds several times.
#[derive(Debug)]
pub(crate) enum Step {
    Test(Expression),
    Match(Pattern, Expression),
    Each(Each),
    /// Every `[path, value]` inside a value.
    Walk(usize, Expression),
    Not(Vec<Step>),
    Every(Each, Vec<Step>),
    With(Vec<Override>, Vec<Step>),
}

#[derive(Debug)]
pub(crate) struct Each {
    pub(crate) collection: Expression,
    pub(crate) key: Pattern,
    pub(crate) value: Pattern,
}

/// What `with` replaces.
#[derive(Debug)]
pub(crate) struct Override {
    pub(crate) root: Root,
    pub(crate) path: Vec<Value>,
    pub(crate) value: Expression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Input,
    Data,
}

/// What a value must look like.
#[derive(Debug)]
pub(crate) enum Pattern {
    Any,
    Bind(usize),
    Equal(Expression),
    Array(Vec<Pattern>),
    Object(Vec<(Expression, Pattern)>),
}

/// What has one value, or none.
#[derive(Debug)]
pub(crate) enum Expression {
    Constant(Value),
    Slot(usize),
    Root(Root),
    /// The value of a group.
    Rule(usize),
    /// A member of a member.
    Get(Box<Expression>, Vec<Expression>),
    Call(usize, Vec<Expression>),
    Builtin(&'static Builtin, Vec<Expression>),
    Array(Vec<Expression>),
    Set(Vec<Expression>),
    Object(Vec<(Expression, Expression)>),
    ArrayOf(Box<Closure>),
    SetOf(Box<Closure>),
    ObjectOf(Box<Closure>),
}

/// The inside of a comprehension.
#[derive(Debug)]
pub(crate) struct Closure {
    pub(crate) steps: Vec<Step>,
    /// The key of an object's members.
    pub(crate) key: Option<Expression>,
    pub(crate) head: Expression,
}

impl Expression {
    pub(crate) fn constant(&self) -> Option<&Value> {
        match self {
            Self::Constant(value) => Some(value),
            _ => None,
        }
    }
}
