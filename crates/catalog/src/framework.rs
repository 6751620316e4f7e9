//! A framework of one version, and the list of its ids.

use std::cmp::Ordering;

use proofstream_model::RequirementId;

/// What an id of a framework is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequirementKind {
    /// A heading over other ids. Who claims it has not claimed what stands below it.
    Group,
    /// Something that is asked for.
    Requirement,
    /// A point of focus below a requirement.
    Point,
}

/// One id of a framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The whole id, such as `soc2-2017/CC6.1`.
    pub id: RequirementId,
    /// What it is.
    pub kind: RequirementKind,
    /// A title of our own wording; absent where nothing is mapped.
    pub title: Option<String>,
    /// A benchmark's profile, such as `L1`.
    pub level: Option<String>,
    /// `automated` or `manual`, where the framework says so.
    pub assessment: Option<String>,
}

/// One version of one framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framework {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) prefixes: Vec<String>,
    pub(crate) bare: bool,
    pub(crate) requirements: Vec<Requirement>,
}

// === impl Framework ===

impl Framework {
    /// The id, such as `soc2-2017`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name people use.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Every id, in the framework's own order.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The entry of `id`, written as in the framework, in any case.
    pub fn requirement(&self, id: &str) -> Option<&Requirement> {
        self.requirements.iter().find(|entry| entry.id.id().eq_ignore_ascii_case(id))
    }
}

/// Whether `id` stands below `group` by its spelling: `5.2.1` and `CC6.1` do below `5.2` and `CC6`.
pub(crate) fn is_below(id: &str, group: &str) -> bool {
    let Some(rest) = id.strip_prefix(group) else { return false };
    rest.starts_with('.')
        || (group.ends_with(|last: char| last.is_ascii_alphabetic())
            && rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// Orders ids as people do: numbers by value (`5.2.9` before `5.2.10`), letters by spelling.
pub(crate) fn natural(left: &str, right: &str) -> Ordering {
    parts(left).cmp(&parts(right))
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

fn parts(id: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut word = String::new();
    let mut digits = false;
    let mut flush = |word: &mut String| {
        if !word.is_empty() {
            let text = std::mem::take(word);
            parts.push(text.parse().map_or(Part::Word(text), Part::Number));
        }
    };
    for letter in id.chars() {
        if letter == '.' {
            flush(&mut word);
            continue;
        }
        if letter.is_ascii_digit() != digits {
            flush(&mut word);
            digits = letter.is_ascii_digit();
        }
        word.push(letter);
    }
    flush(&mut word);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_value() {
        assert_eq!(natural("5.2.9", "5.2.10"), Ordering::Less);
        assert_eq!(natural("CC6.1", "CC6.1.1"), Ordering::Less);
        assert_eq!(natural("12", "A1"), Ordering::Less);
        assert_eq!(natural("CC10.1", "CC9.2"), Ordering::Greater);
    }

    #[test]
    fn a_group_is_over_what_continues_its_spelling() {
        assert!(is_below("5.2.1", "5.2"));
        assert!(!is_below("5.21", "5.2"));
        assert!(is_below("A1.1", "A"));
        assert!(is_below("CC6.1", "CC6"));
        assert!(!is_below("12.1", "1"));
        assert!(!is_below("5.2", "5.2"));
    }
}
