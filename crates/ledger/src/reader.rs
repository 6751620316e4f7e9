//! Reading a ledger's sealed part: checkpoint, manifests, records, and proofs of any of them.
//!
//! What is not sealed yet stands in the write-ahead log, which is the writer's own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::manifest::{Manifest, ManifestError};
use crate::note::{NoteError, VerifierKey};
use crate::proof::RecordProof;
use crate::segment::{Segment, SegmentError};
use crate::storage::Storage;
use crate::tile::{FULL, TileError, TileNodes, decode_entries, entries_path};
use crate::tree::{
    Hash, NodeError, ProofError, Tree, consistency_proof, inclusion_proof, leaf_hash,
};

/// Why something cannot be read from a ledger.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store said so.
    #[error("`{path}` cannot be read: {source}")]
    Store {
        /// Which file.
        path: String,
        /// What it said.
        source: io::Error,
    },
    /// A file that should be there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// `log.pub` has no key or one that is none.
    #[error("`log.pub`: {0}")]
    Keys(#[from] NoteError),
    /// `log.pub` is empty or not text.
    #[error("`log.pub` holds no key")]
    NoKey,
    /// The checkpoint is none, or none of the log's keys signed it.
    #[error("`checkpoint`: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// An entry bundle is damaged.
    #[error("`{path}`: {source}")]
    Entries {
        /// Which.
        path: String,
        /// What is wrong with it.
        source: TileError,
    },
    /// A leaf of the log is damaged.
    #[error("`{path}`: {source}")]
    Manifest {
        /// Which entry bundle.
        path: String,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A segment is damaged.
    #[error("`{path}`: {source}")]
    Segment {
        /// Which.
        path: String,
        /// What is wrong with it.
        source: SegmentError,
    },
    /// A segment is not the file that the log commits to.
    #[error("`{0}` is not the file its manifest names")]
    Changed(String),
    /// A tree's hashes cannot be had.
    #[error(transparent)]
    Nodes(#[from] NodeError),
    /// The proof made of the stored hashes does not hold: a tile is damaged.
    #[error("the stored tree does not prove segment `{segment}`: {source}")]
    Proof {
        /// Its position in the log.
        segment: u64,
        /// What does not hold.
        source: ProofError,
    },
    /// There is no such record in what is sealed.
    #[error("record `{seq}` is not among the `{count}` that are sealed")]
    NoRecord {
        /// Asked for.
        seq: u64,
        /// Sealed so far.
        count: u64,
    },
    /// There is no such segment in what is sealed.
    #[error("segment `{index}` is not among the `{size}` that are sealed")]
    NoSegment {
        /// Asked for.
        index: u64,
        /// Sealed so far.
        size: u64,
    },
}

/// A ledger as its checkpoint stood when it was opened. Cheap to open anew for a later one.
pub struct Reader {
    storage: Arc<dyn Storage>,
    keys: Vec<VerifierKey>,
    signed: SignedCheckpoint,
    checkpoint_bytes: Vec<u8>,
    /// The entry bundle that was read last.
    bundle: Mutex<Option<(u64, Arc<Vec<Manifest>>)>>,
}

impl Reader {
    /// Opens the ledger at its published checkpoint; `None` where nothing is sealed yet.
    ///
    /// The signature is checked against the newest key in `log.pub`; whether that key is the right
    /// one is the verifier's question.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Option<Self>, ReadError> {
        let Some(checkpoint_bytes) = read(&*storage, "checkpoint")? else { return Ok(None) };
        let keys = require(&*storage, "log.pub")?;
        let keys = VerifierKey::parse_lines(&String::from_utf8_lossy(&keys))?;
        let signed = SignedCheckpoint::parse(&checkpoint_bytes)?;
        signed.verify(keys.last().ok_or(ReadError::NoKey)?)?;
        Ok(Some(Self { storage, keys, signed, checkpoint_bytes, bundle: Mutex::new(None) }))
    }

    /// The checkpoint it reads at.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// The checkpoint's file, as it was published.
    pub fn checkpoint_bytes(&self) -> &[u8] {
        &self.checkpoint_bytes
    }

    /// The log's keys, oldest first.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// How many segments are sealed.
    pub fn size(&self) -> u64 {
        self.signed.checkpoint().size
    }

    /// How many records are sealed.
    ///
    /// # Errors
    /// When the last manifest cannot be read.
    pub fn record_count(&self) -> Result<u64, ReadError> {
        match self.size().checked_sub(1) {
            Some(last) => Ok(self.manifest(last)?.end()),
            None => Ok(0),
        }
    }

    /// The manifest of segment `index`.
    ///
    /// # Errors
    /// When there is none, or its entry bundle is damaged.
    pub fn manifest(&self, index: u64) -> Result<Manifest, ReadError> {
        let absent = || ReadError::NoSegment { index, size: self.size() };
        if index >= self.size() {
            return Err(absent());
        }
        let bundle = self.bundle(index / FULL)?;
        let offset = usize::try_from(index % FULL).map_err(|_| absent())?;
        bundle.get(offset).cloned().ok_or_else(absent)
    }

    /// Which segment holds record `seq`, with its manifest.
    ///
    /// # Errors
    /// When none does, or a manifest on the way cannot be read.
    pub fn locate(&self, seq: u64) -> Result<(u64, Manifest), ReadError> {
        let count = self.record_count()?;
        if seq >= count {
            return Err(ReadError::NoRecord { seq, count });
        }
        let (mut low, mut high) = (0, self.size());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.manifest(middle)?.first <= seq {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok((low, self.manifest(low)?))
    }

    /// The lines of segment `index`, without their `\n`; the file is checked against its manifest.
    ///
    /// # Errors
    /// When there is none, or it is not the file that the log commits to.
    pub fn lines(&self, index: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let manifest = self.manifest(index)?;
        let bytes = self.segment_bytes(&manifest)?;
        let damaged = |source| ReadError::Segment { path: manifest.segment.clone(), source };
        Segment::open(&bytes).and_then(|segment| segment.lines()).map_err(damaged)
    }

    /// The line of record `seq`, without its `\n`, at the cost of one frame.
    ///
    /// # Errors
    /// When there is none, or its segment is damaged.
    pub fn record(&self, seq: u64) -> Result<Vec<u8>, ReadError> {
        let (_, manifest) = self.locate(seq)?;
        let bytes = self.segment_bytes(&manifest)?;
        let damaged = |source| ReadError::Segment { path: manifest.segment.clone(), source };
        Segment::open(&bytes)
            .and_then(|segment| segment.record(seq - manifest.first))
            .map_err(damaged)
    }

    /// Record `seq` with both its proofs to this checkpoint.
    ///
    /// # Errors
    /// When there is none, or something on the way is damaged.
    pub fn prove(&self, seq: u64) -> Result<RecordProof, ReadError> {
        let (segment, manifest) = self.locate(seq)?;
        let lines = self.lines(segment)?;
        let tree: Tree = lines.iter().map(|line| leaf_hash(line)).collect();
        let index = seq - manifest.first;
        let inner = tree.inclusion_proof(index)?;
        let line = usize::try_from(index).ok().and_then(|index| lines.into_iter().nth(index));
        let line = line.ok_or(ReadError::NoRecord { seq, count: manifest.end() })?;
        let outer = self.inclusion(segment)?;
        Ok(RecordProof { line, index, inner, segment, manifest, outer })
    }

    /// The audit path of segment `index` to this checkpoint, checked before it is given out.
    ///
    /// # Errors
    /// When there is none, or the stored tree does not prove it.
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, ReadError> {
        let checkpoint = self.signed.checkpoint();
        let manifest = self.manifest(index)?;
        let nodes = TileNodes::new(&*self.storage, checkpoint.size);
        let path = inclusion_proof(&nodes, index, checkpoint.size)?;
        let damaged =
            |source| ReadError::Manifest { path: entries_path(index / FULL, FULL), source };
        let leaf = manifest.leaf_hash().map_err(damaged)?;
        crate::tree::verify_inclusion(&leaf, index, checkpoint.size, &path, &checkpoint.root)
            .map_err(|source| ReadError::Proof { segment: index, source })?;
        Ok(path)
    }

    /// The proof that the log of `old` segments is a prefix of the log of `new`, which is at most
    /// this checkpoint's size.
    ///
    /// # Errors
    /// When the sizes do not fit, or a tile cannot be read.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        let nodes = TileNodes::new(&*self.storage, self.size());
        Ok(consistency_proof(&nodes, old, new)?)
    }

    /// A blob's payload, its 32 blinding bytes taken off and its hash checked; `None` where the
    /// file is not there.
    ///
    /// # Errors
    /// When it cannot be read, or is not what its name says.
    pub fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ReadError> {
        let path = blob_path(hash);
        let Some(bytes) = read(&*self.storage, &path)? else { return Ok(None) };
        match bytes.split_at_checked(32) {
            Some((_, payload)) if Hash::of(&bytes) == *hash => Ok(Some(payload.to_vec())),
            _ => Err(ReadError::Changed(path)),
        }
    }

    fn segment_bytes(&self, manifest: &Manifest) -> Result<Vec<u8>, ReadError> {
        let bytes = require(&*self.storage, &manifest.segment)?;
        if Hash::of(&bytes) == manifest.sha256 {
            Ok(bytes)
        } else {
            Err(ReadError::Changed(manifest.segment.clone()))
        }
    }

    fn bundle(&self, index: u64) -> Result<Arc<Vec<Manifest>>, ReadError> {
        let mut cached = self.bundle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, manifests)) = &*cached
            && *held == index
        {
            return Ok(Arc::clone(manifests));
        }
        let width = (self.size() - index * FULL).min(FULL);
        let (path, bytes) = read_bundle(&*self.storage, index, width)?;
        let entries = decode_entries(&bytes)
            .map_err(|source| ReadError::Entries { path: path.clone(), source })?;
        let manifests = entries
            .into_iter()
            .take(usize::try_from(width).unwrap_or(usize::MAX))
            .map(Manifest::parse)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| ReadError::Manifest { path: path.clone(), source })?;
        let manifests = Arc::new(manifests);
        *cached = Some((index, Arc::clone(&manifests)));
        Ok(manifests)
    }
}

/// An entry bundle's path and bytes; a partial one that is gone is taken from the full one.
fn read_bundle(
    storage: &dyn Storage,
    index: u64,
    width: u64,
) -> Result<(String, Vec<u8>), ReadError> {
    let wanted = entries_path(index, width);
    for path in [wanted.clone(), entries_path(index, FULL)] {
        if let Some(bytes) = read(storage, &path)? {
            return Ok((path, bytes));
        }
    }
    Err(ReadError::Missing(wanted))
}

/// Where a blob's file is: `blobs/<first 2 hex>/<64 hex>`.
pub fn blob_path(hash: &Hash) -> String {
    let hex = hash.to_hex();
    format!("blobs/{}/{hex}", hex.get(..2).unwrap_or_default())
}

fn read(storage: &dyn Storage, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
    storage.read(path).map_err(|source| ReadError::Store { path: path.to_owned(), source })
}

fn require(storage: &dyn Storage, path: &str) -> Result<Vec<u8>, ReadError> {
    read(storage, path)?.ok_or_else(|| ReadError::Missing(path.to_owned()))
}
