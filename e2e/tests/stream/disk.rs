//! A disk with no room left.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proofstream_e2e::AuditLog;

use crate::stand::Stand;
use crate::{trail, workloads};
use proofstream_e2e::programs::verify;
use proofstream_e2e::up::PATIENCE;

/// The API server asks for an answer within 10 s; ours waits for the disk at most 100 ms.
const SOON: Duration = Duration::from_secs(3);
/// Requests of either sort while the disk is full.
const REQUESTS: u64 = 3;

/// A small file system in memory, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path) -> Result<Option<Self>> {
        std::fs::create_dir_all(folder)?;
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "proofstream-test"])
            .arg(folder)
            .output()?;
        if mount.status.success() {
            return Ok(Some(Self(folder.to_owned())));
        }
        let why = String::from_utf8_lossy(&mount.stderr).into_owned();
        writeln!(io::stderr(), "SKIPPED: the test of a full disk may not mount a tmpfs: {why}")?;
        Ok(None)
    }

    /// Fills it to the last byte; gives the file that does.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path)?;
        for size in [1 << 16, 1 << 12, 1] {
            let block = vec![0xa5; size];
            while file.write_all(&block).is_ok() {}
        }
        ensure!(std::fs::write(self.0.join("more"), [0; 4096]).is_err(), "there is room left");
        Ok(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: whatever still has a file open does not keep it mounted.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_costs_the_trail_and_not_the_control() -> Result<()> {
    let place = tempfile::tempdir()?;
    let Some(small) = Small::mount(&place.path().join("small"))? else { return Ok(()) };
    let data = small.0.join("data");
    let stand = Stand::with(AuditLog::default(), Some(&data)).await?;
    let up = stand.up().await?;
    let ballast = small.fill()?;
    // What the log has room for already is written still: until it is used up.
    let full = Instant::now();
    let mut late = false;
    while !late {
        ensure!(full.elapsed() < PATIENCE, "the disk is never full: {}", up.last_lines());
        stand.refused_dry_run(&workloads::plain("payments", "filling")).await?;
        late = std::fs::read_to_string(stand.log())?.contains("the ledger's storage fails");
        stand.chatter(5).await?;
    }

    for number in 0..REQUESTS {
        let asked = Instant::now();
        let refused = stand.refused(&workloads::plain("payments", &format!("bad-{number}"))).await;
        refused.with_context(|| up.last_lines())?;
        let good = workloads::good("payments", &format!("good-{number}"));
        stand.create_pod(&good, false).await.with_context(|| up.last_lines())?;
        ensure!(asked.elapsed() < SOON, "two answers took {:?}", asked.elapsed());
    }

    up.shows("that the ledger fails", |view| ledger_is(view, "failing")).await?;
    std::fs::remove_file(ballast)?;
    let blocked = trail::refusals(&stand.audit_log()?)?.len();
    assert_eq!(blocked as u64, REQUESTS);
    up.shows("the blocks and the gap", |view| {
        let overview = &view["overview"];
        let gaps = overview["gaps"].as_array().into_iter().flatten();
        let of_admission = gaps.filter(|gap| gap["gap"]["source"] == "admission/0");
        let missing: u64 = of_admission.filter_map(|gap| gap["gap"]["count"].as_u64()).sum();
        overview["totals"]["blocked"] == blocked && missing >= 2 * REQUESTS
    })
    .await
    .with_context(|| up.last_lines())?;
    up.shows("that the ledger works", |view| ledger_is(view, "working")).await?;
    up.stop().await?;
    let ledger = stand.ledger()?;
    ledger.check_numbers()?;
    trail::check_blocks(&ledger, &stand.audit_log()?)?;
    trail::check_events(&ledger, &stand.audit_log()?)?;
    verify(&data.join("ledger")).await?.expect(0)?;
    Ok(())
}

fn ledger_is(view: &serde_json::Value, state: &str) -> bool {
    let parts = view["health"].as_array().into_iter().flatten();
    parts.into_iter().any(|part| part["part"] == "ledger" && part["state"] == state)
}
