//! Our own decisions, found by the reference that an audit event carries.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use proofstream_model::{ControlId, Decision, DecisionRef, Verdict};

/// A decision with the controls that its record is evidence for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The decision.
    pub decision: Arc<Decision>,
    /// Controls, sorted.
    pub controls: Vec<ControlId>,
}

// === impl Known ===

impl Known {
    /// What events need of a decision: of its rules those that did not pass, and not who asked, which an
    /// event says itself.
    pub fn of(decision: Decision, mut controls: Vec<ControlId>) -> Self {
        let mut decision = Decision {
            user: String::new(),
            groups: Vec::new(),
            uid: String::new(),
            request_kind: None,
            ..decision
        };
        decision.rules.retain(|rule| rule.verdict != Verdict::Pass);
        decision.rules.shrink_to_fit();
        controls.shrink_to_fit();
        Self { decision: Arc::new(decision), controls }
    }
}

/// Finds decisions.
pub trait DecisionLookup: Send + Sync {
    /// The decision under `reference`; none where it is not known (any more).
    fn find(&self, reference: &DecisionRef) -> Option<Known>;
}

/// The last decisions, in memory; what is older is asked of `beyond`.
pub struct RecentDecisions {
    most: usize,
    state: Mutex<State>,
    beyond: Option<Arc<dyn DecisionLookup>>,
}

#[derive(Default)]
struct State {
    known: HashMap<DecisionRef, Known>,
    order: VecDeque<DecisionRef>,
}

// === impl RecentDecisions ===

impl RecentDecisions {
    /// Keeps the last `most` decisions.
    pub fn new(most: usize, beyond: Option<Arc<dyn DecisionLookup>>) -> Self {
        Self { most, state: Mutex::new(State::default()), beyond }
    }

    /// Takes a decision in. To be called before the webhook's answer goes out, so that the event of
    /// the request finds it.
    pub fn insert(&self, reference: DecisionRef, known: Known) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.insert(reference.clone(), known).is_none() {
            state.order.push_back(reference);
        }
        while state.order.len() > self.most {
            if let Some(oldest) = state.order.pop_front() {
                state.known.remove(&oldest);
            }
        }
    }
}

impl DecisionLookup for RecentDecisions {
    fn find(&self, reference: &DecisionRef) -> Option<Known> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.known.get(reference).cloned();
        drop(state);
        known.or_else(|| self.beyond.as_ref()?.find(reference))
    }
}
