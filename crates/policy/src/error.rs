//! What can be wrong with a policy document, always with the path of the field.

/// A policy that cannot be used, with the place in the document and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {message}")]
pub struct ParseError {
    /// Path of the field, as in `spec.rules[0].validate.deny.conditions.any[0].operator`.
    pub path: String,
    /// What is wrong, in lower case, with the offending input in backticks.
    pub message: String,
}

impl ParseError {
    /// An error at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}
