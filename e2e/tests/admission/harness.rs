//! A cluster with Proofstream in front of it, in the test's own process.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use proofstream_e2e::{Audit, Cluster, ClusterOptions, Document, wait_until};
use proofstream_model::{Body, Record};
use proofstream_server::up::{Config, Page, Up, UpError};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const AUDIT_POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

/// The article's two policies.
pub(crate) const HARDENED: &str =
    include_str!("../../../examples/article/require-hardened-securitycontext.yaml");
pub(crate) const NO_SECRET_ENV: &str =
    include_str!("../../../examples/article/disallow-secret-env-vars.yaml");

/// A cluster, and Proofstream in front of it.
pub(crate) struct Stand {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    pub(crate) proofstream: Proofstream,
    pub(crate) data: TempDir,
}

/// A running Proofstream.
pub(crate) struct Proofstream {
    pub(crate) handles: proofstream_server::up::Handles,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<Result<(), UpError>>,
    pub(crate) page: Option<Page>,
}

impl Stand {
    /// Starts both, with these policies in the cluster; returns once our webhook is registered for
    /// them and they are in force.
    pub(crate) async fn start(policies: &[&str]) -> Result<Self> {
        Self::start_with(policies, |_| {}).await
    }

    pub(crate) async fn start_with(
        policies: &[&str],
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        Self::start_as(policies, change, false).await
    }

    /// The same with what observes and shows.
    pub(crate) async fn start_whole(
        policies: &[&str],
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        Self::start_as(policies, change, true).await
    }

    async fn start_as(
        policies: &[&str],
        change: impl FnOnce(&mut Config),
        whole: bool,
    ) -> Result<Self> {
        let options = ClusterOptions {
            audit: Some(Audit::to_log(Document::text(AUDIT_POLICY))),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(options).await?;
        let client = cluster.client().await?;
        let data = tempfile::tempdir()?;
        let mut config = config(&cluster, &data);
        change(&mut config);
        let proofstream = if whole {
            Proofstream::start_whole(config).await?
        } else {
            Proofstream::start(config).await?
        };
        let stand = Self { cluster, client, proofstream, data };
        // Our definitions are there once the store is ready.
        wait_until("the policies to be read", PATIENCE, || async {
            ensure!(stand.proofstream.handles.policies.is_ready(), "not yet");
            Ok(())
        })
        .await?;
        for policy in policies {
            stand.cluster.apply(policy).await?;
        }
        if !policies.is_empty() {
            stand.enforced(policies.len()).await?;
        }
        Ok(stand)
    }

    /// Waits until so many policies are in force and the API server knows our webhook.
    pub(crate) async fn enforced(&self, count: usize) -> Result<()> {
        wait_until("the webhook to be registered", PATIENCE, || async {
            let in_force = self.proofstream.handles.policies.current().all.infos.len();
            ensure!(in_force >= count, "{in_force} policies are in force");
            let found = self.webhooks().await?;
            ensure!(!found.is_empty(), "no webhook yet");
            Ok(())
        })
        .await
    }

    /// Names of our webhooks, as the API server has them.
    pub(crate) async fn webhooks(&self) -> Result<Vec<String>> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let found = api.get_opt("proofstream").await?;
        Ok(found
            .and_then(|found| found.webhooks)
            .unwrap_or_default()
            .into_iter()
            .map(|webhook| webhook.name)
            .collect())
    }

    /// Asks, as a dry run, whether this pod may be created: the refusal's message, or `None`.
    pub(crate) async fn dry_run(&self, yaml: &str) -> Result<Option<String>> {
        let pod: Pod = serde_saphyr::from_str(yaml)?;
        let namespace = pod.metadata.namespace.clone().context("the pod names no namespace")?;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        match api.create(&parameters, &pod).await {
            Ok(_) => Ok(None),
            Err(error) => Ok(Some(refusal(&error.into())?)),
        }
    }

    /// Waits until the API server refuses this pod by policy, and gives its message.
    pub(crate) async fn refused(&self, yaml: &str) -> Result<String> {
        wait_until("the refusal", PATIENCE, || async {
            self.dry_run(yaml).await?.context("it is admitted")
        })
        .await
    }

    /// Waits until the API server lets this pod pass.
    pub(crate) async fn admitted(&self, yaml: &str) -> Result<()> {
        wait_until("the pod to be let through", PATIENCE, || async {
            match self.dry_run(yaml).await? {
                None => Ok(()),
                Some(message) => anyhow::bail!("it is refused: {message}"),
            }
        })
        .await
    }

    /// The records of one kind, as far as they are durable.
    pub(crate) fn records<B: Body + DeserializeOwned>(&self) -> Result<Vec<(Record, B)>> {
        self.proofstream.records()
    }
}

impl Proofstream {
    pub(crate) async fn start(config: Config) -> Result<Self> {
        let stop = CancellationToken::new();
        let up = Up::start(config, stop.clone()).await?;
        let handles = up.handles.clone();
        let running = tokio::spawn(up.wait());
        Ok(Self { handles, stop, running, page: None })
    }

    async fn start_whole(config: Config) -> Result<Self> {
        let stop = CancellationToken::new();
        let mut up = Up::start(config, stop.clone()).await?;
        let page = Some(up.add_parts().await?);
        let handles = up.handles.clone();
        let running = tokio::spawn(up.wait());
        Ok(Self { handles, stop, running, page })
    }

    /// Stops it as SIGTERM does, and waits until it has drained.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        Ok((&mut self.running).await??)
    }

    pub(crate) fn records<B: Body + DeserializeOwned>(&self) -> Result<Vec<(Record, B)>> {
        let mut observer = self.handles.writer.observe(0);
        let mut found = Vec::new();
        while observer.position() < self.handles.writer.durable_end() {
            let Some(observed) = observer.next(Duration::from_secs(5))? else { break };
            for line in observed.lines() {
                let record = Record::parse(line)?;
                if record.kind == B::KIND.word() {
                    let body = serde_json::from_value(record.body.clone())
                        .with_context(|| format!("record {}", record.seq))?;
                    found.push((record, body));
                }
            }
        }
        Ok(found)
    }
}

/// A test that fails ends: what follows the ledger would keep its runtime from ending.
impl Drop for Proofstream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What Proofstream is told of this cluster.
pub(crate) fn config(cluster: &Cluster, data: &TempDir) -> Config {
    let mut config = Config {
        data: data.path().join("data"),
        kubeconfig: Some(cluster.kubeconfig_path()),
        ..Config::default()
    };
    config.webhook.listen = ([127, 0, 0, 1], 0).into();
    config.web.listen = ([127, 0, 0, 1], 0).into();
    config
}

/// A pod that the article's policies let through in `namespace`, with `change` made to its container.
pub(crate) fn pod(namespace: &str, name: &str, change: &str) -> String {
    let hardened = "privileged: false, allowPrivilegeEscalation: false, \
         readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}";
    let context = if change.is_empty() { hardened } else { change };
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  securityContext: {{runAsNonRoot: true}}
  containers:
  - {{name: main, image: 'registry.example/app:1', securityContext: {{{context}}}}}
"
    )
}

/// The API server's message in an error; an error that is no refusal is passed on.
pub(crate) fn refusal(error: &anyhow::Error) -> Result<String> {
    for cause in error.chain() {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref::<kube::Error>() {
            ensure!(status.code == 403, "{} {}", status.code, status.message);
            return Ok(status.message.clone());
        }
    }
    anyhow::bail!("no answer of the API server: {error:#}")
}
