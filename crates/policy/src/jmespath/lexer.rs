//! From text to tokens.

use serde_json::Value;

use super::{SyntaxError, Variables};

/// A token of the grammar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    QuotedName(String),
    Variable(String),
    Literal(Value),
    Number(i64),
    Dot,
    Star,
    Flatten,
    Filter,
    LeftBracket,
    RightBracket,
    LeftBrace,
    RightBrace,
    LeftParenthesis,
    RightParenthesis,
    Comma,
    Colon,
    Pipe,
    Or,
    And,
    Not,
    Reference,
    Current,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    End,
}

/// Reads all tokens, each with its offset; the last is `End`.
pub(super) fn tokens(text: &str, variables: Variables) -> Result<Vec<(Token, usize)>, SyntaxError> {
    let mut lexer = Lexer { text, position: 0, variables };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        let start = lexer.position;
        let token = lexer.next()?;
        let done = token == Token::End;
        tokens.push((token, start));
        if done {
            return Ok(tokens);
        }
    }
}

pub(super) fn error(text: &str, offset: usize, message: impl Into<String>) -> SyntaxError {
    let mut expression: String = text.chars().take(200).collect();
    if expression.len() < text.len() {
        expression.push('…');
    }
    SyntaxError { offset, message: message.into(), expression }
}

struct Lexer<'t> {
    text: &'t str,
    position: usize,
    variables: Variables,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.position += wanted.len_utf8();
        }
        found
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) -> &str {
        let start = self.position;
        let length = self.rest().find(|c| !keep(c)).unwrap_or(self.rest().len());
        self.position += length;
        self.text.get(start..self.position).unwrap_or_default()
    }

    fn next(&mut self) -> Result<Token, SyntaxError> {
        let start = self.position;
        let Some(first) = self.peek() else { return Ok(Token::End) };
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.skip_while(|c| c.is_ascii_alphanumeric() || c == '_');
            return Ok(Token::Name(name.to_owned()));
        }
        if first.is_ascii_digit() || first == '-' {
            return self.number();
        }
        self.position += first.len_utf8();
        let token = match first {
            '$' if self.variables == Variables::Known => {
                let name = self.skip_while(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
                if name.is_empty() {
                    return Err(error(self.text, start, "`$` needs a name"));
                }
                Token::Variable(name)
            }
            '.' => Token::Dot,
            '*' => Token::Star,
            ']' => Token::RightBracket,
            '{' => Token::LeftBrace,
            '}' => Token::RightBrace,
            '(' => Token::LeftParenthesis,
            ')' => Token::RightParenthesis,
            ',' => Token::Comma,
            ':' => Token::Colon,
            '@' => Token::Current,
            '[' if self.eat(']') => Token::Flatten,
            '[' if self.eat('?') => Token::Filter,
            '[' => Token::LeftBracket,
            '|' if self.eat('|') => Token::Or,
            '|' => Token::Pipe,
            '&' if self.eat('&') => Token::And,
            '&' => Token::Reference,
            '!' if self.eat('=') => Token::NotEqual,
            '!' => Token::Not,
            '<' if self.eat('=') => Token::LessOrEqual,
            '<' => Token::Less,
            '>' if self.eat('=') => Token::GreaterOrEqual,
            '>' => Token::Greater,
            '=' if self.eat('=') => Token::Equal,
            '"' => {
                let inner = self.until('"', start)?;
                let name = serde_json::from_str(&format!("\"{inner}\""))
                    .map_err(|cause| error(self.text, start, format!("quoted name: {cause}")))?;
                Token::QuotedName(name)
            }
            '\'' => Token::Literal(Value::String(self.until('\'', start)?.replace("\\'", "'"))),
            '`' => {
                let inner = self.until('`', start)?.replace("\\`", "`");
                Token::Literal(serde_json::from_str(inner.trim()).map_err(|cause| {
                    error(self.text, start, format!("literal is not JSON: {cause}"))
                })?)
            }
            other => {
                return Err(error(self.text, start, format!("unexpected character `{other}`")));
            }
        };
        Ok(token)
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let start = self.position;
        self.eat('-');
        self.skip_while(|c| c.is_ascii_digit());
        let text = self.text.get(start..self.position).unwrap_or_default();
        text.parse()
            .map(Token::Number)
            .map_err(|_| error(self.text, start, format!("`{text}` is not a number")))
    }

    /// The text up to an unescaped delimiter, escapes kept.
    fn until(&mut self, delimiter: char, start: usize) -> Result<String, SyntaxError> {
        let mut inner = String::new();
        let mut escaped = false;
        for (offset, character) in self.rest().char_indices() {
            if escaped {
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if character == delimiter {
                self.position += offset + delimiter.len_utf8();
                return Ok(inner);
            }
            inner.push(character);
        }
        Err(error(self.text, start, format!("`{delimiter}` is not closed")))
    }
}
