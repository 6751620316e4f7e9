//! The projection is a function of the records, however they arrive.

#![allow(clippy::unwrap_used, reason = "a test's own helpers may end it")]

use proofstream_model::{
    Answer, Body, Decision, FindingBody, GapBody, Mode, Operation, Record, RuleOutcome, Subject,
    Timestamp, Verdict,
};
use proofstream_runtime::projection::Projection;
use serde_json::json;

fn record(
    seq: u64,
    source: &str,
    kind: &str,
    controls: &[&str],
    body: serde_json::Value,
) -> Record {
    Record {
        v: 1,
        seq,
        time: Timestamp::from_micros(
            1_790_000_000_000_000 + i64::try_from(seq).unwrap() * 1_000_000,
        ),
        cluster: "c".to_owned(),
        source: source.to_owned(),
        source_epoch: 1,
        source_seq: seq,
        kind: kind.to_owned(),
        controls: controls.iter().map(|id| (*id).to_owned()).collect(),
        body,
    }
}

fn of<B: Body>(seq: u64, source: &str, controls: &[&str], body: &B) -> Record {
    record(seq, source, B::KIND.word(), controls, serde_json::to_value(body).unwrap())
}

fn decision(answer: Answer, would_block: bool, dry_run: bool) -> Decision {
    Decision {
        decision: answer,
        would_block,
        dry_run,
        operation: Operation::Create,
        user: "alice".to_owned(),
        groups: vec![],
        subject: Subject { kind: "Pod".into(), name: "bad".into(), ..Subject::default() },
        subresource: None,
        request_kind: None,
        owner: "Pod/bad".to_owned(),
        policies: vec!["hardened".to_owned()],
        rules: vec![RuleOutcome {
            policy: "hardened".to_owned(),
            rule: "root".to_owned(),
            mode: Mode::Enforce,
            verdict: Verdict::Fail,
            message: "no".to_owned(),
        }],
        requirements: vec![],
        uid: "u".to_owned(),
        latency_us: 10,
    }
}

fn block() -> serde_json::Value {
    json!({
        "enforcer": "proofstream", "policies": ["hardened"], "rules": ["hardened/root"],
        "requirements": ["soc2-2017/CC6.1"], "operation": "CREATE", "user": "alice", "groups": [],
        "subject": {"apiVersion": "v1", "kind": "Pod", "name": "bad"}, "code": 403,
        "message": "denied", "requested": "2026-09-21T14:13:20.000000Z",
        "event": {"audit_id": "a", "source": "audit-file/a", "epoch": 1, "number": 0, "sha256": ""}
    })
}

fn finding(state: &str) -> FindingBody {
    serde_json::from_value(json!({
        "state": state, "controls": ["workload-hardened"], "requirements": [], "check": "hardened",
        "rule": "root", "subject": {"apiVersion": "v1", "kind": "Pod", "name": "old"},
        "verdict": "fail", "message": "runs as root", "uid": "u1", "owner": "Pod/old",
        "first_seen": "2026-09-21T14:13:20.000000Z"
    }))
    .unwrap()
}

fn story() -> Vec<Record> {
    let hardened = ["workload-hardened"];
    let gap = GapBody {
        source: "admission/0".to_owned(),
        epoch: 1,
        after: Some(3),
        from: Timestamp::from_micros(0),
        to: Timestamp::from_micros(1),
        count: None,
        cause: "restart".to_owned(),
    };
    vec![
        record(0, "ledger", "source", &[], json!({"source": "audit-file/a", "state": "enrolled"})),
        of(1, "admission/0", &hardened, &decision(Answer::Deny, false, false)),
        of(2, "admission/0", &hardened, &decision(Answer::Deny, false, true)),
        of(3, "admission/0", &hardened, &decision(Answer::Allow, true, false)),
        record(4, "audit-file/a", "block", &hardened, block()),
        of(5, "scan", &hardened, &finding("found")),
        of(6, "ledger", &[], &gap),
        record(7, "later", "a-kind-of-a-later-version", &[], json!({})),
    ]
}

#[test]
fn counts_blocks_decisions_and_dry_runs_apart() {
    let folder = tempfile::tempdir().unwrap();
    let projection = Projection::open(&folder.path().join("p.db")).unwrap();
    projection.apply(&story()).unwrap();
    let overview = projection.overview(Timestamp::from_micros(0), 10).unwrap();
    let totals = overview.totals;
    assert_eq!((totals.blocked, totals.denied, totals.would_block), (1, 1, 1));
    assert_eq!((totals.allowed, totals.dry_run_denied), (0, 1));
    let control = &overview.controls["workload-hardened"];
    assert_eq!((control.totals.blocked, control.findings_open), (1, 1));
    assert_eq!(overview.findings_open, 1);
    assert_eq!(overview.blocks[0].block.policies, ["hardened"]);
    assert_eq!(overview.gaps.len(), 1);
    assert_eq!(overview.records, 8);
}

#[test]
fn a_fixed_finding_is_no_longer_open() {
    let folder = tempfile::tempdir().unwrap();
    let projection = Projection::open(&folder.path().join("p.db")).unwrap();
    projection.apply(&story()).unwrap();
    projection.apply(&[of(8, "scan", &["workload-hardened"], &finding("fixed"))]).unwrap();
    let overview = projection.overview(Timestamp::from_micros(0), 10).unwrap();
    assert_eq!((overview.findings_open, overview.findings.len()), (0, 0));
}

#[test]
fn is_the_same_whatever_the_batches_and_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Projection::open(&folder.path().join("whole.db")).unwrap();
    whole.apply(&story()).unwrap();
    let pieces = Projection::open(&folder.path().join("pieces.db")).unwrap();
    for until in 1..=story().len() {
        pieces.apply(&story()[..until]).unwrap();
    }
    let text = |projection: &Projection| {
        serde_json::to_string(&projection.overview(Timestamp::from_micros(0), 10).unwrap()).unwrap()
    };
    assert_eq!(text(&whole), text(&pieces));
}

#[test]
fn another_ledger_empties_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.db");
    let projection = Projection::open(&path).unwrap();
    projection.belong_to("proofstream/c/00000000").unwrap();
    projection.apply(&story()).unwrap();
    drop(projection);
    let again = Projection::open(&path).unwrap();
    again.belong_to("proofstream/c/00000000").unwrap();
    assert_eq!(again.next_seq().unwrap(), 8);
    again.belong_to("proofstream/c/11111111").unwrap();
    assert_eq!(again.next_seq().unwrap(), 0);
}
