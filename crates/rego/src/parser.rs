//! Reads a module: package, imports and rules, in the first version of the language and in the second.

mod terms;

use std::sync::Arc;

use crate::ast::{Import, Literal, Module, Rule, RuleKind, Term};
use crate::error::{Error, Position};
use crate::lexer::{Kind, Token, tokens};
use crate::value::Value;

/// Deepest nesting of terms and bodies.
const MAX_DEPTH: u32 = 64;

/// Which words are keywords; in the first version only those that are imported.
#[derive(Debug, Clone, Default)]
struct Keywords(Vec<&'static str>);

const LATER: [&str; 4] = ["contains", "every", "if", "in"];

const RESERVED: [&str; 12] = [
    "as", "default", "else", "false", "import", "package", "not", "null", "some", "true", "with",
    "_",
];

pub(crate) struct Parser {
    tokens: Vec<Token>,
    place: usize,
    depth: u32,
    keywords: Keywords,
}

/// Reads a module; `second` is the version of the language in which all keywords are there from the start.
pub(crate) fn module(source: &str, second: bool) -> Result<Module, Error> {
    let mut parser =
        Parser { tokens: tokens(source)?, place: 0, depth: 0, keywords: Keywords::default() };
    if second {
        parser.keywords.all();
    }
    parser.module()
}

// === impl Keywords ===

impl Keywords {
    fn all(&mut self) {
        self.0 = LATER.to_vec();
    }

    /// Takes an import of keywords; false where it is none.
    fn import(&mut self, path: &[Arc<str>]) -> bool {
        let path: Vec<&str> = path.iter().map(|part| &**part).collect();
        match path.as_slice() {
            ["rego", "v1"] | ["future", "keywords"] => self.all(),
            ["future", "keywords", word] => {
                let Some(word) = LATER.into_iter().find(|later| later == word) else {
                    return false;
                };
                self.0.push(word);
                if word == "every" {
                    self.0.push("in");
                }
            }
            _ => return false,
        }
        true
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }
}

// === impl Parser: words ===

impl Parser {
    fn look(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.place + ahead).or(self.tokens.last())
    }

    fn token(&self) -> Token {
        self.look(0).cloned().unwrap_or(Token {
            kind: Kind::End,
            at: Position::default(),
            spaced: true,
            first_in_line: true,
        })
    }

    fn at(&self) -> Position {
        self.look(0).map_or_else(Position::default, |token| token.at)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.look(0), Some(Token { kind: Kind::Sign(own), .. }) if *own == sign)
    }

    /// Whether this sign follows at once, with no white space before it.
    fn is_joined(&self, sign: &str) -> bool {
        self.is_sign(sign) && self.look(0).is_some_and(|token| !token.spaced)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.look(0), Some(Token { kind: Kind::Name(own), .. }) if **own == *word)
    }

    fn is_keyword(&self, word: &str) -> bool {
        self.keywords.has(word) && self.is_word(word)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is = self.is_sign(sign);
        self.place += usize::from(is);
        is
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.place += usize::from(is);
        is
    }

    fn take_keyword(&mut self, word: &str) -> bool {
        let is = self.is_keyword(word);
        self.place += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), Error> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let token = self.token();
        let found = match &token.kind {
            Kind::Name(name) => format!("`{name}`"),
            Kind::Number(number) => format!("`{number}`"),
            Kind::Text(text) => format!("the string {}", Value::String(text.clone())),
            Kind::Sign(sign) => format!("`{sign}`"),
            Kind::End => "the end of the module".to_owned(),
        };
        Error::new(token.at, format!("{wanted} is expected here, found {found}"))
    }

    fn name(&mut self, what: &str) -> Result<Arc<str>, Error> {
        match self.token().kind {
            Kind::Name(name) if !RESERVED.contains(&&*name) && !self.keywords.has(&name) => {
                self.place += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// Any word, keywords included, as after a dot.
    fn word(&mut self, what: &str) -> Result<Arc<str>, Error> {
        match self.token().kind {
            Kind::Name(name) => {
                self.place += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= MAX_DEPTH {
            let message = format!("this is nested more than {MAX_DEPTH} levels deep");
            return Err(Error::new(self.at(), message));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }
}

// === impl Parser: modules and rules ===

impl Parser {
    fn module(&mut self) -> Result<Module, Error> {
        if !self.take_word("package") {
            return Err(self.unexpected("`package`"));
        }
        let package = self.path()?;
        let mut imports = Vec::new();
        while self.is_word("import") {
            imports.extend(self.import()?);
        }
        let mut rules = Vec::new();
        while self.token().kind != Kind::End {
            if self.take_sign(";") {
                continue;
            }
            if self.is_word("import") {
                imports.extend(self.import()?);
                continue;
            }
            self.rule(&mut rules)?;
        }
        Ok(Module { package, imports, rules })
    }

    fn path(&mut self) -> Result<Vec<Arc<str>>, Error> {
        let mut path = vec![self.word("a name")?];
        loop {
            if self.is_joined(".") {
                self.place += 1;
                path.push(self.word("a name")?);
            } else if self.is_joined("[") {
                self.place += 1;
                let Kind::Text(text) = self.token().kind else {
                    return Err(self.unexpected("a string"));
                };
                self.place += 1;
                path.push(text);
                self.expect("]")?;
            } else {
                return Ok(path);
            }
        }
    }

    fn import(&mut self) -> Result<Option<Import>, Error> {
        let at = self.at();
        self.place += 1;
        let path = self.path()?;
        if self.keywords.import(&path) {
            return Ok(None);
        }
        if path.first().is_none_or(|root| !matches!(&**root, "input" | "data")) {
            let message = format!("{} cannot be imported", path.join("."));
            return Err(Error::new(at, message));
        }
        let last = path.last().cloned().unwrap_or_default();
        let name = if self.take_word("as") { self.name("a name")? } else { last };
        Ok(Some(Import { path, name }))
    }

    fn rule(&mut self, rules: &mut Vec<Rule>) -> Result<(), Error> {
        let at = self.at();
        let is_default = self.is_word("default")
            && matches!(self.look(1), Some(Token { kind: Kind::Name(_), .. }));
        self.place += usize::from(is_default);
        let mut rule = self.head(at, is_default)?;
        let with_if = self.take_keyword("if");
        if rule.kind == RuleKind::Set && with_if && rule.value.is_none() && rule.key_in_brackets {
            // With `if`, a key in brackets is one of an object whose values are `true`.
            rule.kind = RuleKind::Object;
        }
        let has_body = with_if || self.is_sign("{");
        let mut rule = rule.into_rule();
        if has_body && !is_default {
            rule.body = self.rule_body(with_if)?;
            while self.take_word("else") {
                let value = self.head_value()?;
                let with_if = self.take_keyword("if");
                let body = if with_if || self.is_sign("{") {
                    self.rule_body(with_if)?
                } else {
                    Vec::new()
                };
                rule.otherwise.push((value, body));
            }
        }
        // Further bodies after the first are further clauses of the same head.
        let first = rules.len();
        rules.push(rule);
        while has_body && self.is_sign("{") {
            let body = self.rule_body(false)?;
            if let Some(head) = rules.get(first).cloned() {
                rules.push(Rule { body, otherwise: Vec::new(), ..head });
            }
        }
        Ok(())
    }

    fn head(&mut self, at: Position, is_default: bool) -> Result<Head, Error> {
        let mut head = Head {
            at,
            is_default,
            name: self.name("the name of a rule")?,
            kind: RuleKind::Value,
            parameters: Vec::new(),
            key: None,
            key_in_brackets: false,
            value: None,
        };
        if self.take_sign("(") {
            head.kind = RuleKind::Function;
            while !self.take_sign(")") {
                head.parameters.push(self.term()?);
                if !self.is_sign(")") {
                    self.expect(",")?;
                }
            }
        } else if self.take_sign("[") {
            head.key = Some(self.infix()?);
            head.key_in_brackets = true;
            head.kind = RuleKind::Set;
            self.expect("]")?;
        } else if self.is_joined(".") {
            self.place += 1;
            let at = self.at();
            let name = self.word("a name")?;
            head.key = Some(Term::new(at, crate::ast::TermKind::Scalar(Value::String(name))));
            head.key_in_brackets = true;
            head.kind = RuleKind::Object;
        }
        if self.is_joined(".") || self.is_joined("[") || self.is_joined("(") {
            let message = "a rule whose head is a longer reference is not supported";
            return Err(Error::new(self.at(), message));
        }
        if head.kind == RuleKind::Value && self.take_keyword("contains") {
            head.key = Some(self.infix()?);
            head.kind = RuleKind::Set;
            return Ok(head);
        }
        head.value = self.head_value()?;
        if head.key.is_some() && head.value.is_some() {
            head.kind = RuleKind::Object;
        }
        Ok(head)
    }

    fn head_value(&mut self) -> Result<Option<Term>, Error> {
        let assigned = self.take_sign(":=") || self.take_sign("=");
        assigned.then(|| self.infix()).transpose()
    }

    fn rule_body(&mut self, with_if: bool) -> Result<Vec<Literal>, Error> {
        if with_if && !self.is_sign("{") {
            return Ok(vec![self.literal()?]);
        }
        let at = self.at();
        self.expect("{")?;
        let body = self.body("}")?;
        if body.is_empty() {
            return Err(Error::new(at, "a body must hold an expression"));
        }
        Ok(body)
    }
}

/// The head of a rule.
struct Head {
    at: Position,
    is_default: bool,
    name: Arc<str>,
    kind: RuleKind,
    parameters: Vec<Term>,
    key: Option<Term>,
    key_in_brackets: bool,
    value: Option<Term>,
}

impl Head {
    fn into_rule(self) -> Rule {
        Rule {
            at: self.at,
            is_default: self.is_default,
            name: self.name,
            kind: self.kind,
            parameters: self.parameters,
            key: self.key,
            value: self.value,
            body: Vec::new(),
            otherwise: Vec::new(),
        }
    }
}
