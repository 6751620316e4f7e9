//! Why an expression cannot be compiled, and why one has no value.

/// An expression that cannot be compiled: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at {line}:{column} of `{}`)", shortened(.expression))]
pub struct CompileError {
    /// What is wrong.
    pub message: String,
    /// The expression.
    pub expression: String,
    /// Line of the place, from 1.
    pub line: usize,
    /// Column of the place in characters, from 1.
    pub column: usize,
}

/// Longest part of an expression that a message repeats.
const MAX_SHOWN: usize = 200;

fn shortened(expression: &str) -> String {
    let mut shown: String = expression.trim().chars().take(MAX_SHOWN).collect();
    if shown.len() < expression.trim().len() {
        shown.push('…');
    }
    shown
}

impl CompileError {
    pub(crate) fn new(found: Wrong, expression: &str) -> Self {
        let before = expression.get(..found.offset).unwrap_or(expression);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { message: found.message, expression: expression.to_owned(), line, column }
    }
}

/// What is wrong at an offset in bytes, before it is told with the expression around it.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

impl Wrong {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A field or key that is not there.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// A function or operator that has no meaning for such operands.
    #[error("no such overload: {0}")]
    NoSuchOverload(String),
    /// A value that an operation cannot take.
    #[error("{0}")]
    Invalid(String),
    /// The evaluation costs more than it may.
    #[error("the expression costs more than it may ({0} steps)")]
    OutOfBudget(u64),
    /// Something must be looked up by the host first.
    #[error("a lookup has no answer yet")]
    Pending,
}

impl Fault {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// Whether `&&` and `||` may set it aside where the other side decides.
    pub(crate) fn is_absorbed(&self) -> bool {
        !matches!(self, Self::OutOfBudget(_))
    }
}
