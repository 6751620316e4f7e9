//! What is derived from the ledger: made when it is missing, brought up to date, and kept so.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proofstream_ledger::writer::Writer;
use proofstream_runtime::policies::Previous;
use proofstream_runtime::projection::{self, Projection, ProjectionError, catch_up};
use tokio::sync::watch;

use super::{Handles, UpError};

/// The projection's file in the data folder.
const PROJECTION: &str = "projection.sqlite";

/// Between two attempts to write it.
const AGAIN: Duration = Duration::from_secs(1);

/// The projection as a thread keeps it up to date.
#[derive(Clone)]
pub(super) struct Shown {
    /// The number of the next record to be applied.
    pub(super) applied: watch::Receiver<u64>,
    /// Whether it still follows.
    pub(super) follows: Arc<AtomicBool>,
}

/// Opens the projection and applies what the ledger has beyond it. One that cannot be used is
/// removed and made anew: nothing but the ledger is the truth.
pub(super) async fn projection(
    data: &Path,
    writer: &Arc<Writer>,
) -> Result<Arc<Projection>, UpError> {
    let (path, writer) = (data.join(PROJECTION), Arc::clone(writer));
    let work = tokio::task::spawn_blocking(move || {
        let open = || -> Result<Projection, String> {
            let projection = Projection::open(&path).map_err(|error| error.to_string())?;
            catch_up(&projection, &writer).map_err(|error| error.to_string())?;
            Ok(projection)
        };
        open().or_else(|reason| {
            tracing::warn!(reason, "the projection is made anew from the ledger");
            for file in ["", "-wal", "-shm"] {
                let mut name = path.clone().into_os_string();
                name.push(file);
                let _ = std::fs::remove_file(name);
            }
            open()
        })
    });
    let projection = work.await.map_err(|error| UpError::Derived(error.to_string()))?;
    projection.map(Arc::new).map_err(UpError::Derived)
}

/// What the ledger last said of each policy.
pub(super) fn previous_policies(projection: &Projection) -> Result<Previous, UpError> {
    let underivable = |error: ProjectionError| UpError::Derived(error.to_string());
    let last = projection.policies().map_err(underivable)?;
    let in_force = projection.last_in_force().map_err(underivable)?;
    Ok(Previous { last, in_force })
}

/// Says that all is to stop, when it is dropped.
struct Ending(Arc<AtomicBool>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Follows the ledger on a thread of its own until everything stops or the writer ends. What cannot be
/// written now (the disk is full) is tried again: the ledger still has it.
pub(super) fn follow(handles: &Handles) -> Shown {
    let (sender, applied) = watch::channel(0);
    let follows = Arc::new(AtomicBool::new(true));
    let stopping = Arc::new(AtomicBool::new(false));
    let shown = Shown { applied, follows: Arc::clone(&follows) };
    let (shown_by, writer) = (Arc::clone(&handles.projection), Arc::clone(&handles.writer));
    let (stop, ended) = (handles.stop.clone(), Arc::clone(&stopping));
    // Dropped when all is to stop, and also when the runtime ends without that: the thread must not
    // outlive it, as the runtime waits for it.
    let ending = Ending(ended);
    tokio::spawn(async move {
        stop.cancelled().await;
        drop(ending);
    });
    tokio::task::spawn_blocking(move || {
        let again = || {
            catch_up(&shown_by, &writer)?;
            follows.store(true, Ordering::Relaxed);
            projection::follow(&shown_by, &writer, &sender, &stopping)
        };
        while let Err(error) = again() {
            if follows.swap(false, Ordering::Relaxed) {
                tracing::error!(%error, "the page does not follow the ledger; trying again");
            }
            if stopping.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(AGAIN);
        }
        follows.store(false, Ordering::Relaxed);
    });
    shown
}
