//! The audit trail: each configured log is followed into the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proofstream_ledger::writer::{ObserveError, Start};
use proofstream_model::Record;
use proofstream_observe::audit::file::TailOptions;
use proofstream_runtime::ingest::{
    Expected, Ingest, Intake, LedgerSink, Options, StoreControls, decision_of, follow,
};

use super::audit_policy::WatchedPolicy;
use super::heartbeats::Heartbeats;
use super::{Handles, Up, UpError};

/// Blocks and events remembered against doubles, and the last records read for them at the start.
const REMEMBERED: usize = 50_000;

/// One audit log as it is followed.
#[derive(Clone)]
pub(super) struct Followed {
    /// What it brings.
    pub(super) intake: Arc<Intake>,
    /// Whether it still is.
    pub(super) follows: Arc<AtomicBool>,
}

/// The trail's parts, for the page.
#[derive(Clone)]
pub(super) struct Trail {
    pub(super) ingest: Arc<Ingest>,
    pub(super) followed: Vec<Followed>,
    pub(super) received: Vec<Received>,
    pub(super) heartbeats: Heartbeats,
    pub(super) policy: Option<Arc<WatchedPolicy>>,
}

/// One API server that sends its events.
#[derive(Clone)]
pub(super) struct Received {
    /// Its name.
    pub(super) host: String,
    /// What it brings.
    pub(super) intake: Arc<Intake>,
}

/// Starts following every configured audit log.
pub(super) async fn start(up: &mut Up) -> Result<Trail, UpError> {
    let handles = up.handles.clone();
    let expected = Arc::new(Expected::default());
    let ingest = Arc::new(Ingest::new(Options {
        cluster: Some(handles.cluster.clone()),
        decisions: Arc::clone(&handles.recent) as _,
        controls: Arc::new(StoreControls::new(
            Arc::clone(&handles.policies),
            Arc::clone(&handles.catalog) as _,
        )),
        expected: Arc::clone(&expected),
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
        followed.push(Followed { intake: Arc::clone(&intake), follows: Arc::clone(&follows) });
        let (options, clock) = (TailOptions::new(&log.path), handles.clock.clone());
        up.add(async move {
            if let Err(error) = follow(&intake, options, move || clock.now()).await {
                tracing::error!(source = name, %error, "the audit log is no longer followed");
            }
            follows.store(false, Ordering::Relaxed);
        });
    }
    let received = receive(&handles, &ingest)?;
    let policy = handles.config.audit.policy.as_ref().map(|path| {
        let policy = WatchedPolicy::new(path, expected);
        up.add(Arc::clone(&policy).watch());
        policy
    });
    Ok(Trail { ingest, followed, received, heartbeats: Heartbeats::default(), policy })
}

/// Lets API servers send. What they sent while we were away they may have given up on, so each start
/// is a new epoch, and a `gap` record says since when.
fn receive(handles: &Handles, ingest: &Arc<Ingest>) -> Result<Vec<Received>, UpError> {
    let mut received = Vec::new();
    for webhook in &handles.config.audit.webhooks {
        let name = format!("audit-webhook/{}", webhook.host);
        let source = handles.writer.source(&name, Start::NewEpoch)?;
        let sink = Arc::new(LedgerSink::new(Arc::clone(&handles.writer), source));
        let intake = Intake::new(Arc::clone(ingest), sink);
        handles.audit_webhooks.attach(&webhook.host, Arc::clone(&intake));
        received.push(Received { host: webhook.host.clone(), intake });
    }
    Ok(received)
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
