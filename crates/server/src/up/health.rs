//! How each part does, in words.

use std::sync::atomic::{AtomicU64, Ordering};

use proofstream_runtime::background::Progress;
use tokio::sync::watch;

use super::Handles;
use super::derived::Shown;
use super::trail::Trail;
use crate::web::{Health, HealthState};

/// What health is read from.
pub(super) struct Watched {
    pub(super) handles: Handles,
    pub(super) shown: Shown,
    pub(super) trail: Trail,
    pub(super) progress: watch::Receiver<Progress>,
}

// === impl Watched ===

impl Watched {
    /// Every part, in the order of the stream.
    pub(super) fn parts(&self) -> Vec<Health> {
        let mut parts = vec![self.api_server(), self.admission(), self.policies()];
        parts.extend(self.trail());
        parts.extend([self.background(), self.ledger(), self.page()]);
        parts
    }

    fn api_server(&self) -> Health {
        let (state, detail) = match self.handles.reach.lost_by() {
            None => (HealthState::Working, "answers".to_owned()),
            Some(cause) => (HealthState::Failing, format!("does not answer: {cause}")),
        };
        Health { part: "api server".to_owned(), state, detail }
    }

    fn admission(&self) -> Health {
        let admission = &self.handles.admission;
        let counters = admission.counters();
        let state = if admission.is_ready() { HealthState::Working } else { HealthState::Failing };
        let detail = if admission.is_ready() {
            format!(
                "since the start {} denied, {} allowed, {} matched no policy, {} recorded late, {} \
                 not recorded",
                count(&counters.denied),
                count(&counters.allowed),
                count(&counters.unmatched),
                count(&counters.late),
                count(&counters.unrecorded),
            )
        } else {
            "the policies are not read yet".to_owned()
        };
        Health { part: "admission".to_owned(), state, detail }
    }

    fn policies(&self) -> Health {
        let reports = self.handles.policies.reports();
        let broken: Vec<String> = reports
            .iter()
            .filter(|report| !report.ready)
            .map(|report| report.key.full_name())
            .collect();
        let (state, detail) = if broken.is_empty() {
            (HealthState::Working, format!("{} in force", reports.len()))
        } else {
            (HealthState::Failing, format!("not in force as written: {}", broken.join(", ")))
        };
        Health { part: "policies".to_owned(), state, detail }
    }

    fn trail(&self) -> Vec<Health> {
        if self.trail.followed.is_empty() {
            let detail = "no audit log is configured: decisions stay unconfirmed, blocks uncounted";
            return vec![Health {
                part: "audit trail".to_owned(),
                state: HealthState::Off,
                detail: detail.to_owned(),
            }];
        }
        let counters = self.trail.ingest.counters();
        let followed = self.trail.followed.iter().map(|log| {
            let follows = log.follows.load(Ordering::Relaxed);
            Health {
                part: log.source.clone(),
                state: if follows { HealthState::Working } else { HealthState::Failing },
                detail: format!(
                    "since the start {} events, {} blocks, {} gaps, {} failed closed, {} failed open",
                    count(&counters.events),
                    count(&counters.blocks),
                    count(&counters.gaps),
                    count(&counters.failed_closed),
                    count(&counters.failed_open),
                ),
            }
        });
        followed.collect()
    }

    fn background(&self) -> Health {
        let progress = self.progress.borrow();
        let state = if progress.not_evaluated.is_empty() {
            HealthState::Working
        } else {
            HealthState::Failing
        };
        let mut detail = format!("{} whole passes", progress.passes);
        if !progress.kinds.is_empty() {
            detail = format!("{detail}; watching {}", progress.kinds.join(", "));
        }
        if !progress.not_evaluated.is_empty() {
            detail = format!("{detail}; not evaluated: {}", progress.not_evaluated.join("; "));
        }
        Health { part: "background".to_owned(), state, detail }
    }

    fn ledger(&self) -> Health {
        let writer = &self.handles.writer;
        Health {
            part: "ledger".to_owned(),
            state: if self.shown.follows.load(Ordering::Relaxed) {
                HealthState::Working
            } else {
                HealthState::Failing
            },
            detail: format!("{} records are durable", writer.durable_end()),
        }
    }

    fn page(&self) -> Health {
        let follows = self.shown.follows.load(Ordering::Relaxed);
        Health {
            part: "page".to_owned(),
            state: if follows { HealthState::Working } else { HealthState::Failing },
            detail: format!("shows the ledger up to record {}", *self.shown.applied.borrow()),
        }
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
