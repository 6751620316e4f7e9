//! `cargo xtask tidy` holds the house rules; `cargo xtask schemas` writes docs/schemas.

mod edges;
mod files;
mod schemas;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<ExitCode> {
    let package = std::env::var("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
    let root = Path::new(&package).parent().context("xtask has no parent")?;
    let task = std::env::args().nth(1).unwrap_or_default();
    let broken = match task.as_str() {
        "tidy" => tidy(root)?,
        "schemas" => {
            schemas::write(root)?;
            Vec::new()
        }
        other => bail!("unknown task `{other}`: use `cargo xtask tidy` or `cargo xtask schemas`"),
    };
    let mut out = std::io::stdout().lock();
    for line in &broken {
        std::io::Write::write_all(&mut out, format!("tidy: {line}\n").as_bytes())?;
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every rule that is broken, one sentence each.
fn tidy(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut broken = edges::check(root)?;
    broken.extend(files::check(root)?);
    broken.extend(schemas::check(root)?);
    Ok(broken)
}
