//! Where each source stands: kept in a small private file, rebuilt from the ledger when it is not
//! there or not of this ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::OpenError;
use crate::checkpoint::Checkpoint;
use crate::manifest::Manifest;
use crate::record::Envelope;
use crate::segment::Segment;
use crate::storage::Storage;
use crate::tile::TileNodes;
use crate::time::Time;
use crate::tree::{self, Hash};

/// The file, in the private storage.
pub(super) const PATH: &str = "sources.json";

/// Where one source stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its present epoch.
    pub epoch: u64,
    /// The `source_seq` of its next record.
    pub next: u64,
    /// When its last record was appended; `None` before the first one.
    pub last_time: Option<Time>,
    /// The body of its last record, whatever the epoch: canonical JSON.
    pub last_body: Option<Vec<u8>>,
}

/// Where all of them stand.
pub(super) type Positions = BTreeMap<String, Position>;

#[derive(Serialize, Deserialize)]
struct File {
    v: u64,
    size: u64,
    root: String,
    sources: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    epoch: u64,
    next: u64,
    time: Option<String>,
    body: Option<String>,
}

/// Takes one record into account.
pub(super) fn advance(positions: &mut Positions, record: &Envelope<'_>) {
    let position = Position {
        epoch: record.source_epoch,
        next: record.source_seq.saturating_add(1),
        last_time: Some(record.time),
        last_body: Some(record.body.as_bytes().to_vec()),
    };
    match positions.get_mut(record.source.as_ref()) {
        Some(known) => *known = position,
        None => {
            positions.insert(record.source.clone().into_owned(), position);
        }
    }
}

/// The bytes of the file that belongs to a checkpoint.
pub(super) fn encode(positions: &Positions, size: u64, root: Hash) -> serde_json::Result<Vec<u8>> {
    let sources = positions
        .iter()
        .map(|(name, position)| {
            let body = position.last_body.as_ref();
            let entry = Entry {
                epoch: position.epoch,
                next: position.next,
                time: position.last_time.map(|time| time.to_string()),
                body: body.map(|body| String::from_utf8_lossy(body).into_owned()),
            };
            (name.clone(), entry)
        })
        .collect();
    serde_json::to_vec(&File { v: 1, size, root: root.to_base64(), sources })
}

/// The positions at the end of the sealed records: from the file, and from the segments it has not
/// seen.
pub(super) fn load(
    private: &dyn Storage,
    ledger: &dyn Storage,
    head: &Checkpoint,
    mut manifest: impl FnMut(u64) -> Result<Manifest, OpenError>,
) -> Result<Positions, OpenError> {
    let bytes = private.read(PATH).map_err(|source| OpenError::storage(PATH, source))?;
    let (mut positions, from) =
        bytes.and_then(|bytes| decode(&bytes, ledger, head)).unwrap_or_default();
    for index in from..head.size {
        let manifest = manifest(index)?;
        scan(ledger, &manifest, |record| advance(&mut positions, record))?;
    }
    Ok(positions)
}

/// Calls `visit` with each record of a segment, whose hash is checked against its manifest.
pub(super) fn scan(
    ledger: &dyn Storage,
    manifest: &Manifest,
    mut visit: impl FnMut(&Envelope<'_>),
) -> Result<(), OpenError> {
    let path = &manifest.segment;
    let damaged = |reason: String| OpenError::Damaged { path: path.clone(), reason };
    let bytes = ledger
        .read(path)
        .map_err(|source| OpenError::storage(path, source))?
        .ok_or_else(|| damaged("it is missing".to_owned()))?;
    if Hash::of(&bytes) != manifest.sha256 {
        return Err(damaged("its hash is not the manifest's".to_owned()));
    }
    let segment = Segment::open(&bytes).map_err(|error| damaged(error.to_string()))?;
    for frame in 0..segment.frame_count() {
        let lines = segment.frame(frame).map_err(|error| damaged(error.to_string()))?;
        for line in lines.strip_suffix(b"\n").unwrap_or(&lines).split(|byte| *byte == b'\n') {
            let record = Envelope::parse(line).map_err(|error| damaged(error.to_string()))?;
            visit(&record);
        }
    }
    Ok(())
}

/// The file's content, if it belongs to this ledger at a size the ledger has passed.
fn decode(bytes: &[u8], ledger: &dyn Storage, head: &Checkpoint) -> Option<(Positions, u64)> {
    let file: File = serde_json::from_slice(bytes).ok()?;
    if file.v != 1 || file.size > head.size {
        return None;
    }
    let root = tree::root(&TileNodes::new(ledger, head.size), file.size).ok()?;
    if Hash::from_base64(&file.root)? != root {
        return None;
    }
    let mut positions = Positions::new();
    for (name, entry) in file.sources {
        let last_time = match entry.time {
            Some(text) => Some(Time::parse(&text)?),
            None => None,
        };
        let last_body = entry.body.map(String::into_bytes);
        let Entry { epoch, next, .. } = entry;
        positions.insert(name, Position { epoch, next, last_time, last_body });
    }
    Some((positions, file.size))
}
