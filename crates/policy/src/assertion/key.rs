//! Keys of a tree: `~index.(expression) -> name`.

use super::expression;
use crate::error::ParseError;
use crate::jmespath::Ast;

/// A key in parts.
#[derive(Debug)]
pub(crate) struct Key {
    /// Set where it goes through the elements of what it gives.
    pub(super) each: Option<Loop>,
    /// The member, or the text of the expression.
    pub(super) statement: String,
    pub(super) expression: Option<Ast>,
    /// What it gives is bound to this name.
    pub(super) binding: Option<String>,
}

/// A loop, and the name of its index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loop {
    pub(super) name: Option<String>,
}

impl Key {
    pub(super) fn parse(text: &str, path: &str) -> Result<Self, ParseError> {
        let (each, rest) = split_loop(text);
        let (rest, binding) = split_binding(rest);
        if let Some(literal) = between(rest, '\\', '\\') {
            let statement = literal.to_owned();
            return Ok(Self { each, statement, expression: None, binding });
        }
        let Some(inner) = between(rest, '(', ')') else {
            return Ok(Self { each, statement: rest.to_owned(), expression: None, binding });
        };
        let (engine, inner) = match inner.split_once(';') {
            Some((engine, inner)) if is_word(engine) && !inner.is_empty() => (engine, inner),
            _ => ("jp", inner),
        };
        if engine != "jp" {
            let message = format!("expressions of `{engine}` are not evaluated in assertions");
            return Err(ParseError::new(path, message));
        }
        let expression = Some(expression(inner, path)?);
        Ok(Self { each, statement: inner.to_owned(), expression, binding })
    }
}

/// What stands between two delimiters, if there is something.
fn between(text: &str, start: char, end: char) -> Option<&str> {
    text.strip_prefix(start)?.strip_suffix(end).filter(|inner| !inner.is_empty())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn split_loop(text: &str) -> (Option<Loop>, &str) {
    let split = text.strip_prefix('~').and_then(|rest| rest.split_once('.'));
    match split {
        Some(("", rest)) => (Some(Loop { name: None }), rest),
        Some((name, rest)) if is_word(name) => (Some(Loop { name: Some(name.to_owned()) }), rest),
        _ => (None, text),
    }
}

fn split_binding(text: &str) -> (&str, Option<String>) {
    match text.rsplit_once("->") {
        Some((rest, name)) if is_word(name.trim_start()) => {
            (rest.trim_end(), Some(name.trim_start().to_owned()))
        }
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        for (text, each, statement, is_expression, binding) in [
            ("test", None, "test", false, None),
            ("(test)", None, "test", true, None),
            ("~.test", Some(""), "test", false, None),
            ("~index.(test)->foo", Some("index"), "test", true, Some("foo")),
            ("test -> foo", None, "test", false, Some("foo")),
            ("\\~(test)->foo\\", None, "~(test)->foo", false, None),
            ("~index.\\(test)\\->name", Some("index"), "(test)", false, Some("name")),
            ("()", None, "()", false, None),
            ("(jp;test)", None, "test", true, None),
        ] {
            let key = Key::parse(text, "a").unwrap();
            let name = key.each.map(|each| each.name.unwrap_or_default());
            assert_eq!(name.as_deref(), each, "{text}");
            assert_eq!(key.statement, statement, "{text}");
            assert_eq!(key.expression.is_some(), is_expression, "{text}");
            assert_eq!(key.binding.as_deref(), binding, "{text}");
        }
        assert!(Key::parse("(cel;test)", "a").is_err());
        assert!(Key::parse("(test ||)", "a").is_err());
    }
}
