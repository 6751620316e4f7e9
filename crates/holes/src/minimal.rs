//! Makes a hole as small as it can be.

use serde_json::Value;

use crate::candidate::{Candidate, children};

/// Takes out of a candidate, part by part, what it need not have to stay what it is: first whole parts, then
/// what is inside of those that must stay. `holds` tells whether it still is one. What leaves a pod leaves
/// the running pod that it changes, too.
pub(crate) fn minimal(candidate: &mut Candidate, holds: impl Fn(&Candidate) -> bool) {
    shrink(candidate, "", &holds);
}

fn shrink(candidate: &mut Candidate, at: &str, holds: &impl Fn(&Candidate) -> bool) {
    let Some(value) = candidate.object.pointer(at) else { return };
    for child in children(value) {
        let path = format!("{at}/{child}");
        let is_kept = |kept: &String| *kept == path;
        if candidate.kept.iter().any(is_kept) {
            continue;
        }
        // What leads to something that is kept can only shrink.
        let within = format!("{path}/");
        let must_stay = candidate
            .kept
            .iter()
            .any(|kept| kept.starts_with(&within) && candidate.object.pointer(kept).is_some());
        if !must_stay {
            let mut smaller = candidate.clone();
            if remove(&mut smaller.object, at, &child)
                && smaller.before.as_mut().is_none_or(|before| {
                    remove(before, at, &child);
                    true
                })
                && holds(&smaller)
            {
                *candidate = smaller;
                continue;
            }
        }
        shrink(candidate, &path, holds);
    }
}

/// Takes a member or an entry out; whether there was one.
fn remove(object: &mut Value, at: &str, child: &str) -> bool {
    let key = child.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(at) {
        Some(Value::Object(members)) => members.remove(&key).is_some(),
        Some(Value::Array(items)) => match key.parse::<usize>() {
            Ok(place) if place < items.len() => {
                items.remove(place);
                true
            }
            _ => false,
        },
        _ => false,
    }
}
