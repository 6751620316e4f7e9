//! A real API server that writes its audit log and sends the same events to Proofstream.

#[path = "inside/running.rs"]
mod running;

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use proofstream_cli::Console;
use proofstream_e2e::{
    Audit, AuditLog, AuditWebhook, Cluster, ClusterOptions, Document, wait_until,
};
use proofstream_model::Record;
use proofstream_server::up::{self, Config};
use serde_json::{Value, json};

use running::Running;

const PATIENCE: Duration = Duration::from_mins(1);

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

const HARDENED: &str = include_str!("../../examples/article/require-hardened-securitycontext.yaml");

const FILE: &str = "audit-file/local";
const WEBHOOK: &str = "audit-webhook/local";
const OURS: &str = "fail.validate.proofstream.dev";

impl Running {
    /// How often each transport brought the refusal of pod `name`.
    fn copies(&self, name: &str) -> Result<[usize; 2]> {
        let events = self.records("event")?;
        let of = |source: &str| {
            let tells = |event: &&Record| {
                let raw = event.body.get("raw").and_then(Value::as_str).unwrap_or_default();
                event.source == source && raw.contains(name) && raw.contains("ResponseComplete")
            };
            events.iter().filter(tells).count()
        };
        Ok([of(FILE), of(WEBHOOK)])
    }

    /// Waits until both transports brought the refusal of pod `name`.
    async fn both(&self, name: &str) -> Result<()> {
        wait_until("both copies of the event", PATIENCE, || async {
            let copies = self.copies(name)?;
            ensure!(copies == [1, 1], "{name}: file and webhook brought {copies:?}");
            Ok(())
        })
        .await
    }
}

/// A port that was free a moment ago: the API server is told it before anything listens there.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The configuration as it stands before there is a cluster.
fn write_config(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("proofstream.yaml");
    let config = json!({
        "data": "data",
        "webhook": {"listen": free_address()?},
        "web": {"listen": "127.0.0.1:0"},
        "audit": {"webhooks": [{"host": "local"}]},
    });
    std::fs::File::create(&path)?.write_all(config.to_string().as_bytes())?;
    Ok(path)
}

fn pod(name: &str) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "registry.example/app:1"}]},
    }))?)
}

/// The code and message with which the API server refuses pod `name`; an error if it does not.
async fn refused(cluster: &Cluster, name: &str, dry_run: bool) -> Result<(u16, String)> {
    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, "payments");
    match pods.create(&PostParams { dry_run, ..PostParams::default() }, &pod(name)?).await {
        Err(kube::Error::Api(status)) => Ok((status.code, status.message.clone())),
        Err(error) => Err(error.into()),
        Ok(_) => bail!("{name} is admitted"),
    }
}

async fn wait_for_policy(cluster: &Cluster) -> Result<()> {
    wait_until("the policy kinds", PATIENCE, || cluster.apply(HARDENED)).await?;
    enforced(cluster).await
}

async fn enforced(cluster: &Cluster) -> Result<()> {
    wait_until("the refusal", PATIENCE, || async {
        let (code, message) = refused(cluster, "only-asking", true).await?;
        ensure!(code == 403, "{code} {message}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_refusal_that_both_transports_tell_is_one_block_and_an_absence_is_a_gap() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config_file = write_config(folder.path())?;
    let arguments = ["proofstream", "audit-webhook", "kubeconfig", "local", "--config"];
    let arguments = arguments.map(Into::into).into_iter().chain([config_file.clone().into()]);
    let mut console = Console::new(Box::new(io::sink()), Box::new(io::stderr()));
    ensure!(proofstream_cli::run(arguments, &mut console).number() == 0);
    let kubeconfig = folder.path().join("data/audit-webhook/local.kubeconfig");

    let webhook = AuditWebhook {
        kubeconfig: Document::file(&kubeconfig),
        batch_max_wait: Some(Duration::from_millis(200)),
    };
    let audit = Audit {
        policy: Document::text(POLICY),
        log: Some(AuditLog::default()),
        webhook: Some(webhook),
    };
    let cluster =
        Cluster::start(ClusterOptions { audit: Some(audit), ..ClusterOptions::default() }).await?;
    cluster.create_namespace("payments").await?;
    let mut config = Config::read(&config_file)?;
    config.kubeconfig = Some(cluster.kubeconfig_path());
    let path = cluster.audit_log().context("no audit log")?;
    config.audit.logs = vec![up::AuditLog { path, host: "local".to_owned(), server: None }];

    let running = Running::start(config.clone()).await?;
    wait_for_policy(&cluster).await?;
    let (code, message) = refused(&cluster, "breaks-it", false).await?;
    ensure!(code == 403 && message.contains("require-hardened-securitycontext"), "{message}");
    running.both("breaks-it").await?;
    let blocks = running.records("block")?;
    assert_eq!(blocks.len(), 1, "{blocks:?}");
    assert_eq!(blocks[0].body["policies"], json!(["require-hardened-securitycontext"]));
    ensure!(!blocks[0].controls.is_empty(), "the policy's annotations name controls");
    ensure!(running.records("gap")?.iter().all(|gap| gap.body["source"] != WEBHOOK));
    assert_eq!(running.health(WEBHOOK).await?["state"], "working");
    running.stop().await?;

    // Nobody can be asked, so the API server refuses; that is a lapse, and no block.
    let (code, message) = refused(&cluster, "while-away", false).await?;
    ensure!(code == 500 && message.contains(OURS), "{code} {message}");

    let running = Running::start(config).await?;
    let gaps = running.records("gap")?;
    let gap = gaps.iter().find(|gap| gap.body["source"] == WEBHOOK).context("no gap")?;
    assert_eq!(gap.body["cause"], "restart");
    ensure!(gap.body["from"].as_str() < gap.body["to"].as_str(), "{}", gap.body);
    ensure!(gaps.iter().all(|gap| gap.body["source"] != FILE), "the file has everything");
    enforced(&cluster).await?;
    refused(&cluster, "breaks-it-again", false).await?;
    running.both("breaks-it-again").await?;
    wait_until("the file's copy", PATIENCE, || async {
        let [file, _] = running.copies("while-away")?;
        ensure!(file == 1, "the file brought it {file} times");
        Ok(())
    })
    .await?;
    assert_eq!(running.records("block")?.len(), 2, "one a refusal");
    let epochs: Vec<u64> = running
        .records("event")?
        .iter()
        .filter(|event| event.source == WEBHOOK)
        .map(|event| event.source_epoch)
        .collect();
    ensure!(epochs.is_sorted() && epochs.first() < epochs.last(), "{epochs:?}");
    let calls = running.health("admission calls").await?;
    assert_eq!(calls["state"], "failing");
    ensure!(calls["detail"].as_str().is_some_and(|text| text.contains(OURS)), "{calls}");
    running.stop().await
}
