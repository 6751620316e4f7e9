//! The programs as users get them, run to their end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::binaries::source;

/// How the programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As `make build` and tests do.
    Dev,
    /// As they are shipped: what benchmarks measure.
    Release,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

// === impl Ended ===

impl Ended {
    /// Fails, with all that the program said, unless it ended with `code`.
    pub fn expect(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "expected exit code {code}: {self:#?}");
        Ok(self)
    }

    /// Fails, with all that the program said, unless it said `words`.
    pub fn says(&self, words: &str) -> Result<()> {
        let said = self.stdout.contains(words) || self.stderr.contains(words);
        ensure!(said, "expected `{words}`: {self:#?}");
        Ok(())
    }
}

/// Where the program `name` is. The first call of a process has cargo bring all of them up to date,
/// as `make build` does, so that no test runs a program of yesterday.
pub fn program(name: &str, profile: Profile) -> Result<PathBuf> {
    static DEV: Built = OnceLock::new();
    static RELEASE: Built = OnceLock::new();
    let built = match profile {
        Profile::Dev => &DEV,
        Profile::Release => &RELEASE,
    };
    let built = built.get_or_init(|| build(profile).map_err(|error| format!("{error:#}")));
    let built = built.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    built.get(name).cloned().with_context(|| format!("cargo built no program `{name}`"))
}

/// The programs of one profile, or why they are not there.
type Built = OnceLock<Result<BTreeMap<String, PathBuf>, String>>;

fn build(profile: Profile) -> Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.arg("build");
    // What cargo says of this test's package is not to be seen by build scripts of others: those that
    // watch it would run again, and half of the dependencies be compiled anew.
    let of_package = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start))
            || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR"].contains(&name)
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_package) {
            command.env_remove(name);
        }
    }
    if profile == Profile::Release {
        command.arg("--release");
    }
    let output = command
        .args(["--workspace", "--bins", "--quiet", "--message-format=json"])
        .current_dir(source().join(".."))
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the programs cannot be built: {said}");
    let text = String::from_utf8(output.stdout)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executables = messages.filter_map(|message| {
        let name = message.pointer("/target/name")?.as_str()?.to_owned();
        Some((name, PathBuf::from(message.get("executable")?.as_str()?)))
    });
    Ok(executables.collect())
}

/// Runs a program to its end.
pub async fn run(name: &str, arguments: &[&str]) -> Result<Ended> {
    let program = program(name, Profile::Dev)?;
    let output = tokio::process::Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run `{}`", program.display()))?;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs the auditor's verifier over a folder.
pub async fn verify(folder: &Path) -> Result<Ended> {
    run("proofstream-verify", &[&folder.display().to_string()]).await
}
