//! Policies in a directory (GitOps): read again when a file changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proofstream_manifest as manifest;
use proofstream_policy::is_constraint;

use super::definitions::Kind;
use super::{Offer, Origin, PolicyKey, PolicyStore};

/// How often the directory is looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// Most files that are read.
const MAX_FILES: usize = 10_000;
/// The longest file that is read.
const MAX_BYTES: u64 = 4 << 20;
/// How deep folders may nest.
const MAX_DEPTH: usize = 16;

/// The kind under which a file that cannot be read is reported.
const UNREADABLE: &str = "File";

/// One directory of policies.
pub struct Directory {
    root: PathBuf,
    seen: BTreeMap<PathBuf, Stamp>,
    offers: BTreeMap<PathBuf, Vec<Offer>>,
    looked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

// === impl Directory ===

impl Directory {
    /// The directory at `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root, seen: BTreeMap::new(), offers: BTreeMap::new(), looked: false }
    }

    /// The name under which [`PolicyStore`] awaits this directory.
    pub fn place(root: &Path) -> String {
        format!("directory {}", root.display())
    }

    /// Looks whether something changed, and if so hands everything to the store.
    pub fn refresh(&mut self, store: &PolicyStore) {
        let now = match stamps(&self.root) {
            Ok(now) => now,
            Err(error) => {
                // What was read stays in force: a directory that is unmounted is no wish.
                tracing::warn!(directory = %self.root.display(), %error, "cannot read policies");
                if self.looked {
                    return;
                }
                BTreeMap::new()
            }
        };
        if self.looked && now == self.seen {
            return;
        }
        self.offers.retain(|path, _| now.contains_key(path));
        for (path, stamp) in &now {
            if self.seen.get(path) != Some(stamp) {
                let before = match self.offers.get(path) {
                    Some(offers) => offers.iter().map(|offer| offer.key.clone()).collect(),
                    None => store.stood_at(&Origin::File(path.clone())),
                };
                let offers = read(path, before);
                self.offers.insert(path.clone(), offers);
            }
        }
        self.seen = now;
        self.looked = true;
        let root = self.root.clone();
        let offers = self
            .offers
            .iter()
            .flat_map(|(path, offers)| {
                offers.iter().map(|offer| (Origin::File(path.clone()), offer.clone()))
            })
            .collect();
        let covers = move |_: &PolicyKey, origin: &Origin| match origin {
            Origin::File(path) => path.starts_with(&root),
            Origin::Cluster => false,
        };
        store.replace(&Self::place(&self.root), covers, offers);
    }
}

/// Looks at a directory again and again, until the task is dropped.
pub async fn watch(root: PathBuf, store: Arc<PolicyStore>) {
    let mut directory = Directory::new(root);
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let store = Arc::clone(&store);
        let looked = tokio::task::spawn_blocking(move || {
            directory.refresh(&store);
            directory
        });
        match looked.await {
            Ok(back) => directory = back,
            Err(error) => return tracing::error!(%error, "policies are not read any more"),
        }
    }
}

fn stamps(root: &Path) -> std::io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            // Follows links: a mounted ConfigMap is made of them (its hidden folders are the targets).
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if hidden {
                continue;
            }
            if metadata.is_dir() && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            } else if metadata.is_file() && is_manifest(&path) && found.len() < MAX_FILES {
                let stamp = Stamp { modified: metadata.modified().ok(), length: metadata.len() };
                found.insert(path, stamp);
            }
        }
    }
    Ok(found)
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// The policies of one file. Where the file cannot be read, those it held `before` are offered again
/// with the reason, so that their last text stays in force.
fn read(path: &Path, before: Vec<PolicyKey>) -> Vec<Offer> {
    match try_read(path) {
        Ok(offers) => offers,
        Err(reason) => {
            tracing::warn!(reason, "a policy file cannot be read");
            let mut offers: Vec<_> = before
                .into_iter()
                .filter(|key| key.kind != UNREADABLE)
                .map(|key| Offer { key, document: Err(reason.clone()) })
                .collect();
            if offers.is_empty() {
                let name = path.display().to_string();
                let key = PolicyKey { kind: UNREADABLE.to_owned(), namespace: None, name };
                offers.push(Offer { key, document: Err(reason) });
            }
            offers
        }
    }
}

fn try_read(path: &Path) -> Result<Vec<Offer>, String> {
    let shown = path.display();
    let length = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?.len();
    if length > MAX_BYTES {
        return Err(format!("{shown}: longer than {} MiB", MAX_BYTES >> 20));
    }
    let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut offers = Vec::new();
    for document in manifest::documents(&bytes, &shown.to_string()) {
        let document = document.map_err(|error| error.to_string())?;
        let items = match document.value.get("items").and_then(|items| items.as_array()) {
            Some(items) => items.clone(),
            None => vec![document.value],
        };
        for item in items {
            let known = Kind::of(&item).is_some() || is_constraint(&item);
            if let Some(key) = PolicyKey::of(&item).filter(|_| known) {
                offers.push(Offer { key, document: Ok(item) });
            }
        }
    }
    Ok(offers)
}
