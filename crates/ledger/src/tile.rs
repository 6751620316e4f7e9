//! C2SP tlog-tiles: the outer tree's hashes and entries as static files.
//!
//! <https://c2sp.org/tlog-tiles>. A tile of height 8 holds up to 256 hashes of level `8 × L`; an
//! entry bundle holds up to 256 entries, each behind its length as a big-endian `uint16`.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::storage::Storage;
use crate::tree::{Hash, NodeError, Nodes, node_hash};

/// How many hashes or entries a full tile holds.
pub const FULL: u64 = 256;

/// What is wrong with a tile's or entry bundle's bytes.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// An entry longer than its length prefix can say.
    #[error("an entry of `{0}` bytes is longer than 65535")]
    EntryTooLong(usize),
    /// Bytes that are not whole hashes or whole entries, or too many of them.
    #[error("a tile of `{length}` bytes does not hold {expected}")]
    Shape {
        /// Of the file.
        length: usize,
        /// What it should hold.
        expected: &'static str,
    },
}

/// One tile: `level` counts tiles' levels, `index` its place, `width` its hashes (1 to 256).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// Level of the tile: its hashes are the tree's level `8 × level`.
    pub level: u32,
    /// Position within the level.
    pub index: u64,
    /// How many hashes: 256 in a full tile.
    pub width: u64,
}

impl Tile {
    /// Its file: `tile/<L>/<N>[.p/<W>]`.
    pub fn path(&self) -> String {
        path(self.level, self.index, self.width)
    }

    /// The first node (of the tree's level `8 × level`) in it.
    pub fn first(&self) -> u64 {
        self.index * FULL
    }

    /// Its bytes, taken from a tree that has them.
    ///
    /// # Errors
    /// When the tree does not.
    pub fn bytes(&self, nodes: &impl Nodes) -> Result<Vec<u8>, NodeError> {
        let mut bytes = Vec::with_capacity(8192);
        for offset in 0..self.width {
            bytes.extend_from_slice(nodes.node(self.level * 8, self.first() + offset)?.as_bytes());
        }
        Ok(bytes)
    }
}

/// The file of a hash tile.
pub fn path(level: u32, index: u64, width: u64) -> String {
    format!("tile/{level}/{}{}", number(index), partial(width))
}

/// The file of an entry bundle.
pub fn entries_path(index: u64, width: u64) -> String {
    format!("tile/entries/{}{}", number(index), partial(width))
}

/// The hash tiles that a tree of `new` leaves needs and one of `old` leaves did not have: what is
/// written at a seal. Partial ones of the old size become stale.
pub fn grown(old: u64, new: u64) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for level in 0..8 {
        let (before, after) = (old >> (8 * level), new >> (8 * level));
        if after == 0 {
            break;
        }
        if before == after {
            continue;
        }
        for index in before / FULL..after.div_ceil(FULL) {
            let width = (after - index * FULL).min(FULL);
            tiles.push(Tile { level, index, width });
        }
    }
    tiles
}

/// The entry bundles (index, width) that a log of `new` entries needs and one of `old` had not.
pub fn grown_entries(old: u64, new: u64) -> Vec<(u64, u64)> {
    if old == new {
        return Vec::new();
    }
    (old / FULL..new.div_ceil(FULL)).map(|index| (index, (new - index * FULL).min(FULL))).collect()
}

/// Splits a tile file's bytes into hashes.
///
/// # Errors
/// When they are not 1 to 256 whole hashes.
pub fn decode_hashes(bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    let (chunks, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || chunks.is_empty() || chunks.len() > 256 {
        return Err(TileError::Shape { length: bytes.len(), expected: "1 to 256 hashes" });
    }
    Ok(chunks.iter().copied().map(Hash::from_bytes).collect())
}

/// Writes an entry bundle.
///
/// # Errors
/// When an entry is longer than 65,535 bytes.
pub fn encode_entries<'a>(
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, TileError> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length =
            u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLong(entry.len()))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// Splits an entry bundle into its entries.
///
/// # Errors
/// When it is not 1 to 256 whole entries.
pub fn decode_entries(bytes: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let shape = || TileError::Shape { length: bytes.len(), expected: "1 to 256 entries" };
    let mut entries = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or_else(shape)?;
        entries.push(entry);
        rest = after;
        if entries.len() > 256 {
            return Err(shape());
        }
    }
    if !rest.is_empty() || entries.is_empty() {
        return Err(shape());
    }
    Ok(entries)
}

/// What a path under `tile/` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TilePath {
    /// A hash tile.
    Hashes(Tile),
    /// An entry bundle.
    Entries {
        /// Position.
        index: u64,
        /// How many entries: 256 in a full one.
        width: u64,
    },
}

/// Reads a path as C2SP writes it; `None` for any other spelling.
pub fn parse_path(text: &str) -> Option<TilePath> {
    let rest = text.strip_prefix("tile/")?;
    let (level, rest) = rest.split_once('/')?;
    let (digits, width) = match rest.split_once(".p/") {
        Some((digits, width)) => (digits, width.parse().ok()?),
        None => (rest, FULL),
    };
    let mut index: u64 = 0;
    for group in digits.split('/') {
        let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    let parsed = if level == "entries" {
        TilePath::Entries { index, width }
    } else {
        TilePath::Hashes(Tile { level: level.parse().ok()?, index, width })
    };
    let canonical = match parsed {
        TilePath::Entries { index, width } => entries_path(index, width),
        TilePath::Hashes(tile) => tile.path(),
    };
    ((1..=FULL).contains(&width) && canonical == text).then_some(parsed)
}

fn number(index: u64) -> String {
    let mut text = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    text
}

fn partial(width: u64) -> String {
    if width == FULL { String::new() } else { format!(".p/{width}") }
}

/// The hashes of a tree of a fixed size, read through its tiles; keeps the last tiles it read.
pub struct TileNodes<'a> {
    storage: &'a dyn Storage,
    size: u64,
    cache: RefCell<HashMap<Tile, Vec<Hash>>>,
}

/// How many tiles stay in memory: 512 KiB of hashes.
const CACHED_TILES: usize = 64;

impl<'a> TileNodes<'a> {
    /// Reads the tree of `size` leaves from `storage`.
    pub fn new(storage: &'a dyn Storage, size: u64) -> Self {
        Self { storage, size, cache: RefCell::new(HashMap::new()) }
    }

    /// The tile's hashes; a partial tile that is gone is taken from the full one.
    fn load(&self, tile: Tile) -> Result<Vec<Hash>, NodeError> {
        let full = Tile { width: FULL, ..tile };
        for candidate in [tile, full] {
            let path = candidate.path();
            let store = |message: String| NodeError::Store { path: path.clone(), message };
            let Some(bytes) = self.storage.read(&path).map_err(|error| store(error.to_string()))?
            else {
                continue;
            };
            let mut hashes = decode_hashes(&bytes).map_err(|error| store(error.to_string()))?;
            if hashes.len() as u64 != candidate.width {
                return Err(store(format!("holds `{}` hashes", hashes.len())));
            }
            hashes.truncate(usize::try_from(tile.width).unwrap_or(hashes.len()));
            return Ok(hashes);
        }
        Err(NodeError::Store { path: tile.path(), message: "no such file".to_owned() })
    }
}

impl Nodes for TileNodes<'_> {
    fn node(&self, level: u32, index: u64) -> Result<Hash, NodeError> {
        let absent = NodeError::Absent { level, index };
        let (tile_level, height) = (level / 8, level % 8);
        let row = if tile_level >= 8 { 0 } else { self.size >> (8 * tile_level) };
        let first = index << height;
        if first + (1 << height) > row {
            return Err(absent);
        }
        let tile_index = first / FULL;
        let width = (row - tile_index * FULL).min(FULL);
        let tile = Tile { level: tile_level, index: tile_index, width };
        let mut cache = self.cache.borrow_mut();
        if !cache.contains_key(&tile) {
            let hashes = self.load(tile)?;
            if cache.len() >= CACHED_TILES {
                cache.clear();
            }
            cache.insert(tile, hashes);
        }
        let start = usize::try_from(first % FULL).unwrap_or(usize::MAX);
        let span = start..start.saturating_add(1 << height);
        let hashes = cache.get(&tile).and_then(|hashes| hashes.get(span)).ok_or(absent)?;
        Ok(subtree(hashes))
    }
}

/// The root over a power of two of hashes.
pub(crate) fn subtree(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => crate::tree::empty_root(),
        [only] => *only,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&subtree(left), &subtree(right))
        }
    }
}
