//! A cluster, and the whole of Proofstream beside it in the test's own process.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proofstream_e2e::{Cluster, ClusterOptions, wait_until};
use proofstream_model::{ChangeAction, ChangeBody, ChangeState, Record};
use proofstream_server::up::{Config, Handles, Up, UpError};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take; schedules of cron fire once a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Stand {
    pub(crate) cluster: Cluster,
    config: Config,
    running: Option<Running>,
    _data: TempDir,
}

struct Running {
    handles: Handles,
    stop: CancellationToken,
    task: JoinHandle<Result<(), UpError>>,
}

/// A test that fails ends: what follows the ledger would keep its runtime from ending.
impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

// === impl Stand ===

impl Stand {
    /// Starts both.
    pub(crate) async fn start() -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::default()).await?;
        let data = tempfile::tempdir()?;
        let mut config = Config {
            data: data.path().join("data"),
            kubeconfig: Some(cluster.kubeconfig_path()),
            ..Config::default()
        };
        config.webhook.listen = ([127, 0, 0, 1], 0).into();
        config.web.listen = ([127, 0, 0, 1], 0).into();
        let mut stand = Self { cluster, config, running: None, _data: data };
        stand.up().await?;
        Ok(stand)
    }

    /// Starts Proofstream; returns once it has read the policies.
    pub(crate) async fn up(&mut self) -> Result<()> {
        let stop = CancellationToken::new();
        let mut up = Up::start(self.config.clone(), stop.clone()).await?;
        up.add_parts().await?;
        let handles = up.handles.clone();
        let policies = std::sync::Arc::clone(&handles.policies);
        self.running = Some(Running { handles, stop, task: tokio::spawn(up.wait()) });
        wait_until("the policies to be read", PATIENCE, || async {
            ensure!(policies.is_ready(), "not yet");
            Ok(())
        })
        .await
    }

    /// Stops Proofstream in order.
    pub(crate) async fn down(&mut self) -> Result<()> {
        let mut running = self.running.take().context("it does not run")?;
        running.stop.cancel();
        Ok((&mut running.task).await??)
    }

    /// Waits until an object is there and is as it should be.
    pub(crate) async fn shows(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let asked = ["get", kind, "-n", namespace, name, "-o", "json"];
        wait_until(&format!("{kind} {namespace}/{name}"), PATIENCE, || async {
            let found: Value = serde_json::from_str(&self.cluster.kubectl(&asked).await?)?;
            ensure!(fits(&found), "it is {found:#}");
            Ok(found)
        })
        .await
    }

    /// Waits until an object is not there.
    pub(crate) async fn lacks(&self, kind: &str, namespace: &str, name: &str) -> Result<()> {
        let asked = ["get", kind, "-n", namespace, name, "--ignore-not-found", "-o", "name"];
        wait_until(&format!("{kind} {namespace}/{name} to go"), PATIENCE, || async {
            let found = self.cluster.kubectl(&asked).await?;
            ensure!(found.trim().is_empty(), "{found}");
            Ok(())
        })
        .await
    }

    /// What the ledger says was done to objects of a kind, in order.
    pub(crate) fn changes(&self, kind: &str) -> Result<Vec<ChangeBody>> {
        let running = self.running.as_ref().context("it does not run")?;
        let writer = &running.handles.writer;
        let mut observer = writer.observe(0);
        let mut found = Vec::new();
        while observer.position() < writer.durable_end() {
            let Some(observed) = observer.next(Duration::from_secs(5))? else { break };
            for line in observed.lines() {
                let record = Record::parse(line)?;
                if let Some(body) = record.body::<ChangeBody>() {
                    found.push(body?);
                }
            }
        }
        found.retain(|change| change.object.kind == kind);
        Ok(found)
    }

    /// Holds the ledger to this: each of these was begun before it was done.
    pub(crate) async fn recorded(
        &self,
        kind: &str,
        name: &str,
        actions: &[ChangeAction],
    ) -> Result<()> {
        wait_until("the records", PATIENCE, || async {
            let changes = self.changes(kind)?;
            for action in actions {
                let place = |state: ChangeState| {
                    changes.iter().position(|change| {
                        change.object.name == name
                            && change.action == *action
                            && change.state == state
                    })
                };
                let (begun, done) = (place(ChangeState::Begun), place(ChangeState::Done));
                ensure!(begun.is_some() && begun < done, "{action:?}: {changes:#?}");
            }
            Ok(())
        })
        .await
    }
}
