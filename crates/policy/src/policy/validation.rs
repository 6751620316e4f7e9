//! What a validate rule asks of an object.

use serde_json::Value;

use super::expressions::Expressions;
use super::gatekeeper::Constraint;
use crate::assertion::{self, Tree};
use crate::condition::Conditions;
use crate::context::{self, ContextEntry, ListQuery};
use crate::error::ParseError;
use crate::fields::{Fields, wrong_type};
use crate::pattern::Pattern;
use crate::pod_security::{Exclusion, Level, UnknownStandard, Version};
use crate::template::{Document, Template};

/// Deepest nesting of loops.
const MAX_LOOPS: usize = 8;

/// A validate rule's own part.
#[derive(Debug)]
pub(crate) struct Validation {
    pub(crate) message: Option<Template>,
    /// The message as written.
    pub(crate) raw_message: String,
    pub(crate) assertion: Assertion,
}

impl Validation {
    /// What it asks in CEL, where it does.
    pub(crate) fn expressions(&self) -> Option<&Expressions> {
        match &self.assertion {
            Assertion::Cel(own) => Some(own),
            _ => None,
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Assertion {
    Deny(Conditions),
    Pattern(PatternSource),
    AnyPattern(Vec<PatternSource>),
    ForEach(Vec<ForEach>),
    Cel(Expressions),
    PodSecurity(PodSecurity),
    Assert(Tree),
    Constraint(Constraint),
}

/// The Pod Security Standards as a rule asks for them.
#[derive(Debug)]
pub(crate) struct PodSecurity {
    pub(crate) level: Level,
    pub(crate) version: Version,
    pub(crate) exclusions: Vec<Exclusion>,
}

impl PodSecurity {
    fn parse(value: &Value, path: &str) -> Result<Self, ParseError> {
        let fields = Fields::new(value, path, &["level", "version", "exclude"])?;
        let unknown = |name: &'static str| {
            let fields = &fields;
            move |error: UnknownStandard| fields.error(name, error.to_string())
        };
        Ok(Self {
            level: fields.required_text("level")?.parse::<Level>().map_err(unknown("level"))?,
            version: match fields.text("version")?.filter(|text| !text.is_empty()) {
                Some(text) => text.parse::<Version>().map_err(unknown("version"))?,
                None => Version::Latest,
            },
            exclusions: Exclusion::parse_list(&fields, "exclude")?,
        })
    }
}

/// A pattern, compiled where it has no variables.
#[derive(Debug)]
pub(crate) enum PatternSource {
    Fixed(Pattern),
    Made(Document),
}

/// One loop.
#[derive(Debug)]
pub(crate) struct ForEach {
    pub(crate) list: ListQuery,
    pub(crate) context: Vec<ContextEntry>,
    pub(crate) preconditions: Conditions,
    /// Whether patterns are held against the element (else: against the whole object).
    pub(crate) element_scope: Option<bool>,
    pub(crate) assertion: Assertion,
}

impl PatternSource {
    fn compile(value: &Value, path: &str) -> Result<Self, ParseError> {
        let referenced = crate::references::resolve(value, path)?;
        match Document::compile(&referenced, path)? {
            Document::Plain(value) => Pattern::compile(&value, path).map(Self::Fixed),
            made => Ok(Self::Made(made)),
        }
    }
}

/// Reads what a rule or a loop asks; `None` where it asks nothing.
pub(super) fn assertion(
    fields: &Fields<'_>,
    depth: usize,
) -> Result<Option<Assertion>, ParseError> {
    let present: Vec<&str> = ["deny", "pattern", "anyPattern", "foreach", "podSecurity", "assert"]
        .into_iter()
        .filter(|name| fields.get(name).is_some())
        .collect();
    if let [first, second, ..] = present.as_slice() {
        let message = format!("cannot stand beside `{first}`");
        return Err(fields.error(second, message));
    }
    let Some((name, value)) = present.first().and_then(|name| Some((*name, fields.get(name)?)))
    else {
        return Ok(None);
    };
    let path = fields.path(name);
    Ok(Some(match name {
        "deny" => {
            let deny = Fields::new(value, &path, &["conditions"])?;
            let conditions = match deny.get("conditions") {
                Some(conditions) => Conditions::parse(conditions, &deny.path("conditions"))?,
                None => Conditions::default(),
            };
            Assertion::Deny(conditions)
        }
        "assert" => Assertion::Assert(assertion::parse(value, &path)?),
        "podSecurity" => Assertion::PodSecurity(PodSecurity::parse(value, &path)?),
        "pattern" => Assertion::Pattern(PatternSource::compile(value, &path)?),
        "anyPattern" => {
            let Value::Array(items) = value else { return Err(wrong_type(&path, "a list", value)) };
            let compiled = items
                .iter()
                .enumerate()
                .map(|(place, item)| PatternSource::compile(item, &format!("{path}[{place}]")));
            Assertion::AnyPattern(compiled.collect::<Result<_, _>>()?)
        }
        _ => Assertion::ForEach(loops(fields, depth)?),
    }))
}

fn loops(fields: &Fields<'_>, depth: usize) -> Result<Vec<ForEach>, ParseError> {
    if depth >= MAX_LOOPS {
        return Err(fields.error("foreach", format!("nested deeper than {MAX_LOOPS}")));
    }
    fields.list("foreach")?.into_iter().map(|(path, item)| one_loop(item, &path, depth)).collect()
}

fn one_loop(value: &Value, path: &str, depth: usize) -> Result<ForEach, ParseError> {
    let known = [
        "list",
        "elementScope",
        "context",
        "preconditions",
        "deny",
        "pattern",
        "anyPattern",
        "foreach",
    ];
    let fields = Fields::new(value, path, &known)?;
    let assertion = assertion(&fields, depth + 1)?.ok_or_else(|| {
        ParseError::new(path, "needs one of `deny`, `pattern`, `anyPattern`, `foreach`")
    })?;
    Ok(ForEach {
        list: context::parse_list(&fields, "list")?,
        context: context::parse(&fields)?,
        preconditions: preconditions(&fields)?,
        element_scope: fields.flag("elementScope")?,
        assertion,
    })
}

pub(super) fn preconditions(fields: &Fields<'_>) -> Result<Conditions, ParseError> {
    fields.get("preconditions").map_or_else(
        || Ok(Conditions::default()),
        |value| Conditions::parse(value, &fields.path("preconditions")),
    )
}
