//! RFC 6962 Merkle trees: hashing, roots, inclusion and consistency proofs and their verification.
//!
//! <https://www.rfc-editor.org/rfc/rfc6962#section-2.1>. Both trees of the ledger (a segment's
//! records and the log of manifests) are these.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

mod verify;

pub use verify::{ProofError, inclusion_root, verify_consistency, verify_inclusion};

/// A SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// SHA-256 of `data`, without a prefix: for files, not for tree nodes.
    pub fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }

    /// Wraps raw bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Standard base64 with padding, 44 characters.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Lower-case hexadecimal, 64 characters.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads canonical base64 of exactly 32 bytes; `None` for anything else.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Reads 64 lower-case hexadecimal digits; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        hex::decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_hex())
    }
}

/// The hash of a leaf: SHA-256 of 0x00 and the data.
pub fn leaf_hash(data: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(data);
    Hash(hasher.finalize().into())
}

/// The hash of an inner node: SHA-256 of 0x01, left and right.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut block = [0u8; 65];
    let (prefix, rest) = block.split_at_mut(1);
    let (first, second) = rest.split_at_mut(32);
    prefix.copy_from_slice(&[1]);
    first.copy_from_slice(&left.0);
    second.copy_from_slice(&right.0);
    Hash(Sha256::digest(block).into())
}

/// The root of the empty tree: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// A hash of the tree that was asked for and is not there.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The tree (or what is stored of it) ends before this node.
    #[error("no hash at level {level}, index {index}")]
    Absent {
        /// Distance from the leaves.
        level: u32,
        /// Position within the level.
        index: u64,
    },
    /// The store that holds it said so.
    #[error("tree hashes cannot be read from `{path}`: {message}")]
    Store {
        /// The tile.
        path: String,
        /// What was wrong.
        message: String,
    },
    /// The request makes no sense for this size.
    #[error("index `{index}` is not in a tree of size `{size}`")]
    Range {
        /// What was asked for.
        index: u64,
        /// Of this tree.
        size: u64,
    },
}

/// Something that gives the hashes of complete subtrees.
pub trait Nodes {
    /// The hash of the complete subtree over leaves `index << level .. (index + 1) << level`.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    fn node(&self, level: u32, index: u64) -> Result<Hash, NodeError>;
}

/// The largest power of two smaller than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The hash over leaves `start..end`, where `start` is where RFC 6962 would begin that subtree.
fn range_hash(nodes: &impl Nodes, start: u64, end: u64) -> Result<Hash, NodeError> {
    let length = end - start;
    if length.is_power_of_two() {
        let level = length.trailing_zeros();
        return nodes.node(level, start >> level);
    }
    let middle = start + split(length);
    let left = range_hash(nodes, start, middle)?;
    let right = range_hash(nodes, middle, end)?;
    Ok(node_hash(&left, &right))
}

/// The root of the first `size` leaves.
///
/// # Errors
/// When a hash that is needed cannot be had.
pub fn root(nodes: &impl Nodes, size: u64) -> Result<Hash, NodeError> {
    if size == 0 { Ok(empty_root()) } else { range_hash(nodes, 0, size) }
}

/// The audit path of leaf `index` in the tree of `size` leaves, leaf upward.
///
/// # Errors
/// When the leaf is not in that tree, or a hash that is needed cannot be had.
pub fn inclusion_proof(nodes: &impl Nodes, index: u64, size: u64) -> Result<Vec<Hash>, NodeError> {
    if index >= size {
        return Err(NodeError::Range { index, size });
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_hash(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_hash(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves.
///
/// # Errors
/// When `old` is greater than `new`, or a hash that is needed cannot be had.
pub fn consistency_proof(nodes: &impl Nodes, old: u64, new: u64) -> Result<Vec<Hash>, NodeError> {
    if old > new {
        return Err(NodeError::Range { index: old, size: new });
    }
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Ok(path);
    }
    let (mut start, mut end, mut complete) = (0, new, true);
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range_hash(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_hash(nodes, start, middle)?);
            start = middle;
            complete = false;
        }
    }
    if !complete {
        path.push(range_hash(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// A tree that keeps only what is needed to grow and to give its root: at most 64 hashes.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    /// Complete subtrees from the largest (leftmost) to the smallest.
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rebuilds the frontier of the first `size` leaves.
    ///
    /// # Errors
    /// When a hash that is needed cannot be had.
    pub fn load(nodes: &impl Nodes, size: u64) -> Result<Self, NodeError> {
        let mut subtrees = Vec::new();
        let mut start = 0;
        for level in (0..64).rev().filter(|level| (size >> level) & 1 == 1) {
            subtrees.push(nodes.node(level, start >> level)?);
            start += 1 << level;
        }
        Ok(Self { size, subtrees })
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            // INVARIANT: there is one subtree for each set bit of `size`.
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// The root of all leaves so far.
    pub fn root(&self) -> Hash {
        let mut from_right = self.subtrees.iter().rev();
        let Some(&last) = from_right.next() else { return empty_root() };
        from_right.fold(last, |right, left| node_hash(left, &right))
    }
}

/// A tree held in memory whole: every hash of every complete subtree.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut level = 0;
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(row) = self.levels.get_mut(level) else { return };
            row.push(hash);
            let [.., left, right] = row.as_slice() else { return };
            if row.len() % 2 == 1 {
                return;
            }
            hash = node_hash(left, right);
            level += 1;
        }
    }

    /// The root of all leaves so far.
    pub fn root(&self) -> Hash {
        // INVARIANT: a tree in memory holds every node below its own size.
        root(self, self.size()).unwrap_or_else(|_| empty_root())
    }

    /// The audit path of leaf `index` in the whole tree, leaf upward.
    ///
    /// # Errors
    /// When there is no such leaf.
    pub fn inclusion_proof(&self, index: u64) -> Result<Vec<Hash>, NodeError> {
        inclusion_proof(self, index, self.size())
    }
}

impl Nodes for Tree {
    fn node(&self, level: u32, index: u64) -> Result<Hash, NodeError> {
        usize::try_from(level)
            .ok()
            .and_then(|level| self.levels.get(level))
            .and_then(|row| row.get(usize::try_from(index).ok()?))
            .copied()
            .ok_or(NodeError::Absent { level, index })
    }
}

impl Extend<Hash> for Tree {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.append(leaf));
    }
}

impl FromIterator<Hash> for Tree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        tree.extend(leaves);
        tree
    }
}
