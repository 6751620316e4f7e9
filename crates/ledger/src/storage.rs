//! Where bytes are kept: the few operations the ledger needs, so that the place can be replaced.
//!
//! Paths are relative, `/` between parts, no part empty, `.` or `..`, none beginning with a dot: such names are
//! the storage's own (locks, temporary files) and are never listed. Every operation that changes something has
//! reached the disk, new folders included, when it returns `Ok`; one that fails may have happened or not.

use std::io;

mod directory;
mod files;

pub use directory::Directory;
pub use files::{Access, EntryKind, Files, RawFile, SystemFiles};

/// A place for files that are written once, replaced whole, or (the write-ahead log) appended to.
pub trait Storage: Send + Sync + 'static {
    /// The whole file, or `None` where there is none.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// The file to read from its beginning, for what may be too long to hold whole.
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn io::Read>>> {
        Ok(self.read(path)?.map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn io::Read>))
    }

    /// The paths of all files in the folder `prefix` and below it (`""` is everything), sorted. A folder that
    /// does not exist is empty.
    fn list(&self, prefix: &str) -> io::Result<Vec<String>>;

    /// Creates a file that is either there whole or not at all; `AlreadyExists` where there is one.
    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Creates or replaces a file: a reader, and a crash, see the old bytes or the new ones.
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file; `Ok` where there is none.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Moves a file, or a folder with all it holds; `NotFound` where there is none, `Unsupported`
    /// where a storage cannot.
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Creates an empty file to append to; one of that name is emptied first.
    fn open_append(&self, path: &str) -> io::Result<Box<dyn AppendFile>>;

    /// Takes the exclusive lock `path` until the returned guard is dropped or the process ends. Where it is
    /// taken, the error is `WouldBlock` and its text is the holder's process id, if that can be known.
    fn lock(&self, path: &str) -> io::Result<Box<dyn Send>>;
}

/// A file that only grows. Read back it may be followed by zeros: space that was prepared and not used.
pub trait AppendFile: Send {
    /// Writes at the end. After an error the file's end is unknown and it must not be appended to again.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything appended is on the disk. After an error, what was appended since the last
    /// successful call may be lost even if a later call succeeds.
    fn sync(&mut self) -> io::Result<()>;
}
