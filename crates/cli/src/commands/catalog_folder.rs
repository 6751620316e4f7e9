//! The catalog that a command uses: the one that it carries, or another folder.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use proofstream_catalog::{Catalog, CatalogFile};

use crate::exit::Failure;

#[derive(Debug, Args)]
pub(super) struct CatalogFolder {
    /// A folder with another catalog (aliases.yaml, controls/, frameworks/, mappings/).
    #[arg(long = "catalog", value_name = "DIR")]
    folder: Option<PathBuf>,
}

// === impl CatalogFolder ===

impl CatalogFolder {
    /// Loads it; every fault of it is told, by file and line.
    pub(super) fn load(&self) -> Result<Catalog, Failure> {
        let loaded = match &self.folder {
            None => Catalog::embedded(),
            Some(folder) => Catalog::load(files(folder)?),
        };
        loaded.map_err(|error| Failure::input(error.to_string()))
    }
}

/// The YAML files of the folder and of the folders in it.
fn files(folder: &Path) -> Result<Vec<CatalogFile>, Failure> {
    let mut files = Vec::new();
    for place in ["", "controls", "frameworks", "mappings"] {
        let place = folder.join(place);
        let unreadable = |error: std::io::Error| {
            Failure::input(format!("the catalog `{}` cannot be read: {error}", place.display()))
        };
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            // Only the folder itself must be there; what it lacks is told when it is checked.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && place != *folder => {
                continue;
            }
            Err(error) => return Err(unreadable(error)),
        };
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let bytes = fs::read(&path).map_err(unreadable)?;
                files.push(CatalogFile { path: path.display().to_string(), bytes });
            }
        }
    }
    Ok(files)
}
