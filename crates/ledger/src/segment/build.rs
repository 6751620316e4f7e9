//! Writing a segment: lines in, file and manifest out.

use std::collections::BTreeMap;

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::{FRAME_RECORDS, MAX_RECORDS, SEEKABLE_MAGIC, SKIPPABLE_MAGIC, SegmentError, path};
use crate::manifest::Manifest;
use crate::time::Time;
use crate::tree::{Frontier, Hash, leaf_hash};

/// The level at which frames are compressed: the library's own default.
const LEVEL: i32 = 3;

/// A segment that is ready to be written.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The file.
    pub bytes: Vec<u8>,
    /// What the outer tree commits to; it names the file's path.
    pub manifest: Manifest,
}

/// Collects records into a segment, compressing each frame as it fills.
pub struct Builder {
    first: u64,
    count: u64,
    times: Option<(Time, Time)>,
    kinds: BTreeMap<String, u64>,
    tree: Frontier,
    frames: Frames,
}

impl Builder {
    /// A segment whose first record will have this `seq`.
    ///
    /// # Errors
    /// When the compressor cannot be set up.
    pub fn new(first: u64) -> Result<Self, SegmentError> {
        Ok(Self {
            first,
            count: 0,
            times: None,
            kinds: BTreeMap::new(),
            tree: Frontier::new(),
            frames: Frames::new()?,
        })
    }

    /// How many records it holds.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The uncompressed length so far, newlines included.
    pub fn uncompressed(&self) -> usize {
        self.frames.uncompressed
    }

    /// Adds the next record's line (without its `\n`), whose kind and time the caller knows.
    ///
    /// # Errors
    /// When the segment is full, or the line could not be read back as one.
    pub fn push(&mut self, kind: &str, time: Time, line: &[u8]) -> Result<(), SegmentError> {
        if self.count == MAX_RECORDS {
            return Err(SegmentError::Full);
        }
        self.frames.push(line)?;
        self.tree.append(leaf_hash(line));
        self.count += 1;
        if let Some(count) = self.kinds.get_mut(kind) {
            *count += 1;
        } else {
            self.kinds.insert(kind.to_owned(), 1);
        }
        self.times = Some(match self.times {
            Some((from, to)) => (from.min(time), to.max(time)),
            None => (time, time),
        });
        Ok(())
    }

    /// Ends the segment.
    ///
    /// # Errors
    /// When it holds nothing, or the last frame cannot be compressed.
    pub fn finish(self) -> Result<Sealed, SegmentError> {
        let (time_from, time_to) = self.times.ok_or(SegmentError::Empty)?;
        let bytes = self.frames.finish()?;
        let manifest = Manifest {
            segment: path(self.first, time_from),
            sha256: Hash::of(&bytes),
            size: bytes.len() as u64,
            first: self.first,
            count: self.count,
            time_from,
            time_to,
            root: self.tree.root(),
            kinds: self.kinds,
        };
        Ok(Sealed { bytes, manifest })
    }
}

/// Encodes lines (without their `\n`) into a segment's file.
///
/// # Errors
/// When there are none or too many, or one could not be read back as a line.
pub fn encode<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Result<Vec<u8>, SegmentError> {
    let mut frames = Frames::new()?;
    for line in lines {
        frames.push(line.as_ref())?;
    }
    frames.finish()
}

struct Frames {
    compressor: Compressor<'static>,
    bytes: Vec<u8>,
    /// Compressed and decompressed length of each frame.
    table: Vec<(u32, u32)>,
    pending: Vec<u8>,
    pending_records: usize,
    uncompressed: usize,
}

impl Frames {
    fn new() -> Result<Self, SegmentError> {
        let failed =
            |error: std::io::Error| SegmentError::Frame { frame: 0, reason: error.to_string() };
        let mut compressor = Compressor::new(LEVEL).map_err(failed)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
        Ok(Self {
            compressor,
            bytes: Vec::new(),
            table: Vec::new(),
            pending: Vec::new(),
            pending_records: 0,
            uncompressed: 0,
        })
    }

    fn push(&mut self, line: &[u8]) -> Result<(), SegmentError> {
        if line.len() > proofstream_canonical::MAX_RECORD_LINE || line.contains(&b'\n') {
            return Err(SegmentError::Line(line.len()));
        }
        self.pending.extend_from_slice(line);
        self.pending.push(b'\n');
        self.pending_records += 1;
        self.uncompressed += line.len() + 1;
        if self.pending_records == FRAME_RECORDS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SegmentError> {
        let frame = self.table.len();
        let failed = |reason: String| SegmentError::Frame { frame, reason };
        let compressed =
            self.compressor.compress(&self.pending).map_err(|error| failed(error.to_string()))?;
        // INVARIANT: a frame is at most 16 MiB decompressed, so both lengths fit 32 bits.
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len()).map_err(|_| failed("longer than 4 GiB".to_owned()))
        };
        self.table.push((length(&compressed)?, length(&self.pending)?));
        self.bytes.extend_from_slice(&compressed);
        self.pending.clear();
        self.pending_records = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>, SegmentError> {
        if self.pending_records > 0 {
            self.flush()?;
        }
        if self.table.is_empty() {
            return Err(SegmentError::Empty);
        }
        let count = u32::try_from(self.table.len()).map_err(|_| SegmentError::Full)?;
        let content =
            u32::try_from(self.table.len() * 8 + super::FOOTER).map_err(|_| SegmentError::Full)?;
        self.bytes.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
        self.bytes.extend_from_slice(&content.to_le_bytes());
        for (compressed, decompressed) in &self.table {
            self.bytes.extend_from_slice(&compressed.to_le_bytes());
            self.bytes.extend_from_slice(&decompressed.to_le_bytes());
        }
        self.bytes.extend_from_slice(&count.to_le_bytes());
        self.bytes.push(0);
        self.bytes.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
        Ok(self.bytes)
    }
}
