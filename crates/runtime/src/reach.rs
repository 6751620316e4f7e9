//! Whether the API server answers, as those notice it who watch it.
//!
//! A watch that was interrupted is taken up again without a word, so whoever lost the API server says
//! so here, and it is asked until it answers. While nobody loses it, nothing is asked.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::watcher;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Between two questions.
const AGAIN: Duration = Duration::from_secs(1);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the API server. Shared by all who watch it.
#[derive(Debug)]
pub struct Reach(watch::Sender<Option<String>>);

// === impl Reach ===

impl Reach {
    /// The API server answers, as far as anybody knows.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(None)))
    }

    /// Somebody lost it.
    pub fn lost(&self, cause: &impl ToString) {
        self.0.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                *lost = Some(cause.to_string());
            }
            first
        });
    }

    /// Somebody's watch was interrupted. Where the API server said why, it answers: a watch that is too old
    /// is begun anew, and a kind that may not be watched is no server that is away.
    pub fn interrupted(&self, error: &watcher::Error) {
        if !is_answer(error) {
            self.lost(error);
        }
    }

    /// Why it does not answer; none while it does.
    pub fn lost_by(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Asks a lost API server until it answers. Runs until dropped.
    pub async fn mend(self: Arc<Self>, client: Client) {
        let mut changes = self.0.subscribe();
        // INVARIANT: the sender is `self`, so that waiting ends only with what is waited for.
        while changes.wait_for(Option::is_some).await.is_ok() {
            tracing::warn!("the API server is away; policies stay in force");
            loop {
                sleep(AGAIN).await;
                if let Ok(Ok(_)) = timeout(PATIENCE, client.apiserver_version()).await {
                    break;
                }
            }
            tracing::info!("the API server answers again");
            self.0.send_replace(None);
        }
    }
}

/// Whether an error is what a working API server says.
pub(crate) fn is_answer(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code < 500,
        watcher::Error::NoResourceVersion => true,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_) => false,
    }
}
