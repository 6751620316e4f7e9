//! Heartbeats of each API server whose trail is followed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proofstream_ledger::writer::Start;
use proofstream_model::{ControlId, Kind};
use proofstream_runtime::heartbeat::{Heartbeat, Options, Pulses};
use proofstream_runtime::ingest::Intake;
use proofstream_runtime::recorder::Recorder;

use super::connect::client_of;
use super::trail::Trail;
use super::{Up, UpError};

/// Whether heartbeats are sent, and what came of them.
#[derive(Clone, Default)]
pub(super) struct Heartbeats {
    pub(super) pulses: Arc<Pulses>,
    /// Hosts that none are sent to, and why.
    pub(super) without: BTreeMap<String, String>,
}

/// Sends heartbeats to every API server whose address is known.
pub(super) async fn start(up: &mut Up, trail: &Trail) -> Result<Heartbeats, UpError> {
    let handles = up.handles.clone();
    let audit = &handles.config.audit;
    let mut heartbeats = Heartbeats::default();
    let mut hosts: BTreeMap<&str, (Option<&str>, Vec<Arc<Intake>>)> = BTreeMap::new();
    let logs = audit.logs.iter().map(|log| (&log.host, &log.server));
    let logs = logs.zip(trail.followed.iter().map(|log| &log.intake));
    let webhooks = audit.webhooks.iter().map(|webhook| (&webhook.host, &webhook.server));
    let webhooks = webhooks.zip(trail.received.iter().map(|received| &received.intake));
    for ((host, server), intake) in logs.chain(webhooks) {
        let entry = hosts.entry(host).or_default();
        entry.0 = entry.0.or(server.as_deref());
        entry.1.push(Arc::clone(intake));
    }
    let several = hosts.len() > 1;
    let source = handles.writer.source("probe", Start::Resume)?;
    let recorder = Recorder::new(source, handles.clock.clone());
    let of_probes = |records: &[String]| records.iter().any(|kind| kind == Kind::Probe.word());
    let controls = handles.catalog.controls().filter(|control| of_probes(&control.records));
    let controls: Vec<ControlId> = controls.map(|control| control.id.clone()).collect();
    for (host, (server, intakes)) in hosts {
        if audit.heartbeat_seconds == 0 {
            heartbeats.without.insert(host.to_owned(), "heartbeats are off".to_owned());
            continue;
        }
        let client = match server {
            Some(server) => client_of(handles.config.kubeconfig.as_deref(), server).await?,
            None if several => {
                let why = "there are several API servers, and the configuration does not say where \
                           this one is (`server`)";
                heartbeats.without.insert(host.to_owned(), why.to_owned());
                continue;
            }
            None => handles.client.clone(),
        };
        let heartbeat = Heartbeat {
            client,
            intakes,
            options: Options {
                every: Duration::from_secs(audit.heartbeat_seconds),
                patience: Duration::from_secs(audit.silence_seconds),
                controls: controls.clone(),
            },
            recorder: recorder.clone(),
            clock: handles.clock.clone(),
            shown: Arc::clone(&heartbeats.pulses),
        };
        up.add(heartbeat.run());
    }
    Ok(heartbeats)
}
