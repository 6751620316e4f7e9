//! A cluster with the article's policies and Proofstream in front of it.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use proofstream_e2e::{Audit, AuditLog, Cluster, ClusterOptions, Document, wait_until};
use tempfile::TempDir;

use crate::records::Ledger;
use crate::workloads::{self, HARDENED, NO_SECRET_ENV, refusal};
use proofstream_e2e::programs::{self, Ended};
use proofstream_e2e::up::{PATIENCE, Up};

const NAMESPACES: [&str; 2] = ["payments", "ledger"];

/// The cluster and what stands around it. `proofstream up` is started apart.
pub(crate) struct Stand {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    pub(crate) data: PathBuf,
    pub(crate) config: PathBuf,
    folder: TempDir,
    refused_dry_runs: Cell<u64>,
}

// === impl Stand ===

impl Stand {
    /// A cluster with the regulated namespaces, and a pod from before the policies.
    pub(crate) async fn new() -> Result<Self> {
        Self::with(AuditLog::default(), None).await
    }

    /// The same; the audit log is rotated as `log` says, and Proofstream's data lie in `data`.
    pub(crate) async fn with(log: AuditLog, data: Option<&Path>) -> Result<Self> {
        let article = std::path::absolute("../examples/article")?;
        let policy = Document::file(article.join("audit-policy.yaml"));
        let audit = Audit { log: Some(log), ..Audit::to_log(policy) };
        let cluster =
            Cluster::start(ClusterOptions { audit: Some(audit), ..ClusterOptions::default() })
                .await?;
        let client = cluster.client().await?;
        for namespace in NAMESPACES {
            cluster.create_namespace(namespace).await?;
        }
        cluster.create(&workloads::plain("payments", "legacy-batch")).await?;
        let folder = tempfile::tempdir()?;
        let data = data.map_or_else(|| folder.path().join("data"), Path::to_owned);
        let config = folder.path().join("proofstream.yaml");
        let audit_log = cluster.audit_log().context("no audit log")?;
        let text = serde_json::json!({
            "data": data,
            "kubeconfig": cluster.kubeconfig_path(),
            "regulatedNamespaces": NAMESPACES,
            "webhook": {"listen": "127.0.0.1:0"},
            "web": {"listen": "127.0.0.1:0"},
            "audit": {"logs": [{"path": audit_log, "host": "local"}]},
        });
        std::fs::write(&config, text.to_string())?;
        Ok(Self { cluster, client, data, config, folder, refused_dry_runs: Cell::new(0) })
    }

    /// Starts `proofstream up`; returns once the API server refuses what the policies refuse.
    pub(crate) async fn up(&self) -> Result<Up> {
        let up = Up::start(&self.config, &self.data, &self.log()).await?;
        let policies = async {
            for policy in [HARDENED, NO_SECRET_ENV] {
                wait_until("the policy kinds to be served", PATIENCE, || async {
                    self.cluster.apply(policy).await.map(|_| ())
                })
                .await?;
            }
            self.enforced().await
        };
        policies.await.with_context(|| up.last_lines())?;
        Ok(up)
    }

    /// Starts `proofstream up` over policies that are in the cluster already; returns once it serves
    /// its page.
    pub(crate) async fn again(&self) -> Result<Up> {
        Up::start(&self.config, &self.data, &self.log()).await
    }

    /// The log that the API server writes.
    pub(crate) fn audit_log(&self) -> Result<PathBuf> {
        self.cluster.audit_log().context("no audit log")
    }

    /// Has the API server log about 16 KB for each of `count` requests, which change nothing.
    pub(crate) async fn chatter(&self, count: usize) -> Result<()> {
        let padding = "x".repeat(8000);
        let map = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "chatter-"}
        });
        for _ in 0..count {
            let path = format!("/api/v1/namespaces/default/configmaps?dryRun=All&x={padding}");
            let request = http::Request::post(path).header("content-type", "application/json");
            self.client.request_text(request.body(serde_json::to_vec(&map)?)?).await?;
        }
        Ok(())
    }

    /// Waits until the API server refuses by both policies.
    pub(crate) async fn enforced(&self) -> Result<()> {
        for pod in [workloads::plain("payments", "asked"), workloads::leaking("ledger", "asked")] {
            wait_until("the policies to be enforced", PATIENCE, || self.refused_dry_run(&pod))
                .await?;
        }
        Ok(())
    }

    /// Asks, as a dry run, for a pod that must be refused; gives the message.
    pub(crate) async fn refused_dry_run(&self, yaml: &str) -> Result<String> {
        let message = refusal(self.create_pod(yaml, true).await)?;
        self.refused_dry_runs.set(self.refused_dry_runs.get() + 1);
        Ok(message)
    }

    /// How many dry runs were refused.
    pub(crate) fn refused_dry_runs(&self) -> u64 {
        self.refused_dry_runs.get()
    }

    /// Creates a pod.
    pub(crate) async fn create_pod(&self, yaml: &str, dry_run: bool) -> Result<()> {
        let pod: Pod = serde_saphyr::from_str(yaml)?;
        let namespace = pod.metadata.namespace.clone().context("the pod names no namespace")?;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        api.create(&PostParams { dry_run, ..PostParams::default() }, &pod).await?;
        Ok(())
    }

    /// Creates an object that must be refused; gives the message.
    pub(crate) async fn refused(&self, yaml: &str) -> Result<String> {
        refusal(self.cluster.create(yaml).await)
    }

    /// The file that `proofstream up` logs to.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("proofstream.log")
    }

    /// A place for a test's own files.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The ledger's records, as far as they are sealed.
    pub(crate) fn ledger(&self) -> Result<Ledger> {
        Ledger::read(&self.data.join("ledger"))
    }

    /// Exports a few days around now into `out`, as JSON.
    pub(crate) async fn export(&self, out: &Path) -> Result<serde_json::Value> {
        let now = jiff::Timestamp::now();
        let days = |count: i64| jiff::SignedDuration::from_hours(24 * count);
        let from = now.checked_sub(days(2))?.to_string();
        let to = now.checked_add(days(2))?.to_string();
        let (out, data) = (out.display().to_string(), self.data.display().to_string());
        let ended: Ended = programs::run(
            "proofstream",
            &[
                "export",
                "--framework",
                "soc2-2017",
                "--from",
                &from,
                "--to",
                &to,
                "--out",
                &out,
                "--data",
                &data,
                "--output",
                "json",
            ],
        )
        .await?
        .expect(0)?;
        Ok(serde_json::from_str(&ended.stdout)?)
    }
}

/// The statement of a requirement in an export's summary.
pub(crate) fn requirement<'a>(
    summary: &'a serde_json::Value,
    id: &str,
) -> Result<&'a serde_json::Value> {
    let found =
        summary["requirements"].as_array().and_then(|all| all.iter().find(|one| one["id"] == id));
    let found = found.with_context(|| format!("the export does not state {id}: {summary:#}"))?;
    ensure!(found["blocked"].is_u64(), "{found:#}");
    Ok(found)
}
