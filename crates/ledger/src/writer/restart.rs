//! Beginning a new log where the old one cannot be gone on with: what is there is moved aside, file by
//! file, and the new log's first record names it. Nothing is deleted.

use std::io;

use serde::{Deserialize, Serialize};

use super::edge::read_manifest;
use super::error::OpenError;
use super::head::{self, Places};
use super::keys;

/// Kept until the first record of the new log is durable.
const MARKER: &str = "new-log.json";

/// What the ledger's folder holds; the keys last, so that an interrupted move is recognised.
const LEDGER_PARTS: [&str; 7] =
    ["checkpoint", "witnessed", "keys", "tile", "segments", "blobs", keys::PUBLIC_PATH];
/// What is private to the old log.
const PRIVATE_PARTS: [&str; 4] =
    [crate::wal::FOLDER, super::positions::PATH, keys::NEXT_PATH, keys::LOG_PATH];

/// The log that was given up, as the new log's first record names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldLog {
    /// Its origin.
    pub origin: String,
    /// How many segments its files hold.
    pub size: u64,
    /// The root over them.
    pub root: String,
    /// How many segments were signed, as far as is known.
    pub signed: u64,
    /// How many records the segments hold; what was written ahead and not sealed is in the folder.
    pub records: u64,
    /// The time of the last sealed record, if it could be read.
    pub until: Option<String>,
    /// The folder it was moved to, in the ledger's and in the private storage.
    pub folder: String,
}

#[derive(Serialize, Deserialize)]
struct Marker {
    old: OldLog,
    public_key: Option<String>,
}

/// Notes that the log is to be given up. Nothing to do where there is none.
pub(super) fn announce(places: Places<'_>) -> Result<(), OpenError> {
    let Some(public) = keys::read_public(places.ledger)?.into_iter().next() else { return Ok(()) };
    if read_marker(places)?.is_some() {
        return Ok(());
    }
    let all = keys::read_public(places.ledger)?;
    let origin = public.name().to_owned();
    let published = head::read_published(places.ledger, &all)?;
    let (size, root) = published.map_or_else(
        || (0, crate::tree::empty_root()),
        |checkpoint| (checkpoint.size, checkpoint.root),
    );
    let last = size.checked_sub(1).and_then(|index| read_manifest(places.ledger, size, index).ok());
    let hex = origin.rsplit('/').next().unwrap_or("log");
    let signed = head::greatest_signed(places, &origin, &all)?.max(size);
    let private_key = keys::read(places.private, keys::LOG_PATH)?;
    let marker = Marker {
        old: OldLog {
            size,
            root: root.to_base64(),
            signed,
            records: last.as_ref().map_or(0, crate::manifest::Manifest::end),
            until: last.map(|manifest| manifest.time_to.to_string()),
            folder: format!("replaced/{hex}-{size}"),
            origin,
        },
        public_key: private_key.map(|key| keys::base64(key.verifying_key().as_bytes())),
    };
    let bytes = serde_json::to_vec(&marker).map_err(|error| OpenError::damaged(MARKER, error))?;
    places.private.replace(MARKER, &bytes).map_err(|source| OpenError::storage(MARKER, source))
}

/// Moves the log that is to be given up aside, if there is one, whole or what an interrupted move left.
pub(super) fn move_aside(places: Places<'_>) -> Result<Option<OldLog>, OpenError> {
    let Some(marker) = read_marker(places)? else { return Ok(None) };
    let present = keys::read(places.private, keys::LOG_PATH)?
        .map(|key| keys::base64(key.verifying_key().as_bytes()));
    // INVARIANT: the key goes last: while the old one is there (or there never was one and the
    // public keys are), the move is not done.
    let public = keys::read_public(places.ledger)?;
    let undone = present.is_some() && present == marker.public_key
        || public.first().is_some_and(|key| key.name() == marker.old.origin);
    if undone {
        for part in LEDGER_PARTS {
            give_up(places.ledger, part, &marker.old.folder)?;
        }
        for part in PRIVATE_PARTS {
            give_up(places.private, part, &marker.old.folder)?;
        }
    }
    Ok(Some(marker.old))
}

/// The new log has begun.
pub(super) fn forget(places: Places<'_>) -> Result<(), OpenError> {
    places.private.remove(MARKER).map_err(|source| OpenError::storage(MARKER, source))
}

fn give_up(
    storage: &dyn crate::storage::Storage,
    part: &str,
    folder: &str,
) -> Result<(), OpenError> {
    match storage.rename(part, &format!("{folder}/{part}")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(OpenError::storage(part, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read_marker(places: Places<'_>) -> Result<Option<Marker>, OpenError> {
    let bytes = places.private.read(MARKER).map_err(|source| OpenError::storage(MARKER, source))?;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .map_err(|error| OpenError::damaged(MARKER, error))
}
