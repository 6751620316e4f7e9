//! Functions on texts.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use regex::{NoExpand, Regex, RegexBuilder};
use serde_json::Value;

use super::super::data::json_text;
use super::super::{Data, Failure, Interpreter};
use super::{Function, Kinds, fixed, take, text_of, whole_of};

const SCALAR: Kinds = Kinds::TEXT.or(Kinds::NUMBER);

pub(super) const TABLE: &[Function] = &[
    fixed("starts_with", &[Kinds::TEXT, Kinds::TEXT], starts_with),
    fixed("ends_with", &[Kinds::TEXT, Kinds::TEXT], ends_with),
    fixed("compare", &[Kinds::TEXT, Kinds::TEXT], compare),
    fixed("equal_fold", &[Kinds::TEXT, Kinds::TEXT], equal_fold),
    fixed("replace", &[Kinds::TEXT, Kinds::TEXT, Kinds::TEXT, Kinds::NUMBER], replace),
    fixed("replace_all", &[Kinds::TEXT, Kinds::TEXT, Kinds::TEXT], replace_all),
    fixed("to_upper", &[Kinds::TEXT], to_upper),
    fixed("to_lower", &[Kinds::TEXT], to_lower),
    fixed("trim", &[Kinds::TEXT, Kinds::TEXT], trim),
    fixed("trim_prefix", &[Kinds::TEXT, Kinds::TEXT], trim_prefix),
    fixed("split", &[Kinds::TEXT, Kinds::TEXT], split),
    fixed("truncate", &[Kinds::TEXT, Kinds::NUMBER], truncate),
    fixed("regex_match", &[Kinds::TEXT, SCALAR], regex_match),
    fixed("regex_replace_all", &[Kinds::TEXT, SCALAR, SCALAR], regex_replace_all),
    fixed("regex_replace_all_literal", &[Kinds::TEXT, SCALAR, SCALAR], regex_replace_all_literal),
    fixed("pattern_match", &[Kinds::TEXT, SCALAR], pattern_match),
    fixed("to_boolean", &[Kinds::TEXT], to_boolean),
];

fn truth<'a>(verdict: bool) -> Data<'a> {
    Data::Owned(Value::Bool(verdict))
}

fn starts_with<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text, start] = take(arguments)?;
    Ok(truth(text_of(&text)?.starts_with(text_of(&start)?)))
}

fn ends_with<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text, end] = take(arguments)?;
    Ok(truth(text_of(&text)?.ends_with(text_of(&end)?)))
}

fn compare<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [left, right] = take(arguments)?;
    let order = text_of(&left)?.cmp(text_of(&right)?);
    Ok(Data::Owned(Value::from(order as i8)))
}

fn equal_fold<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [left, right] = take(arguments)?;
    Ok(truth(text_of(&left)?.to_lowercase() == text_of(&right)?.to_lowercase()))
}

/// Refuses results that would be far larger than what they are made of.
fn budget(interpreter: &Interpreter, text: &str, old: &str, new: &str) -> Result<(), Failure> {
    let times = if old.is_empty() { text.len() + 1 } else { text.matches(old).count() };
    interpreter.charge((text.len() + times.saturating_mul(new.len())) / 16)
}

fn replace<'a>(interpreter: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text, old, new, times] = take(arguments)?;
    let (text, old, new) = (text_of(&text)?, text_of(&old)?, text_of(&new)?);
    budget(interpreter, text, old, new)?;
    Ok(Data::text(match usize::try_from(whole_of(&times)?) {
        Ok(times) => text.replacen(old, new, times),
        Err(_) => text.replace(old, new),
    }))
}

fn replace_all<'a>(
    interpreter: &Interpreter,
    arguments: Vec<Data<'a>>,
) -> Result<Data<'a>, Failure> {
    let [text, old, new] = take(arguments)?;
    let (text, old, new) = (text_of(&text)?, text_of(&old)?, text_of(&new)?);
    budget(interpreter, text, old, new)?;
    Ok(Data::text(text.replace(old, new)))
}

fn to_upper<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    Ok(Data::text(text_of(&text)?.to_uppercase()))
}

fn to_lower<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    Ok(Data::text(text_of(&text)?.to_lowercase()))
}

fn trim<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text, cut] = take(arguments)?;
    let cut = text_of(&cut)?;
    Ok(Data::text(text_of(&text)?.trim_matches(|c| cut.contains(c))))
}

fn trim_prefix<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text, prefix] = take(arguments)?;
    let text = text_of(&text)?;
    Ok(Data::text(text.strip_prefix(text_of(&prefix)?).unwrap_or(text)))
}

fn split<'a>(interpreter: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text, separator] = take(arguments)?;
    let (text, separator) = (text_of(&text)?, text_of(&separator)?);
    interpreter.charge(text.len())?;
    let parts: Vec<Data<'a>> = if separator.is_empty() {
        text.chars().map(|c| Data::text(c.to_string())).collect()
    } else {
        text.split(separator).map(Data::text).collect()
    };
    Ok(Data::List(parts))
}

fn truncate<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text, length] = take(arguments)?;
    let length = usize::try_from(whole_of(&length)?.max(0)).unwrap_or(usize::MAX);
    Ok(Data::text(text_of(&text)?.chars().take(length).collect::<String>()))
}

const CACHED_EXPRESSIONS: usize = 512;

thread_local! {
    /// Regular expressions that this thread has compiled: pure, only saves time.
    static EXPRESSIONS: RefCell<HashMap<String, Regex>> = RefCell::new(HashMap::new());
}

/// Compiles a regular expression (or finds it compiled); its size and so its time are bounded.
fn with_regex<T>(expression: &str, act: impl FnOnce(&Regex) -> T) -> Result<T, Failure> {
    EXPRESSIONS.with_borrow_mut(|known| {
        if let Some(regex) = known.get(expression) {
            return Ok(act(regex));
        }
        let regex = RegexBuilder::new(expression).size_limit(1 << 20).build().map_err(|cause| {
            let reason = cause.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            Failure::invalid(format!("regular expression `{expression}`: {reason}"))
        })?;
        if known.len() >= CACHED_EXPRESSIONS {
            known.clear();
        }
        Ok(act(known.entry(expression.to_owned()).or_insert(regex)))
    })
}

fn scalar_text<'d>(data: &'d Data<'_>) -> Result<Cow<'d, str>, Failure> {
    Ok(match data.to_value()? {
        Cow::Borrowed(value) => json_text(value),
        Cow::Owned(value) => Cow::Owned(json_text(&value).into_owned()),
    })
}

fn regex_match<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [expression, text] = take(arguments)?;
    let text = scalar_text(&text)?;
    with_regex(text_of(&expression)?, |regex| truth(regex.is_match(&text)))
}

fn regex_replace_all<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [expression, text, new] = take(arguments)?;
    let (text, new) = (scalar_text(&text)?, scalar_text(&new)?);
    with_regex(text_of(&expression)?, |regex| {
        Data::text(regex.replace_all(&text, new.as_ref()).into_owned())
    })
}

fn regex_replace_all_literal<'a>(
    _: &Interpreter,
    arguments: Vec<Data<'a>>,
) -> Result<Data<'a>, Failure> {
    let [expression, text, new] = take(arguments)?;
    let (text, new) = (scalar_text(&text)?, scalar_text(&new)?);
    with_regex(text_of(&expression)?, |regex| {
        Data::text(regex.replace_all(&text, NoExpand(&new)).into_owned())
    })
}

fn pattern_match<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [pattern, text] = take(arguments)?;
    Ok(truth(crate::wildcard::glob(text_of(&pattern)?, &scalar_text(&text)?)))
}

fn to_boolean<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    match text_of(&text)?.to_lowercase().as_str() {
        "true" => Ok(truth(true)),
        "false" => Ok(truth(false)),
        other => Err(Failure::invalid(format!("`{other}` is neither `true` nor `false`"))),
    }
}
