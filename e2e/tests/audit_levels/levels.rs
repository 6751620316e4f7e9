//! Random requests under a random policy: the level at which the API server logged each is the one we say.
//!
//! Forty policies are one: the rules of each name users of its own, so that one API server tries them all.
//! `PROOFSTREAM_SEED=N` rolls others; the seed is part of every message.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use proofstream_audit::{Ask, AuditPolicy};
use proofstream_e2e::{Audit, Cluster, ClusterOptions, Dice, Document, client_from_kubeconfig};
use serde_json::{Value, json};

const POLICIES: u64 = 40;
const REQUESTS: usize = 3_000;
/// Requests under way at once.
const AT_ONCE: usize = 12;
const LEVELS: [&str; 4] = ["None", "Metadata", "Request", "RequestResponse"];
const VERBS: [&str; 9] =
    ["create", "get", "list", "watch", "update", "patch", "delete", "deletecollection", "head"];
const NAMESPACES: [&str; 4] = ["", "payments", "ledger", "web"];
const NAMES: [&str; 3] = ["x", "y", "payments"];
const GROUPS: [&str; 4] = ["", "apps", "rbac.authorization.k8s.io", "example.com"];
const RESOURCES: [&str; 9] = [
    "pods",
    "pods/exec",
    "pods/status",
    "secrets",
    "nodes/proxy",
    "namespaces",
    "deployments",
    "deployments/scale",
    "namespaces/status",
];
const PATTERNS: [&str; 14] = [
    "pods",
    "pods/*",
    "pods/exec",
    "*/status",
    "*",
    "*/scale",
    "secrets",
    "nodes",
    "nodes/proxy",
    "namespaces",
    "deployments",
    "*/*",
    "deployments/*",
    "namespaces/status",
];
const PATHS: [&str; 10] = [
    "/healthz",
    "/healthz/etcd",
    "/version",
    "/api",
    "/api/v1",
    "/apis/apps/v1",
    "/metrics",
    "/nowhere",
    "/apis/",
    "/readyz",
];
const URLS: [&str; 7] = ["/healthz*", "/version", "*", "/api*", "/metrics", "/apis/apps*", "/"];

/// A request, in our words and on the wire.
struct Try {
    ask: Value,
    method: &'static str,
    address: String,
    /// A token, if one is sent.
    token: Option<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_those_at_which_the_api_server_logs() -> Result<()> {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let document = policy(&mut dice);
    let (policy, ignored) = AuditPolicy::parse(&document)?;
    ensure!(ignored.is_empty(), "{ignored:?}");
    let folder = tempfile::tempdir()?;
    let tokens = folder.path().join("tokens.csv");
    std::fs::write(&tokens, token_file())?;
    let cluster = Cluster::start(ClusterOptions {
        audit: Some(Audit::to_log(Document::text(document.to_string()))),
        api_server_flags: vec![format!("--token-auth-file={}", tokens.display())],
        ..ClusterOptions::default()
    })
    .await?;
    let client = without_identity(&cluster).await?;
    let tries: Vec<Try> = (0..REQUESTS).map(|_| request(&mut dice)).collect();
    let sending = tries.iter().enumerate().map(|(number, each)| send(&client, number, each));
    stream::iter(sending).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    // An event is written when its request has been answered.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let logged = logged(&cluster)?;
    let (mut apart, mut seen) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for (number, each) in tries.iter().enumerate() {
        let (ask, unknown) = Ask::read(&each.ask.to_string())?;
        ensure!(unknown.is_empty(), "{unknown:?}");
        let request = ask.request()?;
        let judgement = policy.judge(&request);
        let none = (String::new(), BTreeSet::new());
        let (level, stages) = logged.get(&number).unwrap_or(&none);
        let theirs = if level.is_empty() { "None" } else { level.as_str() };
        let omitted = judgement.omit_stages.iter().any(|stage| stages.contains(stage.name()));
        *seen.entry(judgement.level.name()).or_default() += 1;
        if theirs != judgement.level.name() || omitted {
            let why = policy.why(&request, &judgement);
            let Try { ask, method, address, .. } = each;
            apart.push(format!(
                "{method} {address} {ask}\n  server {theirs} {stages:?}\n  ours   {judgement:?}: {why}"
            ));
        }
    }
    let first = apart.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
    ensure!(apart.is_empty(), "seed {seed}: {} apart:\n{first}", apart.len());
    println!("seed {seed}: {seen:?}");
    // A comparison in which nearly everything is of one level would prove little.
    ensure!(seen.len() == 4 && seen.values().all(|count| *count > REQUESTS / 20), "{seen:?}");
    Ok(())
}

fn seed() -> u64 {
    std::env::var("PROOFSTREAM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn users(policy: u64) -> [String; 2] {
    [format!("p{policy}-alice"), format!("p{policy}-bob")]
}

/// The first of each policy's users is in a team.
fn token_file() -> String {
    let mut text = String::new();
    for policy in 0..=POLICIES {
        for (place, user) in users(policy).iter().enumerate() {
            let groups = if place == 0 { "\"team-a,other\"" } else { "\"\"" };
            let _ = writeln!(text, "token-{user},{user},{user},{groups}");
        }
    }
    text
}

/// The last rules name no users where chance does not, so that all of it is tried.
fn policy(dice: &mut Dice) -> Value {
    let mut rules = Vec::new();
    for policy in 0..=POLICIES {
        for _ in 0..2 + dice.below(6) {
            let mut rule = rule(dice);
            if policy < POLICIES && rule.get("users").is_none() {
                rule["users"] = json!(users(policy));
            } else if rule.get("users").is_some() {
                rule["users"] = json!(dice.some_of(&users(policy), 1));
            }
            rules.push(rule);
        }
    }
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": rules,
    })
}

fn rule(dice: &mut Dice) -> Value {
    let mut rule = json!({"level": dice.one_of(&LEVELS)});
    if dice.once_in(3) {
        rule["users"] = json!([]);
    }
    if dice.once_in(4) {
        let groups = ["team-a", "team-b", "system:authenticated", "system:unauthenticated"];
        rule["userGroups"] = json!(dice.some_of(&groups, 2));
    }
    if !dice.once_in(3) {
        rule["verbs"] = json!(dice.some_of(&VERBS, 4));
    }
    if dice.once_in(4) {
        rule["omitStages"] = json!(["RequestReceived"]);
    }
    if dice.once_in(5) {
        rule["nonResourceURLs"] = json!(dice.some_of(&URLS, 2));
        return rule;
    }
    if dice.once_in(4) {
        rule["namespaces"] = json!(dice.some_of(&NAMESPACES, 2));
    }
    if !dice.once_in(3) {
        rule["resources"] = (0..=dice.below(2)).map(|_| entry(dice)).collect();
    }
    rule
}

fn entry(dice: &mut Dice) -> Value {
    let groups = ["", "", "*", "apps", "rbac.authorization.k8s.io", "example.com"];
    let mut entry = json!({"group": dice.one_of(&groups)});
    if !dice.once_in(6) {
        entry["resources"] = json!(dice.some_of(&PATTERNS, 3));
        if dice.once_in(4) {
            entry["resourceNames"] = json!(dice.some_of(&NAMES, 2));
        }
    }
    entry
}

fn request(dice: &mut Dice) -> Try {
    let mut ask = json!({});
    let token = match dice.below(20) {
        // A token that is no token: nobody is known.
        0 => Some("nobody's".to_owned()),
        1 => {
            ask["user"] = json!("system:anonymous");
            None
        }
        _ => {
            let policy = dice.below(POLICIES + 1);
            let place = usize::from(dice.once_in(2));
            let user = users(policy).get(place).cloned().unwrap_or_default();
            ask["user"] = json!(user);
            ask["groups"] = if place == 0 { json!(["team-a", "other"]) } else { json!([]) };
            Some(format!("token-{user}"))
        }
    };
    if dice.once_in(5) {
        let method = dice.one_of(&["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"]);
        let address = dice.one_of(&PATHS).to_owned();
        ask["verb"] = json!(method);
        ask["path"] = json!(address);
        return Try { ask, method, address, token };
    }
    let (method, address) = resource(dice, &mut ask);
    if dice.once_in(4) {
        // The same by its address alone.
        let user = (ask.get("user").cloned(), ask.get("groups").cloned());
        ask = json!({"verb": method, "path": address, "user": user.0, "groups": user.1});
    }
    Try { ask, method, address, token }
}

/// Puts a resource into the question; gives the method and the address.
fn resource(dice: &mut Dice, ask: &mut Value) -> (&'static str, String) {
    let verb = dice.one_of(&VERBS);
    let text = dice.one_of(&RESOURCES);
    let (resource, subresource) = text.split_once('/').unwrap_or((text, ""));
    let group = dice.one_of(&GROUPS);
    let namespace = dice.one_of(&NAMESPACES);
    let name = dice.one_of(&NAMES);
    let mut address = match group {
        "" => "/api/v1".to_owned(),
        group => format!("/apis/{group}/v1"),
    };
    let is_namespace = resource == "namespaces";
    if !namespace.is_empty() && !is_namespace {
        let _ = write!(address, "/namespaces/{namespace}");
        ask["namespace"] = json!(namespace);
    }
    let _ = write!(address, "/{resource}");
    ask["resource"] = json!(text);
    ask["group"] = json!(group);
    let of_collection = matches!(verb, "list" | "watch" | "deletecollection");
    let created = verb == "create" && subresource.is_empty();
    // A namespace that is created, too, has no name yet.
    if of_collection || created {
        if created && dice.once_in(2) {
            ask["name"] = json!(name);
        }
        ask["resource"] = json!(resource);
    } else {
        ask["name"] = json!(name);
        let _ = write!(address, "/{name}");
        if !subresource.is_empty() {
            let _ = write!(address, "/{subresource}");
        }
    }
    ask["verb"] = json!(verb);
    let method = match verb {
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        "head" => "HEAD",
        _ => "GET",
    };
    if verb == "watch" {
        address.push_str("?watch=true&timeoutSeconds=1");
    }
    (method, address)
}

pub(crate) async fn without_identity(cluster: &Cluster) -> Result<Client> {
    let mut kubeconfig: Value =
        serde_json::to_value(kube::config::Kubeconfig::from_yaml(cluster.kubeconfig())?)?;
    kubeconfig["users"][0]["user"] = json!({});
    client_from_kubeconfig(&kubeconfig.to_string()).await
}

async fn send(client: &Client, number: usize, each: &Try) -> Result<()> {
    send_with_token(client, number, each.method, &each.address, each.token.as_deref()).await
}

/// Sends a request whose event has its number.
pub(crate) async fn send_with_token(
    client: &Client,
    number: usize,
    method: &str,
    address: &str,
    token: Option<&str>,
) -> Result<()> {
    let body = match method {
        "POST" | "PUT" | "PATCH" => b"{}".to_vec(),
        _ => Vec::new(),
    };
    let mut request = http::Request::builder()
        .method(method)
        .uri(address)
        .header("Audit-ID", format!("try-{number}"))
        .header("Content-Type", "application/json");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let answer = client.send(request.body(kube::client::Body::from(body))?);
    // Whatever it answers; a watch ends by itself after a second.
    tokio::time::timeout(Duration::from_secs(20), answer).await.context("no answer")??;
    Ok(())
}

/// Level and stages of each request that was logged.
pub(crate) fn logged(cluster: &Cluster) -> Result<BTreeMap<usize, (String, BTreeSet<String>)>> {
    let text = std::fs::read_to_string(cluster.audit_log().context("no log")?).unwrap_or_default();
    let mut logged = BTreeMap::<usize, (String, BTreeSet<String>)>::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line)?;
        let id = event["auditID"].as_str().unwrap_or_default();
        let Some(number) = id.strip_prefix("try-").and_then(|text| text.parse().ok()) else {
            continue;
        };
        let entry = logged.entry(number).or_default();
        entry.0 = event["level"].as_str().context("no level")?.to_owned();
        entry.1.insert(event["stage"].as_str().context("no stage")?.to_owned());
    }
    Ok(logged)
}
