//! Reads the write-ahead files that a process left behind.

use std::io;

use super::frame::{FILE_HEADER_BYTES, FRAME_MAGIC, FileHeader, Found, Group};
use super::{FOLDER, Owner};
use crate::storage::Storage;

/// What the files hold that is not sealed yet.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// Files with unsealed records, oldest first.
    pub(crate) files: Vec<WalFile>,
    /// Paths of files that hold nothing (any more) and may be removed.
    pub(crate) spent: Vec<String>,
    /// The number for the next file.
    pub(crate) next_number: u64,
    /// Bytes of the one group, never acknowledged, that a crash tore at the end.
    pub(crate) torn: u64,
}

/// The valid content of one file.
#[derive(Debug)]
pub(crate) struct WalFile {
    pub(crate) first: u64,
    pub(crate) groups: Vec<Group>,
    /// The files to remove once these records are sealed.
    pub(crate) paths: Vec<String>,
    pub(crate) path: String,
    tail: Tail,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Clean,
    /// What stands at the offset is not a frame, and no frame follows.
    Torn {
        offset: usize,
        bytes: u64,
    },
    /// What stands at the offset is not a frame, but one follows: acknowledged records were damaged.
    Corrupt {
        offset: usize,
    },
}

/// Why the write-ahead log cannot be replayed. Nothing was changed; each names what to look at.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The storage failed.
    #[error("cannot read `{path}`")]
    Read {
        /// The file or folder.
        path: String,
        /// What the storage said.
        #[source]
        source: io::Error,
    },
    /// A name in the folder that no write-ahead file has.
    #[error("`{path}` is not a write-ahead file; move it out of the folder")]
    Name {
        /// The file.
        path: String,
    },
    /// The header of a file that has successors is damaged.
    #[error("the header of `{path}` is damaged")]
    Header {
        /// The file.
        path: String,
    },
    /// The file was written by another ledger, or has another file's content.
    #[error("`{path}` belongs to another ledger or was renamed")]
    Foreign {
        /// The file.
        path: String,
    },
    /// Damage in the middle of a file: what follows it is whole, so records that were acknowledged
    /// are lost. Restore the file, or start a new log.
    #[error("`{path}` is damaged at byte {offset}, before records that are whole")]
    Corrupt {
        /// The file.
        path: String,
        /// Where the damage begins.
        offset: u64,
    },
    /// A file ends before its successor begins, or the first begins after the sealed records end.
    #[error(
        "records {from} to {to} are missing from the write-ahead log at byte {offset} of `{path}`"
    )]
    Missing {
        /// The file in which they should be.
        path: String,
        /// Where in the file they should be.
        offset: u64,
        /// First missing seq.
        from: u64,
        /// Last missing seq.
        to: u64,
    },
}

/// Reads the files, leaving out what is sealed already (seq below `sealed`).
pub(crate) fn replay(
    storage: &dyn Storage,
    owner: Owner,
    sealed: u64,
) -> Result<Replayed, WalError> {
    let read_error = |path: &str| {
        let path = path.to_owned();
        move |source| WalError::Read { path, source }
    };
    let paths = storage.list(FOLDER).map_err(read_error(FOLDER))?;
    let mut replayed = Replayed::default();
    let mut files: Vec<WalFile> = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let number = number_of(path).ok_or_else(|| WalError::Name { path: path.clone() })?;
        replayed.next_number = number.saturating_add(1);
        let bytes = storage.read(path).map_err(read_error(path))?.unwrap_or_default();
        match read_file(&bytes, path, owner, number)? {
            Some(file) => files.push(file),
            // The last file may have died while it was made; it holds nothing yet. It keeps its
            // number, so that no file with a damaged header ever has a successor.
            None if index + 1 == paths.len() => {
                replayed.next_number = number;
            }
            None => return Err(WalError::Header { path: path.clone() }),
        }
    }
    replayed.arrange(files, sealed)?;
    Ok(replayed)
}

/// The valid content of a file; `None` where not even its header is whole.
pub(crate) fn read_file(
    bytes: &[u8],
    path: &str,
    owner: Owner,
    number: u64,
) -> Result<Option<WalFile>, WalError> {
    let Some(header) = FileHeader::decode(bytes) else { return Ok(None) };
    if header.owner != owner || header.number != number {
        return Err(WalError::Foreign { path: path.to_owned() });
    }
    let mut groups = Vec::new();
    let mut offset = FILE_HEADER_BYTES;
    let mut expected = header.first;
    let tail = loop {
        match Group::find(bytes, &header, offset) {
            Found::Frame(group, end) if group.first() == expected => {
                expected = group.end();
                offset = end;
                groups.push(group);
            }
            Found::End => break Tail::Clean,
            Found::Frame(..) => break Tail::Corrupt { offset },
            Found::Invalid if frame_follows(bytes, &header, offset) => {
                break Tail::Corrupt { offset };
            }
            Found::Invalid => {
                let rest = bytes.get(offset..).unwrap_or_default();
                let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
                break Tail::Torn { offset, bytes: rest.len().saturating_sub(zeros) as u64 };
            }
        }
    };
    let (path, paths) = (path.to_owned(), vec![path.to_owned()]);
    Ok(Some(WalFile { first: header.first, groups, paths, path, tail }))
}

impl WalFile {
    /// The seq behind the last record's.
    pub(crate) fn end(&self) -> u64 {
        self.groups.last().map_or(self.first, Group::end)
    }

    /// The seq up to which the file holds exactly these groups.
    pub(crate) fn end_of_prefix(&self, groups: &[std::sync::Arc<Group>]) -> u64 {
        let same = self.groups.iter().zip(groups).take_while(|(found, kept)| {
            found.first() == kept.first() && found.lines().eq(kept.lines())
        });
        same.last().map_or(self.first, |(found, _)| found.end())
    }

    /// Adds what the file before has of this one's records and this one has not.
    fn take_over(&mut self, groups: Vec<Group>, paths: Vec<String>) {
        for group in groups {
            if group.first() == self.end() && !matches!(self.tail, Tail::Corrupt { .. }) {
                self.groups.push(group);
            }
        }
        // Its records may be in that file alone: it goes when these are sealed, not before.
        self.paths.splice(0..0, paths);
    }

    fn torn(&self) -> u64 {
        match self.tail {
            Tail::Torn { bytes, .. } => bytes,
            Tail::Clean | Tail::Corrupt { .. } => 0,
        }
    }

    /// Where the valid content ends.
    fn end_offset(&self) -> u64 {
        match self.tail {
            Tail::Torn { offset, .. } | Tail::Corrupt { offset } => offset as u64,
            Tail::Clean => self
                .groups
                .iter()
                .fold(FILE_HEADER_BYTES as u64, |at, group| at.saturating_add(group.framed_size())),
        }
    }

    /// Splits off what belongs to the next file's segment, and holds that the rest is whole. What is
    /// sealed may be missing: a file that could not be removed may stand before the next but one.
    fn split_at(&mut self, limit: u64, sealed: u64) -> Result<Vec<Group>, WalError> {
        if self.end().max(sealed) < limit {
            let (path, offset) = (self.path.clone(), self.end_offset());
            return Err(match self.tail {
                Tail::Corrupt { .. } => WalError::Corrupt { path, offset },
                Tail::Clean | Tail::Torn { .. } => {
                    let (from, to) = (self.end(), limit.saturating_sub(1));
                    WalError::Missing { path, offset, from, to }
                }
            });
        }
        let kept = self.groups.partition_point(|group| group.end() <= limit);
        Ok(self.groups.split_off(kept))
    }
}

impl Replayed {
    /// Gives each file the records of its segment. A file's records from the next file's first on
    /// are that one's: there they were written again, unless a crash came before.
    fn arrange(&mut self, files: Vec<WalFile>, sealed: u64) -> Result<(), WalError> {
        let limits = files.iter().skip(1).map(|next| Some(next.first));
        let limits: Vec<_> = limits.chain(std::iter::once(None)).collect();
        let mut expected = sealed;
        let mut left: Option<(Vec<Group>, Vec<String>)> = None;
        for (mut file, limit) in files.into_iter().zip(limits) {
            if let Some((groups, paths)) = left.take() {
                file.take_over(groups, paths);
            }
            if let Some(limit) = limit {
                let groups = file.split_at(limit, sealed)?;
                if !groups.is_empty() {
                    left = Some((groups, std::mem::take(&mut file.paths)));
                }
            } else if let Tail::Corrupt { .. } = file.tail {
                let offset = file.end_offset();
                return Err(WalError::Corrupt { path: file.path, offset });
            } else {
                self.torn = file.torn();
            }
            file.groups.retain(|group| group.end() > sealed);
            let Some(first) = file.groups.first() else {
                self.spent.append(&mut file.paths);
                continue;
            };
            if first.first() != expected {
                return Err(WalError::Missing {
                    path: file.path,
                    offset: FILE_HEADER_BYTES as u64,
                    from: expected,
                    to: first.first().saturating_sub(1),
                });
            }
            expected = file.end();
            self.files.push(file);
        }
        Ok(())
    }
}

fn number_of(path: &str) -> Option<u64> {
    let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".log")?;
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| name.parse().ok())
        .flatten()
}

/// Whether a whole frame stands anywhere behind an offset.
fn frame_follows(bytes: &[u8], header: &FileHeader, offset: usize) -> bool {
    let after = offset.saturating_add(1);
    bytes
        .get(after..)
        .unwrap_or_default()
        .windows(FRAME_MAGIC.len())
        .enumerate()
        .filter(|(_, window)| *window == FRAME_MAGIC)
        .any(|(at, _)| matches!(Group::find(bytes, header, after + at), Found::Frame(..)))
}
