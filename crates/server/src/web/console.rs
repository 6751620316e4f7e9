//! What the page and the API ask of the running system.

use std::io::Write;

use proofstream_model::{RequirementId, Timestamp};
use proofstream_runtime::projection::Overview;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A control as the page titles it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlCard {
    /// Its id.
    pub id: String,
    /// A short title.
    pub title: String,
    /// What is claimed, as one sentence.
    pub claim: String,
    /// Requirements that map to it.
    pub requirements: Vec<RequirementId>,
    /// Parts of the system (see [`Health`]) whose working shows that it operates, by the beginning
    /// of their names; empty for one that policies show.
    pub shown_by: Vec<&'static str>,
    /// Names of checks that stand for it and do not run in this version, with the reason.
    pub not_evaluated: Vec<String>,
}

/// Whether a part of the system does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// It does.
    Working,
    /// It should and does not.
    Failing,
    /// It is not set up.
    Off,
}

/// One part's health, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `admission`, `policy watch`, `audit-file/HOST`, …
    pub part: String,
    /// How it is.
    pub state: HealthState,
    /// Since when or why, for people.
    pub detail: String,
}

/// Where the ledger stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerStatus {
    /// The log's origin.
    pub origin: String,
    /// Sealed segments: the outer tree's size.
    pub segments: u64,
    /// Records in sealed segments.
    pub sealed_records: u64,
    /// When the last checkpoint was signed, as far as this process knows.
    pub checkpoint_time: Option<Timestamp>,
    /// The last checkpoint, as text.
    pub checkpoint: Option<String>,
    /// The folder, for the commands that the page shows.
    pub folder: String,
}

/// An export that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportAsk {
    /// The framework, such as `soc2-2017`.
    pub framework: String,
    /// From when (inclusive).
    pub from: Timestamp,
    /// Until when (exclusive).
    pub to: Timestamp,
    /// Controls; empty for all.
    #[serde(default)]
    pub controls: Vec<String>,
    /// How many records of each kind to draw; absent for all.
    #[serde(default)]
    pub sample: Option<u32>,
    /// The seed of the draw.
    #[serde(default)]
    pub seed: Option<String>,
}

/// Why the system cannot answer. The public message and the cause are kept apart.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Bad(String),
    /// There is no such thing.
    #[error("{0}")]
    Missing(String),
    /// The system failed; the cause is for the log.
    #[error("it could not be read; the server's log says why")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The running system, as the page and the API see it. Calls may block on the disk.
pub trait Console: Send + Sync + 'static {
    /// The cluster's identity.
    fn cluster(&self) -> String;
    /// The time now.
    fn now(&self) -> Timestamp;
    /// What the ledger says, counted since `since`.
    fn overview(&self, since: Timestamp, rows: u32) -> Result<Overview, ConsoleError>;
    /// The catalog's controls.
    fn controls(&self) -> Vec<ControlCard>;
    /// How each part does.
    fn health(&self) -> Vec<Health>;
    /// What is measured, as Prometheus reads it.
    fn metrics(&self) -> String;
    /// Where the ledger stands.
    fn ledger(&self) -> Result<LedgerStatus, ConsoleError>;
    /// One record with its proof, as JSON.
    fn record(&self, seq: u64) -> Result<serde_json::Value, ConsoleError>;
    /// Writes a bundle as a tar archive.
    fn export(
        &self,
        ask: ExportAsk,
        requested_by: &str,
        out: &mut dyn Write,
    ) -> Result<(), ConsoleError>;
    /// Changes whenever a record became durable.
    fn changes(&self) -> watch::Receiver<u64>;
}
