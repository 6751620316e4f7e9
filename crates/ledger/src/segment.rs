//! A sealed segment: record lines in the zstd seekable format.
//!
//! <https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md>.
//! Independent frames of exactly 256 records but the last, then the seek table as a skippable
//! frame, so that `zstd -dc` reads it all and one record costs one frame.

mod build;
mod read;

pub use build::{Builder, Sealed, encode};
pub use read::Segment;

use crate::time::Time;

/// How many records a frame holds, the last one apart.
pub const FRAME_RECORDS: usize = 256;
/// The most records of a segment.
pub const MAX_RECORDS: u64 = 65_536;
/// The uncompressed length at which a segment is sealed.
pub const SEAL_BYTES: usize = 64 * 1024 * 1024;
/// The longest a frame can be once decompressed: 256 lines of 64 KiB and their newlines.
pub const MAX_FRAME: usize = FRAME_RECORDS * (proofstream_canonical::MAX_RECORD_LINE + 1);

const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const FOOTER: usize = 9;

/// Bytes that are no segment, or records that do not make one.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The seek table does not describe the file.
    #[error("seek table: {0}")]
    SeekTable(&'static str),
    /// A frame cannot be decompressed, or not to what the seek table says.
    #[error("frame `{frame}`: {reason}")]
    Frame {
        /// Counted from 0.
        frame: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such record in it.
    #[error("there is no record `{index}` in a segment of `{count}`")]
    Index {
        /// Asked for.
        index: u64,
        /// In the segment.
        count: u64,
    },
    /// It would hold nothing.
    #[error("a segment is never empty")]
    Empty,
    /// It would hold too much.
    #[error("a segment holds at most 65536 records")]
    Full,
    /// A line that would break into two, or that is too long.
    #[error("a line of `{0}` bytes is too long or holds a newline")]
    Line(usize),
}

/// The path of the segment that begins with record `first`, whose earliest time is `time_from`.
pub fn path(first: u64, time_from: Time) -> String {
    format!("segments/{}/{first:020}.jsonl.zst", time_from.date_path())
}

/// The first `seq` that a segment's path names; `None` for a path of any other shape.
pub fn parse_path(path: &str) -> Option<u64> {
    let rest = path.strip_prefix("segments/")?;
    let (date, file) = rest.rsplit_once('/')?;
    let digits = file.strip_suffix(".jsonl.zst")?;
    let day = Time::parse(&format!("{}T00:00:00.000000Z", date.replace('/', "-")))?;
    if day.date_path() != date
        || digits.len() != 20
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    digits.parse().ok()
}
