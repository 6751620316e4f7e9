//! The segment manifest: one leaf of the outer tree.

use std::collections::BTreeMap;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::segment;
use crate::time::Time;
use crate::tree::{Hash, leaf_hash};

/// Bytes that are no manifest, or one whose fields contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not canonical JSON.
    #[error("manifest {0}")]
    NotCanonical(#[from] proofstream_canonical::NotCanonical),
    /// Not the manifest's keys and types.
    #[error("manifest has another shape: {0}")]
    Shape(#[from] serde_json::Error),
    /// It cannot be written.
    #[error("manifest cannot be written: {0}")]
    Write(#[from] proofstream_canonical::CanonicalError),
    /// A field that cannot be.
    #[error("manifest's `{field}` {reason}: `{value}`")]
    Field {
        /// Which.
        field: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What the outer tree commits to about one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The segment's path in the ledger.
    pub segment: String,
    /// SHA-256 of the file.
    pub sha256: Hash,
    /// The file's length in bytes.
    pub size: u64,
    /// The first record's `seq`.
    pub first: u64,
    /// How many records.
    pub count: u64,
    /// The least `time` of a record.
    pub time_from: Time,
    /// The greatest `time` of a record.
    pub time_to: Time,
    /// The inner tree's root.
    pub root: Hash,
    /// How many records of each kind.
    pub kinds: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u64,
    segment: String,
    sha256: String,
    size: u64,
    first: u64,
    count: u64,
    time_from: String,
    time_to: String,
    root: String,
    #[serde(deserialize_with = "kinds_once")]
    kinds: BTreeMap<String, u64>,
}

impl Manifest {
    /// The canonical bytes: the leaf's data.
    ///
    /// # Errors
    /// When a number is beyond what canonical JSON holds.
    pub fn to_canonical(&self) -> Result<Vec<u8>, ManifestError> {
        Ok(proofstream_canonical::to_vec(&Wire {
            v: 1,
            segment: self.segment.clone(),
            sha256: self.sha256.to_hex(),
            size: self.size,
            first: self.first,
            count: self.count,
            time_from: self.time_from.to_string(),
            time_to: self.time_to.to_string(),
            root: self.root.to_base64(),
            kinds: self.kinds.clone(),
        })?)
    }

    /// The leaf's hash in the outer tree.
    ///
    /// # Errors
    /// As [`Manifest::to_canonical`].
    pub fn leaf_hash(&self) -> Result<Hash, ManifestError> {
        Ok(leaf_hash(&self.to_canonical()?))
    }

    /// The `seq` after the last record.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// Reads a leaf and checks that its fields agree with each other.
    ///
    /// # Errors
    /// When it is not canonical, not a manifest, or contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        proofstream_canonical::check_json(bytes)?;
        let wire: Wire = serde_json::from_slice(bytes)?;
        let manifest = Self::read(wire)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn read(wire: Wire) -> Result<Self, ManifestError> {
        let time = |field, text: String| {
            Time::parse(&text).ok_or(ManifestError::Field {
                field,
                value: text,
                reason: "is not a time to the microsecond",
            })
        };
        if wire.v != 1 {
            return Err(field("v", &wire.v, "is a version not known here"));
        }
        Ok(Self {
            sha256: Hash::from_hex(&wire.sha256)
                .ok_or_else(|| field("sha256", &wire.sha256, "is not 64 hexadecimal digits"))?,
            root: Hash::from_base64(&wire.root)
                .ok_or_else(|| field("root", &wire.root, "is not canonical base64 of 32 bytes"))?,
            time_from: time("time_from", wire.time_from)?,
            time_to: time("time_to", wire.time_to)?,
            segment: wire.segment,
            size: wire.size,
            first: wire.first,
            count: wire.count,
            kinds: wire.kinds,
        })
    }

    fn check(&self) -> Result<(), ManifestError> {
        if !(1..=segment::MAX_RECORDS).contains(&self.count) {
            return Err(field("count", &self.count, "is not between 1 and 65536"));
        }
        let sum = self.kinds.values().try_fold(0u64, |sum, count| sum.checked_add(*count));
        if sum != Some(self.count) || self.kinds.values().any(|count| *count == 0) {
            return Err(field("kinds", &self.count, "do not add up to the count"));
        }
        if self.time_from > self.time_to {
            return Err(field("time_from", &self.time_from, "is after time_to"));
        }
        if self.segment != segment::path(self.first, self.time_from) {
            return Err(field("segment", &self.segment, "is not the path of its date and seq"));
        }
        Ok(())
    }
}

fn field(field: &'static str, value: &dyn ToString, reason: &'static str) -> ManifestError {
    ManifestError::Field { field, value: value.to_string(), reason }
}

/// Reads the kinds and rejects one that stands there twice, which a plain map would hide.
fn kinds_once<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, u64>, D::Error> {
    struct Kinds;
    impl<'de> Visitor<'de> for Kinds {
        type Value = BTreeMap<String, u64>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object of kinds and counts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut kinds = BTreeMap::new();
            while let Some((kind, count)) = access.next_entry::<String, u64>()? {
                if kinds.insert(kind, count).is_some() {
                    return Err(A::Error::custom("the same kind twice"));
                }
            }
            Ok(kinds)
        }
    }
    from.deserialize_map(Kinds)
}
