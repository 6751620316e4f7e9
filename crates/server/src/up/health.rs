//! How each part does, in words.

use std::sync::atomic::{AtomicU64, Ordering};

use proofstream_runtime::background::Progress;
use proofstream_runtime::ingest::{Intake, Uncalled};
use tokio::sync::watch;

use super::Handles;
use super::derived::Shown;
use super::trail::{Received, Trail};
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
        if self.trail.followed.is_empty() && self.trail.received.is_empty() {
            let detail = "no audit log and no audit webhook is configured: decisions stay \
                          unconfirmed, blocks uncounted";
            return vec![Health {
                part: "audit trail".to_owned(),
                state: HealthState::Off,
                detail: detail.to_owned(),
            }];
        }
        let followed = self.trail.followed.iter().map(|log| {
            let follows = log.follows.load(Ordering::Relaxed);
            self.with_pulse(Health {
                part: log.intake.source().to_owned(),
                state: if follows { HealthState::Working } else { HealthState::Failing },
                detail: brought(&log.intake),
            })
        });
        let received = self.trail.received.iter().map(|webhook| self.received(webhook));
        let policy = self.trail.policy.iter().map(|policy| policy.health());
        followed.chain(received).chain(policy).chain([self.calls()]).collect()
    }

    fn received(&self, webhook: &Received) -> Health {
        let mut detail = brought(&webhook.intake);
        let mut state = HealthState::Working;
        if let Some(counters) = self.handles.audit_webhooks.counters(&webhook.host) {
            match counters.last() {
                Some(last) => detail = format!("{detail}; last batch {last}"),
                None => detail = format!("{detail}; no batch has come yet"),
            }
            let wrong = [
                (&counters.refused, "refused as no events or too long"),
                (&counters.unauthorized, "without its token"),
            ];
            for (counter, what) in wrong {
                if count(counter) > 0 {
                    state = HealthState::Failing;
                    detail = format!("{detail}, {} {what}", count(counter));
                }
            }
            if count(&counters.put_off) > 0 {
                detail = format!("{detail}, {} put off", count(&counters.put_off));
            }
        }
        self.with_pulse(Health { part: webhook.intake.source().to_owned(), state, detail })
    }

    /// Adds what the source's heartbeats say.
    fn with_pulse(&self, mut health: Health) -> Health {
        let host = health.part.split_once('/').map_or("", |(_, host)| host);
        let said = match (self.trail.heartbeats.without.get(host), self.trail.heartbeats.pulses.of(&health.part)) {
            (Some(why), _) => format!("whether it is complete is not evaluated: {why}"),
            (None, None) => "no heartbeat was sent yet".to_owned(),
            (None, Some(pulse)) => match (pulse.silent_since(), pulse.last()) {
                (Some(since), _) => {
                    health.state = HealthState::Failing;
                    format!("SILENT since {since}: heartbeats do not come back")
                }
                _ if pulse.is_unlogged() => {
                    "whether it is complete is not evaluated: the API server's audit policy logs no heartbeats \
                     (create selfsubjectaccessreviews.authorization.k8s.io)"
                        .to_owned()
                }
                (None, Some((at, took))) => {
                    format!("last heartbeat came back {at}, after {:.1} s", took.as_secs_f64())
                }
                (None, None) => "no heartbeat came back yet".to_owned(),
            },
        };
        health.detail = format!("{}; {said}", health.detail);
        health
    }

    /// Requests about which a webhook could not be asked, as the audit trail tells it.
    fn calls(&self) -> Health {
        let uncalled = self.trail.ingest.uncalled();
        let ours = uncalled.iter().any(Uncalled::is_ours);
        let said: Vec<String> = uncalled
            .iter()
            .map(|one| {
                let last = one.last.map(|last| format!(", last {last}")).unwrap_or_default();
                format!("`{}`: {} refused, {} let pass{last}", one.webhook, one.refused, one.passed)
            })
            .collect();
        let detail = if said.is_empty() {
            "since the start every webhook could be asked".to_owned()
        } else {
            format!("could not be asked since the start: {}", said.join("; "))
        };
        let state = if ours { HealthState::Failing } else { HealthState::Working };
        Health { part: "admission calls".to_owned(), state, detail }
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
        let durable = format!("{} records are durable", self.handles.writer.durable_end());
        let (state, detail) = match self.handles.storage.failing() {
            None => (HealthState::Working, durable),
            Some(failing) => (HealthState::Failing, format!("{durable}; {failing}")),
        };
        Health { part: "ledger".to_owned(), state, detail }
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

/// What a source of audit events brought.
fn brought(intake: &Intake) -> String {
    let counters = intake.counters();
    format!(
        "since the start {} events, {} blocks, {} gaps",
        count(&counters.events),
        count(&counters.blocks),
        count(&counters.gaps),
    )
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
