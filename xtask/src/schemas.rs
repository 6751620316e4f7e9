//! Writes the JSON Schemas of record bodies to docs/schemas, and holds them against the code.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Writes every schema.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(root.join("docs/schemas"))?;
    for (path, text) in generated(root)? {
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Schemas that are missing or differ from what the code says.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    Ok(generated(root)?
        .into_iter()
        .filter(|(path, text)| std::fs::read_to_string(path).ok().as_ref() != Some(text))
        .map(|(path, _)| format!("{}: run `cargo xtask schemas`", path.display()))
        .collect())
}

fn generated(root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    proofstream_model::schema::bodies()
        .into_iter()
        .map(|(kind, schema)| {
            let path = root.join(format!("docs/schemas/{kind}.schema.json"));
            Ok((path, serde_json::to_string_pretty(&schema)? + "\n"))
        })
        .collect()
}
