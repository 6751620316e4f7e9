//! `proofstream audit-webhook`: what an API server needs to send us its audit events.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use proofstream_server::audit_webhook::{CredentialError, prepare};
use proofstream_server::up::Config;

use crate::console::Console;
use crate::exit::{ExitCode, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum AuditWebhookCommand {
    /// Write the kubeconfig for an API server's `--audit-webhook-config-file`, and print it.
    #[command(long_about = KUBECONFIG)]
    Kubeconfig(Kubeconfig),
}

const KUBECONFIG: &str = "\
Write the kubeconfig for an API server's `--audit-webhook-config-file`, and print it.

An API server reads that file before it starts, and `proofstream up` needs the API server: so this \
needs neither. It makes the certificate authority and the host's token unless they are there, in the \
data folder that `up` will use, and keeps the kubeconfig in DATA/audit-webhook/HOST.kubeconfig. Run \
it as the user who will run `up`.

HOST must be among `audit.webhooks` of the configuration, and have the same name as in `audit.logs` \
where the API server has both: a refused request is then counted once.

The file holds a token: keep it private. The authority in it is good for five years and is replaced \
a year before: `up` then says that the API server needs the file again.";

#[derive(Debug, Args)]
pub(super) struct Kubeconfig {
    /// The API server's name in the configuration.
    #[arg(value_name = "HOST")]
    host: String,
    /// The configuration file of `proofstream up` (YAML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where ledger, keys and certificates are kept; before what the file says.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) fn run(
    command: &AuditWebhookCommand,
    console: &mut Console,
) -> Result<ExitCode, Failure> {
    let AuditWebhookCommand::Kubeconfig(command) = command;
    let mut config =
        Config::read(&command.config).map_err(|error| Failure::input(error.to_string()))?;
    if let Some(data) = &command.data {
        config.data.clone_from(data);
    }
    let kubeconfig = prepare(&config, &command.host, jiff::Timestamp::now())?;
    write!(console.out(), "{}", kubeconfig.text())?;
    console.note(&format!(
        "kept in {}; give it to the API server as --audit-webhook-config-file",
        kubeconfig.path().display()
    ));
    Ok(ExitCode::Done)
}

impl From<CredentialError> for Failure {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Config(_) | CredentialError::Unknown { .. } => {
                Self::input(error.to_string())
            }
            _ => Self::not_evaluated(error.to_string()),
        }
    }
}
