//! How one record changes the derived state.

use proofstream_model::{
    Answer, Block, Body, ChangeBody, Decision, ErasureBody, FindingBody, FindingState, GapBody,
    PolicyBody, PolicyState, Record, RequestsBody, ScanBody, SourceBody, SourceState,
};
use rusqlite::{Connection, params};
use serde::Deserialize;

use super::ProjectionError;
use crate::generation::stands;

/// Counts and lists are kept per record kind; kinds that nothing here shows only count as life of
/// their source.
pub(super) fn record(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    source_spoke(store, record)?;
    match record.kind.as_str() {
        "decision" => decision(store, record),
        "block" => block(store, record),
        "finding" => finding(store, record),
        "change" => change(store, record),
        "policy" => policy(store, record),
        "source" => source(store, record),
        "gap" => {
            let _: GapBody = body(record)?;
            latest(store, "gaps", record)
        }
        "requests" => requests(store, record),
        "erasure" => erasure(store, record),
        "scan" => {
            let _: ScanBody = body(record)?;
            latest(store, "scans", record)
        }
        _ => Ok(()),
    }
}

/// Keeps at most `most` rows of each list.
pub(super) fn trim(store: &Connection, most: i64) -> Result<(), ProjectionError> {
    for table in ["decisions", "blocks", "gaps", "scans"] {
        store
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE seq < (SELECT MIN(seq) FROM \
                 (SELECT seq FROM {table} ORDER BY seq DESC LIMIT ?1))"
            ))?
            .execute([most])?;
    }
    Ok(())
}

fn body<'record, B: Body + Deserialize<'record>>(
    record: &'record Record,
) -> Result<B, ProjectionError> {
    B::deserialize(&record.body).map_err(|source| ProjectionError::Body {
        seq: record.seq,
        kind: record.kind.clone(),
        source,
    })
}

fn number(value: u64) -> Result<i64, ProjectionError> {
    i64::try_from(value).map_err(|_| ProjectionError::Range(value))
}

fn source_spoke(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    store
        .prepare_cached(
            "INSERT INTO sources (source, state, epoch, number, records, time) \
             VALUES (?1, 'enrolled', ?2, ?3, 1, ?4) ON CONFLICT (source) DO UPDATE SET \
             epoch = ?2, number = ?3, records = records + 1, time = ?4",
        )?
        .execute(params![
            record.source,
            number(record.source_epoch)?,
            number(record.source_seq)?,
            record.time.to_string()
        ])?;
    Ok(())
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

fn latest(store: &Connection, table: &str, record: &Record) -> Result<(), ProjectionError> {
    store
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {table} (seq, time, body) VALUES (?1, ?2, ?3)"
        ))?
        .execute(params![number(record.seq)?, record.time.to_string(), record.body.to_string()])?;
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

fn tally(
    store: &Connection,
    record: &Record,
    policies: &[String],
    what: &str,
) -> Result<(), ProjectionError> {
    let mut statement = store.prepare_cached(
        "INSERT INTO tally (hour, scope, name, what, count, last) VALUES (?1, ?2, ?3, ?4, 1, ?5) \
         ON CONFLICT (hour, scope, name, what) DO UPDATE SET count = count + 1, last = ?5",
    )?;
    let time = record.time.to_string();
    let hour: String = time.chars().take(13).collect();
    statement.execute(params![hour, "all", "", what, time])?;
    for control in &record.controls {
        statement.execute(params![hour, "control", control, what, time])?;
    }
    for policy in policies {
        statement.execute(params![hour, "policy", policy, what, time])?;
    }
    Ok(())
}

fn decision(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    let decision: Decision = body(record)?;
    let what = match (decision.dry_run, decision.decision, decision.would_block) {
        (true, Answer::Deny, _) => "dry-run-denied",
        (true, Answer::Allow, _) => "dry-run-allowed",
        (false, Answer::Deny, _) => "denied",
        (false, Answer::Allow, true) => "would-block",
        (false, Answer::Allow, false) => "allowed",
    };
    let mut policies: Vec<String> = decision.rules.iter().map(|rule| rule.policy.clone()).collect();
    policies.sort();
    policies.dedup();
    if what != "allowed" && what != "dry-run-allowed" {
        policies.retain(|policy| decision.policies.contains(policy));
    }
    tally(store, record, &policies, what)?;
    latest(store, "decisions", record)
}

fn block(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    let block: Block = body(record)?;
    tally(store, record, &block.policies, "blocked")?;
    latest(store, "blocks", record)
}

fn finding(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
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
    tally(store, record, std::slice::from_ref(&finding.check), what)
}

/// What generate rules made and answer for.
fn change(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    let change: ChangeBody = body(record)?;
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

fn policy(store: &Connection, record: &Record) -> Result<(), ProjectionError> {
    let policy: PolicyBody = body(record)?;
    let key = format!("{} {} {}", policy.kind, policy.name, policy.origin);
    match policy.state {
        PolicyState::Removed => {
            store.prepare_cached("DELETE FROM policies WHERE name = ?1")?.execute([&key])?;
        }
        PolicyState::Active | PolicyState::Broken | PolicyState::Enforcer => {
            keep(store, "policies", &key, record)?;
        }
    }
    Ok(())
}
