//! Words of the language. White space counts: a reference ends at it, an expression at a line's end.

use std::sync::Arc;

use crate::error::{Error, Position};

/// A word with its place and what stands before it.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: Position,
    /// Whether white space stands before it.
    pub(crate) spaced: bool,
    /// Whether a line ends before it.
    pub(crate) first_in_line: bool,
}

/// What a word is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Name(Arc<str>),
    Number(String),
    Text(Arc<str>),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longest first.
const SIGNS: [&str; 27] = [
    ":=", "==", "!=", "<=", ">=", "{", "}", "[", "]", "(", ")", ",", ";", ":", ".", "=", "<", ">",
    "+", "-", "*", "/", "%", "|", "&", "!", "$",
];

/// The words of a module; the last is the end.
pub(crate) fn tokens(source: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer { rest: source, at: Position { line: 1, column: 1 } };
    let mut tokens = Vec::new();
    loop {
        let (spaced, first_in_line) = lexer.skip_space();
        let at = lexer.at;
        let kind = lexer.word()?;
        let is_end = kind == Kind::End;
        tokens.push(Token { kind, at, spaced, first_in_line });
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'s> {
    rest: &'s str,
    at: Position,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = self.rest.get(next.len_utf8()..).unwrap_or_default();
        if next == '\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(next)
    }

    /// Passes over white space and comments: whether there was any, and a line's end among it.
    fn skip_space(&mut self) -> (bool, bool) {
        let (mut spaced, mut ended) = (false, false);
        while let Some(next) = self.rest.chars().next() {
            if next == '#' {
                while !self.rest.is_empty() && !self.rest.starts_with('\n') {
                    self.next();
                }
            } else if next.is_whitespace() {
                ended |= next == '\n';
                self.next();
            } else {
                break;
            }
            spaced = true;
        }
        (spaced, ended)
    }

    fn word(&mut self) -> Result<Kind, Error> {
        let Some(first) = self.rest.chars().next() else { return Ok(Kind::End) };
        if first.is_alphabetic() || first == '_' {
            return Ok(Kind::Name(self.take_while(|c| c.is_alphanumeric() || c == '_').into()));
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if first == '"' {
            return self.quoted();
        }
        if first == '`' {
            return self.raw();
        }
        let Some(sign) = SIGNS.into_iter().find(|sign| self.rest.starts_with(sign)) else {
            return Err(Error::new(self.at, format!("`{first}` is not a sign of the language")));
        };
        for _ in sign.chars() {
            self.next();
        }
        Ok(Kind::Sign(sign))
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(next) = self.rest.chars().next().filter(|c| wanted(*c)) {
            text.push(next);
            self.next();
        }
        text
    }

    fn number(&mut self) -> Result<Kind, Error> {
        let at = self.at;
        let mut text = self.take_while(|c| c.is_ascii_digit());
        let digit_after = |rest: &str| {
            let mut chars = rest.chars();
            chars.next();
            chars.next().is_some_and(|c| c.is_ascii_digit())
        };
        if self.rest.starts_with('.') && digit_after(self.rest) {
            self.next();
            text.push('.');
            text.push_str(&self.take_while(|c| c.is_ascii_digit()));
        }
        if self.rest.starts_with(['e', 'E']) {
            self.next();
            text.push('e');
            if self.rest.starts_with(['+', '-']) {
                text.extend(self.next());
            }
            text.push_str(&self.take_while(|c| c.is_ascii_digit()));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Kind::Number(text)),
            _ => Err(Error::new(at, format!("`{text}` is not a number"))),
        }
    }

    fn raw(&mut self) -> Result<Kind, Error> {
        let at = self.at;
        self.next();
        let text = self.take_while(|c| c != '`');
        match self.next() {
            Some(_) => Ok(Kind::Text(text.into())),
            None => Err(Error::new(at, "this string does not end: a backtick is missing")),
        }
    }

    fn quoted(&mut self) -> Result<Kind, Error> {
        let at = self.at;
        let mut text = String::from("\"");
        self.next();
        loop {
            match self.next() {
                None | Some('\n') => {
                    return Err(Error::new(at, "this string does not end on its line"));
                }
                Some('"') => break,
                Some('\\') => {
                    text.push('\\');
                    text.extend(self.next());
                }
                Some(other) => text.push(other),
            }
        }
        text.push('"');
        // Its escapes are those of JSON; a tab may stand as it is.
        let json = text.replace('\t', "\\t");
        let text: String = serde_json::from_str(&json)
            .map_err(|_| Error::new(at, format!("{text} holds an escape that is not known")))?;
        Ok(Kind::Text(text.into()))
    }
}
