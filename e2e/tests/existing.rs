//! Mutate rules that change objects that exist, on a real API server.

#[path = "generate/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use anyhow::{Context, Result, ensure};
use harness::{PATIENCE, Stand};
use proofstream_e2e::wait_until;
use proofstream_model::{ChangeAction, ChangeState};
use serde_json::Value;

/// Each time that it runs it adds a letter: whoever runs it twice is found out.
const JOURNAL: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: journal}
spec:
  rules:
  - name: write
    match: {any: [{resources: {kinds: [ConfigMap], names: [settings]}}]}
    mutate:
      targets:
      - {apiVersion: v1, kind: ConfigMap, namespace: '{{ request.object.metadata.namespace }}', name: 'journal*'}
      patchStrategicMerge:
        data:
          level: '{{ request.object.data.level }}'
          runs: \"{{ target.data.runs || '' }}x\"
";

fn map(name: &str, data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\n\
         data: {{{data}}}\n"
    )
}

fn says(level: &str, runs: &str) -> impl Fn(&Value) -> bool {
    let wanted = serde_json::json!({"level": level, "runs": runs});
    move |found| found.get("data") == Some(&wanted)
}

/// Waits until the clock shows another second than `object` was made in: creation times are no finer.
async fn a_second_after(object: &Value) -> Result<()> {
    let created: jiff::Timestamp = object
        .pointer("/metadata/creationTimestamp")
        .and_then(Value::as_str)
        .context("no time")?
        .parse()?;
    wait_until("the next second", PATIENCE, || async {
        ensure!(jiff::Timestamp::now().as_second() > created.as_second(), "not yet");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_follow_their_trigger_once_a_change() -> Result<()> {
    let mut stand = Stand::start().await?;
    stand.cluster.create_namespace("shop").await?;
    stand.cluster.apply(&map("journal-a", "")).await?;
    stand.cluster.apply(JOURNAL).await?;
    stand.cluster.apply(&map("settings", "level: low")).await?;
    stand.shows("configmap", "shop", "journal-a", says("low", "x")).await?;
    stand.recorded("ConfigMap", "journal-a", &[ChangeAction::Update]).await?;
    stand.cluster.apply(&map("settings", "level: high")).await?;
    stand.shows("configmap", "shop", "journal-a", says("high", "xx")).await?;
    settled(&stand, "settings", 2).await?;

    // Away, it misses nothing: what changed meanwhile is done once, and what did not is not done again.
    stand.down().await?;
    stand.cluster.apply(&map("settings", "level: top")).await?;
    stand.up().await?;
    stand.shows("configmap", "shop", "journal-a", says("top", "xxx")).await?;
    settled(&stand, "settings", 3).await?;
    stand.down().await?;
    stand.up().await?;
    stand.cluster.apply(&map("journal-b", "")).await?;
    stand.cluster.apply(&map("settings", "level: low")).await?;
    stand.shows("configmap", "shop", "journal-a", says("low", "xxxx")).await?;
    stand.shows("configmap", "shop", "journal-b", says("low", "x")).await?;
    Ok(())
}

/// Waits until the ledger says so many times that a trigger is settled.
async fn settled(stand: &Stand, trigger: &str, times: usize) -> Result<()> {
    wait_until("the trigger to be settled", PATIENCE, || async {
        let changes = stand.changes("ConfigMap")?;
        let found = changes.iter().filter(|change| {
            change.action == ChangeAction::Settle && change.object.name == trigger
        });
        let found = found.count();
        ensure!(found == times, "{found} times");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_is_looked_at_where_the_rule_says_so() -> Result<()> {
    let stand = Stand::start().await?;
    stand.cluster.create_namespace("shop").await?;
    stand.cluster.apply(&map("journal", "")).await?;
    stand.cluster.apply(&map("settings", "level: low")).await?;
    let old = stand.shows("configmap", "shop", "settings", |_| true).await?;
    a_second_after(&old).await?;
    stand.cluster.apply(JOURNAL).await?;
    // Something younger shows that the rule is at work, and that the older was let alone.
    stand.cluster.create_namespace("young").await?;
    let young = |yaml: String| yaml.replace("namespace: shop", "namespace: young");
    stand.cluster.apply(&young(map("journal", ""))).await?;
    stand.cluster.apply(&young(map("settings", "level: low"))).await?;
    stand.shows("configmap", "young", "journal", says("low", "x")).await?;
    stand.shows("configmap", "shop", "journal", |found| found.get("data").is_none()).await?;

    let existing =
        JOURNAL.replace("    mutate:\n", "    mutate:\n      mutateExistingOnPolicyUpdate: true\n");
    stand.cluster.apply(&existing).await?;
    stand.shows("configmap", "shop", "journal", says("low", "x")).await?;
    stand.shows("configmap", "young", "journal", says("low", "xx")).await?;
    // The policy changes, and everything is looked at again.
    stand.cluster.apply(&existing.replace("}}x", "}}y")).await?;
    stand.shows("configmap", "shop", "journal", says("low", "xy")).await?;
    Ok(())
}

/// Each is the other's target.
const FOR_EVER: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: for-ever}
spec:
  rules:
  - name: ping
    match: {any: [{resources: {kinds: [ConfigMap], names: [ping, pong]}}]}
    mutate:
      targets: [{apiVersion: v1, kind: ConfigMap, namespace: shop, name: 'p?ng'}]
      patchStrategicMerge: {data: {runs: \"{{ target.data.runs || '' }}x\"}}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_we_change_ourselves_starts_nothing() -> Result<()> {
    let stand = Stand::start().await?;
    stand.cluster.create_namespace("shop").await?;
    stand.cluster.apply(&map("pong", "")).await?;
    let pong = stand.shows("configmap", "shop", "pong", |_| true).await?;
    a_second_after(&pong).await?;
    stand.cluster.apply(FOR_EVER).await?;
    stand.cluster.apply(&map("ping", "")).await?;
    let once = |found: &Value| found["data"] == serde_json::json!({"runs": "x"});
    stand.shows("configmap", "shop", "pong", once).await?;
    stand.shows("configmap", "shop", "ping", once).await?;
    settled(&stand, "ping", 1).await?;
    // Another change goes through the same rule; in its shadow an endless one would have shown.
    stand.cluster.apply(&map("ping", "runs: again")).await?;
    let again = |found: &Value| found["data"]["runs"] == "againx";
    stand.shows("configmap", "shop", "ping", again).await?;
    let twice = |found: &Value| found["data"]["runs"] == "xx";
    stand.shows("configmap", "shop", "pong", twice).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_changed_is_recorded_and_tried_again() -> Result<()> {
    let stand = Stand::start().await?;
    stand.cluster.create_namespace("shop").await?;
    let immutable = map("journal", "") + "immutable: true\n";
    stand.cluster.apply(&immutable).await?;
    stand.cluster.apply(JOURNAL).await?;
    stand.cluster.apply(&map("settings", "level: low")).await?;
    wait_until("the failure to be recorded", PATIENCE, || async {
        let changes = stand.changes("ConfigMap")?;
        let failed = changes.iter().find(|change| change.state == ChangeState::Failed);
        let message = failed.and_then(|change| change.message.clone()).context("none yet")?;
        ensure!(message.contains("immutable"), "{message}");
        Ok(())
    })
    .await?;
    stand.cluster.kubectl(&["delete", "configmap", "-n", "shop", "journal"]).await?;
    stand.cluster.apply(&map("journal", "")).await?;
    stand.shows("configmap", "shop", "journal", says("low", "x")).await?;
    Ok(())
}
