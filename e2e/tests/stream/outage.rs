//! The API server goes away and comes back.

use anyhow::{Context, Result, ensure};
use proofstream_e2e::wait_until;

use crate::stand::Stand;
use crate::{trail, workloads};
use proofstream_e2e::up::{PATIENCE, Up};

/// Lines that an outage of some seconds may log.
const LINES: usize = 150;

const NO_CONFIG: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: no-more-config}
spec:
  validationFailureAction: Enforce
  rules:
  - name: none
    match: {any: [{resources: {kinds: [ConfigMap], namespaces: [payments]}}]}
    validate: {message: 'No more.', deny: {}}
";

const CONFIG: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: more, namespace: payments}
";

#[tokio::test]
async fn an_api_server_that_goes_away_is_waited_for() -> Result<()> {
    let stand = Stand::new().await?;
    let mut up = stand.up().await?;
    stand.refused(&workloads::plain("payments", "before")).await?;
    readiness(&up, 200, "ready").await?;

    stand.cluster.stop_api_server().await?;
    readiness(&up, 503, "api server").await?;
    stand.cluster.start_api_server().await?;
    ensure!(up.runs(), "it ended: {}", up.last_lines());
    readiness(&up, 200, "ready").await?;

    // Enforced from the first request on: nobody has to read the policies again.
    stand.refused(&workloads::plain("payments", "after")).await?;
    // The watch goes on, too.
    stand.cluster.apply(NO_CONFIG).await?;
    wait_until("the new policy to be enforced", PATIENCE, || async {
        stand.refused(CONFIG).await.map(|_| ())
    })
    .await
    .with_context(|| up.last_lines())?;
    let expected = trail::refusals(&stand.audit_log()?)?.len();
    up.shows("every block", |view| view["overview"]["totals"]["blocked"] == expected).await?;
    up.stop().await?;
    trail::check_blocks(&stand.ledger()?, &stand.audit_log()?)?;
    trail::check_events(&stand.ledger()?, &stand.audit_log()?)?;
    let said = std::fs::read_to_string(stand.log())?;
    ensure!(said.lines().count() < LINES, "an outage is worth fewer lines:\n{said}");
    Ok(())
}

async fn readiness(up: &Up, status: u16, words: &str) -> Result<()> {
    wait_until("readiness", PATIENCE, || async {
        let answer = up.get("/readyz").await?;
        ensure!(answer.status == status && answer.body.contains(words), "{answer:?}");
        Ok(())
    })
    .await
    .with_context(|| up.last_lines())
}
