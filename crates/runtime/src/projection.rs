//! What the page and the API need at hand, kept in SQLite and derived from the ledger alone.
//!
//! The file can be deleted at any time: [`catch_up`] rebuilds it from the records. Each
//! batch is applied in one transaction together with the number of the last record in it, so a
//! crash leaves a state that some prefix of the ledger has.
//!
//! Someone who can write to this file can make the page say something untrue, but no export: that
//! reads the ledger.

mod apply;
mod batch;
mod follow;
mod read;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proofstream_model::Record;
use rusqlite::Connection;

pub use follow::{FollowError, catch_up, follow};
pub use read::{
    BlockRow, ControlRow, DecisionRow, FindingRow, GapRow, HourCount, Overview, PolicyRow, ScanRow,
    SourceRow, Totals,
};

/// Rows kept of each kind of "latest" list.
const LATEST: i64 = 500;

/// Grows when the tables change; an older file is dropped and rebuilt.
const VERSION: i64 = 6;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE sources (source TEXT PRIMARY KEY, state TEXT NOT NULL, epoch INTEGER NOT NULL,
  number INTEGER NOT NULL, records INTEGER NOT NULL, time TEXT NOT NULL) STRICT;
CREATE TABLE tally (hour TEXT NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, what TEXT NOT NULL,
  count INTEGER NOT NULL, last TEXT NOT NULL, PRIMARY KEY (hour, scope, name, what)) STRICT;
CREATE TABLE decisions (seq INTEGER PRIMARY KEY, time TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE blocks (seq INTEGER PRIMARY KEY, time TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE findings (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, time TEXT NOT NULL,
  controls TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE policies (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, time TEXT NOT NULL,
  controls TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE in_force (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, time TEXT NOT NULL,
  controls TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE gaps (seq INTEGER PRIMARY KEY, time TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE products (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, time TEXT NOT NULL,
  controls TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE settled (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, time TEXT NOT NULL,
  controls TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE requests (blob TEXT PRIMARY KEY, time TEXT NOT NULL, erased INTEGER NOT NULL) STRICT;
CREATE TABLE scans (seq INTEGER PRIMARY KEY, time TEXT NOT NULL, body TEXT NOT NULL) STRICT;
";

/// The derived state, open for reading and writing by one process.
#[derive(Debug)]
pub struct Projection {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

/// Why the projection cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// SQLite refused.
    #[error("the projection cannot be read or written; it is derived, so deleting it is safe")]
    Store(#[from] rusqlite::Error),
    /// A record's body is not what its kind says.
    #[error("record {seq} has a body that its kind `{kind}` does not allow")]
    Body {
        /// The record's number.
        seq: u64,
        /// Its kind.
        kind: String,
        /// What was wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A number outside SQLite's range.
    #[error("record number {0} is out of range")]
    Range(u64),
}

// === impl Projection ===

impl Projection {
    /// Opens the file, making it anew where it is missing or of another version.
    pub fn open(path: &Path) -> Result<Self, ProjectionError> {
        let writer = Connection::open(path)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        // Derived data: a lost tail is rebuilt from the ledger.
        writer.pragma_update(None, "synchronous", "OFF")?;
        writer.pragma_update(None, "cache_size", -1024)?;
        let version: i64 = writer.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            drop_tables(&writer)?;
            writer.execute_batch(TABLES)?;
            writer.pragma_update(None, "user_version", VERSION)?;
        }
        let reader = Connection::open(path)?;
        reader.pragma_update(None, "query_only", true)?;
        reader.pragma_update(None, "cache_size", -1024)?;
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }

    /// Makes sure that the file belongs to the ledger of this origin; otherwise it is emptied.
    pub fn belong_to(&self, origin: &str) -> Result<(), ProjectionError> {
        let writer = lock(&self.writer);
        let known = meta(&writer, "origin")?;
        if known.as_deref() != Some(origin) {
            drop_tables(&writer)?;
            writer.execute_batch(TABLES)?;
            set_meta(&writer, "origin", origin)?;
        }
        Ok(())
    }

    /// The number of the next record to apply.
    pub fn next_seq(&self) -> Result<u64, ProjectionError> {
        let applied = meta(&lock(&self.writer), "next")?;
        Ok(applied.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Applies records in the order of their numbers, all or none. Records that were applied
    /// before are passed over, so a caller may hand over more than is missing.
    pub fn apply(&self, records: &[Record]) -> Result<(), ProjectionError> {
        let next = self.next_seq()?;
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction()?;
        apply::records(&transaction, records.iter().filter(|record| record.seq >= next))?;
        if let Some(last) = records.last().filter(|last| last.seq >= next) {
            set_meta(&transaction, "next", &last.seq.saturating_add(1).to_string())?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        lock(&self.reader)
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic while it was held leaves at most an open transaction, which SQLite rolls back.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn drop_tables(connection: &Connection) -> rusqlite::Result<()> {
    let names: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        connection.execute_batch(&format!("DROP TABLE \"{name}\""))?;
    }
    Ok(())
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    use rusqlite::OptionalExtension as _;
    connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
        .optional()
}

fn set_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute([key, value])
        .map(|_| ())
}
