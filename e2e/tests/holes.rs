//! Every hole that is found in the article's policies, tried on a real API server that enforces them.

#![cfg(test)]

#[path = "admission/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use harness::{HARDENED, NO_SECRET_ENV, Stand};
use http::Method;
use kube::Client;
use proofstream_holes::{Breaches, Found, Gate, Search};
use proofstream_policy::{Environment, PolicySet, parse};
use serde_json::Value;

const NAMESPACES: [&str; 3] = ["payments", "ledger", "prod-a"];

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_lets_every_hole_through_and_nothing_else() -> Result<()> {
    let found = search()?;
    let stand = Stand::start(&[HARDENED, NO_SECRET_ENV]).await?;
    for namespace in NAMESPACES {
        stand.cluster.create_namespace(namespace).await?;
    }
    let client = &stand.client;
    let mut wrong = Vec::new();
    for hole in &found.holes {
        for namespace in &hole.namespaces {
            let at = |object: &Value| in_namespace(object, namespace);
            let before = hole.before.as_ref().map(at);
            let said = try_pod(client, &at(&hole.object), before.as_ref()).await?;
            let name = format!("{} in {} ({namespace})", hole.breach, hole.place);
            wrong.extend(said.map(|refusal| format!("{name} is refused: {refusal}")));
        }
    }
    for hole in &found.holes {
        for kind in &hole.controllers {
            let object = hole.controller(kind);
            let (group, resource) = match *kind {
                "Job" | "CronJob" => ("batch", kind.to_lowercase() + "s"),
                _ => ("apps", kind.to_lowercase() + "s"),
            };
            let namespace = hole.namespaces.first().context("a hole is in a namespace")?;
            let path = format!("/apis/{group}/v1/namespaces/{namespace}/{resource}?dryRun=All");
            let said = send(client, Method::POST, &path, &object).await?;
            wrong.extend(said.map(|refusal| format!("{kind} of {}: {refusal}", hole.breach)));
        }
    }
    for tried in &found.refused {
        let said = try_pod(client, &tried.object, tried.before.as_ref()).await?;
        let name = format!("{} in {}", tried.breach, tried.place);
        match said {
            None => wrong.push(format!("{name} is admitted")),
            Some(refusal) if !refusal.contains("is refused by policy") => {
                wrong.push(format!("{name} is refused by something else: {refusal}"));
            }
            Some(_) => {}
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
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
    let mut environment = Environment::at(jiff::Timestamp::now());
    environment.offline = true;
    let breaches = Breaches::embedded()?;
    let namespaces = NAMESPACES.map(str::to_owned).to_vec();
    let controls = Vec::new();
    Ok(Search { breaches: &breaches, controls, namespaces }.run(&Gate::new(&set, environment)))
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
