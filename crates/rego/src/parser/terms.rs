//! Expressions and terms.

use std::sync::Arc;

use super::Parser;
use crate::ast::{Each, Literal, Statement, Term, TermKind};
use crate::error::Error;
use crate::lexer::Kind;
use crate::value::{Number, Value};

/// Operators from the loosest to the tightest, each with the function that it calls. The `$` keeps them
/// apart from functions of a module.
const OPERATORS: [&[(&str, &str)]; 5] = [
    &[("==", "$equal"), ("!=", "$neq"), ("<=", "$lte"), (">=", "$gte"), ("<", "$lt"), (">", "$gt")],
    &[("|", "$or")],
    &[("&", "$and")],
    &[("+", "$plus"), ("-", "$minus")],
    &[("*", "$mul"), ("/", "$div"), ("%", "$rem")],
];

impl Parser {
    /// Literals up to a closing sign, each on a line of its own or after a semicolon.
    pub(super) fn body(&mut self, close: &str) -> Result<Vec<Literal>, Error> {
        let mut body = Vec::new();
        loop {
            while self.take_sign(";") {}
            if self.take_sign(close) {
                return Ok(body);
            }
            body.push(self.literal()?);
            let apart = self.is_sign(";") || self.is_sign(close);
            if !apart && !self.token().first_in_line {
                return Err(self.unexpected(&format!("a new line, `;` or `{close}`")));
            }
        }
    }

    pub(super) fn literal(&mut self) -> Result<Literal, Error> {
        self.deeper(|parser| {
            let negated = parser.take_word("not");
            let statement = parser.statement()?;
            let mut with = Vec::new();
            while parser.take_word("with") {
                let target = parser.term()?;
                if !parser.take_word("as") {
                    return Err(parser.unexpected("`as`"));
                }
                with.push((target, parser.infix()?));
            }
            Ok(Literal { negated, statement, with })
        })
    }

    fn statement(&mut self) -> Result<Statement, Error> {
        if self.is_word("some") {
            self.place += 1;
            return self.some();
        }
        if self.is_keyword("every") {
            self.place += 1;
            let first = self.term()?;
            let each = self.each(first)?;
            self.expect("{")?;
            return Ok(Statement::Every(each, self.body("}")?));
        }
        let left = self.infix()?;
        if self.take_sign(":=") {
            Ok(Statement::Assign(left, self.infix()?))
        } else if self.take_sign("=") {
            Ok(Statement::Unify(left, self.infix()?))
        } else {
            Ok(Statement::Expression(left))
        }
    }

    fn some(&mut self) -> Result<Statement, Error> {
        let mut terms = vec![self.term()?];
        while self.take_sign(",") {
            terms.push(self.term()?);
        }
        if self.is_keyword("in") {
            let value = terms.pop();
            let (key, more) = (terms.pop(), terms.pop());
            if let (Some(value), None) = (value, more) {
                self.place += 1;
                let collection = self.infix()?;
                return Ok(Statement::SomeIn(Each { key, value, collection }));
            }
            return Err(self.unexpected("at most a key and a value before `in`"));
        }
        let named = |term: &Term| {
            let message = "only names can be declared; with `in`, import future.keywords.in";
            term.variable().cloned().ok_or_else(|| Error::new(term.at, message))
        };
        Ok(Statement::Declare(terms.iter().map(named).collect::<Result<_, _>>()?))
    }

    fn each(&mut self, first: Term) -> Result<Each, Error> {
        let second = if self.take_sign(",") { Some(self.term()?) } else { None };
        if !self.take_keyword("in") {
            return Err(self.unexpected("`in`"));
        }
        let collection = self.infix()?;
        Ok(match second {
            Some(value) => Each { key: Some(first), value, collection },
            None => Each { key: None, value: first, collection },
        })
    }

    /// A term with operators.
    pub(super) fn infix(&mut self) -> Result<Term, Error> {
        self.deeper(|parser| {
            let first = parser.term()?;
            parser.infix_after(first)
        })
    }

    /// What operators make of a term that has been read.
    fn infix_after(&mut self, first: Term) -> Result<Term, Error> {
        let left = self.operators(0, first)?;
        if !self.is_keyword("in") {
            return Ok(left);
        }
        let at = self.at();
        self.place += 1;
        let first = self.term()?;
        let right = self.operators(0, first)?;
        Ok(Term::new(at, TermKind::Call("$member".into(), vec![left, right])))
    }

    fn operators(&mut self, level: usize, first: Term) -> Result<Term, Error> {
        let Some(operators) = OPERATORS.get(level) else { return Ok(first) };
        let mut left = self.operators(level + 1, first)?;
        while let Some((sign, function)) = operators.iter().find(|(sign, _)| self.is_sign(sign)) {
            let at = self.at();
            self.expect(sign)?;
            let first = self.term()?;
            let right = self.operators(level + 1, first)?;
            left = Term::new(at, TermKind::Call((*function).into(), vec![left, right]));
        }
        Ok(left)
    }

    /// A term without operators.
    pub(super) fn term(&mut self) -> Result<Term, Error> {
        self.deeper(|parser| {
            let head = parser.primary()?;
            parser.reference(head)
        })
    }

    fn primary(&mut self) -> Result<Term, Error> {
        let token = self.token();
        let at = token.at;
        let kind = match token.kind {
            Kind::Number(text) => {
                self.place += 1;
                TermKind::Scalar(number(&text, false))
            }
            Kind::Text(text) => {
                self.place += 1;
                TermKind::Scalar(Value::String(text))
            }
            Kind::Name(name) => return self.named(&name),
            Kind::Sign("-") => {
                self.place += 1;
                if let Kind::Number(text) = self.token().kind {
                    self.place += 1;
                    return Ok(Term::new(at, TermKind::Scalar(number(&text, true))));
                }
                let zero = Term::new(at, TermKind::Scalar(Value::integer(0)));
                TermKind::Call("$minus".into(), vec![zero, self.term()?])
            }
            Kind::Sign("(") => {
                self.place += 1;
                return self.parenthesised();
            }
            Kind::Sign("[") => {
                self.place += 1;
                self.array()?
            }
            Kind::Sign("{") => {
                self.place += 1;
                self.set_or_object()?
            }
            _ => return Err(self.unexpected("a term")),
        };
        Ok(Term::new(at, kind))
    }

    fn named(&mut self, name: &Arc<str>) -> Result<Term, Error> {
        let at = self.at();
        let kind = match &**name {
            "null" => TermKind::Scalar(Value::Null),
            "true" => TermKind::Scalar(Value::Bool(true)),
            "false" => TermKind::Scalar(Value::Bool(false)),
            "as" | "default" | "else" | "import" | "package" | "not" | "some" | "with" => {
                return Err(self.unexpected("a term"));
            }
            "if" | "in" | "every" if self.keywords.has(name) => {
                return Err(self.unexpected("a term"));
            }
            _ => TermKind::Variable(name.clone()),
        };
        self.place += 1;
        Ok(Term::new(at, kind))
    }

    fn parenthesised(&mut self) -> Result<Term, Error> {
        let first = self.infix()?;
        let inner = if self.take_sign(",") {
            let at = self.at();
            let second = self.term()?;
            let value = self.operators(0, second)?;
            if !self.take_keyword("in") {
                return Err(self.unexpected("`in`"));
            }
            let collection = self.infix()?;
            Term::new(at, TermKind::Call("$member_of".into(), vec![first, value, collection]))
        } else {
            first
        };
        self.expect(")")?;
        Ok(inner)
    }

    /// What follows a term at once: members, positions, calls.
    fn reference(&mut self, head: Term) -> Result<Term, Error> {
        let mut term = head;
        loop {
            let at = self.at();
            if self.is_joined(".") {
                self.place += 1;
                let name = self.word("a name")?;
                term = join(term, Term::new(at, TermKind::Scalar(Value::String(name))));
            } else if self.is_joined("[") {
                self.place += 1;
                let index = self.infix()?;
                self.expect("]")?;
                term = join(term, index);
            } else if self.is_joined("(") {
                let Some(name) = dotted(&term) else { return Ok(term) };
                self.place += 1;
                let arguments = self.list(")")?;
                let at = term.at;
                term = Term::new(at, call(name, arguments));
            } else {
                return Ok(term);
            }
        }
    }

    fn list(&mut self, close: &str) -> Result<Vec<Term>, Error> {
        let mut items = Vec::new();
        while !self.take_sign(close) {
            items.push(self.infix()?);
            if !self.is_sign(close) {
                self.expect(",")?;
            }
        }
        Ok(items)
    }

    fn array(&mut self) -> Result<TermKind, Error> {
        if self.take_sign("]") {
            return Ok(TermKind::Array(Vec::new()));
        }
        let head = self.term()?;
        if self.take_sign("|") {
            return Ok(TermKind::ArrayOf(Box::new(head), self.closure("]")?));
        }
        let mut items = vec![self.infix_after(head)?];
        items.extend(self.rest("]")?);
        Ok(TermKind::Array(items))
    }

    /// What follows the first entry of a list.
    fn rest(&mut self, close: &str) -> Result<Vec<Term>, Error> {
        if !self.is_sign(close) {
            self.expect(",")?;
        }
        self.list(close)
    }

    fn set_or_object(&mut self) -> Result<TermKind, Error> {
        if self.take_sign("}") {
            return Ok(TermKind::Object(Vec::new()));
        }
        let head = self.term()?;
        if self.take_sign("|") {
            return Ok(TermKind::SetOf(Box::new(head), self.closure("}")?));
        }
        let first = self.infix_after(head)?;
        if !self.take_sign(":") {
            let mut items = vec![first];
            items.extend(self.rest("}")?);
            return Ok(TermKind::Set(items));
        }
        let value = self.term()?;
        if self.take_sign("|") {
            return Ok(TermKind::ObjectOf(Box::new((first, value)), self.closure("}")?));
        }
        let mut members = vec![(first, self.infix_after(value)?)];
        while !self.take_sign("}") {
            self.expect(",")?;
            if self.take_sign("}") {
                break;
            }
            let key = self.infix()?;
            self.expect(":")?;
            members.push((key, self.infix()?));
        }
        Ok(TermKind::Object(members))
    }

    fn closure(&mut self, close: &str) -> Result<Vec<Literal>, Error> {
        let at = self.at();
        let body = self.body(close)?;
        if body.is_empty() {
            return Err(Error::new(at, "a comprehension must hold an expression"));
        }
        Ok(body)
    }
}

fn join(head: Term, index: Term) -> Term {
    let at = head.at;
    match head.kind {
        TermKind::Reference(inner, mut path) => {
            path.push(index);
            Term::new(at, TermKind::Reference(inner, path))
        }
        kind => Term::new(at, TermKind::Reference(Box::new(Term::new(at, kind)), vec![index])),
    }
}

fn call(name: Arc<str>, arguments: Vec<Term>) -> TermKind {
    if &*name == "set" && arguments.is_empty() {
        TermKind::Set(Vec::new())
    } else {
        TermKind::Call(name, arguments)
    }
}

/// The name that a term is where it is called.
fn dotted(term: &Term) -> Option<Arc<str>> {
    match &term.kind {
        TermKind::Variable(name) => Some(name.clone()),
        TermKind::Reference(head, path) => {
            let mut name = head.variable()?.to_string();
            for part in path {
                name.push('.');
                name.push_str(part.text()?);
            }
            Some(name.into())
        }
        _ => None,
    }
}

/// A number of which the lexer has said that it is one.
fn number(text: &str, negative: bool) -> Value {
    let text = if negative { format!("-{text}") } else { text.to_owned() };
    let float = || text.parse().ok().and_then(Number::from_f64);
    let number = text.parse().ok().map(Number::Integer).or_else(float);
    Value::Number(number.unwrap_or(Number::Integer(0)))
}
