//! What the page and the API ask of the derived state.

use std::collections::BTreeMap;

use proofstream_model::{
    Block, ChangeBody, Decision, FindingBody, GapBody, PolicyBody, ScanBody, Timestamp,
};
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Projection, ProjectionError};

/// Everything the first page shows that comes from the ledger.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overview {
    /// Records applied so far: the next record's number.
    pub records: u64,
    /// Counts since `since`.
    pub totals: Totals,
    /// Blocks an hour, oldest first; hours without any are left out.
    pub blocked_by_hour: Vec<HourCount>,
    /// By control id.
    pub controls: BTreeMap<String, ControlRow>,
    /// Policies in force, broken ones included.
    pub policies: Vec<PolicyRow>,
    /// Newest first.
    pub decisions: Vec<DecisionRow>,
    /// Newest first.
    pub blocks: Vec<BlockRow>,
    /// Open ones, newest first.
    pub findings: Vec<FindingRow>,
    /// How many are open in all.
    pub findings_open: u64,
    /// Newest first.
    pub gaps: Vec<GapRow>,
    /// By name.
    pub sources: Vec<SourceRow>,
    /// The last pass of the background evaluation.
    pub last_scan: Option<ScanRow>,
}

/// Counts over a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Requests that the API server refused by policy.
    pub blocked: u64,
    /// Webhook answers that refused (dry runs apart).
    pub denied: u64,
    /// Requests that a policy in Audit mode would have refused.
    pub would_block: u64,
    /// Webhook answers that allowed (dry runs apart).
    pub allowed: u64,
    /// Dry runs that would have been refused.
    pub dry_run_denied: u64,
}

/// A count in one hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HourCount {
    /// `YYYY-MM-DDTHH`, UTC.
    pub hour: String,
    /// How many.
    pub count: u64,
}

/// What is known of a control.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ControlRow {
    /// Counts since the overview's start.
    pub totals: Totals,
    /// Findings that are open now.
    pub findings_open: u64,
    /// When the last piece of evidence was recorded.
    pub last: Option<String>,
}

/// A policy as it was last recorded.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyRow {
    /// The record.
    pub seq: u64,
    /// Since when.
    pub time: String,
    /// Controls that it stands for.
    pub controls: Vec<String>,
    /// Its content.
    pub policy: PolicyBody,
    /// Counts since the overview's start.
    pub totals: Totals,
}

/// A recorded decision.
#[derive(Debug, Clone, Serialize)]
pub struct DecisionRow {
    /// The record.
    pub seq: u64,
    /// When it was appended.
    pub time: String,
    /// Its content.
    pub decision: Decision,
}

/// A recorded block.
#[derive(Debug, Clone, Serialize)]
pub struct BlockRow {
    /// The record.
    pub seq: u64,
    /// When it was appended.
    pub time: String,
    /// Its content.
    pub block: Block,
}

/// An open finding.
#[derive(Debug, Clone, Serialize)]
pub struct FindingRow {
    /// The record.
    pub seq: u64,
    /// When it was appended.
    pub time: String,
    /// Its content.
    pub finding: FindingBody,
}

/// A recorded gap.
#[derive(Debug, Clone, Serialize)]
pub struct GapRow {
    /// The record.
    pub seq: u64,
    /// When it was appended.
    pub time: String,
    /// Its content.
    pub gap: GapBody,
}

/// The last pass of the background evaluation.
#[derive(Debug, Clone, Serialize)]
pub struct ScanRow {
    /// The record.
    pub seq: u64,
    /// When it was appended.
    pub time: String,
    /// Its content.
    pub scan: ScanBody,
}

/// A source and when it last spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceRow {
    /// Its name.
    pub source: String,
    /// `enrolled` or `retired`.
    pub state: String,
    /// The epoch it is in; 0 if it has not spoken yet.
    pub epoch: u64,
    /// Records in all.
    pub records: u64,
    /// When it last spoke, or was enrolled.
    pub time: String,
}

// === impl Projection ===

impl Projection {
    /// Blobs of requests that were judged before a moment and are not erased, the oldest first.
    pub fn kept_requests(
        &self,
        before: Timestamp,
        most: u32,
    ) -> Result<Vec<String>, ProjectionError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(
            "SELECT blob FROM requests WHERE erased = 0 AND time < ?1 ORDER BY time LIMIT ?2",
        )?;
        let rows = statement.query_map(params![before.to_string(), most], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Blobs of requests that the last erasure names.
    pub fn erased_requests(&self) -> Result<Vec<String>, ProjectionError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached("SELECT blob FROM requests WHERE erased = 1")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The first page, with counts since `since` (rounded down to the hour) and lists of at most
    /// `rows` rows.
    pub fn overview(&self, since: Timestamp, rows: u32) -> Result<Overview, ProjectionError> {
        let records = self.next_seq()?;
        let store = self.reader();
        let since: String = since.to_string().chars().take(13).collect();
        let mut overview = Overview {
            records,
            totals: totals(&store, &since, "all")?.remove("").unwrap_or_default().totals,
            blocked_by_hour: blocked_by_hour(&store, &since)?,
            controls: totals(&store, &since, "control")?,
            policies: policies(&store, &since)?,
            decisions: newest(&store, "decisions", rows, |seq, time, decision| DecisionRow {
                seq,
                time,
                decision,
            })?,
            blocks: newest(&store, "blocks", rows, |seq, time, block| BlockRow {
                seq,
                time,
                block,
            })?,
            findings: newest(&store, "findings", rows, |seq, time, finding| FindingRow {
                seq,
                time,
                finding,
            })?,
            findings_open: 0,
            gaps: newest(&store, "gaps", rows, |seq, time, gap| GapRow { seq, time, gap })?,
            sources: sources(&store)?,
            last_scan: newest(&store, "scans", 1, |seq, time, scan| ScanRow { seq, time, scan })?
                .pop(),
        };
        count_findings(&store, &mut overview)?;
        Ok(overview)
    }
}

impl Projection {
    /// Every finding that is open.
    pub fn open_findings(&self) -> Result<Vec<FindingBody>, ProjectionError> {
        let store = self.reader();
        let rows = newest(&store, "findings", u32::MAX, |_, _, finding| finding)?;
        Ok(rows)
    }

    /// What generate rules made and answer for.
    pub fn products(&self) -> Result<Vec<ChangeBody>, ProjectionError> {
        let store = self.reader();
        let rows = newest(&store, "products", u32::MAX, |_, _, change| change)?;
        Ok(rows)
    }

    /// What mutate rules for objects that exist have settled.
    pub fn settled(&self) -> Result<Vec<ChangeBody>, ProjectionError> {
        newest(&self.reader(), "settled", u32::MAX, |_, _, change| change)
    }

    /// Policies as they were last recorded.
    pub fn policies(&self) -> Result<Vec<PolicyBody>, ProjectionError> {
        let rows = policies(&self.reader(), "")?;
        Ok(rows.into_iter().map(|row| row.policy).collect())
    }

    /// The last record of each policy that says that it was in force: where a later one says that its text
    /// broke, both stand.
    pub fn last_in_force(&self) -> Result<Vec<PolicyBody>, ProjectionError> {
        newest(&self.reader(), "in_force", u32::MAX, |_, _, policy| policy)
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Counts by name within one scope.
fn totals(
    store: &Connection,
    since: &str,
    scope: &str,
) -> Result<BTreeMap<String, ControlRow>, ProjectionError> {
    let mut statement = store.prepare_cached(
        "SELECT name, what, SUM(count), MAX(last) FROM tally WHERE scope = ?1 AND hour >= ?2 \
         GROUP BY name, what",
    )?;
    let mut rows = statement.query(params![scope, since])?;
    let mut found: BTreeMap<String, ControlRow> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let entry = found.entry(row.get(0)?).or_default();
        let what: String = row.get(1)?;
        let count = unsigned(row.get(2)?);
        entry.last = entry.last.take().max(Some(row.get(3)?));
        match what.as_str() {
            "blocked" => entry.totals.blocked = count,
            "denied" => entry.totals.denied = count,
            "would-block" => entry.totals.would_block = count,
            "allowed" => entry.totals.allowed = count,
            "dry-run-denied" => entry.totals.dry_run_denied = count,
            _ => {}
        }
    }
    Ok(found)
}

fn blocked_by_hour(store: &Connection, since: &str) -> Result<Vec<HourCount>, ProjectionError> {
    let mut statement = store.prepare_cached(
        "SELECT hour, count FROM tally WHERE scope = 'all' AND what = 'blocked' AND hour >= ?1 \
         ORDER BY hour",
    )?;
    let rows = statement.query_map([since], |row| {
        Ok(HourCount { hour: row.get(0)?, count: unsigned(row.get(1)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn policies(store: &Connection, since: &str) -> Result<Vec<PolicyRow>, ProjectionError> {
    let counts = totals(store, since, "policy")?;
    let mut statement =
        store.prepare_cached("SELECT seq, time, controls, body FROM policies ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let policy: PolicyBody = content(row, 3)?;
        let controls: String = row.get(2)?;
        found.push(PolicyRow {
            seq: unsigned(row.get(0)?),
            time: row.get(1)?,
            controls: controls.split_whitespace().map(str::to_owned).collect(),
            totals: counts.get(&policy.name).map(|row| row.totals).unwrap_or_default(),
            policy,
        });
    }
    Ok(found)
}

fn newest<B: DeserializeOwned, R>(
    store: &Connection,
    table: &str,
    rows: u32,
    make: impl Fn(u64, String, B) -> R,
) -> Result<Vec<R>, ProjectionError> {
    let mut statement = store.prepare_cached(&format!(
        "SELECT seq, time, body FROM {table} ORDER BY seq DESC LIMIT ?1"
    ))?;
    let mut found = statement.query([rows])?;
    let mut list = Vec::new();
    while let Some(row) = found.next()? {
        list.push(make(unsigned(row.get(0)?), row.get(1)?, content(row, 2)?));
    }
    Ok(list)
}

fn content<B: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<B, ProjectionError> {
    let text: String = row.get(column)?;
    Ok(serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })?)
}

fn sources(store: &Connection) -> Result<Vec<SourceRow>, ProjectionError> {
    let mut statement = store.prepare_cached(
        "SELECT source, state, epoch, records, time FROM sources ORDER BY source",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(SourceRow {
            source: row.get(0)?,
            state: row.get(1)?,
            epoch: unsigned(row.get(2)?),
            records: unsigned(row.get(3)?),
            time: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn count_findings(store: &Connection, overview: &mut Overview) -> Result<(), ProjectionError> {
    let mut statement =
        store.prepare_cached("SELECT controls, COUNT(*) FROM findings GROUP BY controls")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let controls: String = row.get(0)?;
        let count = unsigned(row.get(1)?);
        overview.findings_open = overview.findings_open.saturating_add(count);
        for control in controls.split_whitespace() {
            let entry = overview.controls.entry(control.to_owned()).or_default();
            entry.findings_open = entry.findings_open.saturating_add(count);
        }
    }
    Ok(())
}
