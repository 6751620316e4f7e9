//! The bundle's files as they are written: each is hashed on its way, for the inventory.

use std::collections::BTreeMap;
use std::io::{self, Write};

use proofstream_ledger::bundle as format;
use proofstream_ledger::note::Signer;
use proofstream_ledger::tree::Hash;
use sha2::{Digest as _, Sha256};

use crate::{BundleFile, BundleSink, ExportError};

/// A bundle being written.
pub(crate) struct Bundle<'a> {
    sink: &'a mut dyn BundleSink,
    files: BTreeMap<String, (Hash, u64)>,
}

/// One of its files, open.
pub(crate) struct OpenFile {
    path: String,
    file: Box<dyn BundleFile>,
    hasher: Sha256,
    size: u64,
}

// === impl Bundle ===

impl<'a> Bundle<'a> {
    pub(crate) fn new(sink: &'a mut dyn BundleSink) -> Self {
        Self { sink, files: BTreeMap::new() }
    }

    /// Begins a file.
    pub(crate) fn open(&mut self, path: &str) -> Result<OpenFile, ExportError> {
        let file = self
            .sink
            .create(path)
            .map_err(|source| ExportError::Write { path: path.to_owned(), source })?;
        Ok(OpenFile { path: path.to_owned(), file, hasher: Sha256::new(), size: 0 })
    }

    /// Ends a file and notes it for the inventory.
    pub(crate) fn close(&mut self, file: OpenFile) -> Result<(), ExportError> {
        let OpenFile { path, file, hasher, size } = file;
        file.finish().map_err(|source| ExportError::Write { path: path.clone(), source })?;
        self.files.insert(path, (Hash::from_bytes(hasher.finalize().into()), size));
        Ok(())
    }

    /// Writes a whole file.
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let mut file = self.open(path)?;
        file.put(bytes)?;
        self.close(file)
    }

    /// Writes the inventory and its signed envelope; gives the inventory's hash.
    pub(crate) fn seal(self, signer: &Signer) -> Result<Hash, ExportError> {
        let inventory = format::inventory(&self.files)
            .map_err(|error| ExportError::form(format::INVENTORY, error))?;
        let envelope = format::envelope(&inventory, signer)
            .map_err(|error| ExportError::form(format::ENVELOPE, error))?;
        let mut last = Bundle::new(self.sink);
        last.put(format::INVENTORY, &inventory)?;
        last.put(format::ENVELOPE, &envelope)?;
        Ok(Hash::of(&inventory))
    }
}

// === impl OpenFile ===

impl OpenFile {
    /// Appends to it.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.write_all(bytes)
            .map_err(|source| ExportError::Write { path: self.path.clone(), source })
    }
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
