//! The signed head of the log: publishing one, and refusing to sign another history.

use super::edge::read_manifest;
use super::error::OpenError;
use super::keys::{LogKeys, PUBLIC_PATH};
use super::positions;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::note::VerifierKey;
use crate::storage::Storage;
use crate::tile::TileNodes;
use crate::tree::{self, Hash};
use serde::{Deserialize, Serialize};

/// The published checkpoint.
pub(super) const CHECKPOINT_PATH: &str = "checkpoint";
/// Checkpoints that witnesses cosigned.
const WITNESSED: &str = "witnessed";
/// Checkpoints at a key change.
const KEYS: &str = "keys";

/// A size and root that was signed, or was about to be, and the file that says so.
struct Claim {
    place: String,
    checkpoint: Checkpoint,
}

#[derive(Serialize, Deserialize)]
struct Guard {
    v: u64,
    origin: String,
    size: u64,
    root: String,
}

/// Whose files they are.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) ledger: &'a dyn Storage,
    pub(super) private: &'a dyn Storage,
    pub(super) guard: &'a dyn Storage,
}

/// The head after [`settle`].
pub(super) struct Settled {
    pub(super) head: Checkpoint,
    /// The `seq` behind the last sealed record.
    pub(super) next_seq: u64,
    /// Whether a seal that had died between guard and checkpoint was finished.
    pub(super) finished: bool,
}

/// Makes a head the published one: guard, key change, checkpoint, each durable before the next.
/// Everything the head commits to must be durable. May be called again after it failed.
pub(super) fn publish(
    places: Places<'_>,
    keys: &mut LogKeys,
    head: &Checkpoint,
    changes_key: bool,
) -> Result<(), OpenError> {
    write_guard(places.guard, head)?;
    let replace = |path: &str, bytes: &[u8]| {
        places.ledger.replace(path, bytes).map_err(|source| OpenError::storage(path, source))
    };
    let next = keys.next.as_ref().filter(|_| changes_key);
    let signers: Vec<_> = std::iter::once(&keys.current).chain(next).collect();
    let note = head.sign(&signers).map_err(|error| OpenError::damaged(CHECKPOINT_PATH, error))?;
    if changes_key {
        replace(&format!("{KEYS}/{}", head.size), &note)?;
        replace(PUBLIC_PATH, keys.public_lines(true).as_bytes())?;
    }
    replace(CHECKPOINT_PATH, &note)?;
    if changes_key {
        keys.finish_change(places.private)?;
    }
    Ok(())
}

/// Takes the greatest head that was signed, and makes sure that this ledger has it. A seal that died
/// after its guard was written is finished: what it commits to is here.
pub(super) fn settle(places: Places<'_>, keys: &mut LogKeys) -> Result<Settled, OpenError> {
    let published = read_published(places.ledger, &keys.public)?;
    let (have, claims) = claims(places, &keys.origin, &keys.public, published)?;
    let greatest = claims.iter().max_by_key(|claim| claim.checkpoint.size);
    let Some(greatest) = greatest.filter(|claim| claim.checkpoint.size > 0) else {
        let head = Checkpoint { origin: keys.origin.clone(), size: 0, root: tree::empty_root() };
        return Ok(Settled { head, next_seq: 0, finished: false });
    };
    let head = greatest.checkpoint.clone();
    let nodes = TileNodes::new(places.ledger, head.size);
    for claim in &claims {
        let size = claim.checkpoint.size;
        match tree::root(&nodes, size) {
            Ok(root) if root == claim.checkpoint.root => {}
            Ok(_) if size <= have => {
                return Err(OpenError::Fork { place: claim.place.clone(), size });
            }
            Err(error) if head.size <= have => return Err(OpenError::damaged("tile", error)),
            Ok(_) | Err(_) => return Err(behind(have, greatest)),
        }
    }
    let mut changes_key = false;
    for index in have..head.size {
        let manifest = read_manifest(places.ledger, head.size, index);
        let scanned = manifest.and_then(|manifest| {
            positions::scan(places.ledger, &manifest, |record| {
                changes_key |= names_next_key(&record.kind, record.body, keys);
            })
        });
        scanned.map_err(|_| behind(have, greatest))?;
    }
    let finished = head.size > have;
    if finished {
        publish(places, keys, &head, changes_key)?;
    } else {
        // The guard may be on a volume that was replaced: it is brought up to date.
        write_guard(places.guard, &head)?;
        let published_next =
            keys.next.as_ref().is_some_and(|next| keys.public.last() == Some(next.verifier()));
        if published_next {
            keys.finish_change(places.private)?;
        }
    }
    let last = read_manifest(places.ledger, head.size, head.size.saturating_sub(1))?;
    Ok(Settled { next_seq: last.end(), head, finished })
}

/// Whether a record announces the next key of the log.
pub(super) fn names_next_key(kind: &str, body: &str, keys: &LogKeys) -> bool {
    #[derive(Deserialize)]
    struct Body {
        public_key: String,
        r#use: String,
    }
    kind == "key"
        && serde_json::from_str::<Body>(body)
            .is_ok_and(|body| body.r#use == "log" && keys.is_next(&body.public_key))
}

/// The published checkpoint, signed by one of the log's keys.
pub(super) fn read_published(
    ledger: &dyn Storage,
    keys: &[VerifierKey],
) -> Result<Option<Checkpoint>, OpenError> {
    read_signed(ledger, CHECKPOINT_PATH, keys)
}

/// The most segments that anything here says were signed.
pub(super) fn greatest_signed(
    places: Places<'_>,
    origin: &str,
    public: &[VerifierKey],
) -> Result<u64, OpenError> {
    let (_, claims) = claims(places, origin, public, None)?;
    Ok(claims.iter().map(|claim| claim.checkpoint.size).max().unwrap_or(0))
}

/// The published size, and everything that says something was signed.
fn claims(
    places: Places<'_>,
    origin: &str,
    public: &[VerifierKey],
    published: Option<Checkpoint>,
) -> Result<(u64, Vec<Claim>), OpenError> {
    let have = published.as_ref().map_or(0, |checkpoint| checkpoint.size);
    let mut claims = Vec::new();
    if let Some(checkpoint) = published {
        claims.push(Claim { place: CHECKPOINT_PATH.to_owned(), checkpoint });
    }
    if let Some(checkpoint) = read_guard(places.guard, origin)? {
        claims.push(Claim { place: guard_path(origin), checkpoint });
    }
    for folder in [WITNESSED, KEYS] {
        let paths =
            places.ledger.list(folder).map_err(|source| OpenError::storage(folder, source))?;
        let size_of = |path: &String| path.rsplit('/').next().and_then(|name| name.parse().ok());
        let Some(path) = paths.into_iter().max_by_key(|path| size_of(path).unwrap_or(0_u64)) else {
            continue;
        };
        // INVARIANT: a checkpoint that one of our keys did not sign says nothing of what we signed.
        if let Some(checkpoint) = read_signed(places.ledger, &path, public)? {
            claims.push(Claim { place: path, checkpoint });
        }
    }
    Ok((have, claims))
}

fn read_signed(
    ledger: &dyn Storage,
    path: &str,
    keys: &[VerifierKey],
) -> Result<Option<Checkpoint>, OpenError> {
    let bytes = ledger.read(path).map_err(|source| OpenError::storage(path, source))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let signed =
        SignedCheckpoint::parse(&bytes).map_err(|error| OpenError::damaged(path, error))?;
    let verified = keys.iter().rev().find_map(|key| signed.verify(key).ok());
    verified
        .cloned()
        .map(Some)
        .ok_or_else(|| OpenError::damaged(path, "none of the log's keys signed it"))
}

fn guard_path(origin: &str) -> String {
    format!("signed/{}.json", origin.rsplit('/').next().unwrap_or("log"))
}

fn read_guard(guard: &dyn Storage, origin: &str) -> Result<Option<Checkpoint>, OpenError> {
    let path = guard_path(origin);
    let bytes = guard.read(&path).map_err(|source| OpenError::storage(&path, source))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let file: Guard =
        serde_json::from_slice(&bytes).map_err(|error| OpenError::damaged(&path, error))?;
    let root = Hash::from_base64(&file.root)
        .ok_or_else(|| OpenError::damaged(&path, "its root is no hash"))?;
    if file.origin != origin {
        return Err(OpenError::damaged(&path, format!("it is the guard of `{}`", file.origin)));
    }
    Ok(Some(Checkpoint { origin: file.origin, size: file.size, root }))
}

fn write_guard(guard: &dyn Storage, head: &Checkpoint) -> Result<(), OpenError> {
    let path = guard_path(&head.origin);
    let file =
        Guard { v: 1, origin: head.origin.clone(), size: head.size, root: head.root.to_base64() };
    let bytes = serde_json::to_vec(&file).map_err(|error| OpenError::damaged(&path, error))?;
    guard.replace(&path, &bytes).map_err(|source| OpenError::storage(&path, source))
}

fn behind(have: u64, greatest: &Claim) -> OpenError {
    OpenError::Behind { have, signed: greatest.checkpoint.size, place: greatest.place.clone() }
}
