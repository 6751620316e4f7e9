//! Where the control plane's programs are: built from pinned sources by `e2e/build-control-plane`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

/// The folder with `parts` (as `e2e/build-control-plane` names them) of Kubernetes `minor`.
///
/// Builds what is missing, which takes minutes the first time; the script says on standard error how
/// far it is. With everything in place it returns within a few hundredths of a second.
pub async fn control_plane(minor: &str, parts: &[&str]) -> Result<PathBuf> {
    let script = source().join("build-control-plane");
    let output = Command::new(&script)
        .args(parts)
        .env("MINOR", minor)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run `{}`", script.display()))?;
    ensure!(
        output.status.success(),
        "`{}` failed ({}); what it said stands above",
        script.display(),
        output.status
    );
    let folder = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    for part in parts {
        let program = folder.join(part);
        ensure!(program.is_file(), "no program at `{}`", program.display());
    }
    Ok(folder)
}

/// The folder of this package's sources.
///
/// Where they lie is asked when the program runs, as several clones may share one build cache and cargo
/// does not build again for another path; outside cargo it is where the program was built.
pub(crate) fn source() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// A kubectl: the one on the `PATH`, else one built from the same pinned sources.
pub async fn kubectl(minor: &str) -> Result<PathBuf> {
    if let Some(found) = on_path("kubectl") {
        return Ok(found);
    }
    let folder = control_plane(minor, &["kubectl"]).await?;
    Ok(folder.join("kubectl"))
}

/// Runs a program to its end; its standard output, or an error with what it said.
pub(crate) async fn output_of(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run `{}`", program.display()))?;
    if !output.status.success() {
        bail!(
            "`{} {}`: {}: {}",
            program.display(),
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}
