//! Creates through a real API server: without a webhook, with one that only says "allowed", and with
//! `proofstream up` as it is shipped, every decision durable before its answer. The three take turns in
//! one run, so that only their ratios are to be read.
//!
//! Arguments: how many policies, one measurement each (`cargo bench --bench admission -- 2 18 500`).

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "admission/load.rs"]
mod load;
#[path = "admission/policies.rs"]
mod policies;
#[path = "admission/processes.rs"]
mod processes;
#[path = "admission/trivial.rs"]
mod trivial;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Client;
use kube::api::{Api, PostParams};
use proofstream_e2e::programs::Profile;
use proofstream_e2e::up::Up;
use proofstream_e2e::{Cluster, ClusterOptions, wait_until};

use load::{Sample, pod};
use processes::Processes;
use trivial::Trivial;

const BARE: &str = "bare";
const TRIVIAL: &str = "trivial";
const OURS: &str = "ours";
/// How many policies, where nothing else is asked for: the article's two, as many as the established
/// controller was measured with, and many.
const COUNTS: [usize; 3] = [2, 18, 500];
const ROUNDS: usize = 8;
const ROUND: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip_while(|argument| argument != trivial::SERVE).skip(1);
    if let Some(folder) = arguments.next() {
        return trivial::serve(Path::new(&folder)).await;
    }
    let asked: Vec<usize> =
        std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    for count in if asked.is_empty() { COUNTS.to_vec() } else { asked } {
        with_policies(count).await?;
    }
    Ok(())
}

async fn with_policies(count: usize) -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let client = cluster.client().await?;
    for namespace in [BARE, TRIVIAL, OURS] {
        cluster.create_namespace(namespace).await?;
    }
    let folder = tempfile::tempdir()?;
    let up = ours(&cluster, folder.path(), count).await?;
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client.clone(), OURS);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    wait_until("our webhook", PATIENCE, || async {
        let answer = pods.create(&dry_run, &pod(OURS, true)?).await;
        ensure!(answer.is_err(), "it does not refuse yet");
        Ok(())
    })
    .await?;
    let trivial = Trivial::start(&client, folder.path()).await?;
    let processes = Processes::of(&cluster, &up, &trivial)?;
    println!("{count} policies; resident memory of proofstream: {} MiB", processes.resident_mib()?);
    for concurrency in [1, 8] {
        measure(&client, &processes, concurrency).await?;
    }
    println!("  resident memory of proofstream afterwards: {} MiB", processes.resident_mib()?);
    let metrics = up.get("/metrics").await?.body;
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let names = ["admission_allowed", "admission_late", "admission_unrecorded", "webhook_shed"];
        if names.iter().any(|name| line.contains(name)) {
            println!("  {line}");
        }
    }
    drop(trivial);
    up.stop().await
}

/// Starts Proofstream with `count` policies, and waits until all are in force.
async fn ours(cluster: &Cluster, folder: &Path, count: usize) -> Result<Up> {
    let policies = folder.join("policies");
    std::fs::create_dir(&policies)?;
    for (number, policy) in policies::policies(count, OURS).into_iter().enumerate() {
        std::fs::write(policies.join(format!("{number:04}.yaml")), policy)?;
    }
    let data = folder.join("data");
    let config = serde_json::json!({
        "data": data,
        "kubeconfig": cluster.kubeconfig_path(),
        "webhook": {"listen": "127.0.0.1:0"},
        "web": {"listen": "127.0.0.1:0"},
        "policies": [policies],
    });
    let path = folder.join("proofstream.yaml");
    std::fs::write(&path, config.to_string())?;
    let log = folder.join("proofstream.log");
    let up = Up::start_built(Profile::Release, &path, &data, &log).await?;
    wait_until("the policies to be in force", PATIENCE, || async {
        let metrics = up.get("/metrics").await?.body;
        let wanted = format!("proofstream_policies_in_force {count}");
        ensure!(metrics.lines().any(|line| line == wanted), "not yet: {}", up.last_lines());
        Ok(())
    })
    .await?;
    Ok(up)
}

async fn measure(client: &Client, processes: &Processes, concurrency: usize) -> Result<()> {
    let mut samples = [BARE, TRIVIAL, OURS].map(Sample::of);
    for sample in &samples {
        load::creates(client, sample.namespace, concurrency, WARM_UP).await?;
    }
    for round in 0..ROUNDS {
        // Each begins as often as the others.
        for turn in 0..samples.len() {
            let count = samples.len();
            let sample = samples.get_mut((round + turn) % count).context("there are three")?;
            let before = processes.ticks()?;
            let taken = load::creates(client, sample.namespace, concurrency, ROUND).await?;
            sample.add(taken, before, processes.ticks()?);
        }
    }
    println!("  concurrency {concurrency}, {ROUNDS} rounds of {} s each", ROUND.as_secs());
    println!(
        "  {:<9}{:>8}{:>9}{:>9}{:>14}   CPU ms a create: {}",
        "webhook",
        "per s",
        "p50 ms",
        "p99 ms",
        "rate/trivial",
        processes::NAMES.join(", ")
    );
    let seconds = ROUND.as_secs_f64() * f64::from(u32::try_from(ROUNDS)?);
    let trivial = samples
        .iter()
        .find(|sample| sample.namespace == TRIVIAL)
        .map_or(1.0, |sample| sample.rate(seconds));
    for sample in &mut samples {
        println!("  {}", sample.line(seconds, trivial));
    }
    Ok(())
}
