//! Tokens to expressions. Depth and size are bounded, so that nothing later has to recurse far.

use crate::ast::{Binary, Element, Entry, Expression, Field, Kind, Unary};
use crate::error::Wrong;
use crate::lexer::{self, Token, TokenKind};
use crate::value::Value;

/// Longest expression, as in Kubernetes.
const MAX_LENGTH: usize = 100_000;
/// Deepest nesting; chains of `.`, `+` and so on nest to the left.
const MAX_DEPTH: usize = 200;

/// Words that cannot be names.
const RESERVED: [&str; 17] = [
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "while",
];

/// Reads an expression.
pub(crate) fn parse(text: &str) -> Result<Expression, Wrong> {
    if text.len() > MAX_LENGTH {
        return Err(Wrong::new(0, format!("longer than {MAX_LENGTH} bytes")));
    }
    let mut parser = Parser { tokens: lexer::tokens(text)?.into_iter(), next: None, depth: 0 };
    parser.advance();
    if parser.kind() == &TokenKind::End {
        return Err(parser.wrong("the expression is empty"));
    }
    let parsed = parser.expression()?;
    match parser.kind() {
        TokenKind::End => Ok(parsed),
        _ => Err(parser.wrong("the expression should end before this")),
    }
}

struct Parser {
    tokens: std::vec::IntoIter<Token>,
    next: Option<Token>,
    depth: usize,
}

impl Parser {
    fn advance(&mut self) -> Option<Token> {
        let next = self.tokens.next();
        std::mem::replace(&mut self.next, next)
    }

    fn kind(&self) -> &TokenKind {
        self.next.as_ref().map_or(&TokenKind::End, |token| &token.kind)
    }

    fn offset(&self) -> usize {
        self.next.as_ref().map_or(0, |token| token.offset)
    }

    fn wrong(&self, message: impl Into<String>) -> Wrong {
        Wrong::new(self.offset(), message)
    }

    fn is_at(&self, symbol: &str) -> bool {
        matches!(self.kind(), TokenKind::Symbol(found) if *found == symbol)
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.is_at(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Wrong> {
        if self.eat(symbol) { Ok(()) } else { Err(self.wrong(format!("expected `{symbol}`"))) }
    }

    /// Goes one level down; the caller sets the depth back.
    fn deeper(&mut self) -> Result<(), Wrong> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }

    fn expression(&mut self) -> Result<Expression, Wrong> {
        let depth = self.depth;
        self.deeper()?;
        let condition = self.or()?;
        if !self.eat("?") {
            self.depth = depth;
            return Ok(condition);
        }
        let offset = condition.offset;
        let then = self.or()?;
        self.expect(":")?;
        let otherwise = self.expression()?;
        self.depth = depth;
        Ok(Expression::new(offset, Kind::Conditional(Box::new([condition, then, otherwise]))))
    }

    fn or(&mut self) -> Result<Expression, Wrong> {
        self.chain("||", Self::and, Kind::Or)
    }

    fn and(&mut self) -> Result<Expression, Wrong> {
        self.chain("&&", Self::relation, Kind::And)
    }

    /// Operands with one logical operator between them, however many, are one level.
    fn chain(
        &mut self,
        symbol: &str,
        operand: impl Fn(&mut Self) -> Result<Expression, Wrong>,
        make: fn(Vec<Expression>) -> Kind,
    ) -> Result<Expression, Wrong> {
        let first = operand(self)?;
        if !self.is_at(symbol) {
            return Ok(first);
        }
        let offset = first.offset;
        let mut operands = vec![first];
        while self.eat(symbol) {
            operands.push(operand(self)?);
        }
        Ok(Expression::new(offset, make(operands)))
    }

    fn relation(&mut self) -> Result<Expression, Wrong> {
        use Binary::{Equal, Greater, GreaterOrEqual, In, Less, LessOrEqual, NotEqual};
        let all = [Equal, NotEqual, LessOrEqual, GreaterOrEqual, Less, Greater, In];
        self.binary(&all, |parser| {
            parser.binary(&[Binary::Add, Binary::Subtract], |parser| {
                let all = [Binary::Multiply, Binary::Divide, Binary::Modulo];
                parser.binary(&all, Self::unary)
            })
        })
    }

    fn binary(
        &mut self,
        operators: &[Binary],
        operand: impl Fn(&mut Self) -> Result<Expression, Wrong>,
    ) -> Result<Expression, Wrong> {
        let depth = self.depth;
        let mut left = operand(self)?;
        loop {
            let found = match self.kind() {
                TokenKind::Symbol(symbol) => *symbol,
                TokenKind::Name(name) if name == "in" => "in",
                _ => break,
            };
            let Some(operator) = operators.iter().find(|known| known.symbol() == found) else {
                break;
            };
            self.advance();
            self.deeper()?;
            let (offset, right) = (left.offset, operand(self)?);
            let (left_box, right) = (Box::new(left), Box::new(right));
            let kind = Kind::Binary { operator: *operator, left: left_box, right };
            left = Expression::new(offset, kind);
        }
        self.depth = depth;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, Wrong> {
        let (offset, depth) = (self.offset(), self.depth);
        let operator = match self.kind() {
            TokenKind::Symbol("!") => Unary::Not,
            TokenKind::Symbol("-") => Unary::Negate,
            _ => return self.member(),
        };
        self.advance();
        if operator == Unary::Negate
            && let Some(number) = self.negative_number()?
        {
            return self.members_of(Expression::new(offset, Kind::Literal(number)));
        }
        self.deeper()?;
        let operand = Box::new(self.unary()?);
        self.depth = depth;
        Ok(Expression::new(offset, Kind::Unary { operator, operand }))
    }

    /// A number after a minus: so the smallest integer can be written.
    fn negative_number(&mut self) -> Result<Option<Value<'static>>, Wrong> {
        let value = match *self.kind() {
            TokenKind::Int(value) => {
                let negative = i64::try_from(-i128::from(value));
                Value::Int(negative.map_err(|_| self.wrong("an integer is out of range"))?)
            }
            TokenKind::Double(value) => Value::Double(-value),
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(value))
    }

    fn member(&mut self) -> Result<Expression, Wrong> {
        let primary = self.primary()?;
        self.members_of(primary)
    }

    fn members_of(&mut self, mut operand: Expression) -> Result<Expression, Wrong> {
        let depth = self.depth;
        loop {
            let offset = operand.offset;
            if self.eat(".") {
                self.deeper()?;
                let optional = self.eat("?");
                let field = self.field()?;
                let kind = if !optional && self.eat("(") {
                    let arguments = self.arguments()?;
                    Kind::Call { target: Some(Box::new(operand)), name: field, arguments }
                } else if !optional && self.is_at("{") {
                    self.message(&operand, &field)?
                } else {
                    Kind::Select { operand: Box::new(operand), field, optional }
                };
                operand = Expression::new(offset, kind);
            } else if self.eat("[") {
                self.deeper()?;
                let optional = self.eat("?");
                let key = Box::new(self.expression()?);
                self.expect("]")?;
                operand = Expression::new(
                    offset,
                    Kind::Index { operand: Box::new(operand), key, optional },
                );
            } else {
                self.depth = depth;
                return Ok(operand);
            }
        }
    }

    fn message(&mut self, before: &Expression, field: &str) -> Result<Kind, Wrong> {
        let name = before.dotted().map(|before| format!("{before}.{field}"));
        let name = name.ok_or_else(|| self.wrong("`{` cannot stand here"))?;
        self.advance();
        Ok(Kind::Message { name, fields: self.fields()? })
    }

    fn fields(&mut self) -> Result<Vec<Field>, Wrong> {
        let mut fields = Vec::new();
        while !self.eat("}") {
            let optional = self.eat("?");
            let name = self.field()?;
            self.expect(":")?;
            fields.push(Field { name, value: self.expression()?, optional });
            if !self.eat(",") && !self.is_at("}") {
                return Err(self.wrong("expected `,` or `}`"));
            }
        }
        Ok(fields)
    }

    fn field(&mut self) -> Result<String, Wrong> {
        match self.kind() {
            TokenKind::Name(name) if !matches!(name.as_str(), "in" | "true" | "false" | "null") => {
            }
            TokenKind::QuotedName(_) => {}
            _ => return Err(self.wrong("expected the name of a field")),
        }
        match self.advance().map(|token| token.kind) {
            Some(TokenKind::Name(name) | TokenKind::QuotedName(name)) => Ok(name),
            _ => Err(self.wrong("expected the name of a field")),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expression>, Wrong> {
        let mut arguments = Vec::new();
        if self.eat(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.eat(",") {
                self.expect(")")?;
                return Ok(arguments);
            }
        }
    }

    fn primary(&mut self) -> Result<Expression, Wrong> {
        let offset = self.offset();
        let made = |kind| Ok(Expression::new(offset, kind));
        let rooted = self.eat(".");
        let Some(token) = self.advance() else {
            return Err(self.wrong("the expression ends here"));
        };
        let literal = match token.kind {
            TokenKind::Name(name) => return self.named(offset, name),
            _ if rooted => return Err(Wrong::new(offset, "expected a name after `.`")),
            TokenKind::Int(value) => {
                let value = i64::try_from(value);
                Value::Int(value.map_err(|_| Wrong::new(offset, "an integer is out of range"))?)
            }
            TokenKind::Uint(value) => Value::Uint(value),
            TokenKind::Double(value) => Value::Double(value),
            TokenKind::String(text) => Value::text(text),
            TokenKind::Bytes(bytes) => Value::bytes(bytes),
            TokenKind::Symbol("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            TokenKind::Symbol("[") => return made(Kind::List(self.elements()?)),
            TokenKind::Symbol("{") => return made(Kind::Map(self.entries()?)),
            TokenKind::End => return Err(Wrong::new(offset, "the expression ends too early")),
            TokenKind::QuotedName(_) => {
                return Err(Wrong::new(offset, "only a field can be a name in backticks"));
            }
            TokenKind::Symbol(symbol) => {
                return Err(Wrong::new(offset, format!("unexpected `{symbol}`")));
            }
        };
        made(Kind::Literal(literal))
    }

    fn named(&mut self, offset: usize, name: String) -> Result<Expression, Wrong> {
        let made = |kind| Ok(Expression::new(offset, kind));
        match name.as_str() {
            "true" => return made(Kind::Literal(Value::Bool(true))),
            "false" => return made(Kind::Literal(Value::Bool(false))),
            "null" => return made(Kind::Literal(Value::Null)),
            word if RESERVED.contains(&word) => {
                return Err(Wrong::new(
                    offset,
                    format!("`{word}` is reserved and cannot be a name"),
                ));
            }
            _ => {}
        }
        if self.eat("(") {
            let arguments = self.arguments()?;
            return made(Kind::Call { target: None, name, arguments });
        }
        if self.eat("{") {
            let fields = self.fields()?;
            return made(Kind::Message { name, fields });
        }
        made(Kind::Name(name))
    }

    fn elements(&mut self) -> Result<Vec<Element>, Wrong> {
        let mut elements = Vec::new();
        while !self.eat("]") {
            let optional = self.eat("?");
            elements.push(Element { value: self.expression()?, optional });
            if !self.eat(",") && !self.is_at("]") {
                return Err(self.wrong("expected `,` or `]`"));
            }
        }
        Ok(elements)
    }

    fn entries(&mut self) -> Result<Vec<Entry>, Wrong> {
        let mut entries = Vec::new();
        while !self.eat("}") {
            let optional = self.eat("?");
            let key = self.expression()?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expression()?, optional });
            if !self.eat(",") && !self.is_at("}") {
                return Err(self.wrong("expected `,` or `}`"));
            }
        }
        Ok(entries)
    }
}
