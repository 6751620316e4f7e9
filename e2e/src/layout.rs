//! The folder of one cluster: which file lies where.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::options::{Data, Document};

/// The paths inside a cluster's folder.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the folder and those inside it.
    pub(crate) fn create(data: &Data) -> Result<Self> {
        let root = match data {
            Data::Temporary => {
                // From here on its guardian removes it; until there is one, an empty folder is all
                // that a kill at the wrong moment can leave.
                let folder = tempfile::Builder::new()
                    .prefix("proofstream-cluster-")
                    .tempdir()
                    .context("cannot make a temporary folder")?
                    .keep();
                fs::write(folder.join("temporary"), "")?;
                folder
            }
            Data::Folder(folder) => {
                fs::create_dir_all(folder)
                    .with_context(|| format!("cannot make `{}`", folder.display()))?;
                folder
                    .canonicalize()
                    .with_context(|| format!("cannot resolve `{}`", folder.display()))?
            }
        };
        let layout = Self { root };
        for name in ["etcd", "pki", "logs", "run", "audit", "config"] {
            let folder = layout.root.join(name);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        Ok(layout)
    }

    /// Removes a temporary folder that got no guardian.
    pub(crate) fn discard(self, data: &Data) {
        if *data == Data::Temporary {
            // The error that led here is the one to tell.
            let _ = fs::remove_dir_all(self.root);
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn etcd(&self) -> PathBuf {
        self.root.join("etcd")
    }

    pub(crate) fn pki(&self, name: &str) -> PathBuf {
        self.root.join("pki").join(name)
    }

    pub(crate) fn log(&self, component: &str) -> PathBuf {
        self.root.join("logs").join(format!("{component}.log"))
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.root.join("audit").join("audit.log")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    pub(crate) fn ports(&self) -> PathBuf {
        self.root.join("config").join("ports.json")
    }

    /// Writes a configuration into the folder, or takes the file it is in; gives the path.
    pub(crate) fn place(&self, name: &str, document: &Document) -> Result<PathBuf> {
        match document {
            Document::Text(text) => {
                let path = self.root.join("config").join(name);
                fs::write(&path, text)?;
                Ok(path)
            }
            Document::File(path) => {
                path.canonicalize().with_context(|| format!("cannot read `{}`", path.display()))
            }
        }
    }

    /// The last `count` lines of a component's log, for an error message.
    pub(crate) fn last_lines(&self, component: &str, count: usize) -> String {
        let text = fs::read(self.log(component)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let kept = lines.len().saturating_sub(count);
        lines.into_iter().skip(kept).collect::<Vec<_>>().join("\n")
    }
}
