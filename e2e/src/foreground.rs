//! A cluster in the foreground: what `proofstream-cluster start` and `make run` do.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::{Audit, Cluster, ClusterOptions, DEFAULT_MINOR, Data, Document, Scheduler};

/// The controllers a cluster without nodes has a use for: default service accounts, namespaces that
/// go away, owners that take their objects with them, and pods of workloads.
pub const CONTROLLERS: &[&str] = &[
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "deployment-controller",
    "replicaset-controller",
    "daemonset-controller",
    "statefulset-controller",
    "job-controller",
    "cronjob-controller",
    "clusterrole-aggregation-controller",
    "resourcequota-controller",
    "validatingadmissionpolicy-status-controller",
];

/// How to run a cluster in the foreground.
#[derive(Args, Clone, Debug)]
pub struct StartArguments {
    /// Folder for the data, kept between runs (a temporary one if not given)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Audit policy; the audit log is then written to DIR/audit/audit.log
    #[arg(long, value_name = "FILE")]
    pub audit_policy: Option<PathBuf>,

    /// Kubernetes minor; each must be pinned in e2e/control-plane
    #[arg(long, value_name = "MINOR", default_value = DEFAULT_MINOR)]
    pub minor: String,

    /// Run the real controller manager too (service accounts, workloads, clean-up)
    #[arg(long)]
    pub controllers: bool,

    /// Run the real scheduler too
    #[arg(long)]
    pub scheduler: bool,

    /// A further flag of the API server, such as --request-timeout=5s (repeatable)
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub api_server_flag: Vec<String>,
}

impl From<StartArguments> for ClusterOptions {
    fn from(arguments: StartArguments) -> Self {
        Self {
            minor: arguments.minor,
            data: arguments.data.map_or(Data::Temporary, Data::Folder),
            audit: arguments.audit_policy.map(|path| Audit::to_log(Document::File(path))),
            controllers: arguments
                .controllers
                .then(|| CONTROLLERS.iter().map(|&name| name.to_owned()).collect()),
            scheduler: if arguments.scheduler { Scheduler::Running } else { Scheduler::Absent },
            api_server_flags: arguments.api_server_flag,
            ..Self::default()
        }
    }
}

/// What somebody who wants to use the cluster must know, as one JSON object.
pub fn description(cluster: &Cluster) -> serde_json::Value {
    serde_json::json!({
        "kubeconfig": cluster.kubeconfig_path(),
        "server": cluster.server(),
        "audit_log": cluster.audit_log(),
        "folder": cluster.folder(),
    })
}

/// Waits for SIGINT or SIGTERM.
pub async fn until_signal() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
