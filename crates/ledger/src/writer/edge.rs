//! The right edge of the outer tree: what is needed to grow it, and the tiles each growth writes.

use super::error::OpenError;
use crate::manifest::Manifest;
use crate::storage::Storage;
use crate::tile::{self, FULL, TileNodes};
use crate::tree::{Frontier, Hash, NodeError, Nodes, leaf_hash, node_hash};

/// The unfinished tile of each level, the unfinished entry bundle, and the frontier.
#[derive(Clone)]
pub(super) struct Edge {
    frontier: Frontier,
    entries: Vec<Vec<u8>>,
    levels: Vec<Row>,
}

/// The last tile of a level. A full one stays until the next hash comes.
#[derive(Clone, Default)]
struct Row {
    index: u64,
    hashes: Vec<Hash>,
}

impl Edge {
    /// Reads the edge of a tree of `size` leaves.
    pub(super) fn load(ledger: &dyn Storage, size: u64) -> Result<Self, OpenError> {
        let frontier = Frontier::load(&TileNodes::new(ledger, size), size)
            .map_err(|error| OpenError::damaged("tile", error))?;
        let mut levels = Vec::new();
        for level in 0_u32.. {
            let row = size.checked_shr(8 * level).unwrap_or(0);
            if row == 0 {
                break;
            }
            let (index, width) = (row / FULL, row % FULL);
            let hashes =
                if width == 0 { Vec::new() } else { read_hashes(ledger, level, index, width)? };
            levels.push(Row { index, hashes });
        }
        let entries = if size.is_multiple_of(FULL) {
            Vec::new()
        } else {
            read_entries(ledger, size, size - 1)?
        };
        Ok(Self { frontier, entries, levels })
    }

    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(super) fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The edge after one more leaf.
    pub(super) fn grown(&self, manifest: &[u8]) -> Self {
        let mut grown = self.clone();
        if grown.entries.len() as u64 == FULL {
            grown.entries.clear();
        }
        grown.entries.push(manifest.to_vec());
        let mut hash = leaf_hash(manifest);
        grown.frontier.append(hash);
        for level in 0.. {
            if grown.levels.len() <= level {
                grown.levels.push(Row::default());
            }
            let Some(row) = grown.levels.get_mut(level) else { break };
            if row.hashes.len() as u64 == FULL {
                row.index += 1;
                row.hashes.clear();
            }
            row.hashes.push(hash);
            if (row.hashes.len() as u64) < FULL {
                break;
            }
            hash = full_root(&row.hashes);
        }
        grown
    }

    /// Writes the tiles that this size has and the one before had not. May be called again.
    pub(super) fn write(&self, ledger: &dyn Storage) -> Result<(), OpenError> {
        let (old, new) = (self.size().saturating_sub(1), self.size());
        let replace = |path: &str, bytes: &[u8]| {
            ledger.replace(path, bytes).map_err(|source| OpenError::storage(path, source))
        };
        for (index, width) in tile::grown_entries(old, new) {
            let path = tile::entries_path(index, width);
            let bytes = tile::encode_entries(self.entries.iter().map(Vec::as_slice))
                .map_err(|error| OpenError::damaged(&path, error))?;
            replace(&path, &bytes)?;
        }
        for tile in tile::grown(old, new) {
            let path = tile.path();
            let bytes = tile.bytes(self).map_err(|error| OpenError::damaged(&path, error))?;
            replace(&path, &bytes)?;
        }
        Ok(())
    }

    /// The folders of partial tiles that the full ones of this size make superfluous.
    pub(super) fn superfluous(&self) -> Vec<String> {
        let mut folders = Vec::new();
        if self.size().is_multiple_of(FULL) && self.size() > 0 {
            folders.push(format!("{}.p", tile::entries_path(self.size() / FULL - 1, FULL)));
        }
        for (level, row) in (0_u32..).zip(&self.levels) {
            let just_filled = row.hashes.len() as u64 == FULL;
            if just_filled && self.size().is_multiple_of(1_u64 << (8 * (level + 1)).min(63)) {
                folders.push(format!("{}.p", tile::path(level, row.index, FULL)));
            }
        }
        folders
    }
}

impl Nodes for Edge {
    fn node(&self, level: u32, index: u64) -> Result<Hash, NodeError> {
        let absent = NodeError::Absent { level, index };
        let row = level
            .is_multiple_of(8)
            .then(|| self.levels.get(usize::try_from(level / 8).unwrap_or(usize::MAX)))
            .flatten();
        let place = row.and_then(|row| {
            let place = index.checked_sub(row.index.checked_mul(FULL)?)?;
            row.hashes.get(usize::try_from(place).ok()?).copied()
        });
        place.ok_or(absent)
    }
}

/// A leaf of the outer tree of `size` leaves.
pub(super) fn read_manifest(
    ledger: &dyn Storage,
    size: u64,
    index: u64,
) -> Result<Manifest, OpenError> {
    let entries = read_entries(ledger, size, index)?;
    let path = tile::entries_path(index / FULL, FULL);
    let entry = usize::try_from(index % FULL).ok().and_then(|at| entries.get(at));
    let entry = entry.ok_or_else(|| OpenError::damaged(&path, "it is too short"))?;
    Manifest::parse(entry).map_err(|error| OpenError::damaged(&path, error))
}

/// The entry bundle in which a leaf is, as a tree of `size` leaves has it.
fn read_entries(ledger: &dyn Storage, size: u64, index: u64) -> Result<Vec<Vec<u8>>, OpenError> {
    let bundle = index / FULL;
    let width = size.saturating_sub(bundle * FULL).min(FULL);
    let (path, bytes) = read_partial(ledger, |width| tile::entries_path(bundle, width), width)?;
    let entries = tile::decode_entries(&bytes).map_err(|error| OpenError::damaged(&path, error))?;
    let entries: Vec<_> =
        entries.into_iter().take(usize::try_from(width).unwrap_or(usize::MAX)).collect();
    if entries.len() as u64 != width {
        return Err(OpenError::damaged(&path, format!("it holds `{}` entries", entries.len())));
    }
    Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
}

fn read_hashes(
    ledger: &dyn Storage,
    level: u32,
    index: u64,
    width: u64,
) -> Result<Vec<Hash>, OpenError> {
    let (path, bytes) = read_partial(ledger, |width| tile::path(level, index, width), width)?;
    let mut hashes =
        tile::decode_hashes(&bytes).map_err(|error| OpenError::damaged(&path, error))?;
    hashes.truncate(usize::try_from(width).unwrap_or(usize::MAX));
    if hashes.len() as u64 != width {
        return Err(OpenError::damaged(&path, format!("it holds `{}` hashes", hashes.len())));
    }
    Ok(hashes)
}

/// The file of a partial tile, or the full one that took its place.
fn read_partial(
    ledger: &dyn Storage,
    path: impl Fn(u64) -> String,
    width: u64,
) -> Result<(String, Vec<u8>), OpenError> {
    for candidate in [path(width), path(FULL)] {
        let bytes =
            ledger.read(&candidate).map_err(|source| OpenError::storage(&candidate, source))?;
        if let Some(bytes) = bytes {
            return Ok((candidate, bytes));
        }
    }
    Err(OpenError::damaged(&path(width), "it is missing"))
}

/// The root over a full tile's hashes.
fn full_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => crate::tree::empty_root(),
        [only] => *only,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&full_root(left), &full_root(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::AppendFile;
    use crate::tree;
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::Mutex;

    /// Files in memory: thousands of tiles on a real disk would take long.
    #[derive(Default)]
    struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

    impl Storage for Memory {
        fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
            Ok(self.0.lock().unwrap().get(path).cloned())
        }

        fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
            let files = self.0.lock().unwrap();
            let below = format!("{prefix}/");
            Ok(files.keys().filter(|path| path.starts_with(&below)).cloned().collect())
        }

        fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
            self.replace(path, bytes)
        }

        fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().insert(path.to_owned(), bytes.to_vec());
            Ok(())
        }

        fn remove(&self, path: &str) -> io::Result<()> {
            self.0.lock().unwrap().remove(path);
            Ok(())
        }

        fn open_append(&self, _: &str) -> io::Result<Box<dyn AppendFile>> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn lock(&self, _: &str) -> io::Result<Box<dyn Send>> {
            Ok(Box::new(()))
        }
    }

    #[test]
    fn growing_and_loading_agree_with_a_tree_held_whole() {
        let storage = Memory::default();
        let mut whole = tree::Tree::new();
        let mut edge = Edge::load(&storage, 0).unwrap();
        for number in 0..530_u64 {
            let leaf = format!("leaf {number}");
            whole.append(leaf_hash(leaf.as_bytes()));
            edge = edge.grown(leaf.as_bytes());
            edge.write(&storage).unwrap();
            assert_eq!(edge.root(), whole.root());
            if [1, 255, 256, 257, 511, 512, 513].contains(&(number + 1)) {
                for folder in edge.superfluous() {
                    for path in storage.list(&folder).unwrap() {
                        storage.remove(&path).unwrap();
                    }
                }
                let loaded = Edge::load(&storage, number + 1).unwrap();
                assert_eq!(loaded.root(), whole.root());
                edge = loaded;
            }
        }
        let nodes = TileNodes::new(&storage, 530);
        assert_eq!(tree::root(&nodes, 530).unwrap(), whole.root());
        assert!(storage.list("tile/0/000.p").unwrap().is_empty());
    }
}
