//! `random(pattern)`: a text that follows a small regular expression, from the seeded sequence.

use super::super::{Data, Failure, Interpreter};
use super::{Function, Kinds, fixed, take, text_of};

pub(super) const TABLE: &[Function] = &[fixed("random", &[Kinds::TEXT], random)];

/// Longest text that is made.
const MAX_LENGTH: usize = 1_024;

fn random<'a>(interpreter: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [pattern] = take(arguments)?;
    let pattern = text_of(&pattern)?;
    let unreadable =
        || Failure::invalid(format!("`{pattern}`: only classes, literals and counts can be made"));
    let mut made = String::new();
    let mut rest = pattern.chars().peekable();
    while let Some(first) = rest.next() {
        let class: Vec<char> = match first {
            '[' => class_of(&mut rest).ok_or_else(unreadable)?,
            '\\' => match rest.next() {
                Some('d') => ('0'..='9').collect(),
                Some('w') => ('a'..='z').chain('A'..='Z').chain('0'..='9').chain(['_']).collect(),
                Some(other) if !other.is_alphanumeric() => vec![other],
                _ => return Err(unreadable()),
            },
            '.' => (' '..='~').collect(),
            '(' | ')' | '|' | '*' | '+' | '?' | '^' | '$' | '{' | '}' | ']' => {
                return Err(unreadable());
            }
            other => vec![other],
        };
        let (least, most) = if rest.peek() == Some(&'{') {
            let count: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
            let (least, most) = count.split_once(',').unwrap_or((&count, &count));
            let read = |text: &str| text.trim().parse::<u64>().map_err(|_| unreadable());
            (read(least)?, read(most)?)
        } else {
            (1, 1)
        };
        let spread = most.checked_sub(least).ok_or_else(unreadable)? + 1;
        let count = least + interpreter.next_random() % spread;
        for _ in 0..count {
            let length = u64::try_from(class.len()).unwrap_or(u64::MAX).max(1);
            let place = usize::try_from(interpreter.next_random() % length).unwrap_or_default();
            made.extend(class.get(place));
            if made.len() > MAX_LENGTH {
                return Err(Failure::invalid(format!(
                    "more than {MAX_LENGTH} bytes are asked for"
                )));
            }
        }
    }
    Ok(Data::text(made))
}

/// The characters of a class such as `[a-z0-9]`, after its bracket.
fn class_of(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Vec<char>> {
    let mut class = Vec::new();
    loop {
        let first = match rest.next()? {
            ']' => return (!class.is_empty()).then_some(class),
            '\\' => rest.next()?,
            '^' if class.is_empty() => return None,
            other => other,
        };
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                if last < first || u32::from(last) - u32::from(first) > 0x1000 {
                    return None;
                }
                class.extend(first..=last);
                *rest = ahead;
            }
            _ => class.push(first),
        }
    }
}
