//! Whether the ledger's storage does what it should, as its writer tells it.

use std::sync::{Mutex, PoisonError};

use proofstream_ledger::writer::Event;

/// What fails now of the ledger's storage.
#[derive(Debug, Default)]
pub struct LedgerStorage(Mutex<Failing>);

#[derive(Debug, Default)]
struct Failing {
    log: Option<String>,
    seal: Option<String>,
}

// === impl LedgerStorage ===

impl LedgerStorage {
    /// Takes in what the writer says, and says it to the operator.
    pub(super) fn tell(&self, event: &Event) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Sealed { size, first, count } => {
                tracing::debug!(size, first, count, "sealed a segment");
                failing.seal = None;
                return;
            }
            Event::LogResumed { path, rewritten } => {
                tracing::warn!(path, rewritten, "the write-ahead log goes on");
                failing.log = None;
                return;
            }
            Event::LogFailed { error, .. } | Event::LogUnavailable { error } => {
                failing.log = Some(error.clone());
            }
            Event::SealFailed { error } => failing.seal = Some(error.clone()),
            _ => {}
        }
        tracing::error!(?event, "the ledger's storage fails; policies are enforced still");
    }

    /// What fails, in words; `None` while all is well.
    pub(super) fn failing(&self) -> Option<String> {
        let failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let log = failing.log.as_ref().map(|error| format!("records are not durable: {error}"));
        let seal = failing.seal.as_ref().map(|error| format!("segments are not sealed: {error}"));
        match (log, seal) {
            (Some(log), Some(seal)) => Some(format!("{log}; {seal}")),
            (log, seal) => log.or(seal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_lasts_until_what_failed_works() {
        let storage = LedgerStorage::default();
        assert_eq!(storage.failing(), None);
        storage.tell(&Event::LogUnavailable { error: "no space".to_owned() });
        storage.tell(&Event::SealFailed { error: "no space".to_owned() });
        storage.tell(&Event::Sealed { size: 1, first: 0, count: 1 });
        let failing = storage.failing().unwrap();
        assert_eq!(failing, "records are not durable: no space");
        storage.tell(&Event::LogResumed { path: "log".to_owned(), rewritten: 0 });
        assert_eq!(storage.failing(), None);
    }
}
