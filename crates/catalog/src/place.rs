//! The line of a catalog file on which a word stands, so that a fault can be found.

/// The 1-based line of the `nth` (from 0) occurrence of `word` as a whole word in `text`; line 1 where
/// it does not stand there. Comment lines are passed over.
pub(crate) fn line_of(text: &str, word: &str, nth: usize) -> usize {
    if word.is_empty() {
        return 1;
    }
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with('#'))
        .flat_map(|(number, line)| {
            line.match_indices(word)
                .filter(move |(start, _)| stands_alone(line, *start, word.len()))
                .map(move |_| number + 1)
        })
        .nth(nth)
        .unwrap_or(1)
}

fn stands_alone(line: &str, start: usize, length: usize) -> bool {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    let before = line.get(..start).and_then(|text| text.chars().next_back());
    let after = line.get(start + length..).and_then(|text| text.chars().next());
    !before.is_some_and(inner) && !after.is_some_and(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_whole_words_outside_comments() {
        let text = "# 5.2\na: 5.2.1\nb: \"5.2\"\nc: 5.2\n";
        assert_eq!(line_of(text, "5.2", 0), 3);
        assert_eq!(line_of(text, "5.2", 1), 4);
        assert_eq!(line_of(text, "5.3", 0), 1);
    }
}
