//! What a judgement does, step by step, for whoever asks to hear it. Judging runs the same code whether
//! somebody listens or not; where nobody does, a step is not even put into words.

use std::cell::RefCell;

use serde::Serialize;

/// Most steps of one rule that are told.
const MAX_STEPS: usize = 2_000;
/// Longest text of a value, in characters.
const MAX_VALUE: usize = 120;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// What was asked is so.
    Holds,
    /// It is not.
    Fails,
    /// It does not apply.
    Skips,
    /// Nothing was asked.
    Info,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// How deep it stands within others.
    pub depth: usize,
    /// What it came to.
    pub outcome: StepOutcome,
    /// What was done, in words.
    pub text: String,
}

#[derive(Default)]
struct Listener {
    steps: Vec<Step>,
    depth: usize,
    /// Where in the object the judgement is.
    path: Vec<String>,
}

thread_local! {
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Does work, and tells its steps.
pub(crate) fn listen<T>(work: impl FnOnce() -> T) -> (T, Vec<Step>) {
    let before = LISTENER.replace(Some(Listener::default()));
    let done = work();
    let heard = LISTENER.replace(before);
    (done, heard.map(|heard| heard.steps).unwrap_or_default())
}

/// Whether somebody listens.
pub(crate) fn is_heard() -> bool {
    LISTENER.with_borrow(Option::is_some)
}

/// Tells a step.
pub(crate) fn note(outcome: StepOutcome, text: impl FnOnce() -> String) {
    if !is_heard() {
        return;
    }
    let text = text();
    LISTENER.with_borrow_mut(|listener| {
        if let Some(listener) = listener
            && listener.steps.len() < MAX_STEPS
        {
            let depth = listener.depth;
            listener.steps.push(Step { depth, outcome, text });
        }
    });
}

/// Tells a question and its answer.
pub(crate) fn answer(holds: bool, text: impl FnOnce() -> String) {
    note(if holds { StepOutcome::Holds } else { StepOutcome::Fails }, text);
}

/// Does work whose steps stand below a heading.
pub(crate) fn within<T>(heading: impl FnOnce() -> String, work: impl FnOnce() -> T) -> T {
    if !is_heard() {
        return work();
    }
    note(StepOutcome::Info, heading);
    deeper(1);
    let done = work();
    deeper(-1);
    done
}

fn deeper(by: isize) {
    LISTENER.with_borrow_mut(|listener| {
        if let Some(listener) = listener {
            listener.depth = listener.depth.saturating_add_signed(by);
        }
    });
}

/// Does work inside of a member of the object.
pub(crate) fn at<T>(member: impl FnOnce() -> String, work: impl FnOnce() -> T) -> T {
    if !is_heard() {
        return work();
    }
    let member = member();
    LISTENER.with_borrow_mut(|listener| {
        if let Some(listener) = listener {
            listener.path.push(member);
        }
    });
    let done = work();
    LISTENER.with_borrow_mut(|listener| {
        if let Some(listener) = listener {
            listener.path.pop();
        }
    });
    done
}

/// Where in the object the judgement is, as in `spec.containers[0].image`.
pub(crate) fn path() -> String {
    LISTENER.with_borrow(|listener| {
        let mut path = String::new();
        for member in listener.iter().flat_map(|listener| &listener.path) {
            if !(path.is_empty() || member.starts_with('[')) {
                path.push('.');
            }
            path.push_str(member);
        }
        path
    })
}

/// A value in a few words.
pub(crate) fn shown(value: &serde_json::Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
