//! Matching of an object against a pattern.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::anchor::Anchor;
use super::scalar::ScalarPattern;
use super::{Entry, Node, ObjectNode, Pattern};
use crate::jmespath::type_name;
use crate::trace::{self, StepOutcome};

/// What a pattern says of an object.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The object follows it.
    Pass,
    /// A condition does not hold: the pattern does not apply.
    Skip { reason: String },
    /// The object differs, and here.
    Fail { path: String, reason: String },
    /// The object differs, and a key that a condition needs is nowhere in it.
    Error { reason: String },
}

/// Why a mismatch counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    Skip,
    Negation,
}

/// Where and how an object differs from a pattern. Nothing is printed until it is asked for.
#[derive(Debug)]
pub(crate) struct Mismatch<'m> {
    kind: Kind,
    /// From the leaf up.
    segments: Vec<Segment<'m>>,
    reason: Reason<'m>,
}

#[derive(Debug, Clone, Copy)]
enum Segment<'m> {
    Key(&'m str),
    Index(usize),
}

#[derive(Debug)]
enum Reason<'m> {
    Type { wanted: &'static str, found: &'static str },
    Value { wanted: &'m ScalarPattern, found: &'m Value },
    Missing(&'m str),
    NotAllowed(&'m str),
    Absent(&'m str),
    NoneMatches,
    AllSkipped,
    TooShort { wanted: usize, found: usize },
}

static NULL: Value = Value::Null;

/// Which anchored keys have been looked for, and which were there.
#[derive(Default)]
struct Anchors {
    sought: u128,
    found: u128,
}

impl Pattern {
    /// Judges an object.
    pub(crate) fn judge(&self, value: &Value) -> Verdict {
        let mut anchors = Anchors::default();
        let Err(mismatch) = matches(&self.root, value, &mut anchors) else { return Verdict::Pass };
        let reason = mismatch.reason();
        match mismatch.kind {
            Kind::Skip => Verdict::Skip { reason },
            Kind::Ordinary if anchors.sought & !anchors.found != 0 => Verdict::Error { reason },
            Kind::Ordinary | Kind::Negation => Verdict::Fail { path: mismatch.path(), reason },
        }
    }
}

#[expect(
    clippy::unnecessary_box_returns,
    reason = "errors travel boxed so that results stay small"
)]
impl<'m> Mismatch<'m> {
    fn new(kind: Kind, reason: Reason<'m>) -> Box<Self> {
        Box::new(Self { kind, segments: Vec::new(), reason })
    }

    fn under(mut self: Box<Self>, segment: Segment<'m>) -> Box<Self> {
        self.segments.push(segment);
        self
    }

    fn skipping(mut self: Box<Self>) -> Box<Self> {
        self.kind = Kind::Skip;
        self
    }

    /// As in `spec.containers[0].image`; keys with dots or slashes are quoted.
    fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.segments.iter().rev() {
            match segment {
                Segment::Index(index) => {
                    let _ = write!(path, "[{index}]");
                }
                Segment::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    if key.contains(['.', '/', '[']) {
                        let _ = write!(path, "\"{key}\"");
                    } else {
                        path.push_str(key);
                    }
                }
            }
        }
        path
    }

    fn reason(&self) -> String {
        match &self.reason {
            Reason::Type { wanted, found: "null" } => format!("is missing, expected {wanted}"),
            Reason::Value { wanted, found: Value::Null } => {
                format!("is missing, expected `{wanted}`")
            }
            Reason::Type { wanted, found } => format!("expected {wanted}, found {found}"),
            Reason::Value { wanted, found } => {
                format!("`{}` does not match `{wanted}`", shortened(found))
            }
            Reason::Missing(key) => format!("`{key}` is missing"),
            Reason::NotAllowed(key) => format!("`{key}` is not allowed"),
            Reason::Absent(key) => format!("condition `{key}` is not in the resource"),
            Reason::NoneMatches => "no element matches".to_owned(),
            Reason::AllSkipped => "no element meets the conditions".to_owned(),
            Reason::TooShort { wanted, found } => {
                format!("expected at least {wanted} elements, found {found}")
            }
        }
    }
}

/// A value for a message: at most some 120 characters of it.
fn shortened(value: &Value) -> Cow<'_, str> {
    const LENGTH: usize = 120;
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(other.to_string()),
    };
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => text,
    }
}

type Matched<'m> = Result<(), Box<Mismatch<'m>>>;

fn matches<'m>(node: &'m Node, value: &'m Value, anchors: &mut Anchors) -> Matched<'m> {
    let wrong = |wanted| {
        let found = type_name(value);
        trace::note(StepOutcome::Fails, || {
            format!("{} must be {wanted}, found {found}", trace::path())
        });
        Err(Mismatch::new(Kind::Ordinary, Reason::Type { wanted, found }))
    };
    match node {
        Node::Object(object) => match value {
            Value::Object(members) => match_object(object, members, anchors),
            _ => wrong("object"),
        },
        Node::List(nodes) => match value {
            Value::Array(items) => match_list(nodes, items, anchors),
            _ => wrong("array"),
        },
        Node::Scalar(pattern) => match_scalar(pattern, value),
    }
}

/// A scalar pattern on a list holds for each of its elements.
fn match_scalar<'m>(pattern: &'m ScalarPattern, value: &'m Value) -> Matched<'m> {
    let failing = match value {
        Value::Array(items) => items.iter().find(|item| !pattern.matches(item)),
        scalar => (!pattern.matches(scalar)).then_some(scalar),
    };
    trace::answer(failing.is_none(), || match failing.unwrap_or(value) {
        Value::Null => format!("{} is missing, `{pattern}` is wanted", trace::path()),
        found => {
            let word = if failing.is_none() { "matches" } else { "does not match" };
            format!("{}: {} {word} `{pattern}`", trace::path(), trace::shown(found))
        }
    });
    match failing {
        None => Ok(()),
        Some(found) => Err(Mismatch::new(Kind::Ordinary, Reason::Value { wanted: pattern, found })),
    }
}

fn match_object<'m>(
    object: &'m ObjectNode,
    members: &'m Map<String, Value>,
    anchors: &mut Anchors,
) -> Matched<'m> {
    for entry in &object.entries {
        if let Some(number) = entry.number {
            anchors.sought |= 1 << number;
            if members.contains_key(&*entry.key) {
                anchors.found |= 1 << number;
            }
        }
    }
    for entry in &object.entries {
        match_entry(entry, members, anchors)?;
    }
    Ok(())
}

fn match_entry<'m>(
    entry: &'m Entry,
    members: &'m Map<String, Value>,
    anchors: &mut Anchors,
) -> Matched<'m> {
    let (key, value) = find(entry, members);
    trace::at(
        || key.to_owned(),
        || match_member(entry, key, value, anchors).map_err(|found| found.under(Segment::Key(key))),
    )
}

fn match_member<'m>(
    entry: &'m Entry,
    key: &'m str,
    value: Option<&'m Value>,
    anchors: &mut Anchors,
) -> Matched<'m> {
    let told = |outcome, words: &str| {
        trace::note(outcome, || format!("{} {words}", trace::path()));
    };
    match (entry.anchor, value) {
        (Anchor::None | Anchor::Add, value) if entry.anything => {
            let there = value.is_some_and(|value| !value.is_null());
            trace::answer(there, || format!("{} must be there", trace::path()));
            if there { Ok(()) } else { Err(Mismatch::new(Kind::Ordinary, Reason::Missing(key))) }
        }
        (Anchor::None | Anchor::Add, value) => {
            matches(&entry.node, value.unwrap_or(&NULL), anchors)
        }
        (Anchor::Equality | Anchor::Global | Anchor::Existence, None) => {
            told(StepOutcome::Skips, "is not there, so nothing is asked of it");
            Ok(())
        }
        (Anchor::Negation, None) => {
            told(StepOutcome::Holds, "must not be there");
            Ok(())
        }
        (Anchor::Condition, None) => {
            told(StepOutcome::Skips, "is a condition and is not there");
            Err(Mismatch::new(Kind::Skip, Reason::Absent(key)))
        }
        (Anchor::Equality, Some(value)) => matches(&entry.node, value, anchors),
        (Anchor::Condition | Anchor::Global, Some(value)) => {
            let found = matches(&entry.node, value, anchors).map_err(Mismatch::skipping);
            if found.is_err() {
                told(StepOutcome::Skips, "is a condition that does not hold");
            }
            found
        }
        (Anchor::Negation, Some(_)) => {
            told(StepOutcome::Fails, "must not be there");
            Err(Mismatch::new(Kind::Negation, Reason::NotAllowed(key)))
        }
        (Anchor::Existence, Some(value)) => match_existence(&entry.node, value, anchors),
    }
}

/// The member that an entry speaks of: by its key, or by a glob over labels and annotations.
fn find<'m>(entry: &'m Entry, members: &'m Map<String, Value>) -> (&'m str, Option<&'m Value>) {
    if let Some(glob) = &entry.glob
        && let Some((key, value)) = members.iter().find(|(key, _)| glob.matches(key))
    {
        return (key, Some(value));
    }
    (&entry.key, members.get(&*entry.key))
}

fn match_existence<'m>(node: &'m Node, value: &'m Value, anchors: &mut Anchors) -> Matched<'m> {
    let wrong = |wanted, found| Mismatch::new(Kind::Ordinary, Reason::Type { wanted, found });
    let Value::Array(items) = value else { return Err(wrong("array", type_name(value))) };
    let Node::List(nodes) = node else { return Err(wrong("a list in the pattern", "none")) };
    for node in nodes {
        let found = items.iter().any(|item| matches(node, item, anchors).is_ok());
        if !found {
            return Err(Mismatch::new(Kind::Ordinary, Reason::NoneMatches));
        }
    }
    Ok(())
}

fn match_list<'m>(nodes: &'m [Node], items: &'m [Value], anchors: &mut Anchors) -> Matched<'m> {
    let Some(first) = nodes.first() else { return Ok(()) };
    match first {
        // One object or scalar is the pattern of every element.
        Node::Object(_) => {
            let pairs = items.iter().map(|item| (first, item));
            match_pairs(pairs, anchors)
        }
        Node::Scalar(pattern) => {
            for (index, item) in items.iter().enumerate() {
                let matched = trace::at(|| format!("[{index}]"), || match_scalar(pattern, item));
                matched.map_err(|found| found.under(Segment::Index(index)))?;
            }
            Ok(())
        }
        Node::List(_) => {
            if items.len() < nodes.len() {
                let (wanted, found) = (nodes.len(), items.len());
                return Err(Mismatch::new(Kind::Ordinary, Reason::TooShort { wanted, found }));
            }
            match_pairs(nodes.iter().zip(items), anchors)
        }
    }
}

/// Every pair must match; those that conditions skip count only if nothing else was judged.
fn match_pairs<'m>(
    pairs: impl Iterator<Item = (&'m Node, &'m Value)>,
    anchors: &mut Anchors,
) -> Matched<'m> {
    let (mut judged, mut skipped) = (false, false);
    for (index, (node, item)) in pairs.enumerate() {
        match trace::at(|| format!("[{index}]"), || matches(node, item, anchors)) {
            Ok(()) => judged = true,
            Err(found) if found.kind == Kind::Skip => skipped = true,
            Err(found) => return Err(found.under(Segment::Index(index))),
        }
    }
    if skipped && !judged {
        return Err(Mismatch::new(Kind::Skip, Reason::AllSkipped));
    }
    Ok(())
}
