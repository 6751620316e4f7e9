//! What an earlier start settled or recorded, and this one must know.

use std::fs;

use kube::Client;
use proofstream_runtime::enforcers::Enforcers;
use proofstream_runtime::recorder::Recorder;

use super::{Config, ConnectError, UpError};
use crate::private_file;

const ENFORCERS: &str = "enforcers.json";

/// Settles who enforces which kind: the configuration, what an earlier start settled, or what the API
/// server shows now, in this order. What is new is recorded, and kept for later starts.
pub(super) async fn enforcers(
    config: &Config,
    client: &Client,
    recorder: &Recorder,
) -> Result<Enforcers, UpError> {
    let path = config.data.join(ENFORCERS);
    let wrong = |source| UpError::Data { path: path.clone(), source };
    let before: Enforcers = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| wrong(error.into()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Enforcers::default(),
        Err(error) => return Err(wrong(error)),
    };
    let proposed = Enforcers::propose(client).await.map_err(|error| ConnectError::Unreachable {
        server: "the API server's webhook configurations".to_owned(),
        reason: error.to_string(),
    })?;
    let (settled, reasons) = Enforcers::settle(&config.enforcers(), &before, &proposed);
    for (kind, enforcer) in proposed.iter() {
        if settled.iter().any(|(other, chosen)| other == kind && chosen != enforcer) {
            tracing::warn!(
                kind,
                shows = enforcer,
                "the API server shows another enforcer than the one that is set; nothing is switched"
            );
        }
    }
    settled.record_changes(&before, &reasons, recorder);
    if settled != before {
        let bytes = serde_json::to_vec(&settled).map_err(|error| wrong(error.into()))?;
        private_file::write(&path, &bytes).map_err(wrong)?;
    }
    Ok(settled)
}
