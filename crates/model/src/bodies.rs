//! Bodies of the records that keep the trail itself in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Mode, RequirementId, Timestamp};

/// Whether a source is expected to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// From now on it is expected to.
    Enrolled,
    /// From now on it is not.
    Retired,
}

/// The body of a `source` record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceBody {
    /// The source's name.
    pub source: String,
    /// Whether it is expected to speak.
    pub state: SourceState,
}

/// The body of a `gap` record: a stretch that the trail lacks, or has late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapBody {
    /// The source that lacks it.
    pub source: String,
    /// The epoch in which it falls.
    pub epoch: u64,
    /// The last number before it; absent where nothing came before.
    #[serde(default)]
    pub after: Option<u64>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// How many are missing, where that is known.
    #[serde(default)]
    pub count: Option<u64>,
    /// Why.
    pub cause: String,
}

impl GapBody {
    /// How the cause begins where a source brings nothing although it should; the end of a silence is another
    /// gap, with another cause.
    pub const SILENT: &str = "silent: ";

    /// Whether the source brought nothing although it should.
    pub fn is_silence(&self) -> bool {
        self.cause.starts_with(Self::SILENT)
    }
}

/// The body of a `probe` record: what became of requests that test a control, over some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeBody {
    /// Which: `audit-heartbeat` are requests that must come back as audit events.
    pub probe: String,
    /// What was tested; for `audit-heartbeat` the source.
    pub about: String,
    /// When the first of them was sent.
    pub from: Timestamp,
    /// Until when they are counted here.
    pub to: Timestamp,
    /// How many were sent and answered.
    pub sent: u64,
    /// For how many of them the control did what it should, in time.
    pub held: u64,
    /// For how many it did later than that.
    pub late: u64,
    /// The longest that it took where it held, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest_ms: Option<u64>,
}

/// The body of a `key` record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyBody {
    /// Ed25519 public key, base64.
    pub public_key: String,
    /// `export` or `log`.
    #[serde(rename = "use")]
    pub purpose: String,
}

/// Where a policy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyState {
    /// In force from now on, in this text.
    Active,
    /// Refused: it does not compile.
    Broken,
    /// No longer there.
    Removed,
    /// Who enforces this kind of policy was set.
    Enforcer,
}

/// The body of a `policy` record: which text of a policy was in force from when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyBody {
    /// What happened.
    pub state: PolicyState,
    /// `ClusterPolicy`, `Policy`, …
    pub kind: String,
    /// The name; a namespaced one is `NAMESPACE/NAME`; for `enforcer`, the enforcer.
    pub name: String,
    /// Where it came from: `cluster`, or the file.
    pub origin: String,
    /// SHA-256 (hex) of its canonical text, status and managed fields left out.
    pub sha256: String,
    /// The policy itself, canonical, as it was read; absent when removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The modes of its rules, sorted; empty for one that is broken or removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<Mode>,
    /// Requirements that it stands for, sorted.
    pub requirements: Vec<RequirementId>,
    /// Why it is broken, or who set what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The body of a `scan` record: one pass of the background evaluation over what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScanBody {
    /// Why it ran: `start`, `policies-changed`, `exception-expired`, `surroundings-changed`, `sweep`.
    pub cause: String,
    /// When it began.
    pub started: Timestamp,
    /// Objects looked at.
    pub objects: u64,
    /// Rule results by verdict word.
    pub verdicts: std::collections::BTreeMap<String, u64>,
    /// What could not be looked at, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_evaluated: Vec<String>,
}

/// The body of an `export` record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportBody {
    /// The framework asked for, such as `soc2-2017`.
    pub framework: String,
    /// Controls asked for; empty for all.
    pub controls: Vec<String>,
    /// From when (inclusive).
    pub from: Timestamp,
    /// Until when (exclusive).
    pub to: Timestamp,
    /// Who asked.
    pub requested_by: String,
    /// The checkpoint that the bundle carries, as text.
    pub checkpoint: String,
    /// SHA-256 (hex) of the bundle's manifest.json.
    pub manifest_sha256: String,
}

/// The body of an `erasure` record: what was removed on purpose, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErasureBody {
    /// Who removed it, or the rule that did: `retention`.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// SHA-256 (hex) of each blob removed: the name that other records have for it.
    pub blobs: Vec<String>,
}

/// The body of a `requests` record: requests that policies judged, kept so that policies can be
/// replayed over them.
///
/// The payload is JSON lines in one zstd frame, each `{"decision", "namespaceLabels", "review"}`:
/// which decision was made of it (`SOURCE EPOCH NUMBER`), the labels of its namespace as they were
/// (absent where unknown), and the `AdmissionReview` as the API server sent it. Requests for Secrets
/// and for tokens are never among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestsBody {
    /// Where the payload is: `{"blob","size","media"}`.
    pub payload: serde_json::Value,
    /// How many requests it holds.
    pub count: u64,
    /// How many were judged in the same time and are not in it: too many at once, or the disk failed.
    pub missed: u64,
    /// When the first of them was judged.
    pub from: Timestamp,
    /// When the last of them was judged.
    pub to: Timestamp,
}
