//! The write-ahead log: private, and the place where an append becomes a promise.
//!
//! Numbered files `wal/<number, 20 digits>.log`, each the records of exactly one later segment: a
//! file is closed for good before the first byte of its segment is written, so that a half-done seal
//! can be redone with the same content. A file is a header, then frames; a frame is one group of
//! records, whole or absent. Only the last frame of a file can be torn, because a frame is written
//! after the one before it was synced.
//!
//! A header names the first `seq` of its file. What an earlier file holds from there on is void: it
//! was written there, not acknowledged, and written again.

use std::io;

mod frame;
mod replay;

use crate::storage::{AppendFile, Storage};

pub(crate) use frame::Group;
pub(crate) use replay::{Replayed, WalFile, read_file, replay};

pub use replay::WalError;

/// The folder of the files, in the private storage.
pub(crate) const FOLDER: &str = "wal";

/// The path of the file of a number.
pub(crate) fn path(number: u64) -> String {
    format!("{FOLDER}/{number:020}.log")
}

/// Which ledger a file belongs to: the first bytes of SHA-256 of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner([u8; 16]);

/// The file that is being appended to.
pub(crate) struct Log {
    file: Box<dyn AppendFile>,
    header: frame::FileHeader,
    offset: u64,
}

impl Owner {
    pub(crate) fn of(origin: &str) -> Self {
        use sha2::{Digest, Sha256};
        let digest: [u8; 32] = Sha256::digest(origin.as_bytes()).into();
        let mut owner = [0; 16];
        owner.iter_mut().zip(digest).for_each(|(target, byte)| *target = byte);
        Self(owner)
    }
}

impl Log {
    /// Creates the file of a number, empty and durable. May be called again after it failed.
    pub(crate) fn create(
        storage: &dyn Storage,
        owner: Owner,
        number: u64,
        first: u64,
    ) -> io::Result<Self> {
        let header = frame::FileHeader { owner, number, first };
        let bytes = header.encode();
        let mut file = storage.open_append(&path(number))?;
        file.append(&bytes)?;
        file.sync()?;
        Ok(Self { file, header, offset: frame::FILE_HEADER_BYTES as u64 })
    }

    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    /// Makes what was appended durable. After an error the file must not be used again.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    /// Appends a group without syncing it.
    pub(crate) fn append_unsynced(&mut self, group: &mut Group) -> io::Result<()> {
        let bytes = group.framed(&self.header, self.offset);
        self.file.append(bytes)?;
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Appends a group and syncs it. After an error the file must not be used again.
    pub(crate) fn append(&mut self, group: &mut Group) -> Result<(), AppendFailure> {
        self.append_unsynced(group).map_err(AppendFailure::Write)?;
        self.sync().map_err(AppendFailure::Sync)
    }
}

/// Which step of an append failed.
#[derive(Debug)]
pub(crate) enum AppendFailure {
    Write(io::Error),
    Sync(io::Error),
}
