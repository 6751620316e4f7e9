//! `proofstream webhooks`: where our webhooks stand, and the way out. Needs no running Proofstream.

use std::path::Path;

use proofstream_model::Timestamp;
pub use proofstream_runtime::enforcers::Enforcers;
use proofstream_runtime::webhooks::removal;
pub use proofstream_runtime::webhooks::removal::{Removal, Standing};

use crate::up::{ConnectError, connect};

/// Why nothing could be said or done.
#[derive(Debug, thiserror::Error)]
pub enum EmergencyError {
    /// The API server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The API server refuses.
    #[error("the API server refuses: {0}")]
    Refused(#[from] kube::Error),
}

/// Where our webhooks stand, and who demonstrably enforces which kind.
pub async fn status(kubeconfig: Option<&Path>) -> Result<(Standing, Enforcers), EmergencyError> {
    let (client, _) = connect(kubeconfig).await?;
    Ok((removal::status(&client).await?, Enforcers::propose(&client).await?))
}

/// Takes our webhooks away until [`install`]; a running Proofstream, or the next one that starts,
/// records the lapse.
pub async fn remove(
    kubeconfig: Option<&Path>,
    by: &str,
    reason: &str,
    at: Timestamp,
) -> Result<(), EmergencyError> {
    let (client, _) = connect(kubeconfig).await?;
    let removal = Removal { by: by.to_owned(), at, reason: reason.to_owned() };
    Ok(removal::remove(&client, &removal).await?)
}

/// Ends a removal. Says whether there was one.
pub async fn install(kubeconfig: Option<&Path>) -> Result<bool, EmergencyError> {
    let (client, _) = connect(kubeconfig).await?;
    Ok(removal::install(&client).await?)
}
