//! What records of one step add up to, written once: many decisions in a step touch the same counts.

use std::collections::{BTreeMap, VecDeque};

use proofstream_model::{Record, Timestamp};
use rusqlite::{Connection, params};

use super::apply::number;
use super::{LATEST, ProjectionError};

/// One count: hour since 1970, scope, name, what is counted.
type Count<'r> = (i64, &'static str, &'r str, &'static str);

/// The lists of the latest.
const LISTS: [&str; 4] = ["decisions", "blocks", "gaps", "scans"];

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

/// Sums and lists that are not written yet.
#[derive(Default)]
pub(super) struct Batch<'r> {
    counts: BTreeMap<Count<'r>, (i64, Timestamp)>,
    sources: BTreeMap<&'r str, (&'r Record, i64)>,
    lists: BTreeMap<&'static str, VecDeque<&'r Record>>,
    /// The numbers of the first record and the last.
    span: Option<(u64, u64)>,
}

impl<'r> Batch<'r> {
    /// A record is life of its source.
    pub(super) fn spoke(&mut self, record: &'r Record) {
        let (last, records) = self.sources.entry(record.source.as_str()).or_insert((record, 0));
        *last = record;
        *records += 1;
        let first = self.span.map_or(record.seq, |(first, _)| first);
        self.span = Some((first, record.seq));
    }

    /// Counts a record as `what`, for all, for its controls and for these policies.
    pub(super) fn tally<'p: 'r>(
        &mut self,
        record: &'r Record,
        policies: impl IntoIterator<Item = &'p str>,
        what: &'static str,
    ) {
        let hour = record.time.micros().div_euclid(HOUR);
        let controls = record.controls.iter().map(|control| ("control", control.as_str()));
        let policies = policies.into_iter().map(|policy| ("policy", policy));
        for (scope, name) in [("all", "")].into_iter().chain(controls).chain(policies) {
            let (count, last) =
                self.counts.entry((hour, scope, name, what)).or_insert((0, record.time));
            *count += 1;
            *last = record.time;
        }
    }

    /// Puts a record on one of the lists of the latest.
    pub(super) fn latest(&mut self, table: &'static str, record: &'r Record) {
        let list = self.lists.entry(table).or_default();
        list.push_back(record);
        if i64::try_from(list.len()).is_ok_and(|length| length > LATEST) {
            list.pop_front();
        }
    }

    /// Writes everything.
    pub(super) fn write(self, store: &Connection) -> Result<(), ProjectionError> {
        for (source, (last, records)) in self.sources {
            store
                .prepare_cached(
                    "INSERT INTO sources (source, state, epoch, number, records, time) \
                     VALUES (?1, 'enrolled', ?2, ?3, ?4, ?5) ON CONFLICT (source) DO UPDATE SET \
                     epoch = ?2, number = ?3, records = records + ?4, time = ?5",
                )?
                .execute(params![
                    source,
                    number(last.source_epoch)?,
                    number(last.source_seq)?,
                    records,
                    last.time.to_string()
                ])?;
        }
        for ((hour, scope, name, what), (count, last)) in self.counts {
            let hour = Timestamp::from_micros(hour.saturating_mul(HOUR)).to_string();
            let hour: String = hour.chars().take(13).collect();
            store
                .prepare_cached(
                    "INSERT INTO tally (hour, scope, name, what, count, last) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (hour, scope, name, what) \
                     DO UPDATE SET count = count + ?5, last = ?6",
                )?
                .execute(params![hour, scope, name, what, count, last.to_string()])?;
        }
        for (table, records) in self.lists {
            let insert =
                format!("INSERT OR REPLACE INTO {table} (seq, time, body) VALUES (?1, ?2, ?3)");
            let mut statement = store.prepare_cached(&insert)?;
            for record in records {
                let (time, body) = (record.time.to_string(), record.body.to_string());
                statement.execute(params![number(record.seq)?, time, body])?;
            }
        }
        if self.span.is_some_and(|(first, last)| first == 0 || part(first - 1) != part(last)) {
            trim(store)?;
        }
        Ok(())
    }
}

/// Which part of the ledger a record is in: each has as many records as a list shows.
fn part(seq: u64) -> u64 {
    seq / LATEST.unsigned_abs()
}

/// Shortens the lists to what they show. Looking for their ends costs more than adding to them, so it is
/// done once a part: until then a list is at most that much longer.
fn trim(store: &Connection) -> Result<(), ProjectionError> {
    for table in LISTS {
        store
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE seq < (SELECT MIN(seq) FROM \
                 (SELECT seq FROM {table} ORDER BY seq DESC LIMIT ?1))"
            ))?
            .execute([LATEST])?;
    }
    Ok(())
}
