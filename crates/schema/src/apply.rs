//! Merging of an apply configuration into an object, as structured merge does it.
//!
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy>

use serde_json::{Map, Value};

use crate::check::{ApplyError, Path, check, refuse_atomics};
use crate::shape::{Node, Relation, Shape};

/// What an apply configuration may do to a list that is one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtomicLists {
    /// Nothing, as for Kubernetes' MutatingAdmissionPolicy.
    Refused,
    /// Replace it, as for Kyverno's MutatingPolicy.
    Replaced,
}

/// Merges `configuration` into `live`, whose type is `shape`; without one, structures are merged and
/// lists replaced.
///
/// # Errors
/// The configuration does not fit the type, or it touches what is one value.
pub fn apply(
    shape: Option<Shape<'_>>,
    live: &Value,
    configuration: &Value,
    lists: AtomicLists,
) -> Result<Value, ApplyError> {
    let shape = shape.unwrap_or_else(Shape::unknown);
    check(shape, configuration, Path::Root)?;
    refuse_atomics(shape, configuration, lists)?;
    Ok(merge(shape, Some(live), Some(configuration)).unwrap_or(Value::Null))
}

/// Of two values what stands on the right, merged with what stands on the left.
fn merge(shape: Shape<'_>, left: Option<&Value>, right: Option<&Value>) -> Option<Value> {
    let (Some(left), Some(right)) = (left, right) else {
        return right.or(left).cloned();
    };
    match (shape.node(), left, right) {
        (Node::Map(_) | Node::Unknown, Value::Object(mine), Value::Object(theirs))
            if !(shape.is_atomic() || mine.is_empty() && theirs.is_empty()) =>
        {
            Some(Value::Object(merge_members(shape, mine, theirs)))
        }
        // A structure that is null on the right says nothing of the one on the left.
        (Node::Map(_), Value::Object(mine), Value::Null)
            if !shape.is_atomic() && !mine.is_empty() =>
        {
            Some(left.clone())
        }
        (Node::List(list), Value::Array(mine), Value::Array(theirs))
            if list.relation != Relation::Atomic && !(mine.is_empty() && theirs.is_empty()) =>
        {
            Some(Value::Array(merge_items(shape, mine, theirs)))
        }
        (Node::List(list), Value::Array(mine), Value::Null)
            if list.relation != Relation::Atomic && !mine.is_empty() =>
        {
            Some(left.clone())
        }
        _ => Some(right.clone()),
    }
}

fn merge_members(
    shape: Shape<'_>,
    mine: &Map<String, Value>,
    theirs: &Map<String, Value>,
) -> Map<String, Value> {
    let mut made = mine.clone();
    for (name, value) in theirs {
        // INVARIANT: the configuration was checked: it has no member without a type.
        let inner = shape.member(name).unwrap_or_else(Shape::unknown);
        if let Some(merged) = merge(inner, mine.get(name), Some(value)) {
            made.insert(name.clone(), merged);
        }
    }
    made
}

/// What tells an element of a list from others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identity(Vec<Value>);

impl Identity {
    /// Those of the elements of a list.
    pub(crate) fn of_all(
        shape: Shape<'_>,
        items: &[Value],
        path: Path<'_>,
    ) -> Result<Vec<Self>, ApplyError> {
        let one = |(place, item)| Self::of(shape, item, Path::Element(&path, place));
        items.iter().enumerate().map(one).collect()
    }

    fn of(shape: Shape<'_>, item: &Value, path: Path<'_>) -> Result<Self, ApplyError> {
        let Relation::Keys(keys) = shape.relation() else { return Ok(Self(vec![item.clone()])) };
        let element = shape.element();
        let value = |key: &String| {
            let written = item.get(key).filter(|value| !value.is_null());
            let default = || element.and_then(|element| element.default_of(key));
            written
                .or_else(default)
                .cloned()
                .ok_or_else(|| ApplyError::NoKey { path: path.text(), key: key.clone() })
        };
        keys.iter().map(value).collect::<Result<_, _>>().map(Self)
    }

    /// What the elements of an object's own list are told apart by; what has no key is like no other.
    fn of_own(shape: Shape<'_>, items: &[Value]) -> Vec<Option<Self>> {
        items.iter().map(|item| Self::of(shape, item, Path::Root).ok()).collect()
    }
}

/// Elements of the right list in its order, and those of the left alone where they stood between what
/// both have.
fn merge_items(shape: Shape<'_>, mine: &[Value], theirs: &[Value]) -> Vec<Value> {
    let element = shape.element().unwrap_or_else(Shape::unknown);
    let (left, right) = (Identity::of_own(shape, mine), Identity::of_own(shape, theirs));
    let place_of = |all: &[Option<Identity>], wanted: &Option<Identity>| {
        wanted.as_ref()?;
        all.iter().position(|one| one == wanted)
    };
    let merged = |right_place: usize| {
        let own = right.get(right_place).and_then(|wanted| place_of(&left, wanted));
        merge(element, own.and_then(|place| mine.get(place)), theirs.get(right_place))
    };
    // Right places of what both have, in the order of the right.
    let is_shared = |(place, wanted)| place_of(&left, wanted).map(|_| place);
    let mut shared = right.iter().enumerate().filter_map(is_shared).peekable();
    let mut made = Vec::with_capacity(mine.len().max(theirs.len()));
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        let at_right = left.get(l).and_then(|wanted| place_of(&right, wanted));
        match at_right {
            // Only the left has it.
            None if l < left.len() => {
                made.extend(mine.get(l).cloned());
                l += 1;
                continue;
            }
            Some(place) if place < r => {
                // It was merged before. Once nothing shared is left, what the right adds comes first.
                l += 1;
                if shared.peek().is_some() || r >= right.len() {
                    continue;
                }
            }
            // Another of those that both have comes first.
            Some(place)
                if r < right.len()
                    && place != r
                    && shared.peek().is_some_and(|next| *next != place) =>
            {
                l += 1;
                continue;
            }
            Some(place) if r < right.len() && place != r => {}
            Some(_) => l += 1,
            None => {}
        }
        if r < right.len() {
            made.extend(merged(r));
            shared.next_if_eq(&r);
            r += 1;
        }
    }
    made
}
