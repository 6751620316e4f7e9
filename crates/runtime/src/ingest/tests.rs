//! Audit events carried into a real ledger.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use proofstream_ledger::storage::{Directory, Storage};
use proofstream_ledger::writer::{Recovered, Start, Writer, WriterOptions};
use proofstream_model::{Answer, Entry, Mode, Operation, RuleOutcome, Subject, Timestamp, Verdict};
use proofstream_observe::audit::file::TailOptions;
use serde_json::{Value, json};

use super::*;

/// What a real API server wrote: see crates/observe/fixtures/README.md.
const REFUSALS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../observe/fixtures/refusals.jsonl"));
const SECRETS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../observe/fixtures/secrets.jsonl"));

struct Catalog;

impl PolicyControls for Catalog {
    fn controls(&self, _: Enforcer, policy: &str) -> ControlRef {
        match policy {
            "restricted:latest" => ControlRef {
                controls: vec!["workload-hardened".parse().unwrap()],
                requirements: vec!["soc2-2017/CC6.1".parse().unwrap()],
            },
            _ => ControlRef::default(),
        }
    }
}

fn ingest(decision: Option<Decision>) -> Arc<Ingest> {
    let decisions = RecentDecisions::new(8, None);
    if let Some(decision) = decision {
        let controls = vec!["from-decision".parse().unwrap()];
        let known = Known { decision: Arc::new(decision), controls };
        decisions.insert("admission/0 3 17".parse().unwrap(), known);
    }
    Arc::new(Ingest::new(Options {
        cluster: Some("c".to_owned()),
        decisions: Arc::new(decisions),
        controls: Arc::new(Catalog),
        expected: Arc::default(),
        remembered: 1000,
    }))
}

fn decision(answer: Answer, dry_run: bool) -> Decision {
    let outcome = |policy: &str, mode| RuleOutcome {
        policy: policy.to_owned(),
        rule: "r".to_owned(),
        mode,
        verdict: Verdict::Fail,
        message: "no".to_owned(),
    };
    Decision {
        decision: answer,
        would_block: false,
        dry_run,
        operation: Operation::Create,
        user: "admin".to_owned(),
        groups: Vec::new(),
        subject: Subject {
            kind: "Pod".to_owned(),
            name: "judged".to_owned(),
            ..Subject::default()
        },
        subresource: None,
        request_kind: None,
        owner: "Deployment/web".to_owned(),
        policies: vec!["enforced".to_owned()],
        rules: vec![outcome("enforced", Mode::Enforce), outcome("audited", Mode::Audit)],
        requirements: vec!["pci-4.0.1/2.2.6".parse().unwrap()],
        uid: "u".to_owned(),
        latency_us: 1,
    }
}

/// A ledger in a folder.
struct Ledger {
    writer: Arc<Writer>,
    recovered: Recovered,
}

impl Ledger {
    fn open(folder: &Path) -> Self {
        let directory =
            |name: &str| -> Arc<dyn Storage> { Arc::new(Directory::new(folder.join(name))) };
        let options = WriterOptions::new("c", directory("private"), directory("guard"));
        let (writer, recovered) = Writer::open(directory("ledger"), options).unwrap();
        Self { writer: Arc::new(writer), recovered }
    }

    fn intake(&self, ingest: &Arc<Ingest>, source: &str) -> Arc<Intake> {
        let source = self.writer.source(source, Start::Resume).unwrap();
        let sink = LedgerSink::new(Arc::clone(&self.writer), source);
        Intake::new(Arc::clone(ingest), Arc::new(sink))
    }

    fn records(&self) -> Vec<Record> {
        let mut observer = self.writer.observe(0);
        let mut records = Vec::new();
        while observer.position() < self.writer.durable_end() {
            let observed = observer.next(Duration::from_secs(20)).unwrap().unwrap();
            records.extend(observed.lines().map(|line| Record::parse(line).unwrap()));
        }
        records
    }

    fn of_kind(&self, kind: &str) -> Vec<Record> {
        self.records().into_iter().filter(|record| record.kind == kind).collect()
    }
}

/// Follows `log` until the ledger has `events` event records.
async fn followed(ledger: &Ledger, ingest: &Arc<Ingest>, log: &Path, events: usize) {
    let intake = ledger.intake(ingest, "audit-file/a");
    let options = TailOptions { poll: Duration::from_millis(5), ..TailOptions::new(log) };
    let enough = async {
        while ledger.of_kind("event").len() < events {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let now = || Timestamp::from_micros(1_795_000_000_000_000);
    let both = async {
        tokio::select! {
            result = follow(&intake, options, now) => panic!("{:?}", result.err()),
            () = enough => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
}

fn list(lines: &str) -> Bytes {
    let items: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let without = |mut item: Value| {
        item.as_object_mut().unwrap().retain(|key, _| key != "kind" && key != "apiVersion");
        item
    };
    let items: Vec<Value> = items.into_iter().map(without).collect();
    let body = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items});
    Bytes::from(body.to_string())
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[tokio::test]
async fn real_events_are_kept_exactly_and_each_refusal_is_one_block() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    std::fs::write(&log, REFUSALS).unwrap();
    let ledger = Ledger::open(folder.path());
    let ingest = ingest(Some(decision(Answer::Deny, false)));
    let lines = REFUSALS.lines().count();
    followed(&ledger, &ingest, &log, lines).await;

    let events = ledger.of_kind("event");
    let raw: Vec<&str> = events.iter().map(|event| event.body["raw"].as_str().unwrap()).collect();
    assert_eq!(raw, REFUSALS.lines().collect::<Vec<_>>());
    let blocks = ledger.of_kind("block");
    assert_eq!(blocks.len(), 14);
    for record in &blocks {
        let block: Block = record.body().unwrap().unwrap();
        assert_eq!(
            (block.event.number, &block.event.source),
            (record.source_seq + 1, &record.source)
        );
        let event = events.iter().find(|event| event.source_seq == block.event.number).unwrap();
        assert!(event.body["raw"].as_str().unwrap().contains(&block.event.audit_id));
        let joined = block.enforcer == Enforcer::Proofstream;
        assert_eq!(block.decision.is_some(), joined);
        let controls: &[&str] = match block.enforcer {
            Enforcer::Proofstream => &["from-decision"],
            Enforcer::PodSecurity => &["workload-hardened"],
            _ => &[],
        };
        assert_eq!(record.controls, controls);
        if joined {
            assert_eq!(
                (block.policies, block.rules),
                (vec!["enforced".to_owned()], vec!["enforced/r".to_owned()])
            );
            assert_eq!(block.owner.as_deref(), Some("Deployment/web"));
            assert_eq!(block.subject.name, "judged");
        }
    }
    assert_eq!(count(&ingest.counters().failed_closed), 1);
    assert_eq!(count(&ingest.counters().failed_open), 1);
    let generated: Block = blocks[1].body().unwrap().unwrap();
    assert_eq!(
        (generated.subject.kind.as_str(), generated.subject.name.as_str()),
        ("Pod", "psa-q5qss")
    );
    assert_eq!(generated.subject.namespace.as_deref(), Some("psa"));
}

#[tokio::test]
async fn both_transports_are_kept_and_blocks_are_written_once_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    std::fs::write(&log, REFUSALS).unwrap();
    let lines = REFUSALS.lines().count();
    let ledger = Ledger::open(folder.path());
    let first = ingest(None);
    followed(&ledger, &first, &log, lines).await;
    let hook = ledger.intake(&first, "audit-webhook/a");
    assert_eq!(accept(&hook, list(REFUSALS)).await.unwrap(), lines);
    assert_eq!(count(&first.counters().doubled_blocks), 14);
    let told_once = |webhook: &Uncalled| webhook.refused + webhook.passed == 1;
    assert_eq!((first.uncalled().len(), first.uncalled().iter().all(told_once)), (2, true));
    assert_eq!(count(&hook.counters().events), lines as u64);
    assert_eq!(count(&hook.counters().blocks), 0);
    drop(hook);
    ledger.writer.close().unwrap();
    drop(ledger);

    let ledger = Ledger::open(folder.path());
    assert!(ledger.recovered.next_seq > 0);
    let second = ingest(None);
    ledger.records().iter().for_each(|record| second.seed(record));
    let hook = ledger.intake(&second, "audit-webhook/a");
    accept(&hook, list(REFUSALS)).await.unwrap();
    assert_eq!(count(&second.counters().repeated_events), lines as u64);
    let other = ledger.intake(&second, "audit-webhook/b");
    accept(&other, list(REFUSALS.lines().next().unwrap())).await.unwrap();
    let mut more = std::fs::read(&log).unwrap();
    more.extend_from_slice(b"not json\n");
    std::fs::write(&log, more).unwrap();
    followed(&ledger, &second, &log, 2 * lines + 2).await;
    assert_eq!(ledger.of_kind("event").len(), 2 * lines + 2);
    // 14 of API server `a`, one of `b`.
    assert_eq!(ledger.of_kind("block").len(), 15);
    assert_eq!(ledger.of_kind("event").last().unwrap().body["raw"], "not json");
    assert!(ledger.of_kind("gap").is_empty());
}

#[tokio::test]
async fn a_dry_run_that_only_the_decision_knows_is_no_block() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    let delete = REFUSALS.lines().find(|line| line.contains(r#""verb":"delete""#)).unwrap();
    for (decision, blocks, policies) in [
        (Some(decision(Answer::Deny, true)), 0, None),
        // The reference of a collection's first object, which was allowed: not joined.
        (Some(decision(Answer::Allow, false)), 1, Some("hardened")),
        (Some(decision(Answer::Deny, false)), 2, Some("enforced")),
    ] {
        let hook = ledger.intake(&ingest(decision), &format!("audit-webhook/{blocks}"));
        accept(&hook, list(delete)).await.unwrap();
        let found = ledger.of_kind("block");
        assert_eq!(found.len(), blocks);
        assert_eq!(found.last().map(|block| block.body["policies"][0].as_str().unwrap()), policies);
    }
}

#[tokio::test]
async fn nothing_secret_reaches_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    let hook = ledger.intake(&ingest(None), "audit-webhook/a");
    accept(&hook, list(SECRETS)).await.unwrap();
    let events = ledger.of_kind("event");
    assert_eq!(events.len(), SECRETS.lines().count());
    for event in &events {
        assert!(event.body["blob"]["blob"].is_string() && event.body["redacted"][0].is_string());
    }
    ledger.writer.close().unwrap();
    let mut folders = vec![folder.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            files += usize::from(path.to_string_lossy().contains("/blobs/"));
            for secret in [&b"hunter2"[..], b"aHVudGVyMg"] {
                assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{path:?}");
            }
        }
    }
    assert_eq!(files, events.len());
}

/// A sink whose queue is full while it is told so.
struct Narrow {
    full: AtomicBool,
    taken: Mutex<Vec<Entry>>,
}

impl EventSink for Narrow {
    fn source(&self) -> &'static str {
        "audit-webhook/a"
    }

    fn next(&self) -> Point {
        Point { epoch: 1, number: self.taken.lock().unwrap().len() as u64 }
    }

    fn append(&self, entries: &[Entry]) -> Result<Taken, SinkError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(SinkError::Full);
        }
        let first = self.next();
        self.taken.lock().unwrap().extend_from_slice(entries);
        Ok(Taken { first, durable: Box::pin(async { true }) })
    }

    fn put_blob(&self, _: &[u8], _: &str) -> Result<Value, SinkError> {
        Ok(Value::Null)
    }

    fn report_gap(&self, _: &Stretch<'_>) -> Result<(), SinkError> {
        Ok(())
    }

    fn last_body(&self) -> Option<Vec<u8>> {
        None
    }
}

#[tokio::test]
async fn a_full_ledger_tells_the_api_server_to_come_again_and_forgets_nothing() {
    let sink = Arc::new(Narrow { full: AtomicBool::new(true), taken: Mutex::default() });
    let hook = Intake::new(ingest(None), Arc::clone(&sink) as Arc<dyn EventSink>);
    let error = accept(&hook, list(REFUSALS)).await.unwrap_err();
    assert!(matches!(error, IntakeError::Busy), "{error}");
    sink.full.store(false, Ordering::Relaxed);
    accept(&hook, list(REFUSALS)).await.unwrap();
    let taken = sink.taken.lock().unwrap();
    assert_eq!(taken.len(), REFUSALS.lines().count() + 14);
}
