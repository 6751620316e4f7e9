//! Texts with variables (`{{ expression }}`), read once, filled for each request.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::error::ParseError;
use crate::jmespath::{self, Ast, Data, Failure, json_text};
use crate::scope::Scope;

/// How often a text is scanned again for variables that variables brought in.
const MAX_RESCANS: usize = 16;
/// Longest text that is made, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Deepest nesting of documents.
const MAX_DEPTH: usize = 64;

/// One `{{ … }}`.
#[derive(Debug)]
pub(crate) struct Expression {
    ast: Ast,
    /// `{{- … }}`: what it gives is not scanned again.
    shallow: bool,
}

impl Expression {
    /// Reads what stands between the braces.
    pub(crate) fn compile(source: &str) -> Result<Self, jmespath::SyntaxError> {
        let source = source.trim();
        let (source, shallow) = match source.strip_prefix('-') {
            Some(rest) if !rest.starts_with(|c: char| c.is_ascii_digit()) => (rest.trim(), true),
            _ => (source, false),
        };
        Ok(Self { ast: jmespath::compile(source)?, shallow })
    }

    pub(crate) fn resolve<'s>(&'s self, scope: &'s Scope<'s>) -> Result<Data<'s>, Failure> {
        scope.interpreter().evaluate(&self.ast, &Data::Lazy(scope))
    }
}

/// A text.
#[derive(Debug)]
pub(crate) enum Template {
    /// Without variables.
    Plain(String),
    /// One variable and nothing else: its value keeps its type.
    Whole(Expression),
    /// Literal parts and variables.
    Parts(Vec<Part>),
    /// Variables within variables: read again each time.
    Nested(String),
}

/// A part of a text.
#[derive(Debug)]
pub(crate) enum Part {
    Literal(String),
    Variable(Expression),
}

/// A piece of a text as scanned.
enum Piece<'t> {
    Literal(&'t str),
    Variable(&'t str),
}

/// Cuts a text into literals and innermost variables. A variable holds no braces but one level of
/// single ones (`{{ {a: b} }}`), and does not start after a backslash.
fn scan(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut literal_start = 0;
    let mut search = 0;
    while let Some(found) = text.get(search..).and_then(|rest| rest.find("{{")) {
        let start = search + found;
        let escaped = start > 0 && text.as_bytes().get(start - 1) == Some(&b'\\');
        let end = if escaped { None } else { variable_end(text, start + 2) };
        let Some(end) = end else {
            search = start + 1;
            continue;
        };
        if literal_start < start {
            pieces.push(Piece::Literal(text.get(literal_start..start).unwrap_or_default()));
        }
        pieces.push(Piece::Variable(text.get(start + 2..end).unwrap_or_default()));
        literal_start = end + 2;
        search = literal_start;
    }
    if literal_start < text.len() || pieces.is_empty() {
        pieces.push(Piece::Literal(text.get(literal_start..).unwrap_or_default()));
    }
    pieces
}

/// Where the `}}` of a variable stands whose inside starts at `start`.
fn variable_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut place = start;
    loop {
        match bytes.get(place)? {
            b'{' => {
                let inner = text.get(place + 1..)?;
                let close = inner.find(['{', '}'])?;
                if inner.as_bytes().get(close) != Some(&b'}') {
                    return None;
                }
                place += close + 2;
            }
            b'}' => return (bytes.get(place + 1) == Some(&b'}')).then_some(place),
            _ => place += 1,
        }
    }
}

fn unescape(text: &str) -> Cow<'_, str> {
    if text.contains("\\{{") { Cow::Owned(text.replace("\\{{", "{{")) } else { Cow::Borrowed(text) }
}

impl Template {
    /// Reads a text; `path` is where it stands, for errors.
    pub(crate) fn compile(text: &str, path: &str) -> Result<Self, ParseError> {
        if !text.contains("{{") {
            return Ok(Self::Plain(text.to_owned()));
        }
        let read = |source: &str| {
            Expression::compile(source)
                .map_err(|cause| ParseError::new(path, format!("variable: {cause}")))
        };
        let pieces = scan(text);
        if let [Piece::Variable(source)] = pieces.as_slice() {
            return read(source).map(Self::Whole);
        }
        // What is left outside of variables tells whether they stand within one another.
        let nested = pieces.iter().any(|piece| match piece {
            Piece::Literal(literal) => literal.replace("\\{{", "").contains("{{"),
            Piece::Variable(_) => false,
        });
        if nested {
            return Ok(Self::Nested(text.to_owned()));
        }
        if pieces.iter().all(|piece| matches!(piece, Piece::Literal(_))) {
            return Ok(Self::Plain(unescape(text).into_owned()));
        }
        let parts = pieces.into_iter().map(|piece| match piece {
            Piece::Literal(literal) => Ok(Part::Literal(literal.to_owned())),
            Piece::Variable(source) => read(source).map(Part::Variable),
        });
        parts.collect::<Result<_, _>>().map(Self::Parts)
    }

    /// Fills the variables.
    pub(crate) fn resolve<'s>(&'s self, scope: &'s Scope<'s>) -> Result<Data<'s>, Failure> {
        match self {
            Self::Plain(text) => Ok(Data::text(text.clone())),
            Self::Whole(expression) => expression.resolve(scope),
            Self::Parts(parts) => {
                let mut made = String::new();
                let mut shallow = false;
                for part in parts {
                    match part {
                        Part::Literal(literal) => made.push_str(literal),
                        Part::Variable(expression) => {
                            shallow |= expression.shallow;
                            let value = expression.resolve(scope)?;
                            append(&mut made, &value)?;
                        }
                    }
                }
                if made.contains("{{") && !shallow {
                    return rescan(made, scope);
                }
                Ok(Data::Owned(Value::String(unescape(&made).into_owned())))
            }
            Self::Nested(text) => rescan(text.clone(), scope),
        }
    }

    /// As text, whatever the variables gave.
    pub(crate) fn resolve_text(&self, scope: &Scope<'_>) -> Result<String, Failure> {
        if let Self::Plain(text) = self {
            return Ok(text.clone());
        }
        let value = self.resolve(scope)?;
        Ok(json_text(value.to_value()?.as_ref()).into_owned())
    }

    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

fn append(made: &mut String, value: &Data<'_>) -> Result<(), Failure> {
    match value.as_str() {
        Some(text) => made.push_str(text),
        None => made.push_str(&json_text(value.to_value()?.as_ref())),
    }
    if made.len() > MAX_TEXT {
        return Err(Failure::invalid(format!("text grows past {MAX_TEXT} bytes")));
    }
    Ok(())
}

/// Fills innermost variables until none is left.
fn rescan<'s>(text: String, scope: &Scope<'_>) -> Result<Data<'s>, Failure> {
    let mut text = text;
    for _ in 0..MAX_RESCANS {
        let pieces = scan(&text);
        if !pieces.iter().any(|piece| matches!(piece, Piece::Variable(_))) {
            return Ok(Data::Owned(Value::String(unescape(&text).into_owned())));
        }
        let whole = pieces.len() == 1;
        let mut made = String::new();
        let mut shallow = false;
        for piece in pieces {
            match piece {
                Piece::Literal(literal) => made.push_str(literal),
                Piece::Variable(source) => {
                    let expression = Expression::compile(source)
                        .map_err(|cause| Failure::invalid(cause.to_string()))?;
                    shallow |= expression.shallow;
                    let value = expression.resolve(scope)?.into_value()?;
                    if whole {
                        return Ok(Data::Owned(value));
                    }
                    append(&mut made, &Data::Owned(value))?;
                }
            }
        }
        if shallow {
            return Ok(Data::Owned(Value::String(unescape(&made).into_owned())));
        }
        text = made;
    }
    Err(Failure::invalid(format!("variables bring in variables more than {MAX_RESCANS} times")))
}

/// A JSON document whose texts may have variables.
#[derive(Debug)]
pub(crate) enum Document {
    /// Without variables.
    Plain(Value),
    Text(Template),
    List(Vec<Document>),
    Object(Vec<(Template, Document)>),
}

impl Document {
    /// Reads a document; `path` is where it stands, for errors.
    pub(crate) fn compile(value: &Value, path: &str) -> Result<Self, ParseError> {
        Self::compile_at(value, path, 0)
    }

    fn compile_at(value: &Value, path: &str, depth: usize) -> Result<Self, ParseError> {
        if depth > MAX_DEPTH {
            return Err(ParseError::new(path, format!("nested deeper than {MAX_DEPTH}")));
        }
        match value {
            Value::String(text) => Ok(match Template::compile(text, path)? {
                Template::Plain(text) => Self::Plain(Value::String(text)),
                template => Self::Text(template),
            }),
            Value::Array(items) => {
                let compiled: Vec<Self> = items
                    .iter()
                    .enumerate()
                    .map(|(place, item)| {
                        Self::compile_at(item, &format!("{path}[{place}]"), depth + 1)
                    })
                    .collect::<Result<_, _>>()?;
                Ok(if compiled.iter().all(Self::is_plain) {
                    Self::Plain(Value::Array(
                        compiled.into_iter().filter_map(Self::plain).collect(),
                    ))
                } else {
                    Self::List(compiled)
                })
            }
            Value::Object(members) => {
                let mut compiled = Vec::with_capacity(members.len());
                for (key, member) in members {
                    let path = format!("{path}.{key}");
                    let key = Template::compile(key, &path)?;
                    compiled.push((key, Self::compile_at(member, &path, depth + 1)?));
                }
                if compiled.iter().all(|(key, member)| key.is_plain() && member.is_plain()) {
                    let members = compiled.into_iter().filter_map(|(key, member)| match key {
                        Template::Plain(key) => Some((key, member.plain()?)),
                        _ => None,
                    });
                    return Ok(Self::Plain(Value::Object(members.collect())));
                }
                Ok(Self::Object(compiled))
            }
            other => Ok(Self::Plain(other.clone())),
        }
    }

    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    pub(crate) fn plain(self) -> Option<Value> {
        match self {
            Self::Plain(value) => Some(value),
            _ => None,
        }
    }

    /// Fills the variables.
    pub(crate) fn resolve<'s>(&'s self, scope: &'s Scope<'s>) -> Result<Data<'s>, Failure> {
        match self {
            Self::Plain(value) => Ok(Data::Borrowed(value)),
            Self::Text(template) => template.resolve(scope),
            Self::List(items) => items
                .iter()
                .map(|item| item.resolve(scope))
                .collect::<Result<_, _>>()
                .map(Data::List),
            Self::Object(members) => {
                let mut made = Map::new();
                for (key, member) in members {
                    made.insert(key.resolve_text(scope)?, member.resolve(scope)?.into_value()?);
                }
                Ok(Data::Owned(Value::Object(made)))
            }
        }
    }
}
