//! What `make run` prints, followed to the letter by someone new; and `make run` a second time.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use proofstream_e2e::wait_until;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use proofstream_e2e::programs::{self, Profile};
use proofstream_e2e::up::PATIENCE;

/// The text that `make run` ends with.
const LAST: &str = "proofstream-verify bundle";

/// `make run`, once everything is built, with a cache of its own.
struct Run {
    child: Child,
    lines: Vec<String>,
}

// === impl Run ===

impl Run {
    async fn start(cache: &Path) -> Result<Self> {
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(programs::program("proofstream-demo", Profile::Dev)?)
            .env("PROOFSTREAM_CACHE", cache)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?).lines();
        let mut lines = Vec::new();
        let told = async {
            while let Some(line) = output.next_line().await? {
                let last = line.contains(LAST);
                lines.push(line.trim().to_owned());
                if last {
                    return Ok(());
                }
            }
            anyhow::bail!("`make run` ended before it had said what to try: {lines:#?}")
        };
        tokio::time::timeout(2 * PATIENCE, told).await.context("`make run` says nothing")??;
        Ok(Self { child, lines })
    }

    /// The printed line that begins so.
    fn line(&self, begins: &str) -> Result<&str> {
        let found = self.lines.iter().find(|line| line.starts_with(begins));
        found.map(String::as_str).with_context(|| format!("no `{begins}`: {:#?}", self.lines))
    }

    /// Runs a printed command in a shell that has sourced the printed file.
    async fn try_out(&self, command: &str, folder: &Path) -> Result<(i32, String)> {
        let source = self.line("source ")?;
        let output = Command::new("bash")
            .arg("-c")
            .arg(format!("{source} && {command}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = [output.stdout, output.stderr].concat();
        let code = output.status.code().context("killed by a signal")?;
        Ok((code, String::from_utf8_lossy(&said).into_owned()))
    }

    async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("it has ended")?.to_string();
        Command::new("kill").args(["-s", "INT", &pid]).status().await?;
        tokio::time::timeout(PATIENCE, self.child.wait()).await.context("it does not stop")??;
        Ok(())
    }
}

/// A cache that has the control plane of the real one, and nothing else.
async fn cache() -> Result<TempDir> {
    // Makes sure that it is there.
    proofstream_e2e::control_plane(proofstream_e2e::DEFAULT_MINOR, &["kube-controller-manager"])
        .await?;
    let real = match std::env::var_os("PROOFSTREAM_CACHE") {
        Some(cache) => cache.into(),
        None => Path::new(&std::env::var_os("HOME").context("no HOME")?).join(".cache/proofstream"),
    };
    let cache = tempfile::tempdir()?;
    std::os::unix::fs::symlink(real.join("control-plane"), cache.path().join("control-plane"))?;
    Ok(cache)
}

#[tokio::test]
async fn the_four_things_to_try_work_and_work_again() -> Result<()> {
    let cache = cache().await?;
    let run = Run::start(cache.path()).await?;
    four_things(&run, 1).await?;
    run.stop().await?;
    // The data stays; what was registered with the API server must not stand in the way.
    let again = Run::start(cache.path()).await?;
    four_things(&again, 2).await?;
    again.stop().await
}

/// Does what the text says, with `blocked` refusals in all.
async fn four_things(run: &Run, blocked: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (code, said) = run.try_out(run.line("kubectl run ")?, folder.path()).await?;
    ensure!(code == 1 && said.contains("block-privileged-and-root"), "{code}: {said}");
    let (code, said) = run.try_out(run.line("kubectl get ")?, folder.path()).await?;
    ensure!(code == 0 && said.contains("require-hardened-securitycontext"), "{code}: {said}");
    // The API server writes its log when it likes; an export says what has arrived.
    let export = run.line("proofstream export ")?;
    let wanted = format!("blocked {blocked} time");
    wait_until("the export to count the refusal", PATIENCE, || async {
        let (code, said) = run.try_out(&format!("rm -rf bundle; {export}"), folder.path()).await?;
        ensure!(code == 0, "{code}: {said}");
        let readme = std::fs::read_to_string(folder.path().join("bundle/README.md"))?;
        ensure!(readme.contains(&wanted), "{readme}");
        Ok(())
    })
    .await?;
    let (code, said) = run.try_out(run.line(LAST)?, folder.path()).await?;
    ensure!(code == 0 && said.contains("SELF-CONSISTENT"), "{code}: {said}");
    Ok(())
}
