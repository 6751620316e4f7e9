//! The process that owns a cluster's processes, so that none of them outlives the test.
//!
//! A test can end by returning, by panicking or by SIGKILL, and only the kernel sees the last. So
//! etcd and the API server are children of a small shell script (`guardian.sh`) whose standard input
//! is a pipe from us: whatever ends this process closes the pipe, and the guardian then ends its
//! children and removes the folder. It runs in a process group of its own, out of Ctrl-C's reach.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const SCRIPT: &str = include_str!("guardian.sh");

/// What becomes of the folder when the cluster ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// Processes are killed and the folder is removed.
    Remove,
    /// Processes are ended gently and the folder stays.
    Keep,
}

/// A running guardian. Dropping it ends every process it started, and waits for that.
#[derive(Debug)]
pub(crate) struct Guardian {
    folder: PathBuf,
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Guardian {
    /// Starts the guardian of `folder`, which must hold the folders `run` and `logs`.
    ///
    /// Fails when another cluster still holds the folder after 20 seconds.
    pub(crate) fn start(folder: &Path, afterwards: Afterwards) -> Result<Self> {
        let errors = File::create(folder.join("logs/guardian.log"))?;
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc", "-c", SCRIPT, "guardian"])
            .arg(folder)
            .arg(match afterwards {
                Afterwards::Remove => "remove",
                Afterwards::Keep => "keep",
            })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .context("cannot run `bash`, which keeps the cluster's processes")?;
        let commands = child.stdin.take();
        let answers = child.stdout.take().context("the guardian has no output")?;
        let mut guardian =
            Self { folder: folder.to_owned(), child, commands, answers: BufReader::new(answers) };
        match guardian.answer()?.as_str() {
            "ready" => Ok(guardian),
            "busy" => bail!("the folder `{}` is in use by another cluster", folder.display()),
            other => bail!("the guardian answered `{other}`"),
        }
    }

    /// Runs `program` with `arguments` as `name`, its output in `logs/NAME.log`; gives its process id.
    pub(crate) fn run(&mut self, name: &str, program: &Path, arguments: &[String]) -> Result<u32> {
        ensure!(program.is_file(), "no such program: `{}`", program.display());
        let mut words = program.as_os_str().as_encoded_bytes().to_vec();
        words.push(0);
        for argument in arguments {
            ensure!(!argument.contains('\0'), "`{argument}` contains a zero byte");
            words.extend_from_slice(argument.as_bytes());
            words.push(0);
        }
        std::fs::write(self.folder.join("run").join(name), words)?;
        let answer = self.ask(&format!("start {name}"))?;
        answer.parse().with_context(|| format!("starting {name}: the guardian answered `{answer}`"))
    }

    /// Ends `name`: gently for `patience`, then by force. Returns once it is gone.
    pub(crate) fn stop(&mut self, name: &str, patience: Duration) -> Result<()> {
        let answer = self.ask(&format!("stop {name} {}", patience.as_secs()))?;
        ensure!(answer == "stopped", "the guardian answered `{answer}`");
        Ok(())
    }

    /// Fails with how `name` ended, if it did.
    pub(crate) fn check_alive(&mut self, name: &str) -> Result<()> {
        match self.ask(&format!("alive {name}"))?.as_str() {
            "yes" => Ok(()),
            other => bail!("{name} does not run: {other}"),
        }
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        let pipe = self.commands.as_mut().context("the guardian is closed")?;
        writeln!(pipe, "{command}").context("the guardian is gone")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line)?;
        ensure!(read > 0, "the guardian of the cluster's processes is gone");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Bounded by the guardian itself, which kills after its patience is over.
        let _ = self.child.wait();
    }
}
