//! Checking inclusion and consistency proofs, with nothing but the proof in hand.
//!
//! The algorithms are those of RFC 9162 sections 2.1.3.2 and 2.1.4.2, which suit RFC 6962's trees.

use super::{Hash, empty_root, node_hash};

/// A proof that does not prove what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf's index lies beyond the tree, or the old tree is larger than the new one.
    #[error("index or size `{index}` is not within a tree of size `{size}`")]
    Range {
        /// The index, or the old size.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// Too many or too few hashes.
    #[error("the proof has `{length}` hashes, which does not fit the tree's size")]
    Length {
        /// How many it has.
        length: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The root to which an audit path (leaf upward) leads from a leaf's hash.
///
/// # Errors
/// When the index or the length of the path does not fit the size.
pub fn inclusion_root(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
) -> Result<Hash, ProofError> {
    if index >= size {
        return Err(ProofError::Range { index, size });
    }
    let length = ProofError::Length { length: path.len() };
    let (mut position, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return Err(length);
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(hash) } else { Err(length) }
}

/// Checks that the leaf stands at `index` in the tree of `size` leaves under `root`.
///
/// # Errors
/// When it does not, or the path does not show it.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if inclusion_root(leaf, index, size, path)? == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `old_size` leaves under `old_root` is a prefix of the new one.
///
/// # Errors
/// When it is not, or the proof does not show it.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let length = ProofError::Length { length: proof.len() };
    if old_size > new_size {
        return Err(ProofError::Range { index: old_size, size: new_size });
    }
    if old_size == new_size || old_size == 0 {
        let expected = if old_size == 0 { empty_root() } else { *new_root };
        return match (proof.is_empty(), *old_root == expected) {
            (false, _) => Err(length),
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Root),
        };
    }
    // A complete old tree is its own first node, which the proof leaves out.
    let (first, rest) = if old_size.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or_else(|| length.clone())?;
        (*first, rest)
    };
    let shift = (old_size - 1).trailing_ones();
    let mut position = (old_size - 1) >> shift;
    let mut last = (new_size - 1) >> shift;
    let (mut old, mut new) = (first, first);
    for hash in rest {
        if last == 0 {
            return Err(length);
        }
        if position & 1 == 1 || position == last {
            old = node_hash(hash, &old);
            new = node_hash(hash, &new);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, hash);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    if old == *old_root && new == *new_root { Ok(()) } else { Err(ProofError::Root) }
}
