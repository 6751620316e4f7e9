//! `proofstream up`: everything in one process.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use proofstream_server::up::{self, Config};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::console::Console;
use crate::exit::{ExitCode, Failure};

#[derive(Debug, Args)]
pub(super) struct Up {
    /// The configuration file (YAML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where ledger, keys and certificates are kept; before what the file says.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How to reach the API server; before what the file says.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// What is logged: `info`, `debug`, `warn`, or a filter such as `proofstream_runtime=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "PROOFSTREAM_LOG")]
    log: String,
}

pub(super) fn run(command: &Up, console: &mut Console) -> Result<ExitCode, Failure> {
    let mut config = match &command.config {
        Some(path) => Config::read(path).map_err(|error| Failure::input(error.to_string()))?,
        None => Config::default(),
    };
    if let Some(data) = &command.data {
        config.data.clone_from(data);
    }
    if let Some(kubeconfig) = &command.kubeconfig {
        config.kubeconfig = Some(kubeconfig.clone());
    }
    trace(&command.log)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::not_evaluated(format!("no threads can be started: {error}")))?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone()));
        match up::run(config, stop).await {
            Ok(()) => Ok(ExitCode::Done),
            Err(error) => {
                console.failure(&Failure::not_evaluated(error.to_string()));
                Ok(match error.exit_code() {
                    2 => ExitCode::BadInput,
                    4 => ExitCode::Tampered,
                    _ => ExitCode::NotEvaluated,
                })
            }
        }
    })
}

fn trace(filter: &str) -> Result<(), Failure> {
    // The client's own log repeats, without saying where, what we report with its cause.
    let filter = EnvFilter::try_new(format!("kube_client=off,{filter}"))
        .map_err(|error| Failure::input(format!("`{filter}` is no log filter: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

/// SIGTERM and SIGINT stop everything, in order.
async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be handled: a stop will not drain");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
}
