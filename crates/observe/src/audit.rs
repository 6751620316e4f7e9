//! The API server's audit trail (`audit.k8s.io/v1`): read from its log file or received from its
//! webhook, projected, redacted and searched for requests that policy refused.

pub mod block;
pub mod event;
pub mod file;
mod kinds;
pub mod redact;
pub mod webhook;

pub use kinds::kind_of;

use bytes::Bytes;
use proofstream_model::EventPlace;

/// One audit event's bytes as they arrived, without the newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// The API server's exact bytes.
    pub bytes: Bytes,
    /// Where they stood; absent for what came over the webhook.
    pub place: Option<EventPlace>,
}

/// A stretch of an audit log that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditGap {
    /// Why.
    pub cause: GapCause,
    /// The file's identity (see [`file::FileId`]), or its name where it was never opened.
    pub file: String,
    /// The first byte that is missing.
    pub offset: u64,
    /// How many bytes are missing, where that is known.
    pub bytes: Option<u64>,
}

/// Why a stretch of an audit log could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// The file in which reading stopped is no longer there, and so its rest is not either.
    Vanished,
    /// The file was cut while its end may not have been read, and no copy of it was found.
    Truncated,
    /// The rotated file is compressed, and broken or too large to be unpacked.
    Compressed,
    /// The line is longer than the limit.
    Oversize,
}

// === impl GapCause ===

impl std::fmt::Display for GapCause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Vanished => "audit log file is gone before it was read to its end",
            Self::Truncated => "audit log file was truncated before it was read to its end",
            Self::Compressed => "rotated audit log file is compressed and cannot be unpacked",
            Self::Oversize => "audit log line is longer than the limit",
        })
    }
}

impl std::fmt::Display for AuditGap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: `{}` from byte {}", self.cause, self.file, self.offset)?;
        match self.bytes {
            Some(bytes) => write!(formatter, ", {bytes} bytes"),
            None => Ok(()),
        }
    }
}
