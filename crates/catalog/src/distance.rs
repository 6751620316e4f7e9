//! The known word nearest to a misspelt one.

/// The word of `known` that is at most a third of its letters away from `written`, the nearest one.
pub(crate) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = written.to_ascii_lowercase();
    known
        .into_iter()
        .map(|word| (edits(&lower, &word.to_ascii_lowercase()), word))
        .filter(|(edits, word)| {
            *edits <= word.chars().count().div_ceil(3)
                || (lower.len() >= 3 && word.to_ascii_lowercase().starts_with(&lower))
        })
        .min()
        .map(|(_, word)| word)
}

/// Insertions, removals and replacements that lead from one word to the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut next = vec![line + 1];
        for ((pair, left), other) in row.windows(2).zip(row.iter().skip(1)).zip(&to) {
            let diagonal = pair.first().copied().unwrap_or(0) + usize::from(letter != *other);
            let last = next.last().copied().unwrap_or(0);
            next.push(diagonal.min(left + 1).min(last + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_when_it_is_near() {
        let known = ["soc2-2017", "pci-4.0.1", "cis-k8s-1.12"];
        assert_eq!(nearest("soc2-2107", known), Some("soc2-2017"));
        assert_eq!(nearest("soc2", known), Some("soc2-2017"));
        assert_eq!(nearest("PCI-4.0", known), Some("pci-4.0.1"));
        assert_eq!(nearest("hipaa", known), None);
        assert_eq!((edits("kitten", "sitting"), edits("", "abc"), edits("abc", "")), (3, 3, 3));
    }
}
