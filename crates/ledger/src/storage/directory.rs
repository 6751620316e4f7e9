//! A directory of the local file system as [`Storage`].
//!
//! A file becomes visible by a rename from `.tmp/`, after its bytes are synced and before its folder is, so that
//! no crash shows half of one. Folders made on the way are synced into their parents.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::files::{Access, EntryKind, Files, RawFile, SystemFiles};
use super::{AppendFile, Storage};

/// How far ahead of what is appended a file is filled with zeros: syncing bytes inside a file's length
/// and written blocks needs no flush of the file system's own journal, which costs more than the
/// bytes do.
const PREPARED: usize = 1 << 20;

/// Folders remembered as durable; past this many all are forgotten and synced once more when used.
const REMEMBERED_FOLDERS: usize = 4096;

/// Temporary files, on the same file system as what they become.
const TEMPORARY: &str = ".tmp";

/// Files under one root folder.
pub struct Directory {
    root: PathBuf,
    access: Access,
    prepared: usize,
    files: Arc<dyn Files>,
    /// Folders (relative) known to be durable in their parents.
    durable_folders: Mutex<HashSet<PathBuf>>,
    temporary_number: AtomicU64,
}

impl Directory {
    /// Files under `root`, which is made when something is first written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with_files(root, Access::Shared, Arc::new(SystemFiles))
    }

    /// As [`Directory::new`], for what only the owner may read: keys, the write-ahead log.
    pub fn private(root: impl Into<PathBuf>) -> Self {
        Self::with_files(root, Access::Private, Arc::new(SystemFiles))
    }

    /// As the others, over file system calls of the caller's.
    pub fn with_files(root: impl Into<PathBuf>, access: Access, files: Arc<dyn Files>) -> Self {
        Self {
            root: root.into(),
            access,
            prepared: PREPARED,
            files,
            durable_folders: Mutex::new(HashSet::new()),
            temporary_number: AtomicU64::new(0),
        }
    }

    /// How many bytes of a file that is appended to are made ready beyond what is appended.
    #[must_use]
    pub fn prepare(mut self, bytes: usize) -> Self {
        self.prepared = bytes;
        self
    }

    /// The folder everything is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn place(&self, path: &str) -> io::Result<PathBuf> {
        check_path(path)?;
        Ok(self.root.join(path))
    }

    /// Makes the folder (relative to the root) and those above it, each durable in its parent.
    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        let known = |folder: &Path| {
            self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner).contains(folder)
        };
        if known(folder) {
            return Ok(());
        }
        let mut missing: Vec<PathBuf> = Vec::new();
        if folder.as_os_str().is_empty() {
            // The root itself and what is above it: made, and synced into what was there before.
            let mut above = Some(self.root.as_path());
            while let Some(path) = above {
                if path.as_os_str().is_empty() || self.files.kind(path)?.is_some() {
                    break;
                }
                missing.push(path.to_path_buf());
                above = path.parent();
            }
            if missing.is_empty() {
                missing.push(self.root.clone());
            }
        } else {
            self.make_folders(folder.parent().unwrap_or_else(|| Path::new("")))?;
            missing.push(self.root.join(folder));
        }
        for path in missing.iter().rev() {
            match self.files.create_folder(path, self.access) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            // Synced even where it existed: an earlier process may have died between making and syncing it.
            if let Some(parent) = path.parent() {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                self.files.sync_folder(parent)?;
            }
        }
        let mut durable = self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= REMEMBERED_FOLDERS {
            durable.clear();
        }
        durable.insert(folder.to_path_buf());
        Ok(())
    }

    fn make_folder_of(&self, path: &str) -> io::Result<PathBuf> {
        let folder = Path::new(path).parent().unwrap_or_else(|| Path::new(""));
        self.make_folders(folder)?;
        Ok(if folder.as_os_str().is_empty() { self.root.clone() } else { self.root.join(folder) })
    }

    /// Writes through a temporary file that is renamed into place.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let place = self.place(path)?;
        let folder = self.make_folder_of(path)?;
        self.make_folders(Path::new(TEMPORARY))?;
        let number = self.temporary_number.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
        let written = self
            .write_temporary(&temporary, bytes)
            .and_then(|()| self.files.rename(&temporary, &place));
        if let Err(error) = written {
            // Best effort: what stays behind is removed when the lock is next taken.
            let _ = self.files.remove(&temporary);
            return Err(error);
        }
        self.files.sync_folder(&folder)
    }

    fn write_temporary(&self, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.files.create(temporary, self.access)?;
        file.write_at(0, bytes)?;
        file.sync()
    }

    fn collect(&self, folder: &Path, relative: &str, found: &mut Vec<String>) -> io::Result<()> {
        for (name, kind) in self.files.list(folder)? {
            if name.starts_with('.') {
                continue;
            }
            let path =
                if relative.is_empty() { name.clone() } else { format!("{relative}/{name}") };
            match kind {
                EntryKind::File => found.push(path),
                EntryKind::Folder => self.collect(&folder.join(&name), &path, found)?,
            }
        }
        Ok(())
    }
}

impl Storage for Directory {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match self.files.read(&self.place(path)?) {
            Ok(bytes) => Ok(Some(bytes)),
            // A path through something that is a file names nothing either.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let folder = if prefix.is_empty() { self.root.clone() } else { self.place(prefix)? };
        let mut found = Vec::new();
        if self.files.kind(&folder)? == Some(EntryKind::Folder) {
            self.collect(&folder, prefix, &mut found)?;
        }
        found.sort_unstable();
        Ok(found)
    }

    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        // INVARIANT: one process writes (it holds the lock) and never the same path from two threads, so nothing
        // comes between the look and the rename.
        if self.files.kind(&self.place(path)?)?.is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("`{path}` exists")));
        }
        self.write(path, bytes)
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(path, bytes)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let place = self.place(path)?;
        match self.files.remove(&place) {
            Ok(()) => self.files.sync_folder(place.parent().unwrap_or(&self.root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (source, target) = (self.place(from)?, self.place(to)?);
        if self.files.kind(&source)?.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("`{from}` does not exist"),
            ));
        }
        let folder = self.make_folder_of(to)?;
        self.files.rename(&source, &target)?;
        // Folders below the old name are no longer where they were.
        self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.files.sync_folder(&folder)?;
        self.files.sync_folder(source.parent().unwrap_or(&self.root))
    }

    fn open_append(&self, path: &str) -> io::Result<Box<dyn AppendFile>> {
        let place = self.place(path)?;
        let folder = self.make_folder_of(path)?;
        let file = self.files.create(&place, self.access)?;
        self.files.sync_folder(&folder)?;
        Ok(Box::new(Appending { file, end: 0, ready: 0, ahead: self.prepared }))
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Send>> {
        check_path(path)?;
        self.make_folders(Path::new(""))?;
        let place = self.root.join(format!(".{}.lock", path.replace('/', "-")));
        let guard = self.files.lock(&place, &std::process::id().to_string())?;
        let temporary = self.root.join(TEMPORARY);
        if self.files.kind(&temporary)?.is_some() {
            for (name, kind) in self.files.list(&temporary)? {
                if kind == EntryKind::File {
                    self.files.remove(&temporary.join(name))?;
                }
            }
        }
        Ok(guard)
    }
}

struct Appending {
    file: Box<dyn RawFile>,
    end: u64,
    /// Up to where the file has blocks.
    ready: u64,
    ahead: usize,
}

impl AppendFile for Appending {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.end.saturating_add(bytes.len() as u64);
        if end > self.ready {
            // A full disk may still have room for the bytes themselves: the preparation may fail,
            // they may not.
            self.ready = match self.file.write_at(end, &vec![0; self.ahead]) {
                Ok(()) => end.saturating_add(self.ahead as u64),
                Err(_) => end,
            };
        }
        self.file.write_at(self.end, bytes)?;
        self.end = end;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

fn check_path(path: &str) -> io::Result<()> {
    let good =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    if path.split('/').all(good) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{}` is not a storage path", path.escape_debug()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_written_once_replaced_listed_and_moved() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Directory::new(folder.path().join("a/b"));
        assert_eq!(storage.list("").unwrap(), Vec::<String>::new());
        assert_eq!(storage.read("x/y").unwrap(), None);
        storage.write_new("x/y", b"one").unwrap();
        let again = storage.write_new("x/y", b"two").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        storage.replace("x/y", b"three").unwrap();
        storage.replace("z", b"four").unwrap();
        assert_eq!(storage.read("x/y").unwrap().as_deref(), Some(&b"three"[..]));
        // A path through a file names nothing.
        assert_eq!(storage.read("z/y").unwrap(), None);
        assert_eq!(storage.list("").unwrap(), ["x/y", "z"]);
        assert_eq!(storage.list("x/").unwrap(), ["x/y"]);
        storage.rename("x", "old/x").unwrap();
        assert_eq!(storage.rename("x", "w").unwrap_err().kind(), io::ErrorKind::NotFound);
        storage.remove("z").unwrap();
        storage.remove("z").unwrap();
        assert_eq!(storage.list("").unwrap(), ["old/x/y"]);
        storage.write_new("x/y", b"anew").unwrap();
    }

    #[test]
    fn paths_do_not_leave_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Directory::new(folder.path());
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".tmp/x", "a\\b"] {
            let error = storage.replace(path, b"x").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }

    #[test]
    fn what_is_private_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Directory::private(folder.path().join("private"));
        storage.replace("keys/log.key", b"secret").unwrap();
        storage.open_append("wal/1.log").unwrap().append(b"record").unwrap();
        for (path, mode) in
            [("", 0o700), ("keys", 0o700), ("keys/log.key", 0o600), ("wal/1.log", 0o600)]
        {
            let metadata = std::fs::metadata(storage.root().join(path)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path}");
        }
    }
}
