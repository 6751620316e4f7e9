//! Creates through a real API server: without a webhook, with one that only says "allowed", and with
//! ours (the article's two policies, every decision durable before its answer). All in one run, the
//! three taking turns, so that only their ratios are to be read.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use proofstream_e2e::{Cluster, ClusterOptions, Component, wait_until};
use proofstream_server::certificates::Certificates;
use proofstream_server::listener::{self, Bounds, Handler};
use proofstream_server::up::{Config, Up};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const BARE: &str = "bare";
const TRIVIAL: &str = "trivial";
const OURS: &str = "ours";
const ROUNDS: usize = 8;
const ROUND: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_mins(1);

const POLICIES: [&str; 2] = [
    include_str!("../../examples/article/require-hardened-securitycontext.yaml"),
    include_str!("../../examples/article/disallow-secret-env-vars.yaml"),
];

/// Answers "allowed" to whatever it is asked.
struct Allow;

impl Handler for Allow {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Response::new(Full::default()),
        };
        let review: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": review.pointer("/request/uid"), "allowed": true},
        });
        let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        response
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let client = cluster.client().await?;
    for namespace in [BARE, TRIVIAL, OURS] {
        cluster.create_namespace(namespace).await?;
    }
    let data = tempfile::tempdir()?;
    let mut config = Config {
        data: data.path().join("data"),
        kubeconfig: Some(cluster.kubeconfig_path()),
        ..Config::default()
    };
    config.webhook.listen = ([127, 0, 0, 1], 0).into();
    let stop = CancellationToken::new();
    let up = Up::start(config, stop.clone()).await?;
    let handles = up.handles.clone();
    let running = tokio::spawn(up.wait());
    wait_until("the policies to be read", PATIENCE, || async {
        ensure!(handles.policies.is_ready(), "not yet");
        Ok(())
    })
    .await?;
    for policy in POLICIES {
        let ours =
            policy.replace("\"payments\"", &format!("\"{OURS}\"")).replace("\"ledger\"", "\"l\"");
        cluster.apply(&ours).await?;
    }
    let refused = PostParams { dry_run: true, ..PostParams::default() };
    let pods: Api<Pod> = Api::namespaced(client.clone(), OURS);
    wait_until("our webhook", PATIENCE, || async {
        let answer = pods.create(&refused, &pod(OURS, true)?).await;
        ensure!(answer.is_err(), "it does not refuse yet");
        Ok(())
    })
    .await?;
    trivial_webhook(&client, data.path(), stop.clone()).await?;

    let processes = Processes::of(&cluster)?;
    for concurrency in [1, 8] {
        measure(&client, &processes, concurrency).await?;
    }
    let counters = handles.admission.counters();
    println!(
        "ours: {} decisions; {} late, {} unrecorded",
        counters.allowed.load(std::sync::atomic::Ordering::Relaxed),
        counters.late.load(std::sync::atomic::Ordering::Relaxed),
        counters.unrecorded.load(std::sync::atomic::Ordering::Relaxed),
    );
    stop.cancel();
    running.await??;
    Ok(())
}

/// Registers a webhook like ours in all but its namespace and its answer.
async fn trivial_webhook(
    client: &Client,
    folder: &std::path::Path,
    stop: CancellationToken,
) -> Result<()> {
    let names = vec!["127.0.0.1".to_owned()];
    let certificates =
        Arc::new(Certificates::open(&folder.join("trivial"), names, Timestamp::now())?);
    let tls = listener::tls_config(Arc::<Certificates>::clone(&certificates))?;
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    let bounds = Bounds { connections: 1_024, drain: Duration::from_secs(5) };
    tokio::spawn(listener::serve(socket, tls, Arc::new(Allow), bounds, stop));
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mut like_ours = api.get("proofstream").await?;
    like_ours.metadata =
        kube::core::ObjectMeta { name: Some(TRIVIAL.to_owned()), ..Default::default() };
    like_ours.labels_mut().clear();
    for webhook in like_ours.webhooks.iter_mut().flatten() {
        webhook.name = format!("trivial.{}", webhook.name);
        webhook.client_config.url = Some(format!("https://{address}/"));
        webhook.client_config.ca_bundle = Some(ByteString(certificates.bundle().as_ref().clone()));
        for condition in webhook.match_conditions.iter_mut().flatten() {
            condition.expression = condition.expression.replace(&format!("'{OURS}'"), "'trivial'");
        }
    }
    api.create(&PostParams::default(), &like_ours).await?;
    Ok(())
}

/// What was measured of one kind of namespace.
struct Sample {
    namespace: &'static str,
    taken: Vec<Duration>,
    /// Processor time of the API server, etcd and this process, in ticks.
    ticks: [u64; 3],
}

async fn measure(client: &Client, processes: &Processes, concurrency: usize) -> Result<()> {
    let mut samples = [BARE, TRIVIAL, OURS].map(|namespace| Sample {
        namespace,
        taken: Vec::new(),
        ticks: [0; 3],
    });
    for sample in &samples {
        creates(client, sample.namespace, concurrency, WARM_UP).await?;
    }
    for round in 0..ROUNDS {
        // Each begins as often as the others.
        for turn in 0..samples.len() {
            let count = samples.len();
            let sample = samples.get_mut((round + turn) % count).context("there are three")?;
            let before = processes.ticks()?;
            sample.taken.extend(creates(client, sample.namespace, concurrency, ROUND).await?);
            let after = processes.ticks()?;
            for (sum, (before, after)) in sample.ticks.iter_mut().zip(before.iter().zip(after)) {
                *sum += after - before;
            }
        }
    }
    println!("concurrency {concurrency}, {ROUNDS} rounds of {} s each", ROUND.as_secs());
    println!(
        "  {:<10}{:>10}{:>10}{:>10}{:>14}{:>32}",
        "webhook", "per s", "p50 ms", "p99 ms", "rate/trivial", "CPU ms: API server, etcd, here"
    );
    let seconds = ROUND.as_secs_f64() * f64::from(u32::try_from(ROUNDS)?);
    let rate = |sample: &Sample| {
        u32::try_from(sample.taken.len())
            .map(|count| f64::from(count) / seconds)
            .unwrap_or_default()
    };
    let trivial = samples.iter().find(|sample| sample.namespace == TRIVIAL).map_or(1.0, rate);
    for sample in &mut samples {
        let rate = rate(sample);
        sample.taken.sort();
        let at = |share: usize| {
            let index = sample.taken.len() * share / 100;
            sample.taken.get(index).map_or(f64::NAN, |d| d.as_secs_f64() * 1_000.0)
        };
        let [api_server, etcd, here] = sample.ticks.map(|ticks| {
            let ticks = u32::try_from(ticks).map_or(f64::NAN, f64::from);
            ticks * TICK_MS / (rate * seconds)
        });
        println!(
            "  {:<10}{rate:>10.0}{:>10.2}{:>10.2}{:>13.1}%{api_server:>20.2}{etcd:>6.2}{here:>6.2}",
            sample.namespace,
            at(50),
            at(99),
            rate / trivial * 100.0
        );
    }
    Ok(())
}

/// One tick of `/proc/PID/stat`, in milliseconds: a hundred a second on every Linux that we know.
const TICK_MS: f64 = 10.0;

/// The processes whose processor time a create takes.
struct Processes([u32; 3]);

impl Processes {
    fn of(cluster: &Cluster) -> Result<Self> {
        let pid = |component| cluster.pid(component).context("a component does not run");
        Ok(Self([pid(Component::ApiServer)?, pid(Component::Etcd)?, std::process::id()]))
    }

    fn ticks(&self) -> Result<[u64; 3]> {
        let mut ticks = [0; 3];
        for (ticks, pid) in ticks.iter_mut().zip(self.0) {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name stands in brackets and may hold anything; user and system time are the 12th
            // and 13th field behind it.
            let (_, fields) = stat.rsplit_once(')').context("no name")?;
            let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
            *ticks = times.sum::<Result<u64, _>>()?;
        }
        Ok(ticks)
    }
}

/// Creates pods for some time, and says how long each took.
async fn creates(
    client: &Client,
    namespace: &str,
    concurrency: usize,
    time: Duration,
) -> Result<Vec<Duration>> {
    let until = Instant::now() + time;
    let object = Arc::new(pod(namespace, false)?);
    let askers: Vec<_> = (0..concurrency)
        .map(|_| {
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let object = Arc::clone(&object);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while Instant::now() < until {
                    let asked = Instant::now();
                    api.create(&PostParams::default(), &object).await?;
                    taken.push(asked.elapsed());
                }
                Ok::<_, kube::Error>(taken)
            })
        })
        .collect();
    let mut taken = Vec::new();
    for asker in askers {
        taken.extend(asker.await??);
    }
    Ok(taken)
}

fn pod(namespace: &str, privileged: bool) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"generateName": "web-", "namespace": namespace, "labels": {"app": "web"}},
        "spec": {
            "securityContext": {"runAsNonRoot": true},
            "containers": [{
                "name": "main", "image": "registry.example/app:1",
                "env": [{"name": "LEVEL", "value": "info"}],
                "ports": [{"containerPort": 8080}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                "securityContext": {
                    "privileged": privileged, "allowPrivilegeEscalation": privileged,
                    "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    }))?)
}
