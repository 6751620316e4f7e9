//! Every hole that is found in the article's policies, tried on a real API server that enforces them.

#![cfg(test)]

#[path = "admission/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::{HARDENED, NO_SECRET_ENV, Stand};
use http::Method;
use kube::Client;
use proofstream_e2e::{Cluster, ClusterOptions, wait_until};
use proofstream_holes::{Breaches, Found, Gate, Search};
use proofstream_policy::{Environment, PolicyBinding, PolicySet, parse, parse_admission_policy};
use serde_json::Value;

const NAMESPACES: [&str; 3] = ["payments", "ledger", "prod-a"];

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_lets_every_hole_through_and_nothing_else() -> Result<()> {
    let found = search()?;
    let stand = Stand::start(&[HARDENED, NO_SECRET_ENV]).await?;
    for namespace in NAMESPACES {
        stand.cluster.create_namespace(namespace).await?;
    }
    ensure!(!found.holes.is_empty() && !found.refused.is_empty());
    agree(&stand.client, &found, "is refused by policy").await
}

/// The library's three policies for pods, enforced by the API server itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_library_refuses_every_breach_on_the_api_server() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let client = cluster.client().await?;
    cluster.create_labelled_namespace("regulated", &[(REGULATED, "true")]).await?;
    let mut policies = Vec::new();
    for name in ["workload-hardened", "pod-security-restricted", "secrets-not-in-env"] {
        let text = library(name)?;
        let documents = text.split("---\n").map(serde_saphyr::from_str::<Value>);
        let documents: Vec<Value> = documents.collect::<Result<_, _>>()?;
        let [policy, binding] = documents.as_slice() else { bail!("{name}: one binding") };
        policies.push(parse_admission_policy(policy, &[&PolicyBinding::parse(binding)?])?);
        cluster.apply(&text).await?;
    }
    let (set, _) = PolicySet::compile(policies);
    let labels = BTreeMap::from([(REGULATED.to_owned(), "true".to_owned())]);
    let gate = Gate::new(&set, environment())
        .with_labels(BTreeMap::from([("regulated".to_owned(), labels)]));
    let breaches = Breaches::embedded()?;
    let namespaces = vec!["regulated".to_owned()];
    let found = Search { breaches: &breaches, controls: Vec::new(), namespaces }.run(&gate);
    ensure!(found.holes.is_empty() && found.strict.is_empty(), "{found:?}");
    ensure!(found.refused.len() > 70, "{} pods are tried", found.refused.len());
    // Policies are in force a moment after they are there.
    let bare = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "bare", "namespace": "regulated" },
        "spec": { "containers": [{ "name": "a", "image": "a", "env": [{ "name": "TOKEN", "value": "x" }] }] },
    });
    wait_until("the policies to be in force", Duration::from_secs(30), || async {
        let said = try_pod(&client, &bare, None).await?.context("it is admitted")?;
        ensure!(said.contains("denied request"), "{said}");
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    agree(&client, &found, "denied request").await
}

/// The policies about roles and namespaces, and the one that needs a parameter: stored by the API server
/// as they are, with no word about their types.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_library_is_taken_by_the_api_server() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    cluster.create_namespace("proofstream").await?;
    for name in ["images", "rbac-no-wildcards", "no-cluster-admin", "regulated-namespaces"] {
        let text = library(name)?;
        cluster.apply(&text).await.with_context(|| name.to_owned())?;
    }
    let refused = |text: String| {
        let cluster = &cluster;
        async move {
            wait_until("the refusal", Duration::from_secs(30), || async {
                let error = cluster.create(&text).await.err().context("it is taken")?;
                let said = format!("{error:#}");
                ensure!(said.contains("denied request"), "{said}");
                Ok(said)
            })
            .await
        }
    };
    let role = |name: &str, verb: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {name}}}\n\
             rules: [{{apiGroups: [apps], resources: [deployments], verbs: ['{verb}']}}]\n"
        )
    };
    let said = refused(role("probe", "*")).await?;
    ensure!(said.contains("roles must name their verbs"), "{said}");
    cluster.create(&role("narrow", "get")).await?;
    let namespace = |name: &str, level: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{REGULATED}: 'true', \
             pod-security.kubernetes.io/enforce: {level}}}}}\n"
        )
    };
    let said = refused(namespace("probe", "baseline")).await?;
    ensure!(said.contains("restricted profile"), "{said}");
    cluster.create(&namespace("kept", "restricted")).await?;
    let said = refused(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: probe}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n\
         subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}]\n"
            .to_owned(),
    )
    .await?;
    ensure!(said.contains("cluster-admin"), "{said}");
    Ok(())
}

const REGULATED: &str = "proofstream.dev/regulated";

fn library(name: &str) -> Result<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies").join(name);
    Ok(std::fs::read_to_string(path.join("policy.yaml"))?)
}

/// Tries what was found on a real API server: every hole is let through, with every controller, and all
/// else is refused with these words.
async fn agree(client: &Client, found: &Found, words: &str) -> Result<()> {
    let mut wrong = Vec::new();
    for hole in &found.holes {
        for namespace in &hole.namespaces {
            let at = |object: &Value| in_namespace(object, namespace);
            let before = hole.before.as_ref().map(at);
            let said = try_pod(client, &at(&hole.object), before.as_ref()).await?;
            let name = format!("{} in {} ({namespace})", hole.breach, hole.place);
            wrong.extend(said.map(|refusal| format!("{name} is refused: {refusal}")));
        }
        for kind in &hole.controllers {
            let said = try_controller(client, &hole.controller(kind)).await?;
            wrong.extend(said.map(|refusal| format!("{kind} of {}: {refusal}", hole.breach)));
        }
    }
    for tried in &found.refused {
        let said = try_pod(client, &tried.object, tried.before.as_ref()).await?;
        let name = format!("{} in {}", tried.breach, tried.place);
        match said {
            None => wrong.push(format!("{name} is admitted")),
            Some(refusal) if !refusal.contains(words) => {
                wrong.push(format!("{name} is refused by something else: {refusal}"));
            }
            Some(_) => {}
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn try_controller(client: &Client, object: &Value) -> Result<Option<String>> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, kind) = (text("/apiVersion"), text("/kind").to_lowercase());
    let namespace = text("/metadata/namespace");
    let path = format!("/apis/{group}/namespaces/{namespace}/{kind}s?dryRun=All");
    send(client, Method::POST, &path, object).await
}

/// What an expert found by reading, and a minimum: more may be found.
#[test]
fn the_known_holes_are_among_those_that_are_found() -> Result<()> {
    let found = search()?;
    let holes: BTreeSet<(String, String)> =
        found.holes.iter().map(|hole| (hole.breach.clone(), hole.place.to_string())).collect();
    let lists = ["container", "init container", "ephemeral container"];
    for (breach, places) in [
        ("root-user", &lists[..]),
        ("root-allowed", &lists[..]),
        ("capabilities-added", &lists[..]),
        ("privileged", &lists[1..]),
        ("privilege-escalation", &lists[1..]),
        ("capabilities-kept", &lists[1..]),
        ("root-filesystem-writable", &lists[1..]),
        ("host-path", &["container", "init container"][..]),
        ("host-network", &["pod"][..]),
        ("host-pid", &["pod"][..]),
        ("host-ipc", &["pod"][..]),
        ("secret-as-environment", &lists[..]),
        ("secret-in-variable", &lists[1..]),
        ("literal-credential", &lists[..]),
    ] {
        for place in places {
            let hole = (breach.to_owned(), (*place).to_owned());
            ensure!(holes.contains(&hole), "{breach} in {place} is not found");
        }
    }
    // The API server gives every pod a securityContext, so that leaving it out is no way through.
    let by_pod = ("root-by-default".to_owned(), "container".to_owned());
    ensure!(!holes.contains(&by_pod), "an empty securityContext is refused");
    let strict: Vec<&str> = found.strict.iter().map(|strict| strict.says.as_str()).collect();
    ensure!(strict.iter().any(|says| says.contains("leaves `privileged` out")), "{strict:?}");
    Ok(())
}

fn search() -> Result<Found> {
    let mut policies = Vec::new();
    for text in [HARDENED, NO_SECRET_ENV] {
        policies.push(parse(&serde_saphyr::from_str(text)?)?);
    }
    let (set, _) = PolicySet::compile(policies);
    let breaches = Breaches::embedded()?;
    let namespaces = NAMESPACES.map(str::to_owned).to_vec();
    let controls = Vec::new();
    Ok(Search { breaches: &breaches, controls, namespaces }.run(&Gate::new(&set, environment())))
}

fn environment() -> Environment {
    Environment {
        offline: true,
        parameters: Some(Value::Array(Vec::new())),
        ..Environment::at(jiff::Timestamp::now())
    }
}

fn in_namespace(object: &Value, namespace: &str) -> Value {
    let mut object = object.clone();
    if let Some(own) = object.pointer_mut("/metadata/namespace") {
        *own = namespace.into();
    }
    object
}

/// Why a dry run is refused; a breach that is added to a running pod needs that pod.
async fn try_pod(client: &Client, pod: &Value, before: Option<&Value>) -> Result<Option<String>> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let Some(before) = before else {
        return send(client, Method::POST, &format!("{pods}?dryRun=All"), pod).await;
    };
    let made = send(client, Method::POST, &pods, before).await?;
    ensure!(made.is_none(), "the pod before is refused: {made:?}");
    let path = format!("{pods}/{name}/ephemeralcontainers?dryRun=All");
    let said = send(client, Method::PUT, &path, pod).await?;
    let gone = format!("{pods}/{name}?gracePeriodSeconds=0");
    let left = send(client, Method::DELETE, &gone, &Value::Null).await?;
    ensure!(left.is_none(), "the pod before cannot be deleted: {left:?}");
    Ok(said)
}

async fn send(client: &Client, method: Method, path: &str, body: &Value) -> Result<Option<String>> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(body)?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error).context(path.to_owned()),
    }
}
