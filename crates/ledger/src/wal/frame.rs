//! The bytes of a write-ahead file: its header, and a frame for each group of records.
//!
//! File header (56 bytes): 8 magic, number and first seq (u64 little-endian), 16 owner, 16 checksum.
//! Frame (36 bytes, then the payload): 4 magic, payload length (u32), first seq (u64), records (u32),
//! 16 checksum; the payload is the record lines, each followed by `\n`. A checksum is the beginning
//! of SHA-256 and covers the file header and the frame's place in the file, so that bytes left by
//! another file or moved within one never pass. Both magics hold 0xFF, which no record line can.

use sha2::{Digest, Sha256};

use super::Owner;

pub(super) const FILE_MAGIC: [u8; 8] = *b"\xffPSWAL\0\x01";
pub(super) const FRAME_MAGIC: [u8; 4] = *b"\xffPSF";
pub(super) const FILE_HEADER_BYTES: usize = 56;
pub(super) const FRAME_HEADER_BYTES: usize = 36;
const CHECKSUM_BYTES: usize = 16;

/// What a write-ahead file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) owner: Owner,
    pub(super) number: u64,
    pub(super) first: u64,
}

/// Records that become durable together.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    first: u64,
    /// Room for the frame's header, then the lines.
    bytes: Vec<u8>,
    /// Where each line ends in `bytes`, its `\n` not counted.
    ends: Vec<usize>,
}

/// What stands at an offset of a file.
pub(super) enum Found {
    /// A whole frame and the offset behind it.
    Frame(Group, usize),
    /// Nothing: the prepared zeros, or the file's end.
    End,
    /// Neither.
    Invalid,
}

impl FileHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FILE_HEADER_BYTES);
        bytes.extend_from_slice(&FILE_MAGIC);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.owner.0);
        let checksum = checksum(&[&bytes]);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// The header a file begins with, if it is whole.
    pub(super) fn decode(file: &[u8]) -> Option<Self> {
        let bytes = file.get(..FILE_HEADER_BYTES)?;
        let (content, sum) = bytes.split_at_checked(FILE_HEADER_BYTES - CHECKSUM_BYTES)?;
        if sum != checksum(&[content]) || !content.starts_with(&FILE_MAGIC) {
            return None;
        }
        Some(Self {
            number: read_u64(content, 8)?,
            first: read_u64(content, 16)?,
            owner: Owner(content.get(24..40)?.try_into().ok()?),
        })
    }
}

impl Group {
    /// An empty group whose first record will have `first` as its seq.
    pub(crate) fn new(first: u64) -> Self {
        Self { first, bytes: vec![0; FRAME_HEADER_BYTES], ends: Vec::new() }
    }

    /// Adds a record's line.
    pub(crate) fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
        self.bytes.push(b'\n');
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The seq behind the last record's.
    pub(crate) fn end(&self) -> u64 {
        self.first.saturating_add(self.ends.len() as u64)
    }

    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the lines with their `\n`.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len().saturating_sub(FRAME_HEADER_BYTES)
    }

    /// Bytes of the frame.
    pub(crate) fn framed_size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The lines in order, without their `\n`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(FRAME_HEADER_BYTES).chain(self.ends.iter().map(|end| end + 1));
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end))
    }

    /// The bytes to write at an offset of a file.
    pub(super) fn framed(&mut self, file: &FileHeader, offset: u64) -> &[u8] {
        let length = u32::try_from(self.size()).unwrap_or(u32::MAX);
        let count = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        // INVARIANT: the writer bounds a group far below 4 GiB, so neither conversion saturates.
        let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
        header.extend_from_slice(&FRAME_MAGIC);
        header.extend_from_slice(&length.to_le_bytes());
        header.extend_from_slice(&self.first.to_le_bytes());
        header.extend_from_slice(&count.to_le_bytes());
        let payload = self.bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        let sum = checksum(&[&file.encode(), &offset.to_le_bytes(), &header, payload]);
        header.extend_from_slice(&sum);
        self.bytes.iter_mut().zip(header).for_each(|(target, byte)| *target = byte);
        &self.bytes
    }

    /// What stands at an offset of a file's bytes.
    pub(super) fn find(file: &[u8], header: &FileHeader, offset: usize) -> Found {
        let Some(rest) = file.get(offset..) else { return Found::End };
        match Self::parse(rest, header, offset) {
            Some(group) => {
                let end = offset.saturating_add(group.bytes.len());
                Found::Frame(group, end)
            }
            None if rest.iter().all(|byte| *byte == 0) => Found::End,
            None => Found::Invalid,
        }
    }

    fn parse(rest: &[u8], file: &FileHeader, offset: usize) -> Option<Self> {
        if !rest.starts_with(&FRAME_MAGIC) {
            return None;
        }
        let length = usize::try_from(read_u32(rest, 4)?).ok()?;
        let first = read_u64(rest, 8)?;
        let count = usize::try_from(read_u32(rest, 16)?).ok()?;
        let content = rest.get(..FRAME_HEADER_BYTES - CHECKSUM_BYTES)?;
        let bytes = rest.get(..FRAME_HEADER_BYTES.checked_add(length)?)?;
        let payload = bytes.get(FRAME_HEADER_BYTES..)?;
        let sum = rest.get(content.len()..FRAME_HEADER_BYTES)?;
        let place = (offset as u64).to_le_bytes();
        if sum != checksum(&[&file.encode(), &place, content, payload]) {
            return None;
        }
        let ends: Vec<usize> =
            (FRAME_HEADER_BYTES..bytes.len()).filter(|at| bytes.get(*at) == Some(&b'\n')).collect();
        (ends.len() == count && bytes.last() == Some(&b'\n')).then(|| Self {
            first,
            bytes: bytes.to_vec(),
            ends,
        })
    }
}

fn checksum(parts: &[&[u8]]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.iter_mut().zip(digest).for_each(|(target, byte)| *target = byte);
    sum
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FileHeader {
        FileHeader { owner: Owner::of("proofstream/test"), number: 3, first: 7 }
    }

    fn group() -> Group {
        let mut group = Group::new(7);
        group.push(b"{\"a\":1}");
        group.push(b"{\"b\":2}");
        group
    }

    #[test]
    fn a_frame_reads_back_at_its_own_place_only() {
        let framed = group().framed(&header(), 56).to_vec();
        let mut file = header().encode();
        assert_eq!(FileHeader::decode(&file), Some(header()));
        file.extend_from_slice(&framed);
        file.extend_from_slice(&framed);
        let Found::Frame(read, end) = Group::find(&file, &header(), 56) else { panic!("no frame") };
        assert_eq!(read.lines().collect::<Vec<_>>(), [b"{\"a\":1}", b"{\"b\":2}"]);
        assert_eq!((read.first(), read.end(), end), (7, 9, 56 + framed.len()));
        // The same bytes at another place, or under another header, are not a frame.
        assert!(matches!(Group::find(&file, &header(), end), Found::Invalid));
        let other = FileHeader { number: 4, ..header() };
        assert!(matches!(Group::find(&file, &other, 56), Found::Invalid));
    }

    #[test]
    fn no_changed_byte_passes() {
        let mut file = header().encode();
        file.extend_from_slice(group().framed(&header(), 56));
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 0x20;
            let whole = FileHeader::decode(&changed) == Some(header())
                && matches!(Group::find(&changed, &header(), 56), Found::Frame(..));
            assert!(!whole, "byte {at} can be changed unseen");
        }
    }

    #[test]
    fn zeros_are_the_end() {
        let mut file = header().encode();
        file.resize(4096, 0);
        assert!(matches!(Group::find(&file, &header(), 56), Found::End));
        assert!(matches!(Group::find(&file, &header(), 5000), Found::End));
    }
}
