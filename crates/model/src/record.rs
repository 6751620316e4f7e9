//! Records of the ledger, read with their meaning.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Block, ChangeBody, ControlId, Decision, ErasureBody, EventBody, ExportBody, FindingBody,
    GapBody, KeyBody, PolicyBody, ProbeBody, RequestsBody, ScanBody, SourceBody, Timestamp,
};

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An audit event of an API server.
    Event,
    /// An answer of our webhook.
    Decision,
    /// A request that the API server refused by policy.
    Block,
    /// A finding that came or went.
    Finding,
    /// Something that we changed in the cluster ourselves.
    Change,
    /// A pass of the background evaluation.
    Scan,
    /// What became of requests that test a control.
    Probe,
    /// A policy that came into force, broke or went.
    Policy,
    /// A source enrolled or retired.
    Source,
    /// A stretch that is missing or late.
    Gap,
    /// A key named.
    Key,
    /// An export made.
    Export,
    /// Something removed, with actor and reason.
    Erasure,
    /// Requests that policies judged, kept for a while so that policies can be replayed over them.
    Requests,
}

/// What is handed to the ledger: it adds number, time and source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Controls this is evidence for, sorted.
    pub controls: Vec<ControlId>,
    /// The kind's own content.
    pub body: Value,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The format's version, 1.
    pub v: u64,
    /// The record's number in this ledger.
    pub seq: u64,
    /// When it was appended.
    pub time: Timestamp,
    /// The cluster's identity.
    pub cluster: String,
    /// Who wrote it.
    pub source: String,
    /// The source's epoch.
    pub source_epoch: u64,
    /// The record's number within that epoch.
    pub source_seq: u64,
    /// What it is; a kind of a later version is kept as text.
    pub kind: String,
    /// Controls this is evidence for, sorted.
    pub controls: Vec<String>,
    /// The kind's own content.
    pub body: Value,
}

// === impl Kind ===

impl Kind {
    /// Every kind, in the order of LEDGER.md.
    pub const ALL: [Self; 14] = [
        Self::Event,
        Self::Decision,
        Self::Block,
        Self::Finding,
        Self::Change,
        Self::Scan,
        Self::Probe,
        Self::Policy,
        Self::Source,
        Self::Gap,
        Self::Key,
        Self::Export,
        Self::Erasure,
        Self::Requests,
    ];

    /// The word in the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Decision => "decision",
            Self::Block => "block",
            Self::Finding => "finding",
            Self::Change => "change",
            Self::Scan => "scan",
            Self::Probe => "probe",
            Self::Policy => "policy",
            Self::Source => "source",
            Self::Gap => "gap",
            Self::Key => "key",
            Self::Export => "export",
            Self::Erasure => "erasure",
            Self::Requests => "requests",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

// === impl Entry ===

/// A body that ends in a record of one kind.
pub trait Body: Serialize {
    /// The kind of record it is the body of.
    const KIND: Kind;
}

macro_rules! bodies {
    ($($body:ty => $kind:ident),* $(,)?) => {
        $(impl Body for $body { const KIND: Kind = Kind::$kind; })*
    };
}

bodies! {
    EventBody => Event, Decision => Decision, Block => Block, FindingBody => Finding,
    ChangeBody => Change,
    ScanBody => Scan, ProbeBody => Probe, PolicyBody => Policy, SourceBody => Source, GapBody => Gap,
    KeyBody => Key, ExportBody => Export, ErasureBody => Erasure, RequestsBody => Requests,
}

impl Entry {
    /// An entry of `body`'s kind, as evidence for `controls` (sorted and made unique here).
    pub fn new<B: Body>(body: &B, mut controls: Vec<ControlId>) -> Result<Self, serde_json::Error> {
        controls.sort();
        controls.dedup();
        Ok(Self { kind: B::KIND, controls, body: serde_json::to_value(body)? })
    }
}

// === impl Record ===

impl Record {
    /// Reads one line.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// The body as `B`, if this record is of that kind.
    pub fn body<'de, B: Body + Deserialize<'de>>(
        &'de self,
    ) -> Option<Result<B, serde_json::Error>> {
        (self.kind == B::KIND.word()).then(|| B::deserialize(&self.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_reads_back_from_its_record() {
        let line = br#"{"body":{"after":9,"cause":"restart","count":null,"epoch":1,"from":"2026-09-21T14:13:20.000000Z","source":"scan","to":"2026-09-21T14:13:21.000000Z"},"cluster":"c","controls":[],"kind":"gap","seq":4,"source":"ledger","source_epoch":1,"source_seq":4,"time":"2026-09-21T14:13:20.000000Z","v":1}"#;
        let record = Record::parse(line).unwrap();
        let gap: GapBody = record.body().unwrap().unwrap();
        assert_eq!((gap.after, gap.count, gap.cause.as_str()), (Some(9), None, "restart"));
        assert!(record.body::<Decision>().is_none());
    }

    #[test]
    fn words_are_what_serde_writes() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
    }
}
