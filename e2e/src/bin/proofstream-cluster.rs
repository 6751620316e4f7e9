//! Runs a real etcd and kube-apiserver in the foreground.

use std::io::Write as _;

use anyhow::Result;
use clap::{Parser, Subcommand};
use proofstream_e2e::foreground::{StartArguments, description, until_signal};
use proofstream_e2e::{Cluster, ClusterOptions};

/// A real etcd and kube-apiserver on loopback.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster, print where it is as one line of JSON, end it on SIGINT or SIGTERM
    Start(StartArguments),
}

#[tokio::main]
async fn main() -> Result<()> {
    let Command::Start(arguments) = Arguments::parse().command;
    let cluster = tokio::select! {
        cluster = Cluster::start(ClusterOptions::from(arguments)) => cluster?,
        stopped = until_signal() => return stopped,
    };
    writeln!(std::io::stdout(), "{}", description(&cluster))?;
    until_signal().await
}
