//! Files, folders and standard input, walked in a fixed order.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use proofstream_manifest::{Documents, documents, read};
use serde::de::DeserializeOwned;

use crate::exit::Failure;

/// Most files that one walk may find.
const MAX_FILES: usize = 100_000;
/// Deepest folder that a walk goes down to.
const MAX_DEPTH: usize = 64;
/// Largest file that is read whole (policies, tests, values).
const MAX_BYTES: u64 = 64 << 20;

/// A file, and whether the user named it or a walk found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path; `-` for standard input.
    pub path: PathBuf,
    /// Whether the user named the file itself.
    pub named: bool,
}

impl Found {
    /// The path as it is shown.
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

/// The manifests at some paths: files as they are, folders walked in sorted order for names that
/// `wanted` takes. Links to folders are not followed, so that a walk ends.
pub fn find(paths: &[PathBuf], wanted: fn(&str) -> bool) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            found.push(Found { path: path.clone(), named: true });
            continue;
        }
        let kind = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if kind.is_dir() {
            walk(path, wanted, 0, &mut found)?;
        } else {
            found.push(Found { path: path.clone(), named: true });
        }
    }
    Ok(found)
}

/// Whether a name is that of a manifest.
pub fn is_manifest(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

/// Opens a manifest to be read document by document; `-` is standard input.
pub fn open(path: &Path) -> Result<Documents<Box<dyn BufRead>>, Failure> {
    let shown = path.display().to_string();
    let reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(BufReader::with_capacity(64 << 10, io::stdin()))
    } else {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        Box::new(BufReader::with_capacity(64 << 10, file))
    };
    Ok(read(reader, &shown))
}

/// Reads a file whole.
pub fn read_whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let size = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if size > MAX_BYTES {
        let message = format!("`{}` is larger than {} MiB", path.display(), MAX_BYTES >> 20);
        return Err(Failure::input(message));
    }
    std::fs::read(path).map_err(|error| unreadable(path, &error))
}

/// Reads a file that holds exactly one document of a known form.
pub fn read_one<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, Failure> {
    let bytes = read_whole(path)?;
    let shown = path.display().to_string();
    let mut all = documents(&bytes, &shown);
    let first = all.next().ok_or_else(|| {
        Failure::input(format!("{shown}: the file is empty")).help(format!("it must hold {what}"))
    })??;
    if all.next().is_some() {
        let message = format!("{shown}: the file holds more than one document");
        return Err(Failure::input(message).help(format!("it must hold exactly {what}")));
    }
    serde_json::from_value(first.value).map_err(|error| {
        Failure::input(format!("{shown}:{}: {error}", first.line))
            .help(format!("the file must hold {what}"))
    })
}

/// A file that cannot be read: bad input if it is not there, otherwise something not evaluated.
fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("`{}` cannot be read: {error}", path.display());
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::input(message).help("check the path");
    }
    Failure::not_evaluated(message)
}

fn walk(
    folder: &Path,
    wanted: fn(&str) -> bool,
    depth: usize,
    found: &mut Vec<Found>,
) -> Result<(), Failure> {
    if depth > MAX_DEPTH {
        let message = format!("`{}` lies more than {MAX_DEPTH} folders deep", folder.display());
        return Err(Failure::input(message));
    }
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let kind = entry.file_type().map_err(|error| unreadable(folder, &error))?;
        paths.push((entry.path(), kind));
    }
    paths.sort_by(|(left, _), (right, _)| left.cmp(right));
    for (path, kind) in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if kind.is_dir() {
            walk(&path, wanted, depth + 1, found)?;
        } else if wanted(name) {
            if found.len() >= MAX_FILES {
                let message = format!("more than {MAX_FILES} files below the given paths");
                return Err(Failure::input(message).help("name fewer folders"));
            }
            found.push(Found { path, named: false });
        }
    }
    Ok(())
}
