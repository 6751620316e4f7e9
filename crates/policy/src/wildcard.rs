//! Globs as the field writes them: `*` for any run of characters, `?` for exactly one.

/// A glob, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wildcard {
    text: Box<str>,
    shape: Shape,
}

/// The shapes that need no backtracking, and the general one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Everything,
    Literal,
    Prefix,
    Suffix,
    General,
}

impl Wildcard {
    pub(crate) fn new(text: &str) -> Self {
        let inner = |rest: &str| !has_wildcard(rest);
        let shape = if !has_wildcard(text) {
            Shape::Literal
        } else if text == "*" {
            Shape::Everything
        } else if text.strip_suffix('*').is_some_and(inner) {
            Shape::Prefix
        } else if text.strip_prefix('*').is_some_and(inner) {
            Shape::Suffix
        } else {
            Shape::General
        };
        Self { text: text.into(), shape }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether only its own text matches.
    pub(crate) fn is_literal(&self) -> bool {
        self.shape == Shape::Literal
    }

    /// The text before the first wildcard.
    pub(crate) fn literal_prefix(&self) -> &str {
        let end = self.text.find(['*', '?']).unwrap_or(self.text.len());
        self.text.get(..end).unwrap_or_default()
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self.shape {
            Shape::Everything => true,
            Shape::Literal => *self.text == *text,
            Shape::Prefix => self.text.strip_suffix('*').is_some_and(|p| text.starts_with(p)),
            Shape::Suffix => self.text.strip_prefix('*').is_some_and(|s| text.ends_with(s)),
            Shape::General => glob(&self.text, text),
        }
    }
}

/// Whether a text contains a wildcard.
pub(crate) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a glob matches a text, in time at most the product of their lengths.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    let mut text_rest = text.chars();
    // Where to go back to: the pattern after the last star, and the text it had not yet eaten.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        match pattern_rest.next() {
            Some('*') => {
                retry = Some((pattern_rest.clone(), text_rest.clone()));
                continue;
            }
            None if text_rest.as_str().is_empty() => return true,
            Some(wanted) => {
                let mut ahead = text_rest.clone();
                if ahead.next().is_some_and(|found| wanted == '?' || wanted == found) {
                    text_rest = ahead;
                    continue;
                }
            }
            None => {}
        }
        let Some((star_pattern, star_text)) = &mut retry else { return false };
        if star_text.next().is_none() {
            return false;
        }
        pattern_rest = star_pattern.clone();
        text_rest = star_text.clone();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => naive(rest, text),
            (Some(('*', rest)), Some((_, tail))) => naive(rest, text) || naive(pattern, tail),
            (Some(('?', rest)), Some((_, tail))) => naive(rest, tail),
            (Some((wanted, rest)), Some((found, tail))) => wanted == found && naive(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_recursion(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let pattern_chars: Vec<char> = pattern.chars().collect();
            let text_chars: Vec<char> = text.chars().collect();
            let expected = naive(&pattern_chars, &text_chars);
            prop_assert_eq!(glob(&pattern, &text), expected);
            prop_assert_eq!(Wildcard::new(&pattern).matches(&text), expected);
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let pattern = "a*".repeat(2_000) + "b";
        assert!(!glob(&pattern, &"a".repeat(4_000)));
    }
}
