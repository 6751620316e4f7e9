//! Heartbeats on a real API server: what comes back, a source that falls silent and speaks again, and an audit
//! policy that logs none of them.

#![cfg(test)]

#[path = "inside/running.rs"]
mod running;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proofstream_e2e::{Audit, AuditWebhook, Cluster, ClusterOptions, Document, wait_until};
use proofstream_model::{GapBody, ProbeBody};
use proofstream_server::up::{self, Config};

use running::Running;

const PATIENCE: Duration = Duration::from_mins(1);
const SOURCE: &str = "audit-file/local";
const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: Metadata}]
";
const WITHOUT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, resources: [{group: authorization.k8s.io}]}
- {level: Metadata}
";

fn config(cluster: &Cluster, data: &Path) -> Result<Config> {
    let mut config = Config { data: data.to_owned(), ..Config::default() };
    config.kubeconfig = Some(cluster.kubeconfig_path());
    config.webhook.listen = "127.0.0.1:0".parse()?;
    config.web.listen = "127.0.0.1:0".parse()?;
    let path = cluster.audit_log().context("no audit log")?;
    config.audit.logs = vec![up::AuditLog { path, host: "local".to_owned(), server: None }];
    config.audit.heartbeat_seconds = 1;
    config.audit.silence_seconds = 4;
    Ok(config)
}

async fn start(cluster: &Cluster, data: &Path) -> Result<Running> {
    Running::start(config(cluster, data)?).await
}

async fn start_with(cluster: &Cluster, data: &Path, policy: &Path) -> Result<Running> {
    let mut config = config(cluster, data)?;
    config.audit.policy = Some(policy.to_owned());
    Running::start(config).await
}

impl Running {
    fn gaps(&self) -> Result<Vec<GapBody>> {
        self.gaps_of(SOURCE)
    }

    fn gaps_of(&self, source: &str) -> Result<Vec<GapBody>> {
        self.records("gap")?
            .iter()
            .map(|record| Ok(record.body().context("a gap")??))
            .filter(|gap: &Result<GapBody>| gap.as_ref().is_ok_and(|gap| gap.source == source))
            .collect()
    }

    /// Waits until the page says something of the source, and gives all that it says.
    async fn says(&self, what: &str) -> Result<String> {
        self.says_of(SOURCE, what).await
    }

    async fn says_of(&self, part: &str, what: &str) -> Result<String> {
        let said = || async {
            let health = self.health(part).await?;
            anyhow::Ok(format!("{} {}", health["state"], health["detail"]))
        };
        wait_until(what, PATIENCE, || async {
            let said = said().await?;
            ensure!(said.contains(what), "{said}");
            Ok(())
        })
        .await?;
        said().await
    }
}

/// A webhook that nobody answers at: the API server gives its events up, and counts them.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_counts_as_undelivered_is_a_gap() -> Result<()> {
    let nowhere = "
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: \"http://127.0.0.1:9/\"}}]
contexts: [{name: a, context: {cluster: a, user: \"\"}}]
current-context: a
";
    let webhook = AuditWebhook { kubeconfig: Document::text(nowhere), batch_max_wait: None };
    let mut audit = Audit::to_log(Document::text(POLICY));
    audit.webhook = Some(webhook);
    let flags = ["--audit-webhook-mode=blocking", "--audit-webhook-initial-backoff=1ms"];
    let api_server_flags = flags.map(str::to_owned).to_vec();
    let options =
        ClusterOptions { audit: Some(audit), api_server_flags, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await?;
    let data = tempfile::tempdir()?;
    let mut config = config(&cluster, data.path())?;
    config.audit.webhooks = vec![up::AuditWebhook {
        host: "local".to_owned(),
        url: Some("https://127.0.0.1:9".to_owned()),
        server: None,
    }];
    // Its silence is another matter.
    config.audit.silence_seconds = 3_600;
    let running = Running::start(config).await?;
    wait_until("the gap", PATIENCE, || async {
        let gaps = running.gaps_of("audit-webhook/local")?;
        let found = gaps.iter().find(|gap| gap.cause.starts_with("undelivered: "));
        let gap = found.with_context(|| format!("{gaps:?}"))?;
        ensure!(gap.count.is_some_and(|count| count > 0) && gap.from < gap.to, "{gap:?}");
        ensure!(gap.cause.contains("`webhook`"), "{gap:?}");
        Ok(())
    })
    .await?;
    ensure!(running.gaps()?.is_empty(), "the file lost nothing: {:?}", running.gaps()?);
    running.stop().await
}

async fn cluster(policy: &str) -> Result<Cluster> {
    let audit = Some(Audit::to_log(Document::text(policy)));
    Cluster::start(ClusterOptions { audit, ..ClusterOptions::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_falls_silent_is_a_gap_with_its_bounds() -> Result<()> {
    let cluster = cluster(POLICY).await?;
    let data = tempfile::tempdir()?;
    let running = start(&cluster, data.path()).await?;
    running.says("last heartbeat came back").await?;
    ensure!(running.gaps()?.is_empty(), "{:?}", running.gaps()?);

    // Somebody rotates as one rotates other logs: the API server goes on writing into a file without a name.
    let log = cluster.audit_log().context("no log")?;
    std::fs::remove_file(&log)?;
    std::fs::write(&log, "")?;
    let said = running.says("SILENT since").await?;
    ensure!(said.contains("failing"), "{said}");
    wait_until("the gap", PATIENCE, || async {
        let gaps = running.gaps()?;
        let silent = gaps.iter().find(|gap| gap.cause.starts_with("silent: a heartbeat"));
        let silent = silent.context("no gap yet")?;
        ensure!(silent.from < silent.to, "{silent:?}");
        Ok(())
    })
    .await?;

    // A silence that lasts when we stop is known up to then, and found again by the next one.
    running.stop().await?;
    let running = start(&cluster, data.path()).await?;
    let gaps = running.gaps()?;
    let stopped = gaps.iter().find(|gap| gap.cause.ends_with("as Proofstream stopped"));
    let stopped = stopped.with_context(|| format!("{gaps:?}"))?;
    let before = gaps.iter().filter(|gap| gap.is_silence());
    ensure!(before.max_by_key(|gap| gap.to) == Some(stopped), "{gaps:?}");
    running.says("SILENT since").await?;

    // Another start opens a new file.
    cluster.stop_api_server().await?;
    cluster.start_api_server().await?;
    wait_until("the end of the silence", PATIENCE, || async {
        let gaps = running.gaps()?;
        let found = gaps.iter().find(|gap| gap.cause.contains("heartbeats did not come back"));
        let end = found.with_context(|| format!("{gaps:?}"))?;
        ensure!(gaps.iter().any(|gap| gap.from == end.from && gap.to < end.to), "{gaps:?}");
        Ok(())
    })
    .await?;
    running.says("last heartbeat came back").await?;

    // What became of the beats is evidence, written when we stop at the latest.
    running.stop().await?;
    let running = start(&cluster, data.path()).await?;
    let probes = running.records("probe")?;
    let first = probes.first().context("no probe")?;
    ensure!(first.source == "probe" && first.controls == ["audit-logging"], "{first:?}");
    // The first of them is of the first stretch, in which it fell silent.
    let probe: ProbeBody = first.body().context("a probe")??;
    ensure!(probe.probe == "audit-heartbeat" && probe.about == SOURCE, "{probe:?}");
    ensure!(probe.held > 0 && probe.held < probe.sent && probe.from < probe.to, "{probe:?}");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_logs_no_heartbeats_is_said_and_is_no_gap() -> Result<()> {
    let cluster = cluster(WITHOUT).await?;
    let data = tempfile::tempdir()?;
    let running = start(&cluster, data.path()).await?;
    let said = running.says("policy logs no heartbeats").await?;
    ensure!(said.contains("not evaluated"), "{said}");
    ensure!(running.gaps()?.is_empty(), "{:?}", running.gaps()?);
    running.stop().await
}

/// The policy that the API server runs with is held against what arrives; so is another one, which is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_held_against_the_audit_policy() -> Result<()> {
    let recommended = proofstream_audit::recommended();
    let cluster = cluster(recommended).await?;
    let data = tempfile::tempdir()?;
    let file = data.path().join("policy.yaml");
    std::fs::write(&file, recommended)?;
    let running = start_with(&cluster, &data.path().join("data"), &file).await?;
    let well = "what an auditor asks about is logged";
    let said = running.says_of("audit policy", well).await?;
    cluster.create_namespace("payments").await?;
    wait_until("events held against the policy", PATIENCE, || async {
        let (held, apart) = counts(&running.says_of("audit policy", "").await?)?;
        ensure!(held > 100 && apart == 0, "{held} {apart}");
        Ok(())
    })
    .await?;
    ensure!(said.contains("working"), "{said}");
    running.stop().await?;

    // Somebody changed the file, and the API server was not restarted.
    std::fs::write(&file, recommended.replace("- level: Metadata\n", "- level: Request\n"))?;
    let running = start_with(&cluster, &data.path().join("other"), &file).await?;
    let said = running.says_of("audit policy", "runs with another policy than this file").await?;
    ensure!(said.contains("failing") && said.contains("came at Metadata"), "{said}");
    ensure!(said.contains("bodies of secrets"), "{said}");
    running.stop().await
}

/// How many events came at the policy's levels, and how many did not.
fn counts(said: &str) -> Result<(u64, u64)> {
    let number = |before: &str| {
        let text = said.split(before).next()?;
        text.rsplit(' ').find(|word| !word.is_empty())?.parse().ok()
    };
    let held = number(" events came at its levels").with_context(|| said.to_owned())?;
    let apart = if said.contains(" at others:") { number(" at others:") } else { Some(0) };
    Ok((held, apart.context("no number")?))
}
