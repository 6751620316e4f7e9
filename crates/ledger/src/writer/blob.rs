//! Payloads kept apart from the records that refer to them.

use std::io;

use serde::{Deserialize, Serialize};

use super::error::BlobError;
use super::options::{Limits, Random};
use crate::storage::Storage;
use crate::tree::Hash;

/// Random bytes before the payload: its hash in a record gives nothing away of what is in it.
const BLINDING: usize = 32;

/// How a record refers to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub blob: String,
    /// Bytes of the payload.
    pub size: u64,
    /// Its media type.
    pub media: String,
}

/// Stores a payload; it is durable when this returns.
pub(super) fn put(
    ledger: &dyn Storage,
    random: &dyn Random,
    limits: &Limits,
    payload: &[u8],
    media: &str,
) -> Result<BlobRef, BlobError> {
    let limit = limits.blob_bytes;
    if payload.len() > limit {
        return Err(BlobError::TooLarge { size: payload.len(), limit });
    }
    let mut file = vec![0; BLINDING];
    random.fill(&mut file).map_err(BlobError::Random)?;
    file.extend_from_slice(payload);
    let hash = Hash::of(&file);
    let path = crate::reader::blob_path(&hash);
    match ledger.write_new(&path, &file) {
        // The same hash is the same bytes.
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(BlobError::Storage { path, source });
        }
        Ok(()) | Err(_) => {}
    }
    Ok(BlobRef { blob: hash.to_hex(), size: payload.len() as u64, media: media.to_owned() })
}
