//! What an export needs of a ledger, and the sealed part of a real one.

use std::sync::Arc;

use proofstream_ledger::manifest::Manifest;
use proofstream_ledger::proof::RecordProof;
use proofstream_ledger::reader::{ReadError, Reader};
use proofstream_ledger::storage::Storage;
use proofstream_ledger::tree::Hash;

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LedgerFault(Box<dyn std::error::Error + Send + Sync>);

impl LedgerFault {
    /// Wraps whatever the ledger said.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// A ledger at one checkpoint.
pub trait LedgerRead {
    /// How many segments the checkpoint covers.
    fn size(&self) -> u64;

    /// The checkpoint's note, as published.
    fn checkpoint(&self) -> &[u8];

    /// The log's verifier keys, as published (`log.pub`).
    fn log_keys(&self) -> Result<Vec<u8>, LedgerFault>;

    /// The checkpoints at changes of the log's key, with their paths (`keys/<size>`).
    fn key_changes(&self) -> Result<Vec<(String, Vec<u8>)>, LedgerFault>;

    /// The newest checkpoint with witnesses' cosignatures that is not beyond the checkpoint, with
    /// its path.
    fn witnessed(&self) -> Result<Option<(String, Vec<u8>)>, LedgerFault>;

    /// The manifest of segment `index`.
    fn manifest(&self, index: u64) -> Result<Manifest, LedgerFault>;

    /// The lines of segment `index`, without their `\n`.
    fn lines(&self, index: u64) -> Result<Vec<Vec<u8>>, LedgerFault>;

    /// The audit path of segment `index` to the checkpoint, leaf upward.
    fn inclusion(&self, index: u64) -> Result<Vec<Hash>, LedgerFault>;

    /// The proof that the log of `old` segments is a prefix of the checkpoint's.
    fn consistency(&self, old: u64) -> Result<Vec<Hash>, LedgerFault>;

    /// One record with both its audit paths.
    fn prove(&self, seq: u64) -> Result<RecordProof, LedgerFault>;
}

/// The sealed part of a ledger in a store.
pub struct SealedLedger {
    storage: Arc<dyn Storage>,
    reader: Reader,
}

impl SealedLedger {
    /// Opens the ledger at its published checkpoint; `None` where nothing is sealed yet.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Option<Self>, LedgerFault> {
        let reader = Reader::open(Arc::clone(&storage))?;
        Ok(reader.map(|reader| Self { storage, reader }))
    }

    fn require(&self, path: &str) -> Result<Vec<u8>, LedgerFault> {
        let bytes = self
            .storage
            .read(path)
            .map_err(|source| ReadError::Store { path: path.to_owned(), source })?;
        Ok(bytes.ok_or_else(|| ReadError::Missing(path.to_owned()))?)
    }

    /// Paths `PREFIX<number>` whose number is at most the checkpoint's size, by number.
    fn numbered(&self, prefix: &str) -> Result<Vec<(u64, String)>, LedgerFault> {
        let paths = self
            .storage
            .list(prefix)
            .map_err(|source| ReadError::Store { path: prefix.to_owned(), source })?;
        let mut numbered: Vec<(u64, String)> = paths
            .into_iter()
            .filter_map(|path| Some((path.strip_prefix(prefix)?.parse().ok()?, path)))
            .filter(|(size, _)| *size <= self.size())
            .collect();
        numbered.sort();
        Ok(numbered)
    }
}

impl From<ReadError> for LedgerFault {
    fn from(error: ReadError) -> Self {
        Self::new(error)
    }
}

// === impl LedgerRead for SealedLedger ===

impl LedgerRead for SealedLedger {
    fn size(&self) -> u64 {
        self.reader.size()
    }

    fn checkpoint(&self) -> &[u8] {
        self.reader.checkpoint_bytes()
    }

    fn log_keys(&self) -> Result<Vec<u8>, LedgerFault> {
        self.require("log.pub")
    }

    fn key_changes(&self) -> Result<Vec<(String, Vec<u8>)>, LedgerFault> {
        let paths = self.numbered("keys/")?;
        paths.into_iter().map(|(_, path)| Ok((path.clone(), self.require(&path)?))).collect()
    }

    fn witnessed(&self) -> Result<Option<(String, Vec<u8>)>, LedgerFault> {
        let newest = self.numbered("witnessed/")?.pop();
        newest.map(|(_, path)| Ok((path.clone(), self.require(&path)?))).transpose()
    }

    fn manifest(&self, index: u64) -> Result<Manifest, LedgerFault> {
        Ok(self.reader.manifest(index)?)
    }

    fn lines(&self, index: u64) -> Result<Vec<Vec<u8>>, LedgerFault> {
        Ok(self.reader.lines(index)?)
    }

    fn inclusion(&self, index: u64) -> Result<Vec<Hash>, LedgerFault> {
        Ok(self.reader.inclusion(index)?)
    }

    fn consistency(&self, old: u64) -> Result<Vec<Hash>, LedgerFault> {
        Ok(self.reader.consistency(old, self.size())?)
    }

    fn prove(&self, seq: u64) -> Result<RecordProof, LedgerFault> {
        Ok(self.reader.prove(seq)?)
    }
}
