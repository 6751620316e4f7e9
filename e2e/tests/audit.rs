//! The audit log of a real API server, tailed across real rotations and a restart of the reader.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use proofstream_e2e::{Audit, AuditLog, Cluster, ClusterOptions, Document, wait_until};
use proofstream_model::Enforcer;
use proofstream_observe::audit::AuditLine;
use proofstream_observe::audit::block::{Classification, classify};
use proofstream_observe::audit::event::Event;
use proofstream_observe::audit::file::{Resume, Tail, TailOptions, Tailed};

const PATIENCE: Duration = Duration::from_mins(1);

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// Requests of some 8 KB each: about 4 MB of events, and so at least three rotations.
const REQUESTS: usize = 400;

async fn cluster(flags: &[&str]) -> Result<Cluster> {
    let log = AuditLog { max_size_mib: Some(1), ..AuditLog::default() };
    let audit = Some(Audit { log: Some(log), ..Audit::to_log(Document::text(POLICY)) });
    let api_server_flags = flags.iter().map(ToString::to_string).collect();
    Cluster::start(ClusterOptions { audit, api_server_flags, ..ClusterOptions::default() }).await
}

/// Sends requests whose address says which one it is.
async fn requests(cluster: &Cluster, numbers: std::ops::Range<usize>) -> Result<()> {
    let client = cluster.client().await?;
    let padding = "x".repeat(8000);
    for number in numbers {
        let path = format!("/version?number={number:06}&padding={padding}");
        client.request_text(http::Request::get(path).body(Vec::new())?).await?;
    }
    Ok(())
}

fn number(line: &AuditLine) -> Option<usize> {
    let text = std::str::from_utf8(&line.bytes).ok()?;
    text.split_once("/version?number=")?.1.get(..6)?.parse().ok()
}

/// Reads until the event of request `last` came.
async fn read_until(tail: &mut Tail, last: usize, lines: &mut Vec<AuditLine>) -> Result<()> {
    let reading = async {
        loop {
            for item in tail.next().await? {
                match item {
                    Tailed::Line(line) => lines.push(line),
                    Tailed::Gap(gap) => bail!("{gap}"),
                }
            }
            if lines.iter().any(|line| number(line) == Some(last)) {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.context("the events did not come")?
}

fn is_compressed(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "gz")
}

fn rotated(log: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(log.parent().context("no folder")?)? {
        let path = entry?.path();
        let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
        if path != log && name.starts_with("audit-") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[tokio::test]
async fn a_real_log_is_read_once_and_in_order_across_rotations_and_a_restart() -> Result<()> {
    every_event(&[]).await
}

/// Rotated files are compressed while the reader looks on, and while it is away.
#[tokio::test]
async fn compressed_rotated_files_are_read_as_the_plain_ones() -> Result<()> {
    every_event(&["--audit-log-compress=true"]).await
}

async fn every_event(flags: &[&str]) -> Result<()> {
    let cluster = cluster(flags).await?;
    let log = cluster.audit_log().context("no audit log")?;
    let mut lines = Vec::new();

    // Half while the reader looks on, half while it is away.
    let mut tail = Tail::new(TailOptions::new(&log), None);
    let (sent, read) = tokio::join!(
        requests(&cluster, 0..REQUESTS / 2),
        read_until(&mut tail, REQUESTS / 2 - 1, &mut lines)
    );
    sent?;
    read?;
    drop(tail);
    let last = lines.last().context("no lines")?;
    let resume = Resume {
        place: last.place.clone().context("no place")?,
        witness: last.bytes.to_vec(),
        written: Event::parse(&last.bytes)?.stage_timestamp.parse()?,
    };
    requests(&cluster, REQUESTS / 2..REQUESTS).await?;
    if !flags.is_empty() {
        wait_until("all rotated files compressed", PATIENCE, || async {
            let plain = rotated(&log)?.into_iter().filter(|file| !is_compressed(file));
            ensure!(plain.count() == 0, "some are not");
            Ok(())
        })
        .await?;
    }
    let mut tail = Tail::new(TailOptions::new(&log), Some(resume));
    read_until(&mut tail, REQUESTS - 1, &mut lines).await?;

    let files = rotated(&log)?;
    ensure!(files.len() >= 3, "the log was rotated {} times only", files.len());
    let mut written = Vec::new();
    for file in files.iter().chain([&log]) {
        let bytes = std::fs::read(file)?;
        if is_compressed(file) {
            MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut written)?;
        } else {
            written.extend(bytes);
        }
    }
    let mut read = Vec::new();
    for line in &lines {
        read.extend_from_slice(&line.bytes);
        read.push(b'\n');
    }
    ensure!(written.starts_with(&read), "what was read is not what the API server wrote");
    let numbers: Vec<usize> = lines.iter().filter_map(number).collect();
    assert_eq!(numbers, (0..REQUESTS).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_real_refusal_is_a_block_and_its_dry_run_is_none() -> Result<()> {
    let cluster = cluster(&[]).await?;
    let log = cluster.audit_log().context("no audit log")?;
    let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
    cluster.create_labelled_namespace("payments", &labels).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, "payments");
    let pod: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {"generateName": "web-"},
        "spec": {"containers": [{"name": "main", "image": "registry.example/app:1"}]},
    }))?;
    for dry_run in [true, false] {
        let refused = pods.create(&PostParams { dry_run, ..PostParams::default() }, &pod).await;
        ensure!(refused.is_err(), "Pod Security let it pass");
    }
    // A failure that is no policy's.
    ensure!(pods.delete("missing", &DeleteParams::default()).await.is_err());
    requests(&cluster, 0..1).await?;

    let mut lines = Vec::new();
    read_until(&mut Tail::new(TailOptions::new(&log), None), 0, &mut lines).await?;
    let mut refusals = Vec::new();
    for line in &lines {
        if let Classification::Refused(refusal) = classify(&Event::parse(&line.bytes)?) {
            refusals.push(refusal);
        }
    }
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(refusals[0].enforcer, Enforcer::PodSecurity);
    assert_eq!(refusals[0].policies, ["restricted:latest"]);
    let name = refusals[0].name.as_deref().unwrap_or_default();
    ensure!(name.starts_with("web-"), "the answer names `{name}`");
    Ok(())
}
