//! Segments read, unpacked and hashed on a thread of their own, while the records of the one before are checked.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::segment::{Segment, SegmentError};
use crate::storage::Storage;
use crate::tree::{Frontier, Hash, leaf_hash};

/// Segments that wait for whoever checks them, beside the one in hand and the one in work.
const WAITING: usize = 1;

/// What a segment's file holds; none where it is not there.
pub(super) type Fetched = io::Result<Option<Unpacked>>;

/// A segment's records and all that is hashed of it.
pub(super) struct Unpacked {
    /// The file's length in bytes.
    pub(super) size: u64,
    /// The file's hash.
    pub(super) sha256: Hash,
    lines: Vec<u8>,
    ends: Vec<usize>,
    /// The records' tree.
    pub(super) tree: Frontier,
    /// Why there are no more records than these, where something is wrong with the file.
    pub(super) broken: Option<SegmentError>,
}

// === impl Unpacked ===

impl Unpacked {
    /// The records' lines, without their `\n`.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| self.lines.get(begin..*end).unwrap_or_default())
    }

    fn of(bytes: &[u8]) -> Self {
        let mut unpacked = Self {
            size: bytes.len() as u64,
            sha256: Hash::of(bytes),
            lines: Vec::new(),
            ends: Vec::new(),
            tree: Frontier::new(),
            broken: None,
        };
        let read = Segment::open(bytes).and_then(|segment| {
            segment.for_each_line::<SegmentError>(|_, line| {
                unpacked.tree.append(leaf_hash(line));
                unpacked.lines.extend_from_slice(line);
                unpacked.ends.push(unpacked.lines.len());
                Ok(())
            })
        });
        unpacked.broken = read.err();
        unpacked
    }
}

/// A way for segments to come, in the order in which they are asked for.
pub(super) fn channel() -> (SyncSender<Fetched>, Receiver<Fetched>) {
    sync_channel(WAITING)
}

/// Fetches the segments with these paths until nobody wants more.
pub(super) fn fetch<'p>(
    storage: &dyn Storage,
    paths: impl Iterator<Item = &'p str>,
    into: &SyncSender<Fetched>,
) {
    for path in paths {
        let fetched = storage.read(path).map(|bytes| bytes.as_deref().map(Unpacked::of));
        if into.send(fetched).is_err() {
            return;
        }
    }
}
