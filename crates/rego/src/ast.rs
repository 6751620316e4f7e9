//! A module as it is written.

use std::sync::Arc;

use crate::error::Position;
use crate::value::Value;

/// One module.
#[derive(Debug)]
pub(crate) struct Module {
    /// Path of its package, as in `lib`, `exempt`.
    pub(crate) package: Vec<Arc<str>>,
    pub(crate) imports: Vec<Import>,
    pub(crate) rules: Vec<Rule>,
}

/// `import data.lib.exempt as e`.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: Vec<Arc<str>>,
    pub(crate) name: Arc<str>,
}

/// One clause of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) at: Position,
    pub(crate) is_default: bool,
    pub(crate) name: Arc<str>,
    pub(crate) kind: RuleKind,
    pub(crate) parameters: Vec<Term>,
    /// The member of a set, or the key of an object.
    pub(crate) key: Option<Term>,
    /// The value; absent where it is `true`.
    pub(crate) value: Option<Term>,
    pub(crate) body: Vec<Literal>,
    /// What holds instead where the body does not.
    pub(crate) otherwise: Vec<(Option<Term>, Vec<Literal>)>,
}

/// What a rule makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleKind {
    Value,
    Set,
    Object,
    Function,
}

/// One expression of a body.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    pub(crate) negated: bool,
    pub(crate) statement: Statement,
    /// `with TARGET as VALUE`.
    pub(crate) with: Vec<(Term, Term)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Statement {
    /// It must be defined and not false.
    Expression(Term),
    /// `:=`, which declares what stands left.
    Assign(Term, Term),
    /// `=`.
    Unify(Term, Term),
    /// `some x, y`.
    Declare(Vec<Arc<str>>),
    /// `some k, v in xs`.
    SomeIn(Each),
    /// `every k, v in xs { … }`.
    Every(Each, Vec<Literal>),
}

/// What goes through a collection.
#[derive(Debug, Clone)]
pub(crate) struct Each {
    pub(crate) key: Option<Term>,
    pub(crate) value: Term,
    pub(crate) collection: Term,
}

/// A term with its place.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) at: Position,
    pub(crate) kind: TermKind,
}

#[derive(Debug, Clone)]
pub(crate) enum TermKind {
    Scalar(Value),
    /// A variable; `_` is another one each time.
    Variable(Arc<str>),
    Reference(Box<Term>, Vec<Term>),
    /// A call, its name with dots.
    Call(Arc<str>, Vec<Term>),
    Array(Vec<Term>),
    Set(Vec<Term>),
    Object(Vec<(Term, Term)>),
    ArrayOf(Box<Term>, Vec<Literal>),
    SetOf(Box<Term>, Vec<Literal>),
    ObjectOf(Box<(Term, Term)>, Vec<Literal>),
}

impl Term {
    pub(crate) fn new(at: Position, kind: TermKind) -> Self {
        Self { at, kind }
    }

    /// The string that it is.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            TermKind::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The name of the variable that it is.
    pub(crate) fn variable(&self) -> Option<&Arc<str>> {
        match &self.kind {
            TermKind::Variable(name) => Some(name),
            _ => None,
        }
    }
}
