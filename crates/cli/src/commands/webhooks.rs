//! `proofstream webhooks`: who enforces which kind of policy, and the way out in an emergency.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proofstream_model::Timestamp;
use proofstream_server::emergency::{self, EmergencyError, Standing};
use serde_json::json;

use super::Format;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum WebhooksCommand {
    /// Say where our webhooks stand, and who demonstrably enforces which kind of policy.
    Status(Status),
    /// End a removal: a running Proofstream installs its webhooks at once.
    Install(Reach),
    /// Take our webhooks away until `install`. Nothing is enforced by us from then on; the lapse is
    /// recorded. Needs no running Proofstream.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Reach {
    /// How to reach the API server.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    reach: Reach,
    /// How to write it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    reach: Reach,
    /// Why; recorded with the lapse.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who; by default the user who runs this.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    by: String,
}

pub(super) fn run(command: &WebhooksCommand, console: &mut Console) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::not_evaluated(error.to_string()))?;
    runtime.block_on(async {
        match command {
            WebhooksCommand::Status(status) => show(status, console).await,
            WebhooksCommand::Install(reach) => {
                if emergency::install(path(reach)).await? {
                    console
                        .note("the removal is over; a running Proofstream installs its webhooks");
                } else {
                    console.note("they were not removed; nothing to do");
                }
                Ok(ExitCode::Done)
            }
            WebhooksCommand::Remove(remove) => {
                let now = Timestamp::from_micros(jiff::Timestamp::now().as_microsecond());
                emergency::remove(path(&remove.reach), &remove.by, &remove.reason, now).await?;
                console.note(
                    "our webhooks are removed: Proofstream enforces nothing until `proofstream \
                     webhooks install`",
                );
                Ok(ExitCode::Done)
            }
        }
    })
}

async fn show(status: &Status, console: &mut Console) -> Result<ExitCode, Failure> {
    let (standing, enforcers) = emergency::status(path(&status.reach)).await?;
    let state = match &standing {
        Standing::Absent => "absent",
        Standing::Removed(_) => "removed",
        Standing::Installed(_) => "installed",
    };
    if matches!(status.output, Format::Json) {
        let webhooks: Vec<_> = match &standing {
            Standing::Installed(hooks) => {
                hooks.iter().map(|(name, rules)| json!({"name": name, "rules": rules})).collect()
            }
            _ => Vec::new(),
        };
        let removal = match &standing {
            Standing::Removed(removal) => json!({
                "by": removal.by, "at": removal.at, "reason": removal.reason,
            }),
            _ => serde_json::Value::Null,
        };
        let found = json!({"state": state, "webhooks": webhooks, "removal": removal,
            "enforcing": enforcers});
        writeln!(console.out(), "{found:#}")?;
        return Ok(ExitCode::Done);
    }
    writeln!(console.out(), "our webhooks: {state}")?;
    match &standing {
        Standing::Absent => {}
        Standing::Removed(removal) => writeln!(console.out(), "  {removal} ({})", removal.at)?,
        Standing::Installed(hooks) => {
            for (name, rules) in hooks {
                writeln!(console.out(), "  {name}  {rules} rules")?;
            }
        }
    }
    for (kind, enforcer) in enforcers.iter() {
        writeln!(console.out(), "{kind}: the API server shows {enforcer}")?;
    }
    Ok(ExitCode::Done)
}

fn path(reach: &Reach) -> Option<&Path> {
    reach.kubeconfig.as_deref()
}

impl From<EmergencyError> for Failure {
    fn from(error: EmergencyError) -> Self {
        Self::not_evaluated(error.to_string())
    }
}
