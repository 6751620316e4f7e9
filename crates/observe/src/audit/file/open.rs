//! One open audit log file, read line by line from an offset.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use proofstream_model::EventPlace;

use super::id::{FileId, Head};
use super::{TailOptions, Tailed};
use crate::audit::{AuditGap, AuditLine, GapCause};

/// Bytes read at once while a file is being caught up with.
const CHUNK: usize = 1 << 20;
/// Bytes that a compressed file may hold; an API server rotates after 100 MiB unless told otherwise.
const UNPACKED: u64 = 4 << 30;

/// A file that is held open, so that it can be read to its end even when it is renamed or removed.
#[derive(Debug)]
pub(super) struct Open {
    file: File,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) head: Option<Head>,
    /// The next line begins here.
    pub(super) offset: u64,
    /// The line at `offset` has no newline up to here.
    scanned: u64,
    /// Whether `file` is a compressed one, not unpacked yet.
    packed: bool,
}

/// How a read of a file ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There is more.
    More,
    /// Every line that has its newline was read; `rest` bytes follow.
    Reached { rest: u64 },
    /// The file is no longer the one that was opened, or is shorter than what was read of it.
    Cut,
}

// === impl Open ===

impl Open {
    /// Opens `path` to be read from `offset`; none where it is not there.
    pub(super) fn at(path: &Path, offset: u64) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let packed = path.extension().is_some_and(|extension| extension == "gz");
        let head = if packed { Head::unpacked(&file) } else { Head::read(&file)? };
        let (device, inode) = (metadata.dev(), metadata.ino());
        Ok(Some(Self { file, device, inode, head, offset, scanned: offset, packed }))
    }

    /// Unpacks a compressed file into one without a name, which goes with this. `false`: it cannot be, or is
    /// larger than an audit log may be.
    pub(super) fn unpack(&mut self) -> io::Result<bool> {
        if !self.packed {
            return Ok(true);
        }
        let mut packed = &self.file;
        packed.rewind()?;
        let mut plain = tempfile::tempfile()?;
        let mut reader = MultiGzDecoder::new(BufReader::new(packed)).take(UNPACKED + 1);
        let mut block = vec![0; 256 << 10];
        let mut length = 0;
        loop {
            // What is wrong with the file itself is no fault of the disk that it is written to.
            let Ok(count) = reader.read(&mut block) else { return Ok(false) };
            let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else { break };
            plain.write_all(read)?;
            length += count as u64;
        }
        if length > UNPACKED {
            return Ok(false);
        }
        self.file = plain;
        self.packed = false;
        Ok(true)
    }

    pub(super) fn is(&self, device: u64, inode: u64) -> bool {
        (self.device, self.inode) == (device, inode)
    }

    /// Whether it begins so by now; it may have been empty when it was opened.
    pub(super) fn begins_with(&self, head: Head) -> bool {
        match self.head {
            Some(own) => own == head,
            None => !self.packed && matches!(Head::read(&self.file), Ok(Some(own)) if own == head),
        }
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Learns the head as soon as the file has one; whether it has.
    pub(super) fn learn(&mut self) -> io::Result<bool> {
        self.head = Head::read(&self.file)?;
        self.scanned = self.offset;
        Ok(self.head.is_some())
    }

    /// Whether the line that `place` names ends there and holds `witness`.
    pub(super) fn holds(
        &self,
        place: &EventPlace,
        witness: &[u8],
        limit: usize,
    ) -> io::Result<bool> {
        let length = usize::try_from(place.length).unwrap_or(usize::MAX);
        if length == 0 || length > limit.saturating_add(1) {
            return Ok(false);
        }
        let mut line = vec![0; length];
        match self.file.read_exact_at(&mut line, place.offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(witness.is_empty() || line.windows(witness.len()).any(|part| part == witness))
    }

    /// Appends the next lines to `items`, within the limits of a batch.
    pub(super) fn read(
        &mut self,
        path: &str,
        options: &TailOptions,
        items: &mut Vec<Tailed>,
    ) -> io::Result<End> {
        let before = self.length()?;
        if before < self.offset {
            return Ok(End::Cut);
        }
        if before <= self.scanned {
            return self.checked(End::Reached { rest: before - self.offset });
        }
        if self.scanned - self.offset > options.line_limit as u64 {
            return self.skip(path, items);
        }
        let known = usize::try_from(self.scanned - self.offset).unwrap_or(usize::MAX);
        let chunk = self.bytes(self.offset, known.saturating_add(CHUNK))?;
        let end = self.offset + chunk.len() as u64;
        // What was read counts only if the file was still the same one afterwards.
        if self.checked(End::More)? == End::Cut {
            return Ok(End::Cut);
        }
        let Some(head) = self.head else {
            self.scanned = end;
            return Ok(End::Reached { rest: end - self.offset });
        };
        let id = FileId { path: path.to_owned(), inode: self.inode, head }.to_string();
        self.split(&id, &chunk, options, items);
        Ok(if self.scanned == end && end >= before {
            End::Reached { rest: end - self.offset }
        } else {
            End::More
        })
    }

    /// Takes the last line although it has no newline: nobody will write one.
    pub(super) fn take_rest(&mut self, path: &str, limit: usize) -> io::Result<Option<Tailed>> {
        let length = self.length()?.saturating_sub(self.offset);
        let head = match self.head {
            Some(head) => head.to_string(),
            None => "headless".to_owned(),
        };
        let file = format!("{path}#{}-{head}", self.inode);
        if length == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += length;
        self.scanned = self.offset;
        if length > limit as u64 {
            let cause = GapCause::Oversize;
            return Ok(Some(Tailed::Gap(AuditGap { cause, file, offset, bytes: Some(length) })));
        }
        let bytes = self.bytes(offset, usize::try_from(length).unwrap_or(limit))?;
        let place = Some(EventPlace { file, offset, length: bytes.len() as u64 });
        Ok(Some(Tailed::Line(AuditLine { bytes, place })))
    }

    /// Cuts `chunk`, which begins at `offset`, into lines.
    fn split(&mut self, id: &str, chunk: &Bytes, options: &TailOptions, items: &mut Vec<Tailed>) {
        let mut start = 0;
        let mut taken = 0;
        let known = usize::try_from(self.scanned - self.offset).unwrap_or(0);
        let mut from = known;
        while items.len() < options.batch_lines && taken < options.batch_bytes {
            let rest = chunk.get(from..).unwrap_or_default();
            let Some(newline) = rest.iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.offset + (chunk.len() - start) as u64;
                return;
            };
            let end = from + newline;
            let length = (end + 1 - start) as u64;
            let file = id.to_owned();
            items.push(if end - start > options.line_limit {
                let (cause, offset) = (GapCause::Oversize, self.offset);
                Tailed::Gap(AuditGap { cause, file, offset, bytes: Some(length) })
            } else {
                let place = Some(EventPlace { file, offset: self.offset, length });
                Tailed::Line(AuditLine { bytes: chunk.slice(start..end), place })
            });
            taken += end + 1 - start;
            self.offset += length;
            self.scanned = self.offset;
            start = end + 1;
            from = start;
        }
    }

    /// Looks for the newline of a line that is too long to be kept.
    fn skip(&mut self, path: &str, items: &mut Vec<Tailed>) -> io::Result<End> {
        let chunk = self.bytes(self.scanned, CHUNK)?;
        if self.checked(End::More)? == End::Cut {
            return Ok(End::Cut);
        }
        let Some(newline) = chunk.iter().position(|byte| *byte == b'\n') else {
            self.scanned += chunk.len() as u64;
            return Ok(End::More);
        };
        let end = self.scanned + newline as u64 + 1;
        let head = self.head.map(|head| head.to_string()).unwrap_or_default();
        items.push(Tailed::Gap(AuditGap {
            cause: GapCause::Oversize,
            file: format!("{path}#{}-{head}", self.inode),
            offset: self.offset,
            bytes: Some(end - self.offset),
        }));
        self.offset = end;
        self.scanned = end;
        Ok(End::More)
    }

    /// `end`, unless the file was cut: then everything read since the last check is void.
    fn checked(&self, end: End) -> io::Result<End> {
        let same = match self.head {
            Some(head) => Head::read(&self.file)? == Some(head),
            None => true,
        };
        Ok(if same && self.length()? >= self.scanned { end } else { End::Cut })
    }

    fn bytes(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        let available = self.length()?.saturating_sub(offset);
        let most = most.min(usize::try_from(available).unwrap_or(usize::MAX));
        let mut buffer = BytesMut::zeroed(most);
        let mut length = 0;
        while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + length as u64) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(length);
        Ok(buffer.freeze())
    }
}
