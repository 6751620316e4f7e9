//! A record's proof that stands alone: the line, its place in its segment, and the segment's place
//! in the log. With a checkpoint it needs nothing else.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::checkpoint::Checkpoint;
use crate::manifest::{Manifest, ManifestError};
use crate::record::{Envelope, RecordError};
use crate::tree::{Hash, ProofError, leaf_hash, verify_inclusion};

/// A proof that cannot be read, or does not prove its record.
#[derive(Debug, thiserror::Error)]
pub enum RecordProofError {
    /// Not the JSON of a proof.
    #[error("not a record proof: {0}")]
    Shape(#[from] serde_json::Error),
    /// A hash that is not canonical base64 of 32 bytes.
    #[error("not a hash: `{0}`")]
    Hash(String),
    /// The record is none.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The manifest is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The record is not where the proof says it is.
    #[error("record `{seq}` is not record `{index}` of a segment that begins with `{first}`")]
    Place {
        /// What the record says.
        seq: u64,
        /// What the proof says.
        index: u64,
        /// What the manifest says.
        first: u64,
    },
    /// The record is not in the segment.
    #[error("inner proof: {0}")]
    Inner(#[source] ProofError),
    /// The segment is not in the log.
    #[error("outer proof: {0}")]
    Outer(#[source] ProofError),
}

/// One record with both its audit paths, leaf upward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordProof {
    /// The record's line, without its `\n`.
    pub line: Vec<u8>,
    /// Position within the segment.
    pub index: u64,
    /// From the record to the segment's root.
    pub inner: Vec<Hash>,
    /// Position of the segment in the log.
    pub segment: u64,
    /// The segment's manifest.
    pub manifest: Manifest,
    /// From the manifest to the checkpoint's root.
    pub outer: Vec<Hash>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    v: u64,
    #[serde(borrow)]
    record: &'a RawValue,
    index: u64,
    inner: Vec<String>,
    segment: u64,
    #[serde(borrow)]
    manifest: &'a RawValue,
    outer: Vec<String>,
}

impl RecordProof {
    /// Checks the record, its place and both paths against a checkpoint whose signature the caller
    /// has checked.
    ///
    /// # Errors
    /// At the first thing that does not hold.
    pub fn verify(&self, checkpoint: &Checkpoint) -> Result<Envelope<'_>, RecordProofError> {
        let envelope = Envelope::parse(&self.line)?;
        if self.manifest.first.checked_add(self.index) != Some(envelope.seq) {
            return Err(RecordProofError::Place {
                seq: envelope.seq,
                index: self.index,
                first: self.manifest.first,
            });
        }
        let leaf = leaf_hash(&self.line);
        let Manifest { count, root, .. } = &self.manifest;
        verify_inclusion(&leaf, self.index, *count, &self.inner, root)
            .map_err(RecordProofError::Inner)?;
        let leaf = self.manifest.leaf_hash()?;
        verify_inclusion(&leaf, self.segment, checkpoint.size, &self.outer, &checkpoint.root)
            .map_err(RecordProofError::Outer)?;
        Ok(envelope)
    }

    /// One line of JSON: `{"v":1,"record":…,"index":I,"inner":[BASE64…],"segment":N,"manifest":…,
    /// "outer":[BASE64…]}`, record and manifest exactly as they are hashed.
    ///
    /// # Errors
    /// When the record is not JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordProofError> {
        let raw = |bytes: &[u8]| RawValue::from_string(String::from_utf8_lossy(bytes).into_owned());
        Ok(serde_json::to_vec(&Wire {
            v: 1,
            record: &raw(&self.line)?,
            index: self.index,
            inner: encode_hashes(&self.inner),
            segment: self.segment,
            manifest: &raw(&self.manifest.to_canonical()?)?,
            outer: encode_hashes(&self.outer),
        })?)
    }

    /// Reads what [`RecordProof::to_json`] wrote; nothing is verified yet.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn parse(json: &[u8]) -> Result<Self, RecordProofError> {
        let wire: Wire<'_> = serde_json::from_slice(json)?;
        Ok(Self {
            line: wire.record.get().as_bytes().to_vec(),
            index: wire.index,
            inner: decode_hashes(&wire.inner)?,
            segment: wire.segment,
            manifest: Manifest::parse(wire.manifest.get().as_bytes())?,
            outer: decode_hashes(&wire.outer)?,
        })
    }
}

/// A path of hashes as JSON files write it.
pub fn encode_hashes(path: &[Hash]) -> Vec<String> {
    path.iter().map(Hash::to_base64).collect()
}

/// Reads a path of hashes.
///
/// # Errors
/// At the first that is not canonical base64 of 32 bytes.
pub fn decode_hashes<S: AsRef<str>>(path: &[S]) -> Result<Vec<Hash>, RecordProofError> {
    path.iter()
        .map(|text| {
            Hash::from_base64(text.as_ref())
                .ok_or_else(|| RecordProofError::Hash(text.as_ref().chars().take(80).collect()))
        })
        .collect()
}
