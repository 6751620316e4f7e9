//! Anchors: what the brackets around a key of a pattern mean.

/// The meaning of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// `key`: must match.
    None,
    /// `(key)`: a condition; where it does not hold, the element or the rule is skipped.
    Condition,
    /// `<(key)`: a condition for the whole rule; missing is fine.
    Global,
    /// `=(key)`: must match if it is there.
    Equality,
    /// `^(key)`: at least one element must match.
    Existence,
    /// `X(key)`: must not be there.
    Negation,
    /// `+(key)`: for mutation; a pattern reads it as the bare key in brackets.
    Add,
}

impl Anchor {
    /// Whether the absence of the key from the whole object turns a mismatch into an error.
    pub(super) fn is_counted(self) -> bool {
        matches!(self, Self::Condition | Self::Existence)
    }
}

/// The anchor of a key as written, and the key without it.
pub(crate) fn split(written: &str) -> (Anchor, &str) {
    let Some(body) = written.trim().strip_suffix(')') else { return (Anchor::None, written) };
    let Some((sign, key)) = body.split_once('(') else { return (Anchor::None, written) };
    let anchor = match sign {
        "" => Anchor::Condition,
        "<" => Anchor::Global,
        "=" => Anchor::Equality,
        "^" => Anchor::Existence,
        "X" => Anchor::Negation,
        "+" => Anchor::Add,
        _ => return (Anchor::None, written),
    };
    if key.is_empty() { (Anchor::None, written) } else { (anchor, key.trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_told_from_keys() {
        for (written, expected) in [
            ("key", (Anchor::None, "key")),
            ("(key)", (Anchor::Condition, "key")),
            ("=(a/b)", (Anchor::Equality, "a/b")),
            ("X(key)", (Anchor::Negation, "key")),
            ("<(key)", (Anchor::Global, "key")),
            ("^(key)", (Anchor::Existence, "key")),
            ("+(key)", (Anchor::Add, "key")),
            ("?(key)", (Anchor::None, "?(key)")),
            ("()", (Anchor::None, "()")),
            ("(key", (Anchor::None, "(key")),
        ] {
            assert_eq!(split(written), expected);
        }
    }
}
