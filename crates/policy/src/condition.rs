//! Conditions of preconditions and deny rules: a key, an operator, a value.

mod compare;

use serde_json::Value;

use crate::error::ParseError;
use crate::fields::{Fields, wrong_type};
use crate::jmespath::Failure;
use crate::scope::Scope;
use crate::spelling;
use crate::template::{Document, Template};
use crate::trace;

/// Most conditions in one block.
const MAX_CONDITIONS: usize = 500;

/// What relates key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equals,
    NotEquals,
    In,
    AnyIn,
    AllIn,
    NotIn,
    AnyNotIn,
    AllNotIn,
    Order(Order),
    Duration(Order),
}

/// Orderings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Order {
    fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }
}

/// The words for operators.
const OPERATORS: [(&str, Operator); 18] = [
    ("Equals", Operator::Equals),
    ("Equal", Operator::Equals),
    ("NotEquals", Operator::NotEquals),
    ("NotEqual", Operator::NotEquals),
    ("In", Operator::In),
    ("AnyIn", Operator::AnyIn),
    ("AllIn", Operator::AllIn),
    ("NotIn", Operator::NotIn),
    ("AnyNotIn", Operator::AnyNotIn),
    ("AllNotIn", Operator::AllNotIn),
    ("GreaterThanOrEquals", Operator::Order(Order::GreaterOrEqual)),
    ("GreaterThan", Operator::Order(Order::Greater)),
    ("LessThanOrEquals", Operator::Order(Order::LessOrEqual)),
    ("LessThan", Operator::Order(Order::Less)),
    ("DurationGreaterThanOrEquals", Operator::Duration(Order::GreaterOrEqual)),
    ("DurationGreaterThan", Operator::Duration(Order::Greater)),
    ("DurationLessThanOrEquals", Operator::Duration(Order::LessOrEqual)),
    ("DurationLessThan", Operator::Duration(Order::Less)),
];

impl Operator {
    fn word(self) -> &'static str {
        OPERATORS.iter().find(|(_, own)| *own == self).map_or("", |(word, _)| word)
    }

    fn parse(word: &str, path: &str) -> Result<Self, ParseError> {
        // The field reads operators without regard to case.
        OPERATORS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word))
            .map(|(_, operator)| *operator)
            .ok_or_else(|| {
                let hint = spelling::hint(word, OPERATORS.iter().map(|(known, _)| *known));
                ParseError::new(path, format!("unknown operator `{word}`{hint}"))
            })
    }
}

/// One condition.
#[derive(Debug)]
struct Condition {
    /// The key as it is written.
    written: String,
    key: Document,
    operator: Operator,
    value: Document,
    message: Option<Template>,
}

/// One block: any of some, and all of others.
#[derive(Debug)]
struct Block {
    any: Option<Vec<Condition>>,
    all: Vec<Condition>,
}

/// Conditions, all of whose blocks must hold; none at all hold.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    blocks: Vec<Block>,
}

/// Whether conditions hold, with the messages of those that decided it.
pub(crate) struct Outcome {
    pub(crate) holds: bool,
    pub(crate) messages: Vec<String>,
}

impl Conditions {
    /// Reads either form: an object with `any` and `all` (or a list of them), or the old plain list.
    pub(crate) fn parse(value: &Value, path: &str) -> Result<Self, ParseError> {
        match value {
            Value::Object(_) => Ok(Self { blocks: vec![block(value, path)?] }),
            Value::Array(items) => {
                let is_block = |item: &Value| item.get("any").or(item.get("all")).is_some();
                if !items.is_empty() && items.iter().all(is_block) {
                    let blocks = items
                        .iter()
                        .enumerate()
                        .map(|(place, item)| block(item, &format!("{path}[{place}]")));
                    return Ok(Self { blocks: blocks.collect::<Result<_, _>>()? });
                }
                Ok(Self { blocks: vec![Block { any: None, all: conditions(value, path)? }] })
            }
            other => Err(wrong_type(path, "an object or a list", other)),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Evaluates until the outcome is certain.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Outcome, Failure> {
        let mut messages = Vec::new();
        for block in &self.blocks {
            if let Some(any) = &block.any {
                let mut found = false;
                let mut missed = Vec::new();
                for condition in any {
                    let noted = if condition.holds(scope)? {
                        found = true;
                        &mut messages
                    } else {
                        &mut missed
                    };
                    noted.extend(condition.text(scope));
                    if found {
                        break;
                    }
                }
                if !found {
                    return Ok(Outcome { holds: false, messages: missed });
                }
            }
            for condition in &block.all {
                let holds = condition.holds(scope)?;
                let text = condition.text(scope);
                if !holds {
                    return Ok(Outcome { holds: false, messages: text.into_iter().collect() });
                }
                messages.extend(text);
            }
        }
        Ok(Outcome { holds: true, messages })
    }
}

fn block(value: &Value, path: &str) -> Result<Block, ParseError> {
    let fields = Fields::new(value, path, &["any", "all"])?;
    let read = |name: &str| fields.get(name).map(|list| conditions(list, &fields.path(name)));
    Ok(Block { any: read("any").transpose()?, all: read("all").transpose()?.unwrap_or_default() })
}

fn conditions(value: &Value, path: &str) -> Result<Vec<Condition>, ParseError> {
    let Value::Array(items) = value else { return Err(wrong_type(path, "a list", value)) };
    if items.len() > MAX_CONDITIONS {
        return Err(ParseError::new(path, format!("more than {MAX_CONDITIONS} conditions")));
    }
    items
        .iter()
        .enumerate()
        .map(|(place, item)| condition(item, &format!("{path}[{place}]")))
        .collect()
}

fn condition(value: &Value, path: &str) -> Result<Condition, ParseError> {
    let fields = Fields::new(value, path, &["key", "operator", "value", "message"])?;
    let operator = Operator::parse(fields.required_text("operator")?, &fields.path("operator"))?;
    let read = |name: &str| {
        Document::compile(fields.get(name).unwrap_or(&Value::Null), &fields.path(name))
    };
    let message = fields
        .text("message")?
        .map(|text| Template::compile(text, &fields.path("message")))
        .transpose()?;
    let written = fields.get("key").map_or_else(String::new, |key| match key {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    Ok(Condition { written, key: read("key")?, operator, value: read("value")?, message })
}

impl Condition {
    fn holds(&self, scope: &Scope<'_>) -> Result<bool, Failure> {
        let key = self.key.resolve(scope)?;
        let value = self.value.resolve(scope)?;
        let (key, value) = (key.to_value()?, value.to_value()?);
        scope.interpreter().charge(compare::cost(&key, &value))?;
        let holds = compare::holds(self.operator, &key, &value);
        trace::answer(holds, || {
            let operator = self.operator.word();
            let (found, value) = (trace::shown(&key), trace::shown(&value));
            format!("{} is {found} {operator} {value}", self.written)
        });
        Ok(holds)
    }

    fn text(&self, scope: &Scope<'_>) -> Option<String> {
        self.message.as_ref()?.resolve_text(scope).ok()
    }
}
