//! "Did you mean …?" for misspelt words.

/// A hint such as `` ; did you mean `GreaterThan`? ``, or nothing where no word is near.
pub(crate) fn hint<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The known word that is nearest, if it is near enough to be meant.
fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let word: String = word.chars().take(64).collect();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance, where another case of the same letter costs nothing.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, found) in left.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = line;
        let mut previous = line + 1;
        if let Some(first) = row.first_mut() {
            *first = previous;
        }
        for (cell, wanted) in row.iter_mut().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(found != *wanted);
            diagonal = *cell;
            *cell = replaced.min(previous + 1).min(*cell + 1);
            previous = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["GreaterThan", "LessThan", "Equals"];
        assert_eq!(hint("GreaterThn", known), "; did you mean `GreaterThan`?");
        assert_eq!(hint("equals", known), "; did you mean `Equals`?");
        assert_eq!(hint("Contains", known), "");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
