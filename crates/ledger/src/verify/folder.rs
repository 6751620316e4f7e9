//! A folder that is only read, and in which no symbolic link is followed.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::storage::{AppendFile, Storage};

/// How deep folders may nest: deeper than any ledger's or bundle's.
const MAX_DEPTH: usize = 16;

/// The verifier's view of a ledger's or bundle's folder. Every method that writes is refused.
///
/// A symbolic link, a device, or a name that is not UTF-8 gives `InvalidData`: such a thing never
/// belongs there, and following it could show another file to the verifier than to the reader.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens a folder (which itself may be reached through a link: the caller named it).
    ///
    /// # Errors
    /// When it is not there or not a folder.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        fs::read_dir(&root)?;
        Ok(Self { root })
    }

    /// The real path, or `None` where there is no such file.
    fn resolve(&self, path: &str) -> io::Result<Option<PathBuf>> {
        let mut real = self.root.clone();
        let components: Vec<_> = Path::new(path).components().collect();
        for (index, component) in components.iter().enumerate() {
            let Component::Normal(name) = component else {
                return Err(refused("leads out of the folder"));
            };
            real.push(name);
            let kind = match fs::symlink_metadata(&real) {
                Ok(metadata) => metadata.file_type(),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let last = index + 1 == components.len();
            match (kind.is_symlink(), kind.is_dir(), last) {
                (true, _, _) => return Err(refused("is a symbolic link")),
                (_, true, true) => return Err(refused("is a folder where a file belongs")),
                (_, false, false) => return Ok(None),
                (_, false, true) if !kind.is_file() => return Err(refused("is no regular file")),
                _ => {}
            }
        }
        Ok(Some(real))
    }

    fn walk(&self, below: &str, depth: usize, found: &mut Vec<String>) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(refused("holds folders nested too deep"));
        }
        let entries = match fs::read_dir(self.root.join(below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| refused("holds a name that is not UTF-8"))?;
            let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            if entry.file_type()?.is_dir() {
                self.walk(&path, depth + 1, found)?;
            } else {
                found.push(path);
            }
        }
        Ok(())
    }
}

impl Storage for Folder {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.resolve(path)?.map(fs::read).transpose()
    }

    fn open(&self, path: &str) -> io::Result<Option<Box<dyn io::Read>>> {
        let Some(real) = self.resolve(path)? else { return Ok(None) };
        Ok(Some(Box::new(File::open(real)?)))
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let below = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.walk(below, 0, &mut found)?;
        found.retain(|path| path.starts_with(prefix));
        found.sort_unstable();
        Ok(found)
    }

    fn write_new(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn replace(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(read_only())
    }

    fn open_append(&self, _: &str) -> io::Result<Box<dyn AppendFile>> {
        Err(read_only())
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn Send>> {
        Err(read_only())
    }
}

fn refused(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a verifier never writes")
}
