//! The admission decision: read the request once, judge it, record the decision, answer.
//!
//! What the policies say is never changed by what happens to the record: a full disk or a dead
//! writer costs the trail, which says so itself, and not the control.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use proofstream_ledger::writer::Ticket;
use proofstream_model::{Answer, DecisionRef, Entry, Timestamp};
use proofstream_policy::{
    Environment, Evaluation, Mutation, Phase, PolicySet, Request, RuleResponse,
};
use tokio::time::timeout_at;

use crate::ingest::{Known, RecentDecisions};
use crate::inventory::Inventories;
use crate::metrics::Metrics;
use crate::policies::{Compiled, Policies, PolicyStore};
use crate::recorder::{Durability, Recorder, durable_within};
use crate::requests::KeptRequests;
use crate::webhooks::Lane;
use shortfall::Shortfall;

mod bindings;
mod decision;
mod filters;
mod lookups;
mod message;
mod namespaces;
mod policies;
mod review;
mod services;
mod shortfall;

pub use bindings::Bindings;
pub(crate) use decision::verdict;
pub use filters::{FilterError, Filters};
pub use lookups::{ApiServer, LookupResolver, Resolving};
pub use namespaces::{Labels, Namespaces};
pub use proofstream_policy::{Review, ReviewError};
pub use review::Reply;

/// How long an answer waits for its decision to be on disk.
pub const DURABILITY_PATIENCE: Duration = Duration::from_millis(100);
/// The key under which our answer carries the decision's reference; in the audit event it stands
/// under `WEBHOOK/decision`.
pub const DECISION_ANNOTATION: &str = "decision";
/// The key under which our answer says which rules changed the object.
pub const CHANGED_ANNOTATION: &str = "changed-by";
/// Most rules that it names.
const CHANGED_NAMES: usize = 20;
/// How long a request waits for the role bindings to be read.
const BINDINGS_PATIENCE: Duration = Duration::from_secs(2);
/// How often one request may ask for further lookups.
const ROUNDS: usize = 16;

const LATE: &str = "answers went out before their decision was durable";
const LOST: &str = "decisions were lost: the writer ended";
const REFUSED: &str = "the ledger did not take decisions";

/// What is counted since the start, and not recorded one by one.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that no policy matched.
    pub unmatched: AtomicU64,
    /// Requests that the filters keep from the policies.
    pub filtered: AtomicU64,
    /// Requests whose object was changed.
    pub changed: AtomicU64,
    /// Decisions that let the request go on.
    pub allowed: AtomicU64,
    /// Decisions that refused it.
    pub denied: AtomicU64,
    /// Answers that went out before their decision was on disk.
    pub late: AtomicU64,
    /// Decisions that the ledger did not take or lost.
    pub unrecorded: AtomicU64,
    /// Calls that could not be answered; the API server applied the failure policy.
    pub unanswered: AtomicU64,
}

/// What judges admission requests.
pub struct Admission {
    cluster: Option<String>,
    policies: Arc<PolicyStore>,
    recorder: Recorder,
    recent: Arc<RecentDecisions>,
    namespaces: Arc<Namespaces>,
    bindings: Arc<Bindings>,
    lookups: Arc<dyn LookupResolver>,
    inventory: Arc<Inventories>,
    metrics: Arc<Metrics>,
    filters: ArcSwap<Filters>,
    kept: Option<Arc<KeptRequests>>,
    counters: Counters,
    shortfall: Shortfall,
    draining: AtomicBool,
    started: Instant,
}

/// What an [`Admission`] is made of.
pub struct Parts {
    /// The cluster's identity, for subjects.
    pub cluster: Option<String>,
    /// The policies in force.
    pub policies: Arc<PolicyStore>,
    /// Who records decisions: source `admission/REPLICA`.
    pub recorder: Recorder,
    /// Where the ingestion of audit events finds the decisions that they refer to.
    pub recent: Arc<RecentDecisions>,
    /// Labels of namespaces.
    pub namespaces: Arc<Namespaces>,
    /// Roles of users.
    pub bindings: Arc<Bindings>,
    /// What policies may ask.
    pub lookups: Arc<dyn LookupResolver>,
    /// The cluster's other objects.
    pub inventory: Arc<Inventories>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// What is never judged.
    pub filters: Filters,
    /// Where requests are kept for replays, if they are.
    pub kept: Option<Arc<KeptRequests>>,
}

// === impl Admission ===

impl Admission {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self {
            cluster: parts.cluster,
            policies: parts.policies,
            recorder: parts.recorder,
            recent: parts.recent,
            namespaces: parts.namespaces,
            bindings: parts.bindings,
            lookups: parts.lookups,
            inventory: parts.inventory,
            metrics: parts.metrics,
            filters: ArcSwap::from_pointee(parts.filters),
            kept: parts.kept,
            counters: Counters::default(),
            shortfall: Shortfall::default(),
            draining: AtomicBool::new(false),
            started: Instant::now(),
        }
    }

    /// Whether every policy has been read, so that an answer means something.
    pub fn is_ready(&self) -> bool {
        self.policies.is_ready()
    }

    /// Whether new work should come here: ready, and not about to stop.
    pub fn takes_work(&self) -> bool {
        self.is_ready() && !self.draining.load(Ordering::Relaxed)
    }

    /// From now on readiness says no; requests are still answered.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Changes what is never judged.
    pub fn set_filters(&self, filters: Filters) {
        self.filters.store(Arc::new(filters));
    }

    /// Has the trail say that one call went unanswered, and so unrecorded.
    pub fn note_unanswered(&self, cause: &'static str) {
        self.counters.unanswered.fetch_add(1, Ordering::Relaxed);
        self.shortfall.add(cause, self.recorder.now());
    }

    /// Hands what the trail lacks to the ledger, one gap a cause. To be called about once a second:
    /// many shortfalls in a second are one gap.
    pub fn report_shortfall(&self) {
        self.shortfall.report(&self.recorder);
    }

    /// Answers one call of the API server to webhook `lane` of a phase, whose body is `body`. Lookups are given
    /// up at `deadline`.
    pub async fn review(
        self: &Arc<Self>,
        phase: Phase,
        lane: &Lane,
        body: &[u8],
        arrived: Instant,
        deadline: Instant,
    ) -> Result<Vec<u8>, ReviewError> {
        let Review { mut request, request_kind } = Review::parse(body)?;
        let (reply, decision) = match phase {
            Phase::Mutate => (self.change(lane, &mut request, deadline).await, None),
            Phase::Validate => {
                self.answer(lane, &mut request, request_kind, arrived, deadline).await
            }
        };
        self.metrics.reviewed(phase, arrived.elapsed());
        if let (Some(kept), Some(decision)) = (&self.kept, decision) {
            kept.keep(&decision, &request, body);
        }
        Ok(reply.to_json(&request.uid)?)
    }

    /// Answers one call about a policy, an exception, or whatever else of ours `body` carries.
    ///
    /// # Errors
    /// A body that is no `AdmissionReview`.
    pub fn review_policy(&self, body: &[u8]) -> Result<Vec<u8>, ReviewError> {
        policies::review_policy(&self.policies, body)
    }

    /// The policies of a lane, and the request with what they may ask of it; `None` where they are not
    /// asked.
    async fn prepare<'p>(
        &self,
        policies: &'p Policies,
        lane: &Lane,
        request: &mut Request,
        deadline: Instant,
    ) -> Option<&'p Compiled> {
        let Some(compiled) = policies.admission.get(lane) else {
            self.counters.unmatched.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if self.filters.load().exclude(request) {
            self.counters.filtered.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if let Some(user) = request.user.as_mut().filter(|_| compiled.asks_roles) {
            Bindings::mark_unknown(user);
            let patience = deadline.min(Instant::now() + BINDINGS_PATIENCE);
            let _ = timeout_at(patience.into(), self.bindings.fill(user)).await;
        }
        if let Some(namespace) = &request.namespace {
            let labels = timeout_at(deadline.into(), self.namespaces.labels(namespace)).await;
            request.namespace_labels = labels.ok().flatten().map(|labels| labels.as_ref().clone());
        }
        Some(compiled)
    }

    /// Changes the object of a request. What comes of it is decided, and recorded, by the validating
    /// call that follows; here only who changed it goes into the audit event.
    async fn change(&self, lane: &Lane, request: &mut Request, deadline: Instant) -> Reply {
        let policies = self.policies.current();
        let Some(compiled) = self.prepare(&policies, lane, request, deadline).await else {
            return Reply::default();
        };
        let request = &*request;
        let mutation =
            resolve(self.environment(), self.lookups.as_ref(), deadline, |environment| {
                compiled.set.mutate(request, environment)
            })
            .await;
        self.metrics.judged(request, &mutation.responses);
        let mut reply = message::reply(request, &mutation.responses);
        let Some(object) = request.object.as_ref().filter(|_| reply.refusal.is_none()) else {
            return reply;
        };
        let operations = mutation.patch(object);
        if operations.is_empty() {
            return reply;
        }
        match serde_json::to_vec(&operations) {
            Ok(patch) => {
                self.counters.changed.fetch_add(1, Ordering::Relaxed);
                reply.patch = Some(patch);
                reply.audit_annotations.insert(CHANGED_ANNOTATION, changed_by(&mutation));
            }
            // INVARIANT: operations are JSON; a change that cannot be written is not passed over.
            Err(error) => reply.refusal = Some(format!("a change cannot be written: {error}")),
        }
        reply
    }

    async fn answer(
        self: &Arc<Self>,
        lane: &Lane,
        request: &mut Request,
        request_kind: Option<proofstream_policy::GroupVersionKind>,
        arrived: Instant,
        deadline: Instant,
    ) -> (Reply, Option<DecisionRef>) {
        let policies = self.policies.current();
        let Some(compiled) = self.prepare(&policies, lane, request, deadline).await else {
            return (Reply::default(), None);
        };
        let request = &*request;
        let responses = self.judge(compiled, request, deadline).await;
        if responses.is_empty() {
            self.counters.unmatched.fetch_add(1, Ordering::Relaxed);
            return (Reply::default(), None);
        }
        self.metrics.judged(request, &responses);
        let mut reply = message::reply(request, &responses);
        let decision = decision::Making {
            cluster: self.cluster.as_deref(),
            request,
            request_kind: request_kind.as_ref(),
            responses: &responses,
            compiled,
            latency: arrived.elapsed(),
        };
        let (body, controls) = decision.body(reply.refusal.is_some());
        let counter = match body.decision {
            Answer::Allow => &self.counters.allowed,
            Answer::Deny => &self.counters.denied,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let taken = Entry::new(&body, controls.clone())
            .map_err(|error| error.to_string())
            .and_then(|entry| self.recorder.record(&[entry]).map_err(|error| error.to_string()));
        let mut recorded = None;
        match taken {
            Ok(ticket) => {
                let reference = self.recorder.reference(&ticket);
                reply.audit_annotations.insert(DECISION_ANNOTATION, reference.to_string());
                recorded = Some(reference.clone());
                self.recent.insert(reference, Known::of(body, controls));
                self.wait_until_durable(ticket).await;
            }
            Err(error) => {
                tracing::error!(error, "a decision is not recorded");
                self.unrecorded(REFUSED);
            }
        }
        (reply, recorded)
    }

    /// What every rule that matches says; lookups are made until `deadline`.
    async fn judge(
        &self,
        compiled: &Compiled,
        request: &Request,
        deadline: Instant,
    ) -> Vec<RuleResponse> {
        judge_with(&compiled.set, request, self.environment(), self.lookups.as_ref(), deadline)
            .await
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::at(moment(self.recorder.now()));
        environment.seed = self.seed();
        environment.inventory = self.inventory.current();
        environment
    }

    async fn wait_until_durable(self: &Arc<Self>, ticket: Ticket) {
        let handed_over = Instant::now();
        match durable_within(ticket, DURABILITY_PATIENCE).await {
            Durability::Durable => self.metrics.durable(handed_over.elapsed()),
            Durability::Lost => self.unrecorded(LOST),
            Durability::Late(ticket) => {
                self.counters.late.fetch_add(1, Ordering::Relaxed);
                self.shortfall.add(LATE, self.recorder.now());
                let admission = Arc::clone(self);
                // INVARIANT: as many of these as the ledger's bounded queue holds.
                tokio::spawn(async move {
                    match ticket.await {
                        Ok(_) => admission.metrics.durable(handed_over.elapsed()),
                        Err(_) => admission.unrecorded(LOST),
                    }
                });
            }
        }
    }

    fn unrecorded(&self, cause: &'static str) {
        self.counters.unrecorded.fetch_add(1, Ordering::Relaxed);
        self.shortfall.add(cause, self.recorder.now());
    }

    /// Differs from request to request; nothing that must not be guessed hangs on it.
    fn seed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or_default()
    }
}

/// What every rule of `set` that matches says of `request`. Lookups are made until `deadline`; one
/// that has no answer by then is an error of the rule that asked.
pub(crate) async fn judge_with(
    set: &PolicySet,
    request: &Request,
    environment: Environment,
    resolver: &dyn LookupResolver,
    deadline: Instant,
) -> Vec<RuleResponse> {
    resolve(environment, resolver, deadline, |environment| set.evaluate(request, environment)).await
}

/// Evaluates until nothing more is asked for; what always wants more is evaluated with what it has.
async fn resolve<T: Default>(
    mut environment: Environment,
    resolver: &dyn LookupResolver,
    deadline: Instant,
    evaluate: impl Fn(&Environment) -> Evaluation<T>,
) -> T {
    if let Some(outcome) = settle(&mut environment, resolver, deadline, &evaluate).await {
        return outcome;
    }
    environment.offline = true;
    match evaluate(&environment) {
        Evaluation::Done(outcome) => outcome,
        Evaluation::Needs(_) => T::default(),
    }
}

/// Evaluates, makes the lookups that are asked for, and evaluates again; `None` where that does not
/// end. A lookup that has no answer by the deadline has failed.
pub(crate) async fn settle<T>(
    environment: &mut Environment,
    resolver: &dyn LookupResolver,
    deadline: Instant,
    evaluate: impl Fn(&Environment) -> Evaluation<T>,
) -> Option<T> {
    for _ in 0..ROUNDS {
        match evaluate(environment) {
            Evaluation::Done(done) => return Some(done),
            Evaluation::Needs(lookups) => {
                let found = lookups.iter().map(|lookup| async move {
                    match timeout_at(deadline.into(), resolver.resolve(lookup)).await {
                        Ok(answer) => answer,
                        Err(_) => Err("it took longer than the webhook may take".to_owned()),
                    }
                });
                let found = futures::future::join_all(found).await;
                environment.answers.extend(lookups.into_iter().zip(found));
            }
        }
    }
    None
}

/// The rules that changed something, a line's worth of them.
fn changed_by(mutation: &Mutation) -> String {
    let names: Vec<String> = mutation
        .changed_by()
        .map(|response| match &response.policy_namespace {
            Some(namespace) => format!("{namespace}/{}/{}", response.policy, response.rule),
            None => format!("{}/{}", response.policy, response.rule),
        })
        .collect();
    let more = names.len().saturating_sub(CHANGED_NAMES);
    let text = names.into_iter().take(CHANGED_NAMES).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

fn moment(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(time.micros()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}
