//! Regular expressions, in the syntax of RE2 and in linear time.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::Value;

pub(crate) const ROWS: &[Row] = &[
    ("matches", "(string,string)->bool", matches),
    ("matches", "string.(string)->bool", matches),
    ("find", "string.(string)->string", find),
    ("findAll", "string.(string)->list<string>", find_all),
    ("findAll", "string.(string,int)->list<string>", find_all),
    ("regex.replace", "(string,string,string)->string", replace),
    ("regex.replace", "(string,string,string,int)->string", replace),
    ("regex.extract", "(string,string)->optional<string>", extract),
    ("regex.extractAll", "(string,string)->list<string>", extract_all),
];

/// Longest expression, and largest program that one may become.
const MAX_LENGTH: usize = 10_000;
const MAX_PROGRAM: usize = 1 << 20;
/// What compiling an expression costs beside its length.
const COMPILE_COST: u64 = 1_000;

/// Whether the second argument of a function is a regular expression.
pub(crate) fn takes_pattern(name: &str) -> bool {
    matches!(name, "matches" | "find" | "findAll") || name.starts_with("regex.")
}

/// Compiles an expression.
pub(crate) fn compile(expression: &str) -> Result<Regex, Fault> {
    let shown = || expression.chars().take(200).collect::<String>();
    if expression.len() > MAX_LENGTH {
        let message = format!("the regular expression is longer than {MAX_LENGTH} bytes");
        return Err(Fault::invalid(message));
    }
    RegexBuilder::new(&translated(expression)).size_limit(MAX_PROGRAM).build().map_err(|cause| {
        let cause = match cause {
            regex::Error::Syntax(text) => text.lines().last().unwrap_or_default().trim().to_owned(),
            other => other.to_string(),
        };
        Fault::invalid(format!("`{}` is no regular expression: {cause}", shown()))
    })
}

/// From RE2's syntax: its classes are of ASCII, and in brackets `[`, `&`, `~` stand for themselves.
fn translated(expression: &str) -> String {
    let mut made = String::with_capacity(expression.len());
    let mut characters = expression.chars().peekable();
    let mut in_brackets = false;
    // Where brackets have just opened, `]` is one of their members.
    let mut first = false;
    while let Some(character) = characters.next() {
        let was_first = std::mem::take(&mut first);
        match character {
            '\\' => match characters.next() {
                Some('d') => made.push_str(if in_brackets { "0-9" } else { "[0-9]" }),
                Some('D') => made.push_str("[^0-9]"),
                Some('w') => made.push_str(if in_brackets { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                Some('W') => made.push_str("[^0-9A-Za-z_]"),
                Some('s') => made.push_str(if in_brackets { r"\t\n\f\r " } else { r"[\t\n\f\r ]" }),
                Some('S') => made.push_str(r"[^\t\n\f\r ]"),
                Some('b') if !in_brackets => made.push_str(r"(?-u:\b)"),
                Some('B') if !in_brackets => made.push_str(r"(?-u:\B)"),
                Some('Q') => {
                    let mut quoted = String::new();
                    while let Some(next) = characters.next() {
                        if next == '\\' && characters.peek() == Some(&'E') {
                            characters.next();
                            break;
                        }
                        quoted.push(next);
                    }
                    made.push_str(&regex::escape(&quoted));
                }
                Some(other) => made.extend(['\\', other]),
                None => made.push('\\'),
            },
            '[' if !in_brackets => {
                in_brackets = true;
                first = true;
                made.push('[');
                if characters.peek() == Some(&'^') {
                    characters.next();
                    made.push('^');
                }
            }
            '[' if characters.peek() == Some(&':') => {
                // A named class, as in `[[:alpha:]]`.
                made.push('[');
                for inner in characters.by_ref() {
                    made.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            ']' if in_brackets && was_first => made.push_str("\\]"),
            ']' if in_brackets => {
                in_brackets = false;
                made.push(']');
            }
            '[' | '&' | '~' if in_brackets => made.extend(['\\', character]),
            other => made.push(other),
        }
    }
    made
}

/// The text of the first argument and the expression of the second.
fn prepared<'a>(
    ground: &'a Ground<'_>,
    arguments: &'a [Value<'_>],
) -> Result<(&'a str, Cow<'a, Regex>), Fault> {
    let [Value::String(text), Value::String(expression), ..] = arguments else {
        return mismatch(arguments).and(Err(Fault::invalid("no text")));
    };
    // Matching is linear in the text, times what the expression is long.
    let steps = text.len().saturating_mul(expression.len() / 4 + 1);
    ground.meter.charge_text(steps)?;
    if let Some(pattern) = ground.pattern {
        return Ok((text, Cow::Borrowed(pattern)));
    }
    ground.meter.charge(COMPILE_COST)?;
    ground.meter.charge_count(expression.len().saturating_mul(10))?;
    Ok((text, Cow::Owned(compile(expression)?)))
}

fn matches<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, pattern) = prepared(ground, arguments)?;
    Ok(Value::Bool(pattern.is_match(text)))
}

fn find<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, pattern) = prepared(ground, arguments)?;
    Ok(Value::text(pattern.find(text).map_or("", |found| found.as_str())))
}

fn find_all<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, pattern) = prepared(ground, arguments)?;
    let limit = match arguments {
        [_, _, Value::Int(limit)] => usize::try_from(*limit).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let mut found = Vec::new();
    for part in pattern.find_iter(text).take(limit) {
        ground.meter.charge(1)?;
        found.push(Value::text(part.as_str()));
    }
    Ok(Value::list(found))
}

fn replace<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, pattern) = prepared(ground, arguments)?;
    let (replacement, limit) = match arguments {
        [_, _, Value::String(replacement)] => (replacement, -1),
        [_, _, Value::String(replacement), Value::Int(limit)] => (replacement, *limit),
        _ => return mismatch(arguments),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut made = String::new();
    let mut end = 0;
    for captures in pattern.captures_iter(text).take(limit) {
        let Some(whole) = captures.get(0) else { continue };
        ground.meter.charge_text(replacement.len() + 10)?;
        made.push_str(text.get(end..whole.start()).unwrap_or_default());
        end = whole.end();
        fill(ground, replacement, &captures, &mut made)?;
    }
    made.push_str(text.get(end..).unwrap_or_default());
    Ok(Value::text(made))
}

/// Fills `\1` and the like in a replacement.
fn fill(
    ground: &Ground<'_>,
    replacement: &str,
    captures: &regex::Captures<'_>,
    made: &mut String,
) -> Result<(), Fault> {
    let mut characters = replacement.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            made.push(character);
            continue;
        }
        match characters.next() {
            Some('\\') => made.push('\\'),
            Some(digit) if digit.is_ascii_digit() => {
                let group = usize::try_from(digit.to_digit(10).unwrap_or(0)).unwrap_or(0);
                if group >= captures.len() {
                    return Err(Fault::invalid(format!("the expression has no group {group}")));
                }
                let text = captures.get(group).map_or("", |found| found.as_str());
                ground.meter.charge_text(text.len())?;
                made.push_str(text);
            }
            _ => return Err(Fault::invalid("invalid replacement string")),
        }
    }
    Ok(())
}

/// The group of a match that an extraction gives: the only one, or the whole.
fn extracted<'t>(captures: &regex::Captures<'t>) -> Option<&'t str> {
    captures.get(captures.len() - 1).map(|found| found.as_str())
}

fn one_group(pattern: &Regex) -> Result<(), Fault> {
    if pattern.captures_len() > 2 {
        return Err(Fault::invalid("the expression of an extraction has at most one group"));
    }
    Ok(())
}

fn extract<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, pattern) = prepared(ground, arguments)?;
    one_group(&pattern)?;
    let found = pattern.captures(text).and_then(|captures| extracted(&captures).map(Value::text));
    Ok(Value::optional(found))
}

fn extract_all<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let (text, pattern) = prepared(ground, arguments)?;
    one_group(&pattern)?;
    let mut found = Vec::new();
    for captures in pattern.captures_iter(text) {
        ground.meter.charge(1)?;
        found.extend(extracted(&captures).map(Value::text));
    }
    Ok(Value::list(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_is_that_of_re2() {
        for (expression, text, wanted) in [
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^[\w.-]+$", "a_1.b-c", true),
            (r"^[[]$", "[", true),
            (r"^[]a]$", "]", true),
            (r"^[^]a]$", "b", true),
            (r"^[a&&b]$", "&", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"\bjcmd\b", "run jcmd now", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"a\/b", "a/b", true),
            (r"^.$", "ä", true),
        ] {
            let compiled = compile(expression).unwrap();
            assert_eq!(compiled.is_match(text), wanted, "{expression} on {text}");
        }
        for expression in ["(", "[", "a{2,1}", r"(?=a)", r"\1"] {
            assert!(compile(expression).is_err(), "{expression}");
        }
    }
}
