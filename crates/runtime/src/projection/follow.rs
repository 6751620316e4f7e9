//! Keeps the projection up with the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proofstream_ledger::writer::{ObserveError, Observed, Writer};
use proofstream_model::Record;
use tokio::sync::watch;

use super::{Projection, ProjectionError};

/// How long one look at the ledger waits for something new.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long records are gathered before they are applied: what many of them change is written once.
const GATHER: Duration = Duration::from_millis(100);

/// Why the projection no longer follows. The ledger is unharmed; the page is old.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The projection cannot be written.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// A line of the ledger is no record.
    #[error("record {seq} of the ledger cannot be read")]
    Line {
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Applies everything that is durable now.
pub fn catch_up(projection: &Projection, writer: &Writer) -> Result<(), FollowError> {
    projection.belong_to(&writer.origin())?;
    let end = writer.durable_end();
    let mut observer = writer.observe(projection.next_seq()?);
    while observer.position() < end {
        match observer.next(PATIENCE) {
            Ok(Some(observed)) => projection.apply(&records(&observed)?)?,
            Ok(None) => {}
            Err(ObserveError::Ended) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Applies what is in the ledger and what comes, until `stop` is set or the writer ends; `applied`
/// tells the number of the next record after each step. Blocks: give it a thread of its own.
pub fn follow(
    projection: &Projection,
    writer: &Writer,
    applied: &watch::Sender<u64>,
    stop: &Arc<AtomicBool>,
) -> Result<(), FollowError> {
    catch_up(projection, writer)?;
    let mut observer = writer.observe(projection.next_seq()?);
    while !stop.load(Ordering::Relaxed) {
        match observer.next(PATIENCE) {
            Ok(Some(observed)) => {
                projection.apply(&records(&observed)?)?;
                applied.send_replace(observer.position());
                std::thread::sleep(GATHER);
            }
            Ok(None) => {}
            Err(ObserveError::Ended) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn records(observed: &Observed) -> Result<Vec<Record>, FollowError> {
    (observed.first_seq()..)
        .zip(observed.lines())
        .map(|(seq, line)| Record::parse(line).map_err(|source| FollowError::Line { seq, source }))
        .collect()
}
