//! What is wrong with what it is given: each has a clear message and the documented exit code.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use proofstream_e2e::wait_until;
use proofstream_runtime::webhooks::OF_POLICIES;
use serde_json::{Value, json};

use crate::stand::Stand;
use crate::workloads;
use proofstream_e2e::programs::{self, Profile};
use proofstream_e2e::up::PATIENCE;

#[tokio::test]
async fn a_configuration_that_cannot_be_is_refused_by_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("proofstream.yaml");
    let path = config.display().to_string();
    for (text, field) in [
        ("data: x\nwebhok: {}\n", "`webhok`"),
        ("webhook: {listen: here}\n", "`webhook.listen`"),
        ("data: [\n", "proofstream.yaml"),
    ] {
        std::fs::write(&config, text)?;
        let ended = programs::run("proofstream", &["up", "--config", &path]).await?.expect(2)?;
        ended.says(&path)?;
        ended.says(field)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_kubeconfig_that_points_nowhere_is_given_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    // Bound and let go: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let cluster = json!({"server": format!("https://127.0.0.1:{port}")});
    let nowhere = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "n",
        "clusters": [{"name": "n", "cluster": cluster}],
        "users": [{"name": "n", "user": {"token": "t"}}],
        "contexts": [{"name": "n", "context": {"cluster": "n", "user": "n"}}],
    });
    std::fs::write(&kubeconfig, nowhere.to_string())?;
    let data = folder.path().join("data").display().to_string();
    let kubeconfig = kubeconfig.display().to_string();
    programs::program("proofstream", Profile::Dev)?;
    let started = Instant::now();
    let arguments = ["up", "--data", &data, "--kubeconfig", &kubeconfig];
    let ended = programs::run("proofstream", &arguments).await?.expect(3)?;
    ended.says(&format!("https://127.0.0.1:{port}"))?;
    ended.says("cannot be reached")?;
    ensure!(started.elapsed() < Duration::from_secs(28), "after {:?}", started.elapsed());
    let missing = ["up", "--data", &data, "--kubeconfig", "/nowhere/kubeconfig"];
    programs::run("proofstream", &missing).await?.expect(3)?.says("/nowhere/kubeconfig")
}

#[tokio::test]
async fn what_the_cluster_brings_is_answered() -> Result<()> {
    let stand = Stand::new().await?;
    let up = stand.up().await?;
    let outcome = async {
        second_writer(&stand).await?;
        broken_policies(&stand, &up).await?;
        large_bodies(&stand).await
    };
    outcome.await.with_context(|| up.last_lines())?;
    up.stop().await
}

async fn second_writer(stand: &Stand) -> Result<()> {
    let config = stand.config.display().to_string();
    let ended = programs::run("proofstream", &["up", "--config", &config]).await?.expect(3)?;
    ended.says("is being written by process")?;
    stand.enforced().await
}

const BROKEN: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: broken}
spec:
  validationFailureAction: Enforce
  rules:
  - name: strange
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate:
      message: 'No.'
      deny: {conditions: {any: [{key: a, operator: Resembles, value: b}]}}
";

const IDLE: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: idle}
spec:
  validationFailureAction: Enforce
  rules:
  - name: never
    match: {any: [{resources: {kinds: [Podd]}}]}
    validate: {message: 'No.', deny: {}}
";

/// Each policy's state says what is wrong with it, and the others stay in force.
async fn broken_policies(stand: &Stand, up: &proofstream_e2e::up::Up) -> Result<()> {
    // The webhook for policies refuses it now; as things were before us it can still be there.
    let refused = stand.cluster.apply(BROKEN).await;
    ensure!(refused.is_err(), "a broken policy is let through");
    stand.cluster.kubectl(&["delete", "validatingwebhookconfiguration", OF_POLICIES]).await?;
    while stand.cluster.apply(BROKEN).await.is_err() {
        // It was put back between the two.
        stand.cluster.kubectl(&["delete", "validatingwebhookconfiguration", OF_POLICIES]).await?;
    }
    stand.cluster.apply(IDLE).await?;
    let broken = condition(stand, "broken", "Resembles").await?;
    assert_eq!(broken["status"], "False", "{broken}");
    condition(stand, "idle", "Podd").await?;
    assert_eq!(condition(stand, "disallow-secret-env-vars", "").await?["status"], "True");
    up.shows("the broken policy", |view| {
        let mut parts = view["health"].as_array().into_iter().flatten();
        parts
            .any(|part| part["state"] == "failing" && part["detail"].to_string().contains("broken"))
    })
    .await?;
    stand.enforced().await
}

/// Waits until the Ready condition of a policy says `words`.
async fn condition(stand: &Stand, name: &str, words: &str) -> Result<Value> {
    let kind = GroupVersionKind::gvk("kyverno.io", "v1", "ClusterPolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "clusterpolicies");
    let api: Api<DynamicObject> = Api::all_with(stand.client.clone(), &resource);
    wait_until("a policy's condition", PATIENCE, || async {
        let policy = api.get(name).await?;
        let condition = policy.data.pointer("/status/conditions/0").context("no condition")?;
        let says = condition["message"].as_str().is_some_and(|message| message.contains(words));
        ensure!(condition["type"] == "Ready" && says, "{condition}");
        Ok(condition.clone())
    })
    .await
}

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ledgerdumps.example.dev}
spec:
  group: example.dev
  scope: Namespaced
  names: {kind: LedgerDump, plural: ledgerdumps, singular: ledgerdump, listKind: LedgerDumpList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

const NO_DUMPS: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: no-unlabelled-dumps}
spec:
  validationFailureAction: Enforce
  rules:
  - name: label
    match: {any: [{resources: {kinds: [example.dev/v1/LedgerDump]}}]}
    validate: {message: 'Say whose it is.', pattern: {metadata: {labels: {owner: '?*'}}}}
";

/// A pod as large as etcd takes it, and an object as large as the API server reads it.
async fn large_bodies(stand: &Stand) -> Result<()> {
    let large = "x".repeat(1_400_000);
    let argument =
        |yaml: String| yaml.replace("{name: main", &format!("{{args: [{large}], name: main"));
    stand.create_pod(&argument(workloads::good("payments", "large")), false).await?;
    stand.refused_dry_run(&argument(workloads::plain("payments", "large-bad"))).await?;

    stand.cluster.apply(DEFINITION).await?;
    stand.cluster.apply(NO_DUMPS).await?;
    let message = wait_until("the dump to be refused", PATIENCE, || async {
        crate::workloads::refusal(dump(&stand.client, 16, json!({})).await)
    })
    .await?;
    ensure!(message.contains("no-unlabelled-dumps/label"), "{message}");
    let size = 3_000_000;
    crate::workloads::refusal(dump(&stand.client, size, json!({})).await)?;
    dump(&stand.client, size, json!({"owner": "payments"})).await
}

/// Creates, as a dry run, an object with so many bytes in it.
async fn dump(client: &Client, size: usize, labels: Value) -> Result<()> {
    let kind = GroupVersionKind::gvk("example.dev", "v1", "LedgerDump");
    let resource = ApiResource::from_gvk_with_plural(&kind, "ledgerdumps");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "payments", &resource);
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "example.dev/v1", "kind": "LedgerDump",
        "metadata": {"name": "dump", "labels": labels}, "content": "x".repeat(size),
    }))?;
    api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await?;
    Ok(())
}
