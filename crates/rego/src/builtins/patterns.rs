//! Regular expressions and globs.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

use super::Builtin;
use crate::value::Value;

pub(super) const ALL: &[Builtin] = &[
    Builtin::linear("re_match", 2, is_match),
    Builtin::linear("regex.match", 2, is_match),
    Builtin::linear("regex.is_valid", 1, |one| {
        Some(Value::Bool(one.first()?.as_text().is_some_and(|text| expression(text).is_some())))
    }),
    Builtin::linear("regex.split", 2, |pair| {
        let (expression, text) = read(pair)?;
        Some(Value::array(expression.split(text).map(Value::text)))
    }),
    Builtin::linear("regex.replace", 3, replace),
    Builtin::linear("regex.find_n", 3, find),
    Builtin::linear("regex.find_all_string_submatch_n", 3, find_groups),
    Builtin::linear("glob.match", 3, glob_match),
    Builtin::linear("glob.quote_meta", 1, |one| {
        let text = one.first()?.as_text()?;
        let mut quoted = String::new();
        for c in text.chars() {
            if r"*?\[]{}".contains(c) {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        Some(Value::text(&quoted))
    }),
];

/// Most expressions that are kept compiled in a thread.
const MAX_KEPT: usize = 512;
/// Largest size of a compiled expression, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A compiled expression; those that were used are kept, as compiling takes far longer than matching.
fn expression(text: &str) -> Option<Regex> {
    thread_local! {
        static KEPT: RefCell<HashMap<String, Option<Regex>>> = RefCell::default();
    }
    KEPT.with_borrow_mut(|kept| {
        if let Some(known) = kept.get(text) {
            return known.clone();
        }
        let made = RegexBuilder::new(text).size_limit(MAX_BYTES).build().ok();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(text.to_owned(), made.clone());
        made
    })
}

fn read(arguments: &[Value]) -> Option<(Regex, &str)> {
    let [pattern, text, ..] = arguments else { return None };
    Some((expression(pattern.as_text()?)?, text.as_text()?))
}

/// The third argument as a number of matches; negative for all.
fn at_most(arguments: &[Value]) -> Option<usize> {
    Some(usize::try_from(arguments.get(2)?.as_integer()?).unwrap_or(usize::MAX))
}

fn is_match(pair: &[Value]) -> Option<Value> {
    let (expression, text) = read(pair)?;
    Some(Value::Bool(expression.is_match(text)))
}

fn find(three: &[Value]) -> Option<Value> {
    let (expression, text) = read(three)?;
    let found = expression.find_iter(text).take(at_most(three)?);
    Some(Value::array(found.map(|found| Value::text(found.as_str()))))
}

fn find_groups(three: &[Value]) -> Option<Value> {
    let (expression, text) = read(three)?;
    let found = expression.captures_iter(text).take(at_most(three)?);
    let groups = found.map(|groups| {
        let all = groups.iter().map(|group| Value::text(group.map_or("", |group| group.as_str())));
        Value::array(all)
    });
    Some(Value::array(groups))
}

fn replace(three: &[Value]) -> Option<Value> {
    let [text, pattern, by] = three else { return None };
    let expression = expression(pattern.as_text()?)?;
    Some(Value::text(&expression.replace_all(text.as_text()?, by.as_text()?)))
}

/// A glob against a text; `*` ends at a delimiter, `**` does not. Without delimiters the dot is one,
/// with `null` there is none.
fn glob_match(three: &[Value]) -> Option<Value> {
    let [pattern, delimiters, text] = three else { return None };
    let delimiters: Vec<&str> = match delimiters {
        Value::Null => Vec::new(),
        Value::Array(items) if items.is_empty() => vec!["."],
        Value::Array(items) => items.iter().map(Value::as_text).collect::<Option<_>>()?,
        _ => return None,
    };
    let expression = expression(&glob_expression(pattern.as_text()?, &delimiters)?)?;
    Some(Value::Bool(expression.is_match(text.as_text()?)))
}

/// A character as it is inside brackets.
fn code(c: char) -> String {
    format!(r"\x{{{:x}}}", u32::from(c))
}

fn glob_expression(pattern: &str, delimiters: &[&str]) -> Option<String> {
    let escape = |c: char| regex::escape(c.encode_utf8(&mut [0; 4]));
    let barred: String = delimiters.iter().flat_map(|text| text.chars()).map(code).collect();
    let one = if barred.is_empty() { "(?s:.)".to_owned() } else { format!("[^{barred}]") };
    let mut made = String::from("^(?:");
    let mut chars = pattern.chars().peekable();
    let mut open = 0_u32;
    while let Some(next) = chars.next() {
        match next {
            '*' if chars.next_if_eq(&'*').is_some() => made.push_str("(?s:.)*"),
            '*' => made.extend([&one, "*"]),
            '?' => made.push_str(&one),
            '\\' => made.push_str(&escape(chars.next()?)),
            '{' => {
                open += 1;
                made.push_str("(?:");
            }
            '}' if open > 0 => {
                open -= 1;
                made.push(')');
            }
            ',' if open > 0 => made.push('|'),
            '[' => {
                made.push('[');
                if chars.next_if_eq(&'!').is_some() {
                    made.push('^');
                }
                loop {
                    match chars.next()? {
                        ']' => break,
                        '-' => made.push('-'),
                        inner => made.push_str(&code(inner)),
                    }
                }
                made.push(']');
            }
            other => made.push_str(&escape(other)),
        }
    }
    made.push_str(")$");
    (open == 0).then_some(made)
}
