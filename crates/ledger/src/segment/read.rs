//! Reading a segment: nothing the file says about its own sizes is believed before it is checked.

use std::ops::Range;

use zstd::bulk::Decompressor;

use super::{
    FOOTER, FRAME_RECORDS, MAX_FRAME, MAX_RECORDS, SEEKABLE_MAGIC, SKIPPABLE_MAGIC, SegmentError,
};

/// The most frames a segment can have.
const MAX_FRAMES: usize = 256;

/// A segment's file with its seek table read and checked; frames are decompressed when asked for.
pub struct Segment<'a> {
    bytes: &'a [u8],
    frames: Vec<Frame>,
}

struct Frame {
    compressed: Range<usize>,
    decompressed: usize,
}

impl<'a> Segment<'a> {
    /// Reads the seek table and checks that it accounts for every byte of the file.
    ///
    /// # Errors
    /// When it does not.
    pub fn open(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        let bad = SegmentError::SeekTable;
        let (rest, magic) = bytes.split_last_chunk::<4>().ok_or(bad("the file is too short"))?;
        if u32::from_le_bytes(*magic) != SEEKABLE_MAGIC {
            return Err(bad("no seekable footer at the end"));
        }
        let (&descriptor, rest) = rest.split_last().ok_or(bad("the file is too short"))?;
        let (rest, count) = rest.split_last_chunk::<4>().ok_or(bad("the file is too short"))?;
        let entry = match descriptor {
            0 => 8,
            0x80 => 12,
            _ => return Err(bad("a reserved bit is set")),
        };
        let count = usize::try_from(u32::from_le_bytes(*count)).unwrap_or(usize::MAX);
        if count == 0 || count > MAX_FRAMES {
            return Err(bad("not 1 to 256 frames"));
        }
        let table_start =
            rest.len().checked_sub(count * entry).ok_or(bad("longer than the file"))?;
        let (rest, table) = rest.split_at(table_start);
        let (rest, length) = rest.split_last_chunk::<4>().ok_or(bad("longer than the file"))?;
        let (data, magic) = rest.split_last_chunk::<4>().ok_or(bad("longer than the file"))?;
        let expected = u32::try_from(count * entry + FOOTER).unwrap_or(u32::MAX);
        if u32::from_le_bytes(*magic) != SKIPPABLE_MAGIC || u32::from_le_bytes(*length) != expected
        {
            return Err(bad("its skippable frame does not fit it"));
        }
        let mut frames = Vec::with_capacity(count);
        let mut start = 0usize;
        for row in table.chunks_exact(entry) {
            let (compressed, after) = read_u32(row).ok_or(bad("cut short"))?;
            let (decompressed, _) = read_u32(after).ok_or(bad("cut short"))?;
            if decompressed == 0 || decompressed > MAX_FRAME || compressed == 0 {
                return Err(bad("a frame is empty or larger than 256 records can be"));
            }
            let end = start.checked_add(compressed).ok_or(bad("longer than the file"))?;
            frames.push(Frame { compressed: start..end, decompressed });
            start = end;
        }
        if start != data.len() {
            return Err(bad("the frames do not add up to the file"));
        }
        Ok(Self { bytes: data, frames })
    }

    /// How many frames.
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// Decompresses one frame: its lines, each with its `\n`.
    ///
    /// # Errors
    /// When it is no single zstd frame of exactly the length the table gives, or does not hold 256
    /// whole lines (1 to 256 in the last).
    pub fn frame(&self, frame: usize) -> Result<Vec<u8>, SegmentError> {
        let bad = |reason: &str| SegmentError::Frame { frame, reason: reason.to_owned() };
        let entry = self.frames.get(frame).ok_or_else(|| bad("there is no such frame"))?;
        let compressed = self.bytes.get(entry.compressed.clone()).unwrap_or_default();
        // Several frames in a row, or a skippable one, would decompress to the same lines.
        match zstd::zstd_safe::find_frame_compressed_size(compressed) {
            Ok(length) if length == compressed.len() => {}
            _ => return Err(bad("the seek table's length is not that of one frame")),
        }
        let lines = Decompressor::new()
            .and_then(|mut decompressor| decompressor.decompress(compressed, entry.decompressed))
            .map_err(|error| SegmentError::Frame { frame, reason: error.to_string() })?;
        if lines.len() != entry.decompressed {
            return Err(bad("decompresses to another length than the seek table says"));
        }
        if lines.last() != Some(&b'\n') {
            return Err(bad("the last line has no newline"));
        }
        let count = count_lines(&lines);
        let last = frame + 1 == self.frames.len();
        if count > FRAME_RECORDS || (count < FRAME_RECORDS && !last) {
            return Err(bad("does not hold 256 records"));
        }
        Ok(lines)
    }

    /// Hands every line (without its `\n`) to `visit`, in order, holding one frame at a time.
    ///
    /// # Errors
    /// At the first frame that cannot be read, and whatever `visit` returns.
    pub fn for_each_line<E: From<SegmentError>>(
        &self,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut index = 0;
        for frame in 0..self.frames.len() {
            for line in split_lines(&self.frame(frame)?) {
                visit(index, line)?;
                index += 1;
            }
        }
        if index > MAX_RECORDS {
            return Err(SegmentError::Full.into());
        }
        Ok(index)
    }

    /// All lines, without their `\n`.
    ///
    /// # Errors
    /// At the first frame that cannot be read.
    pub fn lines(&self) -> Result<Vec<Vec<u8>>, SegmentError> {
        let mut lines = Vec::new();
        self.for_each_line::<SegmentError>(|_, line| {
            lines.push(line.to_vec());
            Ok(())
        })?;
        Ok(lines)
    }

    /// One record's line, without its `\n`, at the cost of one frame.
    ///
    /// # Errors
    /// When there is no such record, or its frame cannot be read.
    pub fn record(&self, index: u64) -> Result<Vec<u8>, SegmentError> {
        let absent = || SegmentError::Index {
            index,
            count: self.frames.len() as u64 * FRAME_RECORDS as u64,
        };
        let position = usize::try_from(index).map_err(|_| absent())?;
        if position / FRAME_RECORDS >= self.frames.len() {
            return Err(absent());
        }
        let lines = self.frame(position / FRAME_RECORDS)?;
        split_lines(&lines).nth(position % FRAME_RECORDS).map(<[u8]>::to_vec).ok_or_else(absent)
    }
}

/// The lines of a block in which each ends in `\n`.
pub(crate) fn split_lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    block.strip_suffix(b"\n").unwrap_or(block).split(|byte| *byte == b'\n')
}

fn count_lines(block: &[u8]) -> usize {
    block.iter().map(|byte| usize::from(*byte == b'\n')).sum()
}

fn read_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*head)).ok()?, rest))
}
