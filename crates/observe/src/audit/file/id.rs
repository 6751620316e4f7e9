//! The identity of an audit log file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::str::FromStr;

use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

/// How many bytes of a file's first line tell it from others.
const HEAD: usize = 1024;

/// The first bytes of a file's first line, hashed: what stays the same when the file is renamed or
/// copied, and changes when it is truncated and written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head(u64);

/// A file's identity as records name it: `PATH#INODE-HEAD`, the path being that of the live file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileId {
    /// The path that the API server writes to (not the one that rotation gave the file).
    pub path: String,
    /// The inode when the file was opened.
    pub inode: u64,
    /// The hash of its beginning.
    pub head: Head,
}

/// A text that is no identity of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a file's identity (PATH#INODE-HEAD)")]
pub struct FileIdError(String);

// === impl Head ===

impl Head {
    /// The head of `file`; none while its first line is still shorter than what is hashed and has
    /// no newline.
    pub(super) fn read(file: &File) -> io::Result<Option<Self>> {
        Self::first(|rest, at| file.read_at(rest, at))
    }

    /// The head of what a compressed file holds; none also where that cannot be read.
    pub(super) fn unpacked(file: &File) -> Option<Self> {
        let mut reader = MultiGzDecoder::new(file);
        Self::first(|rest, _| reader.read(rest)).ok().flatten()
    }

    /// From what `read` gives for a buffer and a place, until it gives nothing.
    fn first(
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<Option<Self>> {
        let mut buffer = [0_u8; HEAD];
        let mut length = 0;
        while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match read(rest, length as u64) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let read = buffer.get(..length).unwrap_or_default();
        Ok(match read.iter().position(|byte| *byte == b'\n') {
            Some(newline) => Some(Self::of(read.get(..newline).unwrap_or_default())),
            None if length == HEAD => Some(Self::of(read)),
            None => None,
        })
    }

    fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        Self(digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

// === impl FileId ===

impl fmt::Display for FileId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}#{}-{}", self.path, self.inode, self.head)
    }
}

impl FromStr for FileId {
    type Err = FileIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || FileIdError(text.to_owned());
        let (path, rest) = text.rsplit_once('#').ok_or_else(bad)?;
        let (inode, head) = rest.split_once('-').ok_or_else(bad)?;
        Ok(Self {
            path: path.to_owned(),
            inode: inode.parse().map_err(|_| bad())?,
            head: Head(u64::from_str_radix(head, 16).map_err(|_| bad())?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back() {
        let id = FileId { path: "/var/log/a#b/audit.log".to_owned(), inode: 7, head: Head(0xab) };
        assert_eq!(id.to_string(), "/var/log/a#b/audit.log#7-00000000000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("/var/log/audit.log".parse::<FileId>().is_err());
    }
}
