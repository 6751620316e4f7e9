//! The file system calls [`Directory`](super::Directory) is made of, one method each, so that a test can make any
//! one of them fail and can forget what was not synced.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};

/// Who may read what is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone the process's umask allows.
    Shared,
    /// The owner alone (folders 0700, files 0600).
    Private,
}

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// File system calls, each atomic as far as the file system makes it so and durable only once synced.
pub trait Files: Send + Sync + 'static {
    /// The whole file; `NotFound` where there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// What `path` is, or `None` where there is nothing.
    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>>;
    /// The names in a folder, in no order.
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, EntryKind)>>;
    /// Creates a file, or empties the one that is there.
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>>;
    /// Creates one folder; `AlreadyExists` where there is one.
    fn create_folder(&self, path: &Path, access: Access) -> io::Result<()>;
    /// Moves a name, replacing a file that has the new one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder's names durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Locks a file exclusively, creating it, and leaves `holder` in it; `WouldBlock` with the text found where
    /// another holds it.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Box<dyn Send>>;
}

/// An open file.
pub trait RawFile: Send {
    /// Writes all bytes at an offset.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes the file's bytes, and the length that goes with them, durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Some(EntryKind::Folder)),
            Ok(_) => Ok(Some(EntryKind::File)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, EntryKind)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind =
                if entry.file_type()?.is_dir() { EntryKind::Folder } else { EntryKind::File };
            let name = entry.file_name().into_string().map_err(|name| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("name `{}` is not UTF-8", name.display()),
                )
            })?;
            names.push((name, kind));
        }
        Ok(names)
    }

    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        options.mode(if access == Access::Private { 0o600 } else { 0o666 });
        Ok(Box::new(SystemFile(options.open(path)?)))
    }

    fn create_folder(&self, path: &Path, access: Access) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        builder.mode(if access == Access::Private { 0o700 } else { 0o777 });
        builder.create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Box<dyn Send>> {
        // Not truncated on opening: the text is the present holder's until the lock is ours.
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.take(64).read_to_string(&mut text)?;
                return Err(io::Error::new(io::ErrorKind::WouldBlock, text.trim().to_owned()));
            }
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(holder.as_bytes())?;
        Ok(Box::new(file))
    }
}

struct SystemFile(fs::File);

impl RawFile for SystemFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        #[cfg(unix)]
        return self.0.write_all_at(bytes, offset);
        #[cfg(not(unix))]
        {
            self.0.seek(SeekFrom::Start(offset))?;
            self.0.write_all(bytes)
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
