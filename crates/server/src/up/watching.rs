//! The background evaluation of what already runs.

use std::sync::Arc;

use proofstream_ledger::writer::Start;
use proofstream_runtime::background::{Audit, Background, PolicyJudge, Progress};
use proofstream_runtime::recorder::Recorder;
use proofstream_runtime::reports::Reports;
use tokio::sync::watch;

use super::{Up, UpError};

/// Starts it, with what the ledger says is open.
pub(super) fn start(up: &mut Up) -> Result<watch::Receiver<Progress>, UpError> {
    let handles = up.handles.clone();
    let open =
        handles.projection.open_findings().map_err(|error| UpError::Derived(error.to_string()))?;
    let source = handles.writer.source("scan", Start::NewEpoch)?;
    let judge = PolicyJudge {
        client: handles.client.clone(),
        policies: Arc::clone(&handles.policies),
        namespaces: Arc::clone(&handles.namespaces),
        lookups: Arc::clone(&handles.lookups) as _,
        inventory: Arc::clone(&handles.inventory),
    };
    let notebook = Recorder::new(source, handles.clock);
    let reports = handles.config.reports.enabled.then(|| {
        let (client, policies) = (handles.client.clone(), Arc::clone(&handles.policies));
        Reports::new(client, policies, handles.config.reports.per_second)
    });
    if let Some(reports) = &reports {
        up.add(Arc::clone(reports).run());
    }
    let (judge, notebook) = (Arc::new(judge), Arc::new(notebook));
    let background = Background::new(handles.client.clone(), judge, notebook, open, handles.reach);
    let audit = Audit::new(handles.client.clone(), Arc::clone(&handles.policies));
    let background = background.reporting(reports).auditing(audit);
    let progress = background.progress();
    let policies = handles.policies;
    up.add(async move {
        // Before every policy is read, those that are missing would take their findings with them.
        let mut changes = policies.subscribe();
        while !policies.is_ready() {
            if changes.changed().await.is_err() {
                return;
            }
        }
        background.run().await;
    });
    Ok(progress)
}
