//! What changes the cluster itself: generate rules, mutate rules for objects that exist, and cleanup.

use std::sync::Arc;

use proofstream_ledger::writer::Start;
use proofstream_runtime::admission::ApiServer;
use proofstream_runtime::cleanup::Cleaner;
use proofstream_runtime::existing::{Mutator, Rules};
use proofstream_runtime::generation::{Generator, Maker};
use proofstream_runtime::hands::Hands;
use proofstream_runtime::recorder::Recorder;

use super::{Up, UpError};

/// Starts them, with what the ledger says was made and stands, and was settled.
pub(super) fn start(up: &mut Up) -> Result<(), UpError> {
    let handles = up.handles.clone();
    let open =
        handles.projection.products().map_err(|error| UpError::Derived(error.to_string()))?;
    let settled =
        handles.projection.settled().map_err(|error| UpError::Derived(error.to_string()))?;
    let hands = |name: &str| -> Result<Hands, UpError> {
        let source = handles.writer.source(name, Start::Resume)?;
        let recorder = Recorder::new(source, handles.clock.clone());
        Ok(Hands::new(handles.client.clone(), recorder))
    };
    let lookups = Arc::new(ApiServer::new(handles.client.clone()));
    let maker = Maker {
        client: handles.client.clone(),
        policies: Arc::clone(&handles.policies),
        enforcers: Arc::clone(&handles.enforcers),
        namespaces: Arc::clone(&handles.namespaces),
        lookups: Arc::<ApiServer>::clone(&lookups),
    };
    let generator = Generator::new(handles.client.clone(), maker, hands("generate")?, open);
    let rules = Rules {
        client: handles.client.clone(),
        policies: Arc::clone(&handles.policies),
        enforcers: Arc::clone(&handles.enforcers),
        namespaces: Arc::clone(&handles.namespaces),
        lookups: Arc::<ApiServer>::clone(&lookups),
    };
    let mutator = Mutator::new(handles.client.clone(), rules, hands("mutate")?, settled);
    let cleaner = Cleaner {
        client: handles.client.clone(),
        policies: Arc::clone(&handles.policies),
        enforcers: Arc::clone(&handles.enforcers),
        namespaces: Arc::clone(&handles.namespaces),
        lookups,
        hands: hands("cleanup")?,
    };
    let policies = Arc::clone(&handles.policies);
    up.add(async move {
        // Before every policy is read, what those that are missing made would be ended.
        let mut changes = policies.subscribe();
        while !policies.is_ready() {
            if changes.changed().await.is_err() {
                return;
            }
        }
        tokio::join!(generator.run(), mutator.run(), cleaner.run());
    });
    Ok(())
}
