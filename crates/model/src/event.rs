//! Audit events as the ledger keeps them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an event stood in an audit log file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventPlace {
    /// The file's identity: its path, and the inode it had when it was opened.
    pub file: String,
    /// Byte offset of the line in that file.
    pub offset: u64,
    /// Bytes of the line, its newline included.
    pub length: u64,
}

/// The body of an `event` record: the API server's exact bytes, or what stands for them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct EventBody {
    /// The event exactly as the API server wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// The same in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_b64: Option<String>,
    /// The whole event kept apart: `{"blob","size","media"}`; `raw` then lacks the bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<serde_json::Value>,
    /// What was taken out before writing, such as `requestObject.data`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Where it stood, for the file path. (Flattened: `file`, `offset`, `length`.)
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<EventPlace>,
}

/// Which event a block was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventRef {
    /// The event's `auditID`. It comes from the client and identifies nothing by itself.
    pub audit_id: String,
    /// The event record's `source`.
    pub source: String,
    /// The event record's `source_epoch`.
    pub epoch: u64,
    /// The event record's `source_seq`.
    pub number: u64,
    /// SHA-256 (hex) of the canonical event without `kind` and `apiVersion`.
    pub sha256: String,
}
