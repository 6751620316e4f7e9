//! Durable appends a second, beside the machine's own syncs a second in the same run.
//!
//! `cargo bench -p proofstream-ledger --bench append`. Each number is the best of several rounds: what
//! else the machine does can only make it worse. The folder is that of `TMPDIR`.

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use proofstream_ledger::storage::Directory;
use proofstream_ledger::writer::{Draft, Start, Writer, WriterOptions};

const ROUND: Duration = Duration::from_millis(1500);
const ROUNDS: usize = 3;
/// About a Metadata audit event.
const BODY: usize = 1100;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    println!("{:<28}{:>12}{:>12}{:>12}", "", "per second", "p50", "p99");
    let mut syncs = 0.0_f64;
    for _ in 0..ROUNDS {
        syncs = syncs.max(own_syncs(folder.path())?);
    }
    for writers in [1, 8, 64] {
        let mut best = Round::default();
        for _ in 0..ROUNDS {
            syncs = syncs.max(own_syncs(folder.path())?);
            let round = appends(writers)?;
            if round.rate > best.rate {
                best = round;
            }
        }
        println!(
            "{:<28}{:>12.0}{:>12}{:>12}{:>8.2} x the machine's syncs",
            format!("appends, {writers} writers"),
            best.rate,
            format!("{} µs", best.middle.as_micros()),
            format!("{} µs", best.worst.as_micros()),
            best.rate / syncs
        );
    }
    println!("{:<28}{syncs:>12.0}", "the machine's own syncs");
    Ok(())
}

#[derive(Default)]
struct Round {
    rate: f64,
    middle: Duration,
    worst: Duration,
}

/// Writes and syncs of one record's bytes into a file that has its blocks, a second.
fn own_syncs(folder: &Path) -> Result<f64> {
    let path = folder.join("syncs");
    let mut file = File::create(&path)?;
    file.write_all(&vec![0; 8 << 20])?;
    file.sync_all()?;
    let file = File::options().write(true).open(&path)?;
    let bytes = vec![b'x'; BODY + 250];
    let started = Instant::now();
    let (mut count, mut offset) = (0_u32, 0_u64);
    while started.elapsed() < ROUND / 3 {
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, offset)?;
        file.sync_data()?;
        count += 1;
        offset = (offset + bytes.len() as u64) % (8 << 20);
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

fn appends(writers: usize) -> Result<Round> {
    let folder = tempfile::tempdir()?;
    let directory = |name: &str| Arc::new(Directory::private(folder.path().join(name)));
    let options = WriterOptions::new("bench", directory("private"), directory("guard"));
    let (writer, _) = Writer::open(directory("ledger"), options)?;
    let body = format!("{{\"raw\":\"{}\"}}", "x".repeat(BODY)).into_bytes();
    let started = Instant::now();
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|number| {
                let (writer, body) = (&writer, &body);
                scope.spawn(move || -> Result<Vec<Duration>> {
                    let source = writer.source(&format!("bench/{number}"), Start::Resume)?;
                    let mut latencies = Vec::new();
                    while started.elapsed() < ROUND {
                        let draft = Draft {
                            kind: "event".to_owned(),
                            controls: Vec::new(),
                            body: body.clone(),
                        };
                        let before = Instant::now();
                        let ticket = source.append(vec![draft])?;
                        ticket.wait(Duration::from_mins(1)).context("no answer")??;
                        latencies.push(before.elapsed());
                    }
                    Ok(latencies)
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| {
            thread.join().map_err(|_| anyhow::anyhow!("a writer's thread panicked"))?
        });
        joined.collect::<Result<Vec<_>>>().map(|all| all.into_iter().flatten().collect())
    })?;
    let rate = f64::from(u32::try_from(latencies.len())?) / started.elapsed().as_secs_f64();
    writer.close()?;
    latencies.sort_unstable();
    let at =
        |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or_default();
    Ok(Round { rate, middle: at(50), worst: at(99) })
}
