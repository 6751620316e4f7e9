//! From tokens to the tree, by binding power (top-down operator precedence).

use super::ast::{Ast, Comparator};
use super::lexer::{Token, error, tokens};
use super::{MAX_DEPTH, MAX_EXPRESSION, SyntaxError, Variables, functions};

pub(super) fn parse(text: &str, variables: Variables) -> Result<Ast, SyntaxError> {
    if text.len() > MAX_EXPRESSION {
        return Err(error(text, 0, format!("expression is longer than {MAX_EXPRESSION} bytes")));
    }
    let mut parser =
        Parser { text, tokens: tokens(text, variables)?, position: 0, depth: 0, links: 0 };
    if *parser.peek() == Token::End {
        return Err(error(text, 0, "expression is empty"));
    }
    let ast = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(ast),
        other => {
            let message = format!("unexpected {}", describe(other));
            Err(parser.fail(message))
        }
    }
}

/// Most operators in one expression: a chain of them is as deep a tree as it is long.
const MAX_LINKS: usize = 400;

/// Binding power of the projections' stop: tokens that bind less end a projection.
const PROJECTION_STOP: u8 = 10;

fn power(token: &Token) -> u8 {
    match token {
        Token::Pipe => 1,
        Token::Or => 2,
        Token::And => 3,
        Token::Equal
        | Token::NotEqual
        | Token::Less
        | Token::LessOrEqual
        | Token::Greater
        | Token::GreaterOrEqual => 5,
        Token::Flatten => 9,
        Token::Star => 20,
        Token::Filter => 21,
        Token::Dot => 40,
        Token::Not => 45,
        Token::LeftBrace => 50,
        Token::LeftBracket => 55,
        Token::LeftParenthesis => 60,
        _ => 0,
    }
}

fn describe(token: &Token) -> String {
    match token {
        Token::End => "end".to_owned(),
        Token::Name(name) | Token::QuotedName(name) => format!("name `{name}`"),
        Token::Variable(name) => format!("name `${name}`"),
        Token::Literal(value) => format!("literal `{value}`"),
        Token::Number(number) => format!("number `{number}`"),
        other => format!("`{}`", sign(other)),
    }
}

/// A token as it is written.
fn sign(token: &Token) -> &'static str {
    match token {
        Token::Dot => ".",
        Token::Star => "*",
        Token::Flatten => "[]",
        Token::Filter => "[?",
        Token::LeftBracket => "[",
        Token::RightBracket => "]",
        Token::LeftBrace => "{",
        Token::RightBrace => "}",
        Token::LeftParenthesis => "(",
        Token::RightParenthesis => ")",
        Token::Comma => ",",
        Token::Colon => ":",
        Token::Pipe => "|",
        Token::Or => "||",
        Token::And => "&&",
        Token::Not => "!",
        Token::Reference => "&",
        Token::Current => "@",
        Token::Equal => "==",
        Token::NotEqual => "!=",
        Token::Less => "<",
        Token::LessOrEqual => "<=",
        Token::Greater => ">",
        Token::GreaterOrEqual => ">=",
        Token::Name(_) | Token::QuotedName(_) | Token::Variable(_) => "name",
        Token::Literal(_) => "literal",
        Token::Number(_) => "number",
        Token::End => "end",
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<(Token, usize)>,
    position: usize,
    depth: usize,
    links: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.position + ahead).map_or(&Token::End, |(token, _)| token)
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.position += 1;
        token
    }

    fn fail(&self, message: impl Into<String>) -> SyntaxError {
        let offset = self.tokens.get(self.position).map_or(self.text.len(), |(_, offset)| *offset);
        error(self.text, offset, message)
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), SyntaxError> {
        if self.peek() == wanted {
            self.position += 1;
            return Ok(());
        }
        Err(self.fail(format!("expected {}, found {}", describe(wanted), describe(self.peek()))))
    }

    fn expression(&mut self, right_power: u8) -> Result<Ast, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fail(format!("expression is nested deeper than {MAX_DEPTH}")));
        }
        let mut left = self.prefix()?;
        while right_power < power(self.peek()) {
            self.links += 1;
            if self.links > MAX_LINKS {
                return Err(self.fail(format!("expression has more than {MAX_LINKS} links")));
            }
            left = self.infix(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn prefix(&mut self) -> Result<Ast, SyntaxError> {
        match self.advance() {
            Token::Current => Ok(Ast::Current),
            Token::Literal(value) => Ok(Ast::Literal(value)),
            Token::Name(name) => Ok(Ast::Field(name.into())),
            Token::Variable(name) => Ok(Ast::Variable(name.into())),
            Token::QuotedName(name) => {
                if *self.peek() == Token::LeftParenthesis {
                    return Err(self.fail("a function's name is not quoted"));
                }
                Ok(Ast::Field(name.into()))
            }
            Token::Star => self.each_value(Ast::Current),
            Token::Filter => self.filter(Ast::Current),
            Token::LeftBrace => self.object(),
            Token::Flatten => {
                let right = self.projection_right(power(&Token::Flatten))?;
                Ok(Ast::Each(Box::new(Ast::Flatten(Box::new(Ast::Current))), Box::new(right)))
            }
            Token::LeftBracket => match self.peek() {
                Token::Number(_) | Token::Colon => self.index(Ast::Current),
                Token::Star if *self.peek_at(1) == Token::RightBracket => {
                    self.position += 2;
                    let right = self.projection_right(power(&Token::Star))?;
                    Ok(Ast::Each(Box::new(Ast::Current), Box::new(right)))
                }
                _ => self.list(),
            },
            Token::Not => Ok(Ast::Not(Box::new(self.expression(power(&Token::Not))?))),
            Token::Reference => Ok(Ast::Reference(Box::new(self.expression(0)?))),
            Token::LeftParenthesis => {
                let inner = self.expression(0)?;
                self.expect(&Token::RightParenthesis)?;
                Ok(inner)
            }
            token => {
                self.position -= 1;
                Err(self.fail(format!("unexpected {}", describe(&token))))
            }
        }
    }

    fn infix(&mut self, left: Ast) -> Result<Ast, SyntaxError> {
        let token = self.advance();
        let binary = power(&token);
        match token {
            Token::Dot => {
                if *self.peek() == Token::Star {
                    self.position += 1;
                    return self.each_value(left);
                }
                let right = self.dot_right(binary)?;
                Ok(Ast::Chain(Box::new(left), Box::new(right)))
            }
            Token::Pipe => Ok(Ast::Pipe(Box::new(left), Box::new(self.expression(binary)?))),
            Token::Or => Ok(Ast::Or(Box::new(left), Box::new(self.expression(binary)?))),
            Token::And => Ok(Ast::And(Box::new(left), Box::new(self.expression(binary)?))),
            Token::LeftParenthesis => self.call(left),
            Token::Filter => self.filter(left),
            Token::Flatten => {
                let right = self.projection_right(binary)?;
                Ok(Ast::Each(Box::new(Ast::Flatten(Box::new(left))), Box::new(right)))
            }
            Token::LeftBracket => match self.peek() {
                Token::Number(_) | Token::Colon => self.index(left),
                Token::Star => {
                    self.position += 1;
                    self.expect(&Token::RightBracket)?;
                    let right = self.projection_right(power(&Token::Star))?;
                    Ok(Ast::Each(Box::new(left), Box::new(right)))
                }
                other => {
                    let message =
                        format!("expected an index, `*` or `]`, found {}", describe(other));
                    Err(self.fail(message))
                }
            },
            token => {
                let comparator = match token {
                    Token::Equal => Comparator::Equal,
                    Token::NotEqual => Comparator::NotEqual,
                    Token::Less => Comparator::Less,
                    Token::LessOrEqual => Comparator::LessOrEqual,
                    Token::Greater => Comparator::Greater,
                    Token::GreaterOrEqual => Comparator::GreaterOrEqual,
                    other => {
                        self.position -= 1;
                        return Err(self.fail(format!("unexpected {}", describe(&other))));
                    }
                };
                let right = self.expression(binary)?;
                Ok(Ast::Compare(comparator, Box::new(left), Box::new(right)))
            }
        }
    }

    fn each_value(&mut self, left: Ast) -> Result<Ast, SyntaxError> {
        let right = if *self.peek() == Token::RightBracket {
            Ast::Current
        } else {
            self.projection_right(power(&Token::Star))?
        };
        Ok(Ast::EachValue(Box::new(left), Box::new(right)))
    }

    fn filter(&mut self, list: Ast) -> Result<Ast, SyntaxError> {
        let condition = self.expression(0)?;
        self.expect(&Token::RightBracket)?;
        let right = if *self.peek() == Token::Flatten {
            Ast::Current
        } else {
            self.projection_right(power(&Token::Filter))?
        };
        Ok(Ast::Filter {
            list: Box::new(list),
            condition: Box::new(condition),
            right: Box::new(right),
        })
    }

    /// `[3]` or `[a:b:c]`, after the bracket.
    fn index(&mut self, left: Ast) -> Result<Ast, SyntaxError> {
        if let (Token::Number(number), Token::RightBracket) = (self.peek(), self.peek_at(1)) {
            let index = Ast::Index(*number);
            self.position += 2;
            return Ok(Ast::Chain(Box::new(left), Box::new(index)));
        }
        let mut parts: [Option<i64>; 3] = [None; 3];
        let mut place = 0;
        loop {
            match self.advance() {
                Token::RightBracket => break,
                Token::Colon if place < 2 => place += 1,
                Token::Number(number) => match parts.get_mut(place) {
                    Some(part @ None) => *part = Some(number),
                    _ => return Err(self.fail("slice has two numbers in one place")),
                },
                _ => {
                    self.position -= 1;
                    return Err(self.fail("expected a slice such as `[0:2]`"));
                }
            }
        }
        let [from, to, step] = parts;
        if step == Some(0) {
            return Err(self.fail("slice step is 0"));
        }
        let slice = Ast::Slice { from, to, step: step.unwrap_or(1) };
        let right = self.projection_right(power(&Token::Star))?;
        Ok(Ast::Each(Box::new(Ast::Chain(Box::new(left), Box::new(slice))), Box::new(right)))
    }

    /// What is applied to each element of a projection.
    fn projection_right(&mut self, binding: u8) -> Result<Ast, SyntaxError> {
        match self.peek() {
            Token::Dot => {
                self.position += 1;
                if *self.peek() == Token::Star {
                    return self.expression(binding);
                }
                // INVARIANT: the right side of a projection binds like the projection itself.
                self.dot_right(binding)
            }
            Token::LeftBracket | Token::Filter => self.expression(binding),
            token if power(token) < PROJECTION_STOP => Ok(Ast::Current),
            token => {
                let message = format!("unexpected {}", describe(token));
                Err(self.fail(message))
            }
        }
    }

    fn dot_right(&mut self, binding: u8) -> Result<Ast, SyntaxError> {
        match self.peek() {
            Token::Name(_) | Token::QuotedName(_) | Token::Star => self.expression(binding),
            Token::LeftBracket => {
                self.position += 1;
                self.list()
            }
            Token::LeftBrace => {
                self.position += 1;
                self.object()
            }
            other => {
                let message =
                    format!("expected a name, `[` or `{{` after `.`, found {}", describe(other));
                Err(self.fail(message))
            }
        }
    }

    fn list(&mut self) -> Result<Ast, SyntaxError> {
        let mut items = Vec::new();
        loop {
            items.push(self.expression(0)?);
            if *self.peek() != Token::Comma {
                self.expect(&Token::RightBracket)?;
                return Ok(Ast::List(items));
            }
            self.position += 1;
        }
    }

    fn object(&mut self) -> Result<Ast, SyntaxError> {
        let mut entries = Vec::new();
        loop {
            let name = match self.advance() {
                Token::Name(name) | Token::QuotedName(name) => name,
                other => {
                    self.position -= 1;
                    return Err(self.fail(format!("expected a key, found {}", describe(&other))));
                }
            };
            self.expect(&Token::Colon)?;
            entries.push((name, self.expression(0)?));
            if *self.peek() != Token::Comma {
                self.expect(&Token::RightBrace)?;
                return Ok(Ast::Object(entries));
            }
            self.position += 1;
        }
    }

    fn call(&mut self, left: Ast) -> Result<Ast, SyntaxError> {
        let Ast::Field(name) = left else {
            return Err(self.fail("only a name can be called"));
        };
        let Some(function) = functions::find(&name) else {
            self.position = self.position.saturating_sub(2);
            let hint = crate::spelling::hint(&name, functions::names());
            return Err(self.fail(format!("unknown function `{name}`{hint}")));
        };
        let mut arguments = Vec::new();
        if *self.peek() != Token::RightParenthesis {
            loop {
                arguments.push(self.expression(0)?);
                if *self.peek() != Token::Comma {
                    break;
                }
                self.position += 1;
            }
        }
        self.expect(&Token::RightParenthesis)?;
        function.check_count(arguments.len()).map_err(|message| self.fail(message))?;
        Ok(Ast::Call(function, arguments))
    }
}
