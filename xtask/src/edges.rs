//! Holds the crates' dependencies to the edges that ARCHITECTURE.md allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

type Edges = BTreeMap<String, BTreeSet<String>>;

/// Compares both ways: an edge that is not allowed, and an allowed one that nothing uses.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let allowed = parse(&text)?;
    let actual = actual(root)?;
    let mut broken = Vec::new();
    for (from, targets) in &actual {
        let Some(may) = allowed.get(from) else {
            broken.push(format!("crate `{from}` has no line in ARCHITECTURE.md's edges"));
            continue;
        };
        for to in targets.difference(may) {
            broken
                .push(format!("`{from}` depends on `{to}`, which ARCHITECTURE.md does not allow"));
        }
        for to in may.difference(targets) {
            broken.push(format!("ARCHITECTURE.md allows `{from}` → `{to}`, which nothing uses"));
        }
    }
    for from in allowed.keys().filter(|name| !actual.contains_key(*name)) {
        broken.push(format!("ARCHITECTURE.md has a line for `{from}`, which is no crate"));
    }
    Ok(broken)
}

/// Reads the fenced block `edges`: `NAME -> NAME, NAME` a line.
fn parse(text: &str) -> anyhow::Result<Edges> {
    let block = text
        .split_once("```edges\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .map(|(block, _)| block)
        .context("ARCHITECTURE.md has no ```edges block")?;
    let mut edges = Edges::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        let Some((from, to)) = line.split_once("->") else {
            bail!("ARCHITECTURE.md: `{line}` is no edge (NAME -> NAME, NAME)");
        };
        let targets = to.split(',').map(str::trim).filter(|word| !word.is_empty());
        edges.insert(from.trim().to_owned(), targets.map(str::to_owned).collect());
    }
    Ok(edges)
}

/// The normal (not dev, not build) in-house dependencies of each crate, by folder name.
fn actual(root: &Path) -> anyhow::Result<Edges> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("cargo metadata has no packages")?;
    let mut edges = Edges::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if name == "xtask" {
            continue;
        }
        let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        let targets = dependencies
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str()?.strip_prefix("proofstream-"))
            .map(str::to_owned)
            .collect();
        edges.insert(name.trim_start_matches("proofstream-").to_owned(), targets);
    }
    Ok(edges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_block() {
        let edges = parse("x\n```edges\nmodel ->\ncli -> model, ledger\n```\n").unwrap();
        assert!(edges["model"].is_empty());
        assert!(edges["cli"].contains("ledger"));
        assert!(parse("nothing").is_err());
    }
}
