//! `pattern` and `anyPattern`: a tree that an object must follow, with anchors on its keys.

mod anchor;
mod matching;
mod scalar;

use serde_json::Value;

use crate::error::ParseError;
use crate::wildcard::{Wildcard, has_wildcard};
use anchor::split;

pub(crate) use anchor::{Anchor, split as split_anchor};
pub(crate) use matching::Verdict;
pub(crate) use scalar::{Range, ScalarPattern, TextPattern};

/// Deepest nesting of a pattern.
const MAX_DEPTH: usize = 64;
/// Most different keys with conditional anchors in one pattern.
const MAX_ANCHORS: usize = 128;

/// A pattern, read once.
#[derive(Debug)]
pub(crate) struct Pattern {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Object(ObjectNode),
    List(Vec<Node>),
    Scalar(ScalarPattern),
}

#[derive(Debug)]
struct ObjectNode {
    /// In the order of judgement: anchors, then what holds anchors, then the rest.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    /// Where the key is a glob over labels or annotations.
    glob: Option<Wildcard>,
    anchor: Anchor,
    /// Number of the anchored key among the pattern's, for the bookkeeping of absent keys.
    number: Option<u32>,
    /// The pattern is `*`: anything but null.
    anything: bool,
    node: Node,
}

/// What a key stands under, for the expansion of globs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    Metadata,
    LabelsOrAnnotations,
}

struct Compiler {
    anchored: Vec<String>,
}

impl Pattern {
    /// Reads a pattern; `path` is where it stands, for errors.
    pub(crate) fn compile(value: &Value, path: &str) -> Result<Self, ParseError> {
        let mut compiler = Compiler { anchored: Vec::new() };
        let root = compiler.node(value, path, Place::Elsewhere, 0)?;
        Ok(Self { root })
    }
}

impl Compiler {
    fn node(
        &mut self,
        value: &Value,
        path: &str,
        place: Place,
        depth: usize,
    ) -> Result<Node, ParseError> {
        if depth > MAX_DEPTH {
            return Err(ParseError::new(path, format!("nested deeper than {MAX_DEPTH}")));
        }
        match value {
            Value::Object(members) => {
                let mut entries = Vec::with_capacity(members.len());
                for (key, member) in members {
                    entries.push(self.entry(key, member, path, place, depth)?);
                }
                Ok(Node::Object(ObjectNode { entries: in_order(entries) }))
            }
            Value::Array(items) => {
                if items.is_empty() {
                    return Err(ParseError::new(path, "a list in a pattern needs an element"));
                }
                let nodes = items.iter().enumerate().map(|(position, item)| {
                    self.node(item, &format!("{path}[{position}]"), Place::Elsewhere, depth + 1)
                });
                nodes.collect::<Result<_, _>>().map(Node::List)
            }
            scalar => match ScalarPattern::compile(scalar) {
                Some(pattern) => Ok(Node::Scalar(pattern)),
                None => Err(ParseError::new(path, "is no pattern")),
            },
        }
    }

    fn entry(
        &mut self,
        written: &str,
        member: &Value,
        path: &str,
        place: Place,
        depth: usize,
    ) -> Result<Entry, ParseError> {
        let path = format!("{path}.{written}");
        let (anchor, key) = split(written);
        let number = if anchor.is_counted() { Some(self.number(written, &path)?) } else { None };
        let below = match (place, key) {
            (Place::Elsewhere, "metadata") => Place::Metadata,
            (Place::Metadata, "labels" | "annotations") => Place::LabelsOrAnnotations,
            _ => Place::Elsewhere,
        };
        let globbed = place == Place::LabelsOrAnnotations && has_wildcard(key);
        Ok(Entry {
            key: key.into(),
            glob: globbed.then(|| Wildcard::new(key)),
            anchor,
            number,
            anything: anchor == Anchor::None && member.as_str() == Some("*"),
            node: self.node(member, &path, below, depth + 1)?,
        })
    }

    fn number(&mut self, written: &str, path: &str) -> Result<u32, ParseError> {
        let place = self.anchored.iter().position(|known| known == written).unwrap_or_else(|| {
            self.anchored.push(written.to_owned());
            self.anchored.len() - 1
        });
        let number = u32::try_from(place).ok().filter(|_| place < MAX_ANCHORS);
        let complaint = || format!("more than {MAX_ANCHORS} different anchored keys");
        number.ok_or_else(|| ParseError::new(path, complaint()))
    }
}

/// The order of judgement: local anchors first, then (latest key first) what has anchors inside or
/// is a global anchor, then all else.
fn in_order(entries: Vec<Entry>) -> Vec<Entry> {
    let rank = |entry: &Entry| match entry.anchor {
        Anchor::Condition | Anchor::Existence | Anchor::Equality | Anchor::Negation => 0,
        Anchor::Global => 1,
        Anchor::None | Anchor::Add if entry.node.holds_anchors() => 1,
        Anchor::None | Anchor::Add => 2,
    };
    let mut ordered: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut second = Vec::new();
    let mut last = Vec::new();
    for entry in entries {
        match rank(&entry) {
            0 => ordered.push(entry),
            1 => second.push(entry),
            _ => last.push(entry),
        }
    }
    second.reverse();
    ordered.extend(second);
    ordered.extend(last);
    ordered
}

impl Node {
    fn holds_anchors(&self) -> bool {
        match self {
            Self::Object(object) => object.entries.iter().any(|entry| {
                !matches!(entry.anchor, Anchor::None | Anchor::Add) || entry.node.holds_anchors()
            }),
            Self::List(nodes) => nodes.iter().any(Self::holds_anchors),
            Self::Scalar(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
