//! Our engine beside the real API server: random pods, ValidatingAdmissionPolicies with bindings and
//! parameters, and the levels of Pod Security. Whatever the server says to a dry run, we say.
//!
//! `PROOFSTREAM_SEED=N` rolls other pods; the seed is part of every message.

#![cfg(test)]

#[path = "differential/changes.rs"]
mod changes;
#[path = "differential/pods.rs"]
mod pods;
#[path = "differential/policies.rs"]
mod policies;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use proofstream_e2e::{Cluster, ClusterOptions, Dice, wait_until};
use proofstream_policy::pod_security::{self, Level, Pod, Version};
use proofstream_policy::{
    Environment, Evaluation, Operation, PolicyBinding, PolicySet, Request, Status, UserInfo,
    parse_admission_policy, type_warnings,
};
use serde_json::{Value, json};

use policies::{Case, LABEL, case};

const PODS: usize = 24;
const NAMESPACE: &str = "team-a";
/// Requests under way at once.
const AT_ONCE: usize = 8;
const LEVELS: [Level; 3] = [Level::Privileged, Level::Baseline, Level::Restricted];

/// What became of a request: nothing, or the reason.
type Said = Option<String>;

#[tokio::test(flavor = "multi_thread")]
async fn admission_policies_are_judged_as_the_api_server_does() -> Result<()> {
    let seed = seed();
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    cluster.create_labelled_namespace(NAMESPACE, &[("stage", "prod")]).await?;
    cluster.create_namespace("team-b").await?;
    for limit in policies::limits() {
        cluster.create(&limit.to_string()).await?;
    }
    let cases = policies::all();
    let set = in_force(&cluster, &cases).await?;
    let client = cluster.client().await?;
    let pods = accepted(&client, seed).await?;
    let pairs = cases.iter().flat_map(|case| pods.iter().map(move |pod| (case, pod)));
    let tries = pairs.map(|(case, (pod, stored))| {
        let (client, set) = (&client, &set);
        async move {
            let ours = judge(set, &labelled(stored, &case.name))?;
            let mut theirs = ask(client, NAMESPACE, &labelled(pod, &case.name)).await?;
            if !agree(&theirs, &ours) {
                // What watches parameters may be behind for a moment after its policy came.
                tokio::time::sleep(Duration::from_secs(2)).await;
                theirs = ask(client, NAMESPACE, &labelled(pod, &case.name)).await?;
            }
            let apart = (!agree(&theirs, &ours)).then(|| {
                let expression = &case.policy["spec"]["validations"][0]["expression"];
                let name = &case.name;
                format!("{name} {expression}\n  pod {pod}\n  server {theirs:?}\n  ours   {ours:?}")
            });
            anyhow::Ok((apart, theirs.is_some()))
        }
    });
    let judged: Vec<_> = stream::iter(tries).buffer_unordered(AT_ONCE).try_collect().await?;
    let refused = judged.iter().filter(|(_, refused)| *refused).count();
    let apart: Vec<&String> = judged.iter().filter_map(|(apart, _)| apart.as_ref()).collect();
    println!("seed {seed}: {} cases, {refused} refused by the server", judged.len());
    ensure!(apart.is_empty(), "seed {seed}: {} apart:\n{}", apart.len(), first(&apart));
    // A comparison of nothing but passes would prove little.
    ensure!(judged.len() > 2_000 && refused > judged.len() / 10, "{} {refused}", judged.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mutating_policies_change_what_the_api_server_does() -> Result<()> {
    let seed = seed();
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    cluster.create_labelled_namespace(NAMESPACE, &[("stage", "prod")]).await?;
    cluster.create_namespace("team-b").await?;
    for limit in policies::limits() {
        cluster.create(&limit.to_string()).await?;
    }
    let cases = policies::mutating();
    let set = in_force(&cluster, &cases).await?;
    let client = cluster.client().await?;
    let pods = accepted(&client, seed).await?;
    // The two plugins read their policies each in its time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (mut apart, mut changed) = (Vec::new(), 0);
    for case in &cases {
        for (pod, stored) in &pods {
            let before = labelled(stored, &case.name);
            let theirs = match create(&client, NAMESPACE, &labelled(pod, &case.name)).await {
                Ok(stored) => Ok(lasting(stored)),
                Err(kube::Error::Api(status)) => Err(status.message.clone()),
                Err(error) => return Err(error.into()),
            };
            let ours = mutated(&set, &before)?.map(lasting);
            changed += usize::from(ours.as_ref().is_ok_and(|ours| *ours != lasting(before)));
            let same = match (&theirs, &ours) {
                (Ok(theirs), Ok(ours)) => theirs == ours,
                (theirs, ours) => theirs.is_err() && ours.is_err(),
            };
            if !same {
                let name = &case.name;
                apart.push(format!("{name}\n  server {theirs:?}\n  ours   {ours:?}"));
            }
        }
    }
    let apart: Vec<&String> = apart.iter().collect();
    ensure!(apart.is_empty(), "seed {seed}: {} apart:\n{}", apart.len(), first(&apart));
    ensure!(changed > 200, "only {changed} changed");
    Ok(())
}

/// Pods of each policy that are stored before it comes.
const STORED: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_deletions_are_judged_as_the_api_server_does() -> Result<()> {
    let seed = seed();
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    cluster.create_labelled_namespace(NAMESPACE, &[("stage", "prod")]).await?;
    let client = cluster.client().await?;
    let pods = accepted(&client, seed).await?;
    let cases = changes::policies();
    let mut stored = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for (place, (pod, _)) in pods.iter().cycle().skip(number).take(STORED).enumerate() {
            let mut pod = labelled(pod, &case.name);
            pod["metadata"]["name"] = format!("pod-{number}-{place}").into();
            let mut pod = send(&client, http::Method::POST, "", "", &pod).await?;
            pod["metadata"].as_object_mut().map(|fields| fields.remove("managedFields"));
            stored.push((case, pod));
        }
    }
    let set = in_force(&cluster, &cases).await?;
    let mut dice = Dice::new(seed);
    let (mut apart, mut refused, mut tried) = (Vec::new(), 0, 0);
    for (case, old) in &stored {
        let name = old["metadata"]["name"].as_str().unwrap_or_default();
        let changed = changes::change(&mut dice, old);
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]});
        let requests = [
            (http::Method::PUT, "?dryRun=All", &changed, update(old, &changed)?),
            (http::Method::DELETE, "", &options, deletion(old)?),
        ];
        for (method, query, body, request) in requests {
            let ours = judge_request(&set, &request)?;
            let mut theirs = said(send(&client, method.clone(), name, query, body).await)?;
            if !agree(&theirs, &ours) {
                // The server may be behind for a moment with a policy or its binding.
                tokio::time::sleep(Duration::from_secs(2)).await;
                theirs = said(send(&client, method, name, query, body).await)?;
            }
            tried += 1;
            refused += usize::from(theirs.is_some());
            if !agree(&theirs, &ours) {
                let expression = &case.policy["spec"]["validations"][0]["expression"];
                let (name, operation) = (&case.name, request.operation);
                apart.push(format!(
                    "{name} {operation:?} {expression}\n  was {old}\n  is {:?}\n  server {theirs:?}\n  ours   {ours:?}",
                    request.object
                ));
            }
        }
    }
    let apart: Vec<&String> = apart.iter().collect();
    println!("seed {seed}: {tried} changes, {refused} refused by the server");
    ensure!(apart.is_empty(), "seed {seed}: {} apart:\n{}", apart.len(), first(&apart));
    ensure!(tried > 300 && refused > tried / 10 && refused < tried * 9 / 10, "{tried} {refused}");
    Ok(())
}

/// The request to change a stored pod.
fn update(old: &Value, changed: &Value) -> Result<Request> {
    let options =
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "UpdateOptions", "dryRun": ["All"]});
    Ok(Request {
        operation: Operation::Update,
        old_object: Some(old.clone()),
        options: Some(options),
        ..request(changed)?
    })
}

/// The request to delete one.
fn deletion(old: &Value) -> Result<Request> {
    let options =
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "DeleteOptions", "dryRun": ["All"]});
    Ok(Request {
        operation: Operation::Delete,
        old_object: Some(old.clone()),
        object: None,
        options: Some(options),
        ..request(old)?
    })
}

/// What the API server says of types in the status of a policy, and what we say: of the same expressions.
#[tokio::test(flavor = "multi_thread")]
async fn warnings_of_types_are_those_of_the_api_server() -> Result<()> {
    let controllers = Some(vec!["validatingadmissionpolicy-status-controller".to_owned()]);
    let options = ClusterOptions { controllers, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await?;
    let client = cluster.client().await?;
    let mut policies = Vec::new();
    for policy in policies::ill_typed() {
        // Some cannot be compiled whatever the object is.
        if parse_admission_policy(&policy, &[]).is_ok() {
            cluster.create(&policy.to_string()).await?;
            policies.push(policy);
        }
    }
    ensure!(policies.len() > 10, "{} policies", policies.len());
    let mut apart = Vec::new();
    for policy in &policies {
        let theirs = type_checking(&client, policy).await?;
        let mut ours: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for warning in type_warnings(policy) {
            let kind = warning.kind.rsplit(' ').next().unwrap_or_default().to_owned();
            ours.entry(warning.path).or_default().push(kind);
        }
        let same = theirs.keys().eq(ours.keys())
            && ours.iter().all(|(path, kinds)| {
                ["Pod", "Deployment"].iter().all(|kind| {
                    let told = theirs[path].contains(&format!("Kind={kind}"));
                    told == kinds.iter().any(|own| own == kind)
                })
            });
        if !same {
            let expression = &policy["spec"]["validations"][0]["expression"];
            apart.push(format!("{expression}\n  server {theirs:?}\n  ours   {ours:?}"));
        }
    }
    ensure!(apart.is_empty(), "{} apart:\n{}", apart.len(), apart.join("\n"));
    Ok(())
}

/// What the API server says of a policy's types, by the expressions' places.
async fn type_checking(client: &Client, policy: &Value) -> Result<BTreeMap<String, String>> {
    let name = policy["metadata"]["name"].as_str().unwrap_or_default();
    let path = format!("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{name}");
    let status = wait_until("the status", Duration::from_mins(1), || async {
        let request = http::Request::get(&path).body(Vec::new())?;
        let stored: Value = client.request(request).await?;
        ensure!(stored["status"]["observedGeneration"].is_number(), "no status yet");
        Ok(stored["status"].clone())
    })
    .await?;
    let warnings = status["typeChecking"]["expressionWarnings"].as_array().cloned();
    let told = warnings.unwrap_or_default().into_iter().map(|warning| {
        let text = |key: &str| warning[key].as_str().unwrap_or_default().to_owned();
        (text("fieldRef"), text("warning"))
    });
    Ok(told.collect())
}

/// A pod without what is new at every try.
fn lasting(mut pod: Value) -> Value {
    for field in ["uid", "creationTimestamp", "managedFields", "generation"] {
        pod["metadata"].as_object_mut().map(|fields| fields.remove(field));
    }
    pod
}

/// A stored pod as our engine changes it, or why it refuses.
fn mutated(set: &PolicySet, stored: &Value) -> Result<Result<Value, String>> {
    let request = request(stored)?;
    let mutation = match set.mutate(&request, &environment()) {
        Evaluation::Done(mutation) => mutation,
        Evaluation::Needs(lookups) => anyhow::bail!("needs {lookups:?}"),
    };
    let refusing = mutation.responses.iter().find(|response| response.refuses());
    Ok(match refusing {
        Some(response) => Err(response.message.clone()),
        None => Ok(mutation.object.unwrap_or_else(|| stored.clone())),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_security_levels_are_judged_as_the_api_server_does() -> Result<()> {
    let seed = seed();
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    for level in LEVELS {
        let labels = [("pod-security.kubernetes.io/enforce", &*level.to_string())];
        cluster.create_labelled_namespace(&level.to_string(), &labels).await?;
    }
    cluster.create_namespace(NAMESPACE).await?;
    let client = cluster.client().await?;
    let pods = accepted(&client, seed).await?;
    let mut apart = Vec::new();
    let mut refused = 0;
    for (pod, stored) in &pods {
        for level in LEVELS {
            let theirs = ask(&client, &level.to_string(), pod).await?;
            let read = Pod::read(stored.get("metadata"), stored.get("spec"))?;
            let broken = pod_security::evaluate(level, Version::Latest, &read);
            let words: Vec<String> = broken.iter().map(pod_security::Violation::describe).collect();
            let ours = (!words.is_empty())
                .then(|| format!("violates PodSecurity \"{level}:latest\": {}", words.join(", ")));
            let same = match (&theirs, &ours) {
                (Some(theirs), Some(ours)) => theirs.ends_with(ours.as_str()),
                (theirs, ours) => theirs.is_none() && ours.is_none(),
            };
            refused += usize::from(theirs.is_some());
            if !same {
                apart.push(format!("{pod}\n  server {theirs:?}\n  ours   {ours:?}"));
            }
        }
    }
    let apart: Vec<&String> = apart.iter().collect();
    ensure!(apart.is_empty(), "seed {seed}: {} apart:\n{}", apart.len(), first(&apart));
    ensure!(refused > pods.len(), "{refused} of {} refused", pods.len());
    Ok(())
}

fn seed() -> u64 {
    std::env::var("PROOFSTREAM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// One of each kind: the first line tells the kind.
fn first(apart: &[&String]) -> String {
    let mut kinds = std::collections::BTreeSet::new();
    let new = apart.iter().filter(|each| kinds.insert(each.lines().next().unwrap_or_default()));
    new.take(20).map(|each| each.as_str()).collect::<Vec<_>>().join("\n")
}

/// Stores the policies, and reads them as our engine does; returns when the server has all of them. What
/// the one does not take the other must not take either.
async fn in_force(cluster: &Cluster, cases: &[Case]) -> Result<PolicySet> {
    let mut read = Vec::new();
    let mut apart = Vec::new();
    let last = case("zz-last", json!({"validations": [{"expression": "false"}]}), &[json!({})]);
    for case in cases.iter().chain([&last]) {
        let bindings: Result<Vec<PolicyBinding>, _> =
            case.bindings.iter().map(PolicyBinding::parse).collect();
        let bindings = bindings?;
        let ours = parse_admission_policy(&case.policy, &bindings.iter().collect::<Vec<_>>());
        let theirs = cluster.create(&case.policy.to_string()).await;
        match (theirs, ours) {
            (Ok(_), Ok(policy)) => read.push(policy),
            (Err(theirs), Ok(_)) => apart.push(format!("{}\n  server {theirs:#}", case.policy)),
            (Ok(_), Err(ours)) => apart.push(format!("{}\n  ours {ours}", case.policy)),
            (Err(_), Err(_)) => continue,
        }
        for binding in &case.bindings {
            cluster.create(&binding.to_string()).await.with_context(|| binding.to_string())?;
        }
    }
    ensure!(apart.is_empty(), "{} policies apart:\n{}", apart.len(), apart.join("\n"));
    let client = cluster.client().await?;
    let probe = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"},
        "spec": {"containers": [{"name": "main", "image": "x"}]},
    });
    wait_until("the API server asks the policies", Duration::from_mins(1), || async {
        Ok(ask(&client, NAMESPACE, &labelled(&probe, "zz-last")).await?.map(|_| ()))
    })
    .await?;
    Ok(PolicySet::compile(read).0)
}

/// Random pods which the API server takes, each beside what it would store.
async fn accepted(client: &Client, seed: u64) -> Result<Vec<(Value, Value)>> {
    let mut dice = Dice::new(seed);
    let mut pods = Vec::new();
    for number in 0..4 * PODS {
        let pod = pods::pod(&mut dice, number);
        match create(client, NAMESPACE, &pod).await {
            Ok(stored) => pods.push((pod, stored)),
            // Some settings do not go together.
            Err(kube::Error::Api(status)) if status.code == 422 => {}
            Err(error) => return Err(error).with_context(|| format!("seed {seed}: {pod}")),
        }
        if pods.len() == PODS {
            return Ok(pods);
        }
    }
    anyhow::bail!("seed {seed}: the API server takes only {} pods", pods.len())
}

fn labelled(pod: &Value, name: &str) -> Value {
    let mut pod = pod.clone();
    pod["metadata"]["labels"][LABEL] = name.into();
    pod
}

/// What a dry run would store.
async fn create(client: &Client, namespace: &str, pod: &Value) -> Result<Value, kube::Error> {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    carry_out(client, http::Method::POST, path, pod).await
}

/// Does something to a pod (or, without a name, to all) of our namespace.
async fn send(
    client: &Client,
    method: http::Method,
    name: &str,
    query: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}");
    let path = format!("{}{query}", path.trim_end_matches('/'));
    carry_out(client, method, path, body).await
}

async fn carry_out(
    client: &Client,
    method: http::Method,
    path: String,
    body: &Value,
) -> Result<Value, kube::Error> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}

async fn ask(client: &Client, namespace: &str, pod: &Value) -> Result<Said> {
    said(create(client, namespace, pod).await)
}

fn said(answer: Result<Value, kube::Error>) -> Result<Said> {
    match answer {
        Ok(_) => Ok(None),
        // Policies give other codes than 403 where they name a reason.
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// The request to create a stored pod.
fn request(stored: &Value) -> Result<Request> {
    let mut request = Request::create(stored.clone());
    request.resource = serde_json::from_value(json!({
        "group": "", "version": "v1", "resource": "pods",
    }))?;
    request.dry_run = true;
    request.namespace_labels = Some(BTreeMap::from([
        ("kubernetes.io/metadata.name".to_owned(), NAMESPACE.to_owned()),
        ("stage".to_owned(), "prod".to_owned()),
    ]));
    request.user = Some(UserInfo {
        username: "admin".to_owned(),
        groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        ..UserInfo::default()
    });
    Ok(request)
}

fn environment() -> Environment {
    Environment {
        offline: true,
        parameters: Some(policies::limits().into()),
        ..Environment::at(jiff::Timestamp::now())
    }
}

/// Each refusal of a stored pod: the words, or none for a fault. The server asks the bindings of a policy
/// in no order, and tells what the first says.
fn judge(set: &PolicySet, stored: &Value) -> Result<Vec<String>> {
    judge_request(set, &request(stored)?)
}

fn judge_request(set: &PolicySet, request: &Request) -> Result<Vec<String>> {
    let responses = match set.evaluate(request, &environment()) {
        Evaluation::Done(responses) => responses,
        Evaluation::Needs(lookups) => anyhow::bail!("needs {lookups:?}"),
    };
    let refusing = responses.iter().filter(|response| response.refuses());
    let words = refusing.map(|response| match response.status {
        Status::Error => String::new(),
        _ => format!(
            "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {}",
            response.policy, response.rule, response.message
        ),
    });
    Ok(words.collect())
}

/// Whether both say the same; of a fault only that there is one, as its words are each one's own.
fn agree(theirs: &Said, ours: &[String]) -> bool {
    let Some(theirs) = theirs else { return ours.is_empty() };
    let is_fault = theirs.contains("resulted in error") || theirs.contains("no params found");
    ours.iter().any(|words| if words.is_empty() { is_fault } else { theirs.ends_with(words) })
}
