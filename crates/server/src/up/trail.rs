//! The audit trail: each configured log is followed into the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proofstream_catalog::Catalog;
use proofstream_ledger::writer::{ObserveError, Start};
use proofstream_model::{ControlRef, Enforcer, Record};
use proofstream_observe::audit::file::TailOptions;
use proofstream_runtime::ingest::{
    Ingest, Intake, LedgerSink, Options, PolicyControls, decision_of, follow,
};

use super::{Handles, Up, UpError};

/// Blocks and events remembered against doubles, and the last records read for them at the start.
const REMEMBERED: usize = 50_000;

/// One audit log as it is followed.
#[derive(Clone)]
pub(super) struct Followed {
    /// The source's name.
    pub(super) source: String,
    /// Whether it still is.
    pub(super) follows: Arc<AtomicBool>,
}

/// The trail's parts, for the page.
#[derive(Clone)]
pub(super) struct Trail {
    pub(super) ingest: Arc<Ingest>,
    pub(super) followed: Vec<Followed>,
}

/// What the catalog says of the policies that other enforcers name.
struct Named(Arc<Catalog>);

impl PolicyControls for Named {
    fn controls(&self, enforcer: Enforcer, policy: &str) -> ControlRef {
        let word = match enforcer {
            Enforcer::Proofstream => {
                return self.0.controls_for_policy(policy, &BTreeMap::new());
            }
            Enforcer::PodSecurity => "pod-security",
            Enforcer::ValidatingAdmissionPolicy => "validating-admission-policy",
            Enforcer::Kyverno => "kyverno",
            Enforcer::Gatekeeper => "gatekeeper",
            Enforcer::OtherWebhook => "other-webhook",
        };
        let mut of_enforcer = self.0.controls_for_enforcer(word);
        let of_policy = self.0.controls_for_policy(policy, &BTreeMap::new());
        of_enforcer.controls.extend(of_policy.controls);
        of_enforcer.controls.sort();
        of_enforcer.controls.dedup();
        of_enforcer.requirements.extend(of_policy.requirements);
        of_enforcer.requirements.sort();
        of_enforcer.requirements.dedup();
        of_enforcer
    }
}

/// Starts following every configured audit log.
pub(super) async fn start(up: &mut Up) -> Result<Trail, UpError> {
    let handles = up.handles.clone();
    let ingest = Arc::new(Ingest::new(Options {
        cluster: Some(handles.cluster.clone()),
        decisions: Arc::clone(&handles.recent) as _,
        controls: Arc::new(Named(Arc::clone(&handles.catalog))),
        remembered: REMEMBERED,
    }));
    seed(&handles, &ingest).await?;
    let mut followed = Vec::new();
    for log in &handles.config.audit.logs {
        let name = format!("audit-file/{}", log.host);
        let source = handles.writer.source(&name, Start::Resume)?;
        let sink = Arc::new(LedgerSink::new(Arc::clone(&handles.writer), source));
        let intake = Intake::new(Arc::clone(&ingest), sink);
        let follows = Arc::new(AtomicBool::new(true));
        followed.push(Followed { source: name.clone(), follows: Arc::clone(&follows) });
        let (options, clock) = (TailOptions::new(&log.path), handles.clock.clone());
        up.add(async move {
            if let Err(error) = follow(&intake, options, move || clock.now()).await {
                tracing::error!(source = name, %error, "the audit log is no longer followed");
            }
            follows.store(false, Ordering::Relaxed);
        });
    }
    Ok(Trail { ingest, followed })
}

/// Reads the ledger's last records back: what is known must not be written twice, and events may
/// refer to decisions from before this start.
async fn seed(handles: &Handles, ingest: &Arc<Ingest>) -> Result<(), UpError> {
    let (writer, recent) = (Arc::clone(&handles.writer), Arc::clone(&handles.recent));
    let ingest = Arc::clone(ingest);
    let work = tokio::task::spawn_blocking(move || -> Result<(), ObserveError> {
        let end = writer.durable_end();
        let mut observer = writer.observe(end.saturating_sub(REMEMBERED as u64));
        while observer.position() < end {
            let Some(observed) = observer.next(Duration::from_millis(500))? else { break };
            for record in observed.lines().filter_map(|line| Record::parse(line).ok()) {
                ingest.seed(&record);
                if let Some((reference, known)) = decision_of(&record) {
                    recent.insert(reference, known);
                }
            }
        }
        Ok(())
    });
    work.await
        .map_err(|error| UpError::Derived(error.to_string()))?
        .map_err(|error| UpError::Derived(error.to_string()))
}
