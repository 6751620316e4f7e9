//! Our webhook configurations: derived from the policies in force, kept as they should be, and the way
//! out in an emergency.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource as _, ResourceExt};
use proofstream_model::Timestamp;
use proofstream_policy::{KnownKinds, Phase};
use tokio::time::{Instant, timeout};

use crate::admission::Namespaces;
use crate::enforcers::Enforcers;
use crate::policies::{Notes, PolicyStore};
use crate::recorder::Recorder;

mod catalogue;
mod desired;
mod difference;
mod part;
pub mod removal;
mod scope;

pub use catalogue::{Catalogue, Served};
pub use desired::{
    CONFIGURATION, DEFAULT_TIMEOUT_SECONDS, Endpoint, MANAGED_BY, MANAGER, MAX_TIMEOUT_SECONDS,
    Shape,
};
pub use part::{Cause, Changing, Judging, OF_POLICIES, OfPolicies, POLICIES_PATH, Part};
pub use scope::{Class, Lane, ResourceRule, Scope, is_protected, matches};

/// How long one call to the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before trying again what failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the API server is asked anew what it serves, while some policy asks for a kind it does
/// not serve.
const DISCOVER: Duration = Duration::from_secs(10);

/// Keeps one webhook configuration as the policies call for.
pub struct Reconciler<P: Part> {
    client: Client,
    policies: Arc<PolicyStore>,
    enforcers: Arc<Enforcers>,
    namespaces: Arc<Namespaces>,
    shape: Arc<ArcSwap<Shape>>,
    recorder: Recorder,
    kinds: KnownKinds,
    discovered: Option<Instant>,
    /// What the API server has, as far as we know.
    there: There<P::Configuration>,
    /// What we last wrote.
    written: Option<P::Configuration>,
    /// Since when it is not what we last wrote, and how it differs.
    tampered: Option<(Timestamp, String)>,
    /// The removal that was recorded already.
    removed: Option<removal::Removal>,
    /// Whether something failed and is to be tried again soon.
    failed: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum There<C> {
    Unknown,
    Nothing,
    Configuration(Box<C>),
}

// === impl Reconciler ===

impl<P: Part> Reconciler<P> {
    /// For the policies of `policies`; `shape` may change while it runs (a renewed certificate
    /// authority) and is looked at whenever [`Reconciler::run`] is nudged.
    pub fn new(
        client: Client,
        policies: Arc<PolicyStore>,
        enforcers: Arc<Enforcers>,
        namespaces: Arc<Namespaces>,
        shape: Arc<ArcSwap<Shape>>,
        recorder: Recorder,
    ) -> Self {
        Self {
            namespaces,
            client,
            policies,
            enforcers,
            shape,
            recorder,
            kinds: KnownKinds::default(),
            discovered: None,
            there: There::Unknown,
            written: None,
            tampered: None,
            removed: None,
            failed: false,
        }
    }

    /// Follows the policies and the configuration for as long as the task lives. `nudge` has it look
    /// again.
    pub async fn run(mut self, mut nudge: tokio::sync::watch::Receiver<u64>) {
        let api: Api<P::Configuration> = Api::all(self.client.clone());
        let only_ours = watcher::Config::default().fields(&format!("metadata.name={}", P::NAME));
        let mut events = watcher(api, only_ours).default_backoff().boxed();
        let mut changes = self.policies.subscribe();
        let mut listed = There::Nothing;
        loop {
            let pause = tokio::time::sleep(self.pause());
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(watcher::Event::Init)) => { listed = There::Nothing; continue; }
                    Some(Ok(watcher::Event::InitApply(found))) => {
                        listed = There::Configuration(Box::new(found));
                        continue;
                    }
                    Some(Ok(watcher::Event::InitDone)) => {
                        self.there = std::mem::replace(&mut listed, There::Nothing);
                    }
                    Some(Ok(watcher::Event::Apply(found))) => self.see(found),
                    Some(Ok(watcher::Event::Delete(_))) => self.there = There::Nothing,
                    Some(Err(error)) => {
                        tracing::warn!(%error, what = P::WHAT, "cannot watch; trying again");
                        continue;
                    }
                    None => return,
                },
                Ok(()) = changes.changed() => {}
                Ok(()) = nudge.changed() => {}
                () = pause => {}
            }
            if self.there != There::Unknown && self.policies.is_ready() {
                self.reconcile().await;
            }
        }
    }

    /// Notes what the API server has; what is older than what it answered us is not news.
    fn see(&mut self, found: P::Configuration) {
        if let There::Configuration(known) = &self.there
            && version(&found) < version(known.as_ref())
        {
            return;
        }
        self.there = There::Configuration(Box::new(found));
    }

    fn pause(&self) -> Duration {
        if self.failed { AGAIN } else { DISCOVER }
    }

    async fn reconcile(&mut self) {
        self.failed = false;
        let found = match &self.there {
            There::Configuration(found) => Some(found.as_ref()),
            _ => None,
        };
        if let Some(removal) = found.and_then(|found| removal::Removal::of(found.meta())) {
            self.note_removal(removal);
            return;
        }
        if let Some(removal) = self.removed.take().filter(|_| P::SPEAKS) {
            self.recorder.gap(removal.at, None, &format!("{removal}; installed again"));
        }
        if let (Some(written), None) = (&self.written, &self.tampered)
            && let Some(how) = difference::between::<P>(found, written)
        {
            self.tampered = Some((self.recorder.now(), how));
        }
        let found = found.cloned();
        match timeout(PATIENCE, self.bring_about(found)).await {
            Ok(Ok(())) => {
                if let Some((since, how)) = self.tampered.take() {
                    let cause = format!("another changed {}: {how}; put right", P::WHAT);
                    tracing::warn!(cause);
                    self.recorder.gap(since, None, &cause);
                }
            }
            Ok(Err(error)) => {
                self.failed = true;
                tracing::warn!(%error, what = P::WHAT, "cannot bring it about; trying again");
            }
            Err(_) => {
                self.failed = true;
                tracing::warn!(what = P::WHAT, "the API server takes too long with it");
            }
        }
    }

    async fn bring_about(&mut self, found: Option<P::Configuration>) -> Result<(), kube::Error> {
        let desired = self.desired().await?;
        if difference::between::<P>(found.as_ref(), &desired).is_some() {
            let put = self.put(&desired).await?;
            tracing::info!(webhooks = P::hooks_of(&put).len(), "wrote {}", P::WHAT);
            self.there = There::Configuration(Box::new(put));
        }
        self.written = Some(desired);
        Ok(())
    }

    /// A removal through `proofstream webhooks remove` is respected until an install.
    fn note_removal(&mut self, removal: removal::Removal) {
        self.tampered = None;
        self.written = None;
        if self.removed.as_ref() == Some(&removal) {
            return;
        }
        if P::SPEAKS {
            tracing::warn!(%removal, "our policies are not enforced");
            self.recorder.gap(removal.at, None, &removal.to_string());
        }
        self.removed = Some(removal);
    }

    async fn desired(&mut self) -> Result<P::Configuration, kube::Error> {
        let policies = self.policies.current();
        let mut kinds = self.kinds(false).await?.clone();
        if !policies.all.set.matches_nothing(&kinds).is_empty() {
            kinds = self.kinds(true).await?.clone();
        }
        let shape = self.shape.load();
        let cause =
            Cause { policies: &policies, kinds: &kinds, shape: &shape, enforcers: &self.enforcers };
        if P::SPEAKS {
            self.policies.set_notes(notes(&cause, &self.namespaces.names()));
        }
        Ok(P::configuration(desired::metadata(P::NAME), P::hooks(&cause)))
    }

    /// What the API server serves; asked anew if `anew` and it was not just asked.
    async fn kinds(&mut self, anew: bool) -> Result<&KnownKinds, kube::Error> {
        let due = self.discovered.is_none_or(|at| anew && at.elapsed() >= DISCOVER / 2);
        if due {
            self.kinds = Catalogue::discover(&self.client).await?.known_kinds();
            self.discovered = Some(Instant::now());
        }
        Ok(&self.kinds)
    }

    async fn put(&self, desired: &P::Configuration) -> Result<P::Configuration, kube::Error> {
        let api: Api<P::Configuration> = Api::all(self.client.clone());
        let params = PatchParams::apply(MANAGER).force();
        let applied = api.patch(P::NAME, &params, &Patch::Apply(desired)).await?;
        if difference::between::<P>(Some(&applied), desired).is_none() {
            return Ok(applied);
        }
        // What others added under their own name stays after an apply; a replacement takes it out.
        let mut whole = desired.clone();
        whole.meta_mut().resource_version = applied.resource_version();
        api.replace(P::NAME, &PostParams::default(), &whole).await
    }
}

/// What people should know about policies that are not wrong in themselves, by full name.
fn notes(cause: &Cause<'_>, namespaces: &BTreeSet<String>) -> Notes {
    let (policies, kinds) = (cause.policies, cause.kinds);
    let mut notes = Notes::new();
    let set = &policies.all.set;
    let mut nothings = set.matches_nothing(kinds);
    // Before the namespaces are read, nothing can be said of them.
    if !namespaces.is_empty() {
        let known: BTreeSet<_> =
            nothings.iter().map(|one| (one.policy.clone(), one.rule.clone())).collect();
        let absent = set.matches_no_namespace(namespaces).into_iter();
        nothings
            .extend(absent.filter(|one| !known.contains(&(one.policy.clone(), one.rule.clone()))));
    }
    for nothing in nothings {
        let note = format!("rule `{}` matches nothing: {}", nothing.rule, nothing.reason);
        notes.entry((nothing.kind.into_owned(), nothing.policy)).or_default().push(note);
    }
    for phase in [Phase::Mutate, Phase::Validate] {
        let scopes = part::scopes(cause, phase);
        for (lane, compiled) in &policies.admission {
            if scopes.get(lane).is_none_or(|scope| scope.protected.is_empty()) {
                continue;
            }
            for (info, alone) in compiled.one_by_one() {
                for resource in Scope::of(&alone, kinds, phase).protected {
                    let note = format!(
                        "`{resource}` never reach our webhook: a cluster needs them to come up"
                    );
                    let notes = notes.entry((info.kind.clone(), info.name.clone())).or_default();
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                }
            }
        }
    }
    notes
}

fn version(configuration: &impl ResourceExt) -> Option<u64> {
    configuration.resource_version()?.parse().ok()
}
