//! Where the files of a bundle go.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// One file being written. Several are open at a time.
pub trait BundleFile: Write {
    /// Makes what was written durable.
    ///
    /// # Errors
    /// What the store says; the file must not be taken for whole after one.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A place for the files of one bundle.
pub trait BundleSink {
    /// Begins a file that is not there yet; `path` is relative, with `/` between its parts.
    ///
    /// # Errors
    /// What the store says.
    fn create(&mut self, path: &str) -> io::Result<Box<dyn BundleFile>>;
}

/// Why a directory cannot take a bundle.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Something is there already.
    #[error("`{0}` is not empty: name a folder that is empty or not there yet")]
    NotEmpty(PathBuf),
    /// Something that is no folder is there.
    #[error("`{0}` is not a folder")]
    NotAFolder(PathBuf),
    /// It has no name, or no parent folder.
    #[error("`{0}` cannot be made: its parent folder is not there")]
    NoParent(PathBuf),
    /// The system said so.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A bundle in a new directory. It is written beside its place and moved there whole, so that a
/// folder of that name is a whole bundle or not there.
#[derive(Debug)]
pub struct DirectorySink {
    place: PathBuf,
    partial: PathBuf,
    published: bool,
}

// === impl DirectorySink ===

impl DirectorySink {
    /// Prepares a bundle at `place`, which must be empty or not there.
    ///
    /// # Errors
    /// When something is there, or the folder beside it cannot be made.
    pub fn new(place: &Path) -> Result<Self, OutputError> {
        match fs::read_dir(place) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(OutputError::NotEmpty(place.to_owned()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(OutputError::NotAFolder(place.to_owned()));
            }
            Err(source) => return Err(OutputError::Write { path: place.to_owned(), source }),
        }
        let name = place.file_name().ok_or_else(|| OutputError::NoParent(place.to_owned()))?;
        let parent = parent_of(place);
        if !parent.is_dir() {
            return Err(OutputError::NoParent(place.to_owned()));
        }
        let partial =
            parent.join(format!(".{}.partial-{}", name.to_string_lossy(), std::process::id()));
        fs::create_dir(&partial)
            .map_err(|source| OutputError::Write { path: partial.clone(), source })?;
        Ok(Self { place: place.to_owned(), partial, published: false })
    }

    /// Moves the finished bundle to its place.
    ///
    /// # Errors
    /// When the system refuses; the bundle is then removed.
    pub fn publish(mut self) -> Result<(), OutputError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OutputError::Write { path, source }
        };
        sync_folders(&self.partial).map_err(at(&self.partial))?;
        fs::rename(&self.partial, &self.place).map_err(at(&self.place))?;
        self.published = true;
        sync_folder(parent_of(&self.place)).map_err(at(&self.place))
    }
}

fn parent_of(place: &Path) -> &Path {
    match place.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => place,
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_folders(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(path)
}

impl BundleSink for DirectorySink {
    fn create(&mut self, path: &str) -> io::Result<Box<dyn BundleFile>> {
        let path = self.partial.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Box::new(DirectoryFile(BufWriter::new(File::create_new(path)?))))
    }
}

impl Drop for DirectorySink {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about a folder that will not go; it is not at the bundle's place.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

struct DirectoryFile(BufWriter<File>);

impl Write for DirectoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl BundleFile for DirectoryFile {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}
