//! The shared words of Proofstream: what is observed, judged, recorded and proven.
//!
//! Everything here is plain data. The types that end as the `body` of a ledger record (see
//! LEDGER.md) derive a JSON Schema; `docs/schemas/` holds the generated files and a test holds
//! them against the code.

mod actor;
mod block;
mod bodies;
mod change;
mod control;
mod decision;
mod event;
mod finding;
mod record;
pub mod schema;
mod subject;
mod time;
mod verdict;

pub use actor::Actor;
pub use block::{Block, Enforcer};
pub use bodies::{
    ErasureBody, ExportBody, GapBody, KeyBody, PolicyBody, PolicyState, ProbeBody, RequestsBody,
    ScanBody, SourceBody, SourceState,
};
pub use change::{ChangeAction, ChangeBody, ChangeCause, ChangeState, Trigger};
pub use control::{ControlId, ControlRef, RequirementId, WordError};
pub use decision::{Answer, Decision, DecisionRef, Mode, Operation, RuleOutcome};
pub use event::{EventBody, EventPlace, EventRef};
pub use finding::{Fact, Finding, FindingBody, FindingState};
pub use record::{Body, Entry, Kind, Record};
pub use subject::Subject;
pub use time::{TimeError, Timestamp};
pub use verdict::Verdict;
