//! What `make run` does: a cluster whose data stays, `proofstream up` against it with the article's
//! policies, and a text that says what to try.

mod program;
mod text;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::Client;
use kube::api::{Api, PostParams};

use crate::binaries::source;
use crate::foreground::CONTROLLERS;
use crate::{Audit, Cluster, ClusterOptions, DEFAULT_MINOR, Data, Document, apply, wait_until};
use program::Program;

/// Namespaces that the article's policies are about.
const NAMESPACES: [&str; 2] = ["payments", "ledger"];
/// The page's address, if it is free.
const PAGE: &str = "127.0.0.1:8080";
const POLICIES: [&str; 2] =
    ["require-hardened-securitycontext.yaml", "disallow-secret-env-vars.yaml"];

/// Runs until the process is stopped or Proofstream ends by itself.
pub async fn run() -> Result<()> {
    let folder = cache()?.join("run");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let article = article();
    say("starting etcd, kube-apiserver and kube-controller-manager");
    let cluster = Cluster::start(ClusterOptions {
        data: Data::Folder(folder.join("cluster")),
        audit: Some(Audit::to_log(Document::File(article.join("audit-policy.yaml")))),
        controllers: Some(CONTROLLERS.iter().map(|&name| name.to_owned()).collect()),
        ..ClusterOptions::default()
    })
    .await?;
    let client = cluster.client().await?;
    say("making the namespaces, and a pod that was there before the policies");
    let mut first_run = false;
    for namespace in NAMESPACES {
        first_run |= make_namespace(&client, namespace).await?;
    }
    // Later the policies are in force, and nobody answers for them before Proofstream runs again.
    if first_run {
        make_legacy_pod(&client).await?;
    }
    say("starting Proofstream");
    let config = write_config(&folder, &cluster)?;
    let mut program = Program::start(&folder, &config)?;
    let started = async {
        let page = program::page(&folder).await?;
        for policy in POLICIES {
            let yaml = std::fs::read_to_string(article.join(policy))?;
            apply_when_served(&client, &yaml).await?;
        }
        wait_for_webhooks(&client).await?;
        Ok::<_, anyhow::Error>(page)
    };
    let page = tokio::select! {
        page = started => page?,
        ended = program.ended() => bail!("Proofstream ended: {ended}\n{}", program.last_lines()),
    };
    let kubectl = crate::kubectl(DEFAULT_MINOR).await?;
    let shell = text::write_shell_file(&folder, &cluster, &kubectl)?;
    text::print(&page, &shell, &folder)?;
    let ended = program.ended().await;
    bail!("Proofstream ended: {ended}\n{}", program.last_lines())
}

/// Progress, on standard error.
fn say(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "make run: {what}");
}

fn cache() -> Result<PathBuf> {
    if let Some(cache) = std::env::var_os("PROOFSTREAM_CACHE") {
        return Ok(PathBuf::from(cache));
    }
    let home = std::env::var_os("HOME").context("neither PROOFSTREAM_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/proofstream"))
}

/// Makes a namespace; whether there was none.
async fn make_namespace(client: &Client, name: &str) -> Result<bool> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    let made = created(namespaces.create(&PostParams::default(), &namespace).await)?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    wait_until("the namespace's service account", Duration::from_mins(1), || async {
        accounts.get("default").await.map(|_| ()).context("no default service account yet")
    })
    .await?;
    Ok(made)
}

/// A pod as it was before anyone asked for hardening: the background evaluation finds it.
async fn make_legacy_pod(client: &Client) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "payments");
    let pod = serde_json::from_value(serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "legacy-batch", "labels": {"app": "legacy-batch"}},
        "spec": {"containers": [{"name": "main", "image": "registry.example/batch:1.4"}]}
    }))?;
    created(pods.create(&PostParams::default(), &pod).await)?;
    Ok(())
}

/// Whether something was made that was not there.
fn created<T>(result: kube::Result<T>) -> Result<bool> {
    match result {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        other => Ok(other.map(|_| true)?),
    }
}

/// What the article has, restored.
fn article() -> PathBuf {
    let path = source().join("../examples/article");
    path.canonicalize().unwrap_or(path)
}

fn write_config(folder: &Path, cluster: &Cluster) -> Result<PathBuf> {
    let log = cluster.audit_log().context("the cluster has no audit log")?;
    let wanted: SocketAddr = PAGE.parse()?;
    let free = TcpListener::bind(wanted).is_ok();
    let config = serde_json::json!({
        "data": "proofstream",
        "kubeconfig": cluster.kubeconfig_path(),
        "regulatedNamespaces": ["payments", "ledger", "prod-*"],
        "webhook": {"listen": "127.0.0.1:0"},
        "web": {"listen": if free { PAGE } else { "127.0.0.1:0" }},
        "audit": {
            "logs": [{"path": log, "host": "local"}],
            "policy": article().join("audit-policy.yaml"),
        },
    });
    let path = folder.join("proofstream.yaml");
    std::fs::write(&path, serde_json::to_string_pretty(&config)? + "\n")?;
    Ok(path)
}

/// Proofstream installs the policy kinds; until they are served there is nothing to apply to.
async fn apply_when_served(client: &Client, yaml: &str) -> Result<()> {
    wait_until("the policy kinds", Duration::from_mins(1), || async {
        apply(client, yaml).await.map(|_| ())
    })
    .await
}

/// Waits until the webhooks answer. Those of an earlier run are registered at its address until this one
/// has written its own, and the API server has read them.
async fn wait_for_webhooks(client: &Client) -> Result<()> {
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACES[0]);
    // One that the policies take, so that no refusal is counted.
    let probe: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "proofstream-is-there"},
        "spec": {
            "securityContext": {"runAsNonRoot": true},
            "containers": [{
                "name": "probe", "image": "registry.k8s.io/pause:3.10",
                "securityContext": {
                    "allowPrivilegeEscalation": false, "privileged": false, "runAsNonRoot": true,
                    "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    }))?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    wait_until("the webhooks", Duration::from_mins(1), || async {
        let found = api.get("proofstream").await?;
        let webhooks = found.webhooks.unwrap_or_default();
        anyhow::ensure!(!webhooks.is_empty(), "none is registered yet");
        match pods.create(&dry_run, &probe).await {
            Err(kube::Error::Api(status)) if status.code >= 500 => bail!("{}", status.message),
            // Whatever it says of the pod, somebody answered.
            _ => Ok(()),
        }
    })
    .await
}
