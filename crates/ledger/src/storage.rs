//! Where a ledger's files live: a flat space of relative paths with `/` between their parts.

use std::io;

/// A store of files. Every method that writes is durable when it returns.
pub trait Storage: Send + Sync + 'static {
    /// The whole file, or `None` where there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// The file to read from its beginning, for what may be too long to hold whole.
    ///
    /// # Errors
    /// When the file is there and cannot be opened.
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn io::Read>>> {
        Ok(self.read(path)?.map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn io::Read>))
    }

    /// All files whose path starts with `prefix`, sorted, relative to the store's root.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn list(&self, prefix: &str) -> io::Result<Vec<String>>;

    /// Writes a file that must not be there yet; the file and its new folders are fsynced.
    ///
    /// # Errors
    /// `AlreadyExists` when it is there; otherwise what the store says.
    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Replaces or creates a file atomically.
    ///
    /// # Errors
    /// What the store says.
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// What the store says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Opens a file to append to, creating it.
    ///
    /// # Errors
    /// What the store says.
    fn open_append(&self, path: &str) -> io::Result<Box<dyn AppendFile>>;

    /// Takes an exclusive lock that is held until the returned value is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another holds it.
    fn lock(&self, path: &str) -> io::Result<Box<dyn Send>>;
}

/// A file that only grows: the write-ahead log's.
pub trait AppendFile: Send {
    /// Appends all of `bytes`; not durable before [`AppendFile::sync`].
    ///
    /// # Errors
    /// What the store says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// What the store says; the file must not be used any more after one.
    fn sync(&mut self) -> io::Result<()>;
}
