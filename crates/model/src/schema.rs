//! JSON Schemas of the record bodies, as published in `docs/schemas/`.

use schemars::{Schema, schema_for};

use crate::{
    Block, ChangeBody, Decision, ErasureBody, EventBody, ExportBody, FindingBody, GapBody, KeyBody,
    Kind, PolicyBody, ProbeBody, RequestsBody, ScanBody, SourceBody,
};

/// The schema of each kind's body.
pub fn bodies() -> Vec<(Kind, Schema)> {
    vec![
        (Kind::Event, schema_for!(EventBody)),
        (Kind::Decision, schema_for!(Decision)),
        (Kind::Block, schema_for!(Block)),
        (Kind::Finding, schema_for!(FindingBody)),
        (Kind::Change, schema_for!(ChangeBody)),
        (Kind::Scan, schema_for!(ScanBody)),
        (Kind::Probe, schema_for!(ProbeBody)),
        (Kind::Policy, schema_for!(PolicyBody)),
        (Kind::Source, schema_for!(SourceBody)),
        (Kind::Gap, schema_for!(GapBody)),
        (Kind::Key, schema_for!(KeyBody)),
        (Kind::Export, schema_for!(ExportBody)),
        (Kind::Erasure, schema_for!(ErasureBody)),
        (Kind::Requests, schema_for!(RequestsBody)),
    ]
}
