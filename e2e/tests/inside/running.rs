//! Proofstream in the test's own process, so that a test can look into its ledger while it runs.

use std::time::Duration;

use anyhow::{Context, Result};
use proofstream_model::Record;
use proofstream_server::up::{self, Config, Handles, Page, Up};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Everything that `proofstream up` runs.
pub(crate) struct Running {
    handles: Handles,
    page: Page,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), up::UpError>>,
}

impl Running {
    pub(crate) async fn start(config: Config) -> Result<Self> {
        let stop = CancellationToken::new();
        let mut up = Up::start(config, stop.clone()).await?;
        let page = up.add_parts().await?;
        let handles = up.handles.clone();
        Ok(Self { handles, page, stop, ended: tokio::spawn(up.wait()) })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.ended.await??)
    }

    /// The records of a kind that are durable, sealed or not.
    pub(crate) fn records(&self, kind: &str) -> Result<Vec<Record>> {
        let mut observer = self.handles.writer.observe(0);
        let mut found = Vec::new();
        while observer.position() < self.handles.writer.durable_end() {
            let Some(observed) = observer.next(Duration::from_secs(5))? else { break };
            found.extend(observed.lines().filter_map(|line| Record::parse(line).ok()));
        }
        found.retain(|record| record.kind == kind);
        Ok(found)
    }

    /// What the page says of a part's health.
    pub(crate) async fn health(&self, part: &str) -> Result<Value> {
        let url = format!("{}/api/v1/overview", self.page.url);
        let bearer = format!("Bearer {}", self.page.token);
        let text = tokio::task::spawn_blocking(move || -> Result<String> {
            let mut answer = ureq::get(url).header("authorization", bearer).call()?;
            Ok(answer.body_mut().read_to_string()?)
        });
        let overview: Value = serde_json::from_str(&text.await??)?;
        let parts = overview
            .get("health")
            .and_then(Value::as_array)
            .context("the overview has no health")?;
        let found = parts.iter().find(|found| found["part"] == part).cloned();
        found.with_context(|| format!("no part `{part}` in {parts:?}"))
    }
}
