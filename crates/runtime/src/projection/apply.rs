//! How one record changes the derived state.

use proofstream_model::{
    Answer, Body, ChangeAction, ChangeBody, ChangeCause, ErasureBody, FindingBody, FindingState,
    GapBody, PolicyBody, PolicyState, Record, RequestsBody, ScanBody, SourceBody, SourceState,
};
use rusqlite::{Connection, params};
use serde::Deserialize;

use super::ProjectionError;
use super::batch::Batch;
use crate::generation::stands;

/// Applies records in order.
pub(super) fn records<'r>(
    store: &Connection,
    records: impl Iterator<Item = &'r Record>,
) -> Result<(), ProjectionError> {
    let mut batch = Batch::default();
    for one in records {
        record(store, &mut batch, one)?;
    }
    batch.write(store)
}

/// Counts and lists are kept per record kind; kinds that nothing here shows only count as life of
/// their source.
fn record<'r>(
    store: &Connection,
    batch: &mut Batch<'r>,
    record: &'r Record,
) -> Result<(), ProjectionError> {
    batch.spoke(record);
    match record.kind.as_str() {
        "decision" => decision(batch, record)?,
        "block" => block(batch, record)?,
        "finding" => finding(store, batch, record)?,
        "change" => change(store, record)?,
        "policy" => policy(store, record)?,
        "source" => source(store, record)?,
        "gap" => {
            let _: GapBody = body(record)?;
            batch.latest("gaps", record);
        }
        "requests" => requests(store, record)?,
        "erasure" => erasure(store, record)?,
        "scan" => {
            let _: ScanBody = body(record)?;
            batch.latest("scans", record);
        }
        _ => {}
    }
    Ok(())
}

fn body<'record, B: Body + Deserialize<'record>>(
    record: &'record Record,
) -> Result<B, ProjectionError> {
    read(record)
}

/// Reads what is needed of a record's body.
fn read<'record, B: Deserialize<'record>>(record: &'record Record) -> Result<B, ProjectionError> {
    B::deserialize(&record.body).map_err(|source| ProjectionError::Body {
        seq: record.seq,
        kind: record.kind.clone(),
        source,
    })
}

pub(super) fn number(value: u64) -> Result<i64, ProjectionError> {
    i64::try_from(value).map_err(|_| ProjectionError::Range(value))
}

fn source(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    let source: SourceBody = body(record)?;
    let state = match source.state {
        SourceState::Enrolled => "enrolled",
        SourceState::Retired => "retired",
    };
    // A source that has not spoken yet has epoch 0: real epochs begin at 1.
    store
        .prepare_cached(
            "INSERT INTO sources (source, state, epoch, number, records, time) \
             VALUES (?1, ?2, 0, 0, 0, ?3) ON CONFLICT (source) DO UPDATE SET state = ?2",
        )?
        .execute(params![source.source, state, record.time.to_string()])?;
    Ok(())
}

/// Blobs of requests, and which of them an erasure names: what retention goes by.
fn requests(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    let requests: RequestsBody = body(record)?;
    if let Some(blob) = requests.payload.get("blob").and_then(serde_json::Value::as_str) {
        store
            .prepare_cached(
                "INSERT OR REPLACE INTO requests (blob, time, erased) VALUES (?1, ?2, 0)",
            )?
            .execute(params![blob, requests.to.to_string()])?;
    }
    Ok(())
}

fn erasure(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    let erasure: ErasureBody = body(record)?;
    // Those of the last erasure are kept in mind: the process may have ended before they were gone.
    store.prepare_cached("DELETE FROM requests WHERE erased = 1")?.execute([])?;
    for blob in erasure.blobs {
        store.prepare_cached("UPDATE requests SET erased = 1 WHERE blob = ?1")?.execute([blob])?;
    }
    Ok(())
}

/// Keeps a record as the last word on what it is about.
fn keep(store: &Connection, table: &str, id: &str, record: &Record) -> Result<(), ProjectionError> {
    store
        .prepare_cached(&format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3, ?4, ?5)"))?
        .execute(params![
        id,
        number(record.seq)?,
        record.time.to_string(),
        record.controls.join(" "),
        record.body.to_string()
    ])?;
    Ok(())
}

/// What is counted of a decision.
#[derive(Deserialize)]
struct Judged<'r> {
    decision: Answer,
    #[serde(default)]
    would_block: bool,
    #[serde(default)]
    dry_run: bool,
    #[serde(borrow, default)]
    policies: Vec<&'r str>,
    #[serde(borrow)]
    rules: Vec<JudgedBy<'r>>,
}

#[derive(Deserialize)]
struct JudgedBy<'r> {
    policy: &'r str,
}

fn decision<'r>(batch: &mut Batch<'r>, record: &'r Record) -> Result<(), ProjectionError> {
    let decision: Judged<'r> = read(record)?;
    let what = match (decision.dry_run, decision.decision, decision.would_block) {
        (true, Answer::Deny, _) => "dry-run-denied",
        (true, Answer::Allow, _) => "dry-run-allowed",
        (false, Answer::Deny, _) => "denied",
        (false, Answer::Allow, true) => "would-block",
        (false, Answer::Allow, false) => "allowed",
    };
    let mut policies: Vec<&str> = decision.rules.iter().map(|rule| rule.policy).collect();
    policies.sort_unstable();
    policies.dedup();
    if what != "allowed" && what != "dry-run-allowed" {
        policies.retain(|policy| decision.policies.contains(policy));
    }
    batch.tally(record, policies, what);
    batch.latest("decisions", record);
    Ok(())
}

/// What is counted of a block.
#[derive(Deserialize)]
struct BlockedBy<'r> {
    #[serde(borrow)]
    policies: Vec<&'r str>,
}

fn block<'r>(batch: &mut Batch<'r>, record: &'r Record) -> Result<(), ProjectionError> {
    let block: BlockedBy<'r> = read(record)?;
    batch.tally(record, block.policies, "blocked");
    batch.latest("blocks", record);
    Ok(())
}

fn finding<'r>(
    store: &Connection,
    batch: &mut Batch<'r>,
    record: &'r Record,
) -> Result<(), ProjectionError> {
    let found: FindingBody = body(record)?;
    let finding = &found.finding;
    let id = [&found.uid, &finding.check, &finding.rule].map(String::as_str).join("\u{1f}");
    if found.state == FindingState::Found {
        keep(store, "findings", &id, record)?;
    } else {
        store.prepare_cached("DELETE FROM findings WHERE id = ?1")?.execute([&id])?;
    }
    let what = match found.state {
        FindingState::Found => "found",
        FindingState::Fixed => "fixed",
        FindingState::Gone => "gone",
    };
    let check = record.body.get("check").and_then(serde_json::Value::as_str);
    batch.tally(record, check, what);
    Ok(())
}

/// What generate rules made and answer for.
fn change(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    let change: ChangeBody = body(record)?;
    if change.cause == ChangeCause::Mutate {
        return settled(store, record, &change);
    }
    let (Some(trigger), Some(stands)) = (&change.trigger, stands(change.action, change.state))
    else {
        return Ok(());
    };
    let object = &change.object;
    let words = [
        Some(&trigger.uid),
        change.policy.as_ref(),
        change.rule.as_ref(),
        Some(&object.api_version),
        Some(&object.kind),
        object.namespace.as_ref(),
        Some(&object.name),
    ];
    let id = words.map(|word| word.map_or("", String::as_str)).join("\u{1f}");
    if stands {
        keep(store, "products", &id, record)?;
    } else {
        store.prepare_cached("DELETE FROM products WHERE id = ?1")?.execute([&id])?;
    }
    Ok(())
}

/// What mutate rules for objects that exist have settled.
fn settled(
    store: &Connection,
    record: &Record,
    change: &ChangeBody,
) -> Result<(), ProjectionError> {
    let Some(trigger) = &change.trigger else { return Ok(()) };
    let words = [Some(&trigger.uid), change.policy.as_ref(), change.rule.as_ref()];
    let id = words.map(|word| word.map_or("", String::as_str)).join("\u{1f}");
    match change.action {
        ChangeAction::Settle => keep(store, "settled", &id, record),
        ChangeAction::Release => {
            store.prepare_cached("DELETE FROM settled WHERE id = ?1")?.execute([&id])?;
            Ok(())
        }
        ChangeAction::Create | ChangeAction::Update | ChangeAction::Delete => Ok(()),
    }
}

fn policy(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    let policy: PolicyBody = body(record)?;
    let key = format!("{} {} {}", policy.kind, policy.name, policy.origin);
    match policy.state {
        PolicyState::Removed => {
            store.prepare_cached("DELETE FROM policies WHERE name = ?1")?.execute([&key])?;
            store.prepare_cached("DELETE FROM in_force WHERE name = ?1")?.execute([&key])?;
        }
        PolicyState::Active => {
            keep(store, "policies", &key, record)?;
            keep(store, "in_force", &key, record)?;
        }
        PolicyState::Broken | PolicyState::Enforcer => keep(store, "policies", &key, record)?,
    }
    Ok(())
}
