//! The same policies over what already runs: one watch a kind, a finding when something changes.
//!
//! Objects are judged as they arrive and then dropped; what stays is the book of open findings and,
//! of each object, its UID. A change of the policies lists everything once more.

mod audit;
pub mod book;
mod judging;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, SelectAll};
use kube::Client;
use kube::api::ApiResource;
use proofstream_model::{Entry, FindingBody, ScanBody, Timestamp};
use proofstream_observe::cluster::{Interrupted, Seen, watch};
use serde_json::Value;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, MissedTickBehavior};

pub use audit::Audit;
pub use book::{Book, Identity, Judged, RuleName};
pub use judging::PolicyJudge;
pub(crate) use judging::resources;

use crate::reach::{Reach, is_answer};
use crate::reports::Reports;

/// How often everything is listed anew although nothing said that it changed: it mends what a lost
/// event would have left.
const SWEEP: Duration = Duration::from_hours(1);
/// How often everything is looked at anew because what it is judged beside changed, at most.
const RENEWAL: Duration = Duration::from_secs(30);
/// Between two attempts to hand a record to a ledger that is full.
const RETRY: Duration = Duration::from_millis(200);

/// The policies, as the background asks them.
pub trait Judge: Send + Sync + 'static {
    /// Kinds that some background rule names, and kinds that cannot be watched, with the reason.
    fn kinds(&self) -> BoxFuture<'_, (Vec<ApiResource>, Vec<String>)>;
    /// Every rule that is in force.
    fn rules(&self) -> BTreeSet<RuleName>;
    /// What the rules that match say of an object.
    fn judge(&self, object: Value) -> BoxFuture<'_, Vec<Judged>>;
    /// Changes when the policies do.
    fn changes(&self) -> Receiver<u64>;
    /// Changes when what objects are judged beside does: the other objects that policies look at.
    fn surroundings(&self) -> Receiver<u64>;
    /// What is to be said of the policies' exceptions themselves, and when that is next to be asked.
    fn exceptions(&self) -> (Vec<(Identity, Judged)>, Option<Duration>);
}

/// Takes records in; says no when it cannot now.
pub trait Notebook: Send + Sync + 'static {
    /// All or none.
    fn write(&self, entries: &[Entry]) -> bool;
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// How the background evaluation does, for the page and for readiness.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Whole passes so far.
    pub passes: u64,
    /// Kinds being watched.
    pub kinds: Vec<String>,
    /// What could not be looked at, and why.
    pub not_evaluated: Vec<String>,
}

/// The background evaluation.
pub struct Background {
    client: Client,
    judge: Arc<dyn Judge>,
    notebook: Arc<dyn Notebook>,
    book: Book,
    reports: Option<Arc<Reports>>,
    audit: Option<Audit>,
    reach: Arc<Reach>,
    progress: tokio::sync::watch::Sender<Progress>,
}

type Watches = SelectAll<BoxStream<'static, (usize, Result<Seen, Interrupted>)>>;

/// One pass over everything.
struct Pass {
    cause: &'static str,
    started: Timestamp,
    kinds: Vec<ApiResource>,
    waiting: BTreeSet<usize>,
    listed: BTreeMap<usize, BTreeSet<String>>,
    objects: u64,
    verdicts: BTreeMap<String, u64>,
    not_evaluated: Vec<String>,
    /// Kinds that the API server refused to list, and why.
    refused: Vec<String>,
    /// Kinds whose watch does not work now, and why.
    interrupted: BTreeMap<usize, String>,
}

/// Waits for a change, and then until some moment.
async fn later(changes: &mut Receiver<u64>, moment: Instant) {
    if changes.changed().await.is_err() {
        return std::future::pending().await;
    }
    // A wait that is cut short by another event sees the change again.
    changes.mark_changed();
    tokio::time::sleep_until(moment).await;
}

// === impl Background ===

impl Background {
    /// `open` is what the ledger says is open: it is not recorded again. `reach` is told when the API server
    /// does not answer.
    pub fn new(
        client: Client,
        judge: Arc<dyn Judge>,
        notebook: Arc<dyn Notebook>,
        open: Vec<FindingBody>,
        reach: Arc<Reach>,
    ) -> Self {
        let progress = tokio::sync::watch::Sender::new(Progress::default());
        Self {
            client,
            judge,
            notebook,
            book: Book::new(open),
            reports: None,
            audit: None,
            reach,
            progress,
        }
    }

    /// The same, with reports written of what is judged.
    #[must_use]
    pub fn reporting(mut self, reports: Option<Arc<Reports>>) -> Self {
        self.reports = reports;
        self
    }

    /// The same, with what is found of constraints written into their status.
    #[must_use]
    pub fn auditing(mut self, audit: Audit) -> Self {
        self.audit = Some(audit);
        self
    }

    /// How it does.
    pub fn progress(&self) -> Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Runs until dropped.
    pub async fn run(mut self) {
        let mut changes = self.judge.changes();
        let mut surroundings = self.judge.surroundings();
        let mut cause = "start";
        loop {
            changes.mark_unchanged();
            let renewal = Instant::now() + RENEWAL;
            let mut pass = self.begin(cause).await;
            // Nothing has been judged yet: what changed until now is seen.
            surroundings.mark_unchanged();
            let mut watches = self.watches(&pass.kinds);
            // With nothing to watch, the pass over nothing is complete at once.
            self.complete(&mut pass).await;
            let mut sweep = std::pin::pin!(tokio::time::sleep(SWEEP));
            let expiry = self.exceptions().await;
            let mut audits = tokio::time::interval(audit::INTERVAL);
            audits.set_missed_tick_behavior(MissedTickBehavior::Delay);
            cause = loop {
                tokio::select! {
                    // What it covered is judged anew.
                    () = tokio::time::sleep_until(expiry) => break "exception-expired",
                    changed = changes.changed() => match changed {
                        Ok(()) => break "policies-changed",
                        Err(_) => return,
                    },
                    () = &mut sweep => break "sweep",
                    () = later(&mut surroundings, renewal) => break "surroundings-changed",
                    _ = audits.tick() => self.audit(&pass).await,
                    Some((kind, seen)) = watches.next() => self.take(&mut pass, kind, seen).await,
                }
            };
        }
    }

    async fn begin(&mut self, cause: &'static str) -> Pass {
        if let Some(reports) = &self.reports {
            reports.begin();
        }
        let (kinds, not_evaluated) = self.judge.kinds().await;
        let gone = self.book.rules_gone(&self.judge.rules());
        self.write(gone).await;
        self.progress.send_modify(|progress| {
            progress.kinds = kinds.iter().map(|kind| kind.kind.clone()).collect();
            progress.not_evaluated.clone_from(&not_evaluated);
        });
        Pass {
            cause,
            started: self.notebook.now(),
            waiting: (0..kinds.len()).collect(),
            listed: BTreeMap::new(),
            kinds,
            objects: 0,
            verdicts: BTreeMap::new(),
            not_evaluated,
            refused: Vec::new(),
            interrupted: BTreeMap::new(),
        }
    }

    /// Has exceptions that have run out found, and says when to look again.
    async fn exceptions(&mut self) -> Instant {
        let (expired, next) = self.judge.exceptions();
        let changes = self.book.exceptions(&expired, self.notebook.now());
        self.write(changes).await;
        Instant::now() + next.unwrap_or(SWEEP).min(SWEEP)
    }

    fn watches(&self, kinds: &[ApiResource]) -> Watches {
        kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| {
                watch(self.client.clone(), kind).map(move |seen| (index, seen)).boxed()
            })
            .collect()
    }

    async fn take(&mut self, pass: &mut Pass, kind: usize, seen: Result<Seen, Interrupted>) {
        if seen.is_ok() && pass.interrupted.remove(&kind).is_some() {
            self.tell(pass);
        }
        match seen {
            Ok(Seen::Start) => {
                pass.listed.insert(kind, BTreeSet::new());
            }
            Ok(Seen::Object(object)) => self.object(pass, kind, object).await,
            Ok(Seen::Gone { uid }) => {
                let gone = self.book.object_gone(&uid);
                self.write(gone).await;
            }
            Ok(Seen::Listed) => {
                let listed = pass.listed.remove(&kind).unwrap_or_default();
                if let Some(kind) = pass.kinds.get(kind) {
                    let gone = self.book.not_listed(&kind.api_version, &kind.kind, &listed);
                    self.write(gone).await;
                }
                if pass.waiting.remove(&kind) {
                    self.complete(pass).await;
                }
            }
            Err(interrupted) => self.interrupted(pass, kind, &interrupted).await,
        }
    }

    /// The watch of a kind does not work. One that the API server refuses is not waited for: the pass says
    /// that it was not evaluated, and what is open of it stays open.
    async fn interrupted(&mut self, pass: &mut Pass, kind: usize, interrupted: &Interrupted) {
        tracing::warn!(cause = %interrupted.cause, "{interrupted}");
        self.reach.interrupted(&interrupted.cause);
        let words = format!("{} cannot be watched: {}", interrupted.kind, interrupted.cause);
        pass.interrupted.insert(kind, words.clone());
        self.tell(pass);
        if is_answer(&interrupted.cause) && pass.waiting.remove(&kind) {
            pass.refused.push(words);
            self.complete(pass).await;
        }
    }

    /// Shows what cannot be looked at now.
    fn tell(&self, pass: &Pass) {
        self.progress.send_modify(|progress| {
            let interrupted = pass.interrupted.values();
            progress.not_evaluated =
                pass.not_evaluated.iter().chain(interrupted).cloned().collect();
        });
    }

    async fn object(&mut self, pass: &mut Pass, kind: usize, object: Value) {
        let text = |pointer: &str| {
            object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let uid = text("/metadata/uid");
        let identity = book::Identity::of(&object);
        if let Some(listed) = pass.listed.get_mut(&kind) {
            listed.insert(uid.clone());
        }
        let judged = self.judge.judge(object).await;
        if let Some(reports) = &self.reports {
            reports.note(&identity, &judged);
        }
        if pass.waiting.contains(&kind) {
            pass.objects = pass.objects.saturating_add(1);
            for judged in &judged {
                let count = pass.verdicts.entry(judged.verdict.word().to_owned()).or_default();
                *count = count.saturating_add(1);
            }
        }
        let changes = self.book.judged(&identity, &judged, self.notebook.now());
        self.write(changes).await;
    }

    /// Shows what is found of constraints, once all has been looked at.
    async fn audit(&mut self, pass: &Pass) {
        if let Some(audit) = self.audit.as_mut().filter(|_| pass.waiting.is_empty()) {
            audit.write(&self.book, self.notebook.now()).await;
        }
    }

    /// Records the pass once every kind has been listed.
    async fn complete(&mut self, pass: &mut Pass) {
        if !pass.waiting.is_empty() {
            return;
        }
        let body = ScanBody {
            cause: pass.cause.to_owned(),
            started: pass.started,
            objects: pass.objects,
            verdicts: std::mem::take(&mut pass.verdicts),
            not_evaluated: pass.not_evaluated.iter().chain(&pass.refused).cloned().collect(),
        };
        let whole = body.not_evaluated.is_empty();
        match Entry::new(&body, Vec::new()) {
            Ok(entry) => self.hand_over(vec![entry]).await,
            Err(error) => tracing::error!(%error, "a scan cannot be written"),
        }
        if let Some(reports) = self.reports.as_ref().filter(|_| whole) {
            reports.complete();
        }
        self.progress.send_modify(|progress| progress.passes = progress.passes.saturating_add(1));
    }

    async fn write(&self, changes: Vec<FindingBody>) {
        let entries: Vec<Entry> = changes
            .iter()
            .filter_map(|change| {
                Entry::new(change, change.finding.controls.clone())
                    .inspect_err(|error| tracing::error!(%error, "a finding cannot be written"))
                    .ok()
            })
            .collect();
        // A batch of records is one frame of the log; findings of one object are few.
        for batch in entries.chunks(64) {
            self.hand_over(batch.to_vec()).await;
        }
    }

    /// Waits for a full ledger: what runs is looked at a little later, and nothing is lost.
    async fn hand_over(&self, entries: Vec<Entry>) {
        while !self.notebook.write(&entries) {
            tokio::time::sleep(RETRY).await;
        }
    }
}
