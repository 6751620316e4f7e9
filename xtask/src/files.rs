//! Holds the shape of files: lengths, names, a purpose line, links that lead somewhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Lines of a source file, tests apart.
const LONGEST_FILE: usize = 600;
/// Lines of a `main.rs`.
const LONGEST_MAIN: usize = 40;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] =
    ["mod.rs", "imp.rs", "utils.rs", "util.rs", "common.rs", "helpers.rs"];

/// Checks every file that git tracks or would track.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in tracked(root)? {
        let shown = path.display().to_string();
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else { continue };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => broken.extend(source(&shown, &text)),
            Some("md") => broken.extend(links(root, &path, &text)),
            _ => {}
        }
    }
    Ok(broken)
}

fn tracked(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.lines().map(PathBuf::from).collect())
}

fn source(path: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let name = path.rsplit('/').next().unwrap_or(path);
    if EMPTY_NAMES.contains(&name) {
        broken.push(format!("{path}: name the file after its subject"));
    }
    if !text.starts_with("//!") {
        broken.push(format!("{path}: the first line says what the file is for (`//! …`)"));
    }
    let test_file = ["/tests/", "/benches/"].iter().any(|folder| path.contains(folder));
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    if lines > LONGEST_FILE && !test_file {
        broken.push(format!("{path}: {lines} lines, at most {LONGEST_FILE}: split it by subject"));
    }
    // A folder of tests may sit beside a file with several binaries; only a crate's own main counts.
    if name == "main.rs" && !path.starts_with("xtask/") && lines > LONGEST_MAIN {
        broken.push(format!("{path}: {lines} lines, at most {LONGEST_MAIN}: call the library"));
    }
    broken
}

/// Relative links of a Markdown file that lead nowhere.
fn links(root: &Path, path: &Path, text: &str) -> Vec<String> {
    let folder = root.join(path).parent().map(Path::to_path_buf).unwrap_or_default();
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
        .filter(|target| !folder.join(target).exists())
        .map(|target| format!("{}: the link to `{target}` leads nowhere", path.display()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_wrong_with_a_file() {
        assert!(source("crates/a/src/lib.rs", "//! Fine.\n").is_empty());
        assert_eq!(source("crates/a/src/utils.rs", "fn a() {}\n").len(), 2);
        let long = format!("//! Long.\n{}", "x\n".repeat(LONGEST_FILE));
        assert_eq!(source("crates/a/src/lib.rs", &long).len(), 1);
        assert!(source("crates/a/tests/long.rs", &long).is_empty());
    }
}
