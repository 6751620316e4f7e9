//! What can be wrong with a module, and with an evaluation.

use std::fmt;

/// Where something stands in a module, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A module that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct Error {
    /// Where.
    pub at: Position,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Error {
    pub(crate) fn new(at: Position, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

/// An evaluation that came to no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The evaluation took more steps than it may.
    #[error("evaluation takes more than {limit} steps")]
    Budget {
        /// How many steps it may take.
        limit: u64,
    },
    /// A rule or function has two different values.
    #[error("{rule} has more than one value for the same input")]
    Conflict {
        /// Its name.
        rule: String,
    },
    /// A function that asks the world outside, of which nothing is known here.
    #[error("{function} asks a service outside, which is not done")]
    Outside {
        /// Its name.
        function: &'static str,
    },
    /// Two members of one key.
    #[error("an object has two different values for the key {key}")]
    Key {
        /// The key.
        key: String,
    },
}
