//! `proofstream up` as a child process: started, watched, and stopped in order.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

use crate::wait_until;

/// The running program. Dropping it sends SIGTERM, so that it drains and seals.
pub(super) struct Program {
    child: Child,
    log: PathBuf,
}

/// Where the page is, with the token that opens it.
pub(super) struct Page {
    pub(super) url: String,
    pub(super) token: String,
}

// === impl Program ===

impl Program {
    /// Starts the program that was built beside this one.
    pub(super) fn start(folder: &Path, config: &Path) -> Result<Self> {
        let here = std::env::current_exe().context("cannot tell where this program is")?;
        let program = here.with_file_name("proofstream");
        let log = folder.join("proofstream.log");
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        // A file of an earlier run would say where that one was.
        let _ = std::fs::remove_file(run_file(folder));
        // However this process ends, the program drains and ends too.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(&program)
            .arg("up")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}: run `make build`", program.display()))?;
        Ok(Self { child, log })
    }

    /// Waits until it ends.
    pub(super) async fn ended(&mut self) -> String {
        let status: std::io::Result<ExitStatus> = self.child.wait().await;
        status.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    /// The end of its log.
    pub(super) fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let Some(pid) = self.child.id() else { return };
        let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        // The log is sealed in well under a second; nobody is kept waiting for long.
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Waits for the page.
pub(super) async fn page(folder: &Path) -> Result<Page> {
    wait_until("Proofstream's page", Duration::from_mins(1), || async {
        let text = std::fs::read_to_string(run_file(folder)).context("it has not started yet")?;
        let run: serde_json::Value = serde_json::from_str(&text)?;
        let word = |key: &str| run.get(key).and_then(serde_json::Value::as_str);
        let url = word("web").context("the page is not served yet")?.to_owned();
        let file = word("token_file").context("there is no token yet")?;
        let token = std::fs::read_to_string(file)?.trim().to_owned();
        Ok(Page { url, token })
    })
    .await
}

fn run_file(folder: &Path) -> PathBuf {
    folder.join("proofstream/run.json")
}
