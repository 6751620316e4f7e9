//! `proofstream up` as a child process, and its HTTP API.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::programs::{self, Profile};
use crate::wait_until;

/// How long anything may take on a machine that does many things.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The running program; killed when dropped.
pub struct Up {
    child: Child,
    data: PathBuf,
    log: PathBuf,
}

/// An answer of the page's server.
#[derive(Debug)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// All of its body.
    pub body: String,
}

// === impl Up ===

impl Up {
    /// Starts the program as tests build it. It logs to `log`, behind what stands there.
    pub fn spawn(config: &Path, data: &Path, log: &Path) -> Result<Self> {
        Self::spawn_built(Profile::Dev, config, data, log)
    }

    fn spawn_built(profile: Profile, config: &Path, data: &Path, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        // The kernel ends it with the thread that started it: even a test run that is killed leaves
        // nothing behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(programs::program("proofstream", profile)?)
            .arg("up")
            .arg("--config")
            .arg(config)
            .env_remove("PROOFSTREAM_LOG")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run `setpriv`")?;
        Ok(Self { child, data: data.to_owned(), log: log.to_owned() })
    }

    /// The same, and waits until it serves its page.
    pub async fn start(config: &Path, data: &Path, log: &Path) -> Result<Self> {
        Self::start_built(Profile::Dev, config, data, log).await
    }

    /// The same, of the program as `profile` builds it.
    pub async fn start_built(
        profile: Profile,
        config: &Path,
        data: &Path,
        log: &Path,
    ) -> Result<Self> {
        let mut up = Self::spawn_built(profile, config, data, log)?;
        let pid = up.child.id();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while up.run_file(pid).is_none() {
            if let Ok(Some(status)) = up.child.try_wait() {
                anyhow::bail!("proofstream ended: {status}\n{}", up.last_lines());
            }
            ensure!(tokio::time::Instant::now() < deadline, "no page: {}", up.last_lines());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(up)
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What the process says of itself; none while another one's file stands there.
    fn run_file(&self, pid: Option<u32>) -> Option<Value> {
        let text = std::fs::read(self.data.join("run.json")).ok()?;
        let run: Value = serde_json::from_slice(&text).ok()?;
        let its_own = run.get("pid")?.as_u64() == pid.map(u64::from);
        (its_own && run.get("web")?.is_string()).then_some(run)
    }

    /// Sends SIGTERM and waits until it has ended in order.
    pub async fn stop(mut self) -> Result<()> {
        self.signal("TERM")?;
        let status = self.ended().await?;
        ensure!(status.code() == Some(0), "it stopped with {status}\n{}", self.last_lines());
        Ok(())
    }

    /// Sends SIGKILL and waits until it is gone.
    pub async fn kill(mut self) -> Result<()> {
        self.signal("KILL")?;
        self.ended().await?;
        Ok(())
    }

    /// Waits until it ends.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.with_context(|| format!("it does not end\n{}", self.last_lines()))??)
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        let status =
            std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status()?;
        ensure!(status.success(), "kill: {status}");
        Ok(())
    }

    /// The end of its log.
    pub fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Where its page is served.
    pub fn address(&self) -> Result<SocketAddr> {
        let run = self.run_file(self.child.id()).context("it serves no page")?;
        let address =
            run.get("web").and_then(Value::as_str).and_then(|url| url.strip_prefix("http://"));
        Ok(address.context("no address")?.parse()?)
    }

    /// Asks the page's server, with its token.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        let address = self.address()?;
        let token = std::fs::read_to_string(self.data.join("token"))?;
        let question = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
             connection: close\r\n\r\n",
            token.trim()
        );
        let asking = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(question.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = tokio::time::timeout(PATIENCE, asking).await.context("no answer")??;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok(Answer { status, body: body.to_owned() })
    }

    /// What the API shows.
    pub async fn view(&self) -> Result<Value> {
        let answer = self.get("/api/v1/overview").await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// Waits until `condition` holds of what the API shows, and gives that.
    pub async fn shows(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_until(what, PATIENCE, || async {
            let view = self.view().await?;
            ensure!(condition(&view), "the API shows {:#}", brief(&view));
            Ok(view)
        })
        .await
    }
}

/// What helps to see why a wait failed.
fn brief(view: &Value) -> Value {
    let overview = &view["overview"];
    serde_json::json!({
        "records": overview["records"], "totals": overview["totals"], "gaps": overview["gaps"],
        "health": view["health"], "findings_open": overview["findings_open"],
    })
}
