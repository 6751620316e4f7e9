//! Requests about which a webhook could not be asked: lapses of whatever stands behind it.

use std::collections::BTreeMap;

use proofstream_model::Timestamp;

/// Webhooks that are told apart; calls of further ones are in the counters alone.
const MOST: usize = 64;

/// What one webhook (or ValidatingAdmissionPolicy) could not be asked about since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncalled {
    /// Its name.
    pub webhook: String,
    /// Requests that were refused for it (`failurePolicy: Fail`).
    pub refused: u64,
    /// Requests that went on without it (`failurePolicy: Ignore`).
    pub passed: u64,
    /// When it last happened, as the API server says.
    pub last: Option<Timestamp>,
}

/// One webhook that one event says could not be asked.
#[derive(Debug, Clone)]
pub(super) struct Lapse {
    pub(super) webhook: String,
    pub(super) refused: bool,
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(super) struct Book(BTreeMap<String, Uncalled>);

// === impl Uncalled ===

impl Uncalled {
    /// Whether it is one of our own webhooks.
    pub fn is_ours(&self) -> bool {
        self.webhook.ends_with(".validate.proofstream.dev")
    }
}

// === impl Book ===

impl Book {
    pub(super) fn add(&mut self, lapse: &Lapse, time: Option<Timestamp>) {
        if self.0.len() >= MOST && !self.0.contains_key(&lapse.webhook) {
            return;
        }
        let entry = self.0.entry(lapse.webhook.clone()).or_insert_with(|| Uncalled {
            webhook: lapse.webhook.clone(),
            refused: 0,
            passed: 0,
            last: None,
        });
        entry.refused += u64::from(lapse.refused);
        entry.passed += u64::from(!lapse.refused);
        entry.last = entry.last.max(time);
    }

    pub(super) fn all(&self) -> Vec<Uncalled> {
        self.0.values().cloned().collect()
    }
}
