//! The policies in force: read from the cluster and from a directory, compiled once, swapped at once.
//!
//! A policy that cannot be used never touches the others. If an earlier text of the same policy was
//! in force, that one stays in force, over restarts too (the ledger has it): an edit that breaks a policy
//! must not switch it off. What came into force, broke or went is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use proofstream_catalog::Catalog;
use proofstream_model::{ControlRef, Enforcer, Entry, PolicyBody, PolicyState};
use proofstream_policy::{CleanupPolicy, GlobalEntry};
use serde_json::Value;
use tokio::sync::watch;

use crate::enforcers::Enforcers;
use crate::inventory::Kept;
use crate::recorder::Recorder;
use crate::webhooks::{Lane, matches};
use check::Said;
use definitions::{Owner, TEMPLATE, TEMPLATES, constraint_of};
use join::{AWAITS, Joined, Templates};

pub mod check;
pub mod cluster;
mod compiled;
pub mod constraints;
pub mod definitions;
pub mod directory;
mod join;
mod key;
mod previous;
mod status;
mod text;

pub use compiled::{Compiled, PolicyInfo};
pub use key::{Origin, PolicyKey};
pub use previous::Previous;
use previous::Remembered;
pub use text::PolicyText;

/// Says what a policy stands for, from its annotations (and from the catalog, which may name it).
pub trait ControlResolver: Send + Sync {
    /// Controls and requirements of the policy `name`.
    fn controls(&self, name: &str, annotations: &BTreeMap<String, String>) -> ControlRef;

    /// What everything that `enforcer` refuses stands for, whatever the policy's name.
    fn of_enforcer(&self, enforcer: Enforcer) -> ControlRef;
}

impl ControlResolver for Catalog {
    fn controls(&self, name: &str, annotations: &BTreeMap<String, String>) -> ControlRef {
        self.controls_for_policy(name, annotations)
    }

    fn of_enforcer(&self, enforcer: Enforcer) -> ControlRef {
        self.controls_for_enforcer(match enforcer {
            Enforcer::Proofstream => "proofstream",
            Enforcer::PodSecurity => "pod-security",
            Enforcer::ValidatingAdmissionPolicy => "validating-admission-policy",
            Enforcer::Kyverno => "kyverno",
            Enforcer::Gatekeeper => "gatekeeper",
            Enforcer::OtherWebhook => "other-webhook",
        })
    }
}

/// One policy (or exception) as a place offers it: readable or not.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Which one; for a document that has no name, its place.
    pub key: PolicyKey,
    /// The document, or why there is none.
    pub document: Result<Value, String>,
}

/// How a policy fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyReport {
    /// Which one.
    pub key: PolicyKey,
    /// Where it was read.
    pub origin: Origin,
    /// Its `metadata.generation`, for one of the cluster.
    pub generation: Option<i64>,
    /// Whether it is in force, in this text.
    pub ready: bool,
    /// Why not, or what to know about it; for people.
    pub message: String,
}

/// The policies in force, ready to judge; immutable.
#[derive(Debug, Default)]
pub struct Policies {
    /// Counts swaps.
    pub generation: u64,
    /// What is judged at admission, by the webhook that is asked.
    pub admission: BTreeMap<Lane, Compiled>,
    /// Everything, for the background, whoever enforces it.
    pub all: Compiled,
    /// What deletes on a schedule.
    pub cleanup: Vec<Arc<CleanupPolicy>>,
    /// What the policies may refer to.
    pub globals: Vec<KnownGlobal>,
    /// The kinds of objects that templates of constraints look at; `None` where none looks at any.
    pub asks_inventory: Option<BTreeSet<Kept>>,
}

/// A global context entry in force.
#[derive(Debug, Clone)]
pub struct KnownGlobal {
    /// SHA-256 (hex) of its text.
    pub sha256: String,
    /// The entry.
    pub entry: Arc<GlobalEntry>,
}

/// A text that can be used, and what it says.
#[derive(Debug, Clone)]
struct Usable {
    text: Arc<PolicyText>,
    said: Said,
}

struct Held {
    text: Arc<PolicyText>,
    generation: Option<i64>,
    joined: Joined,
    /// This text, or why it is unusable.
    parsed: Result<(), String>,
    /// What in this text is not evaluated, in words.
    not_evaluated: Vec<String>,
    /// The text that counts: this one, or the last usable one before it.
    in_force: Option<Usable>,
}

/// What others found out about policies, by kind and full name.
pub type Notes = BTreeMap<(String, String), Vec<String>>;

#[derive(Default)]
struct Inner {
    held: BTreeMap<(PolicyKey, Origin), Held>,
    notes: Notes,
    /// Whose definition serves a kind of constraints, or why none does.
    made: BTreeMap<String, Result<Owner, String>>,
    recorded: BTreeMap<PolicyKey, Recorded>,
    remembered: Remembered,
    awaited: Vec<String>,
    /// Globs of the namespaces whose exceptions count; `None` for all.
    exceptions_from: Option<Vec<String>>,
    generation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    state: PolicyState,
    sha256: String,
    origin: String,
}

/// Holds the policies and swaps them.
pub struct PolicyStore {
    current: ArcSwap<Policies>,
    /// Apart from `inner`, so that no request waits while policies are compiled.
    ready: AtomicBool,
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    /// The cluster's templates of constraints, once they have been read.
    templates: watch::Sender<Option<Templates>>,
    resolver: Arc<dyn ControlResolver>,
    enforcers: Arc<Enforcers>,
    recorder: Recorder,
}

// === impl PolicyStore ===

impl PolicyStore {
    /// An empty store. It is not ready before every place in `awaited` has been read once.
    /// `previous` is what the ledger says of the policies.
    pub fn new(
        resolver: Arc<dyn ControlResolver>,
        enforcers: Arc<Enforcers>,
        recorder: Recorder,
        awaited: Vec<String>,
        previous: Previous,
    ) -> Arc<Self> {
        let recorded = previous.recorded();
        let remembered = previous.remembered();
        let inner = Inner { recorded, remembered, awaited, ..Inner::default() };
        Arc::new(Self {
            current: ArcSwap::from_pointee(Policies::default()),
            ready: AtomicBool::new(false),
            inner: Mutex::new(inner),
            changed: watch::Sender::new(0),
            templates: watch::Sender::new(None),
            resolver,
            enforcers,
            recorder,
        })
    }

    /// From now on only exceptions that stand in namespaces of these names (or globs) count. To be said
    /// before the first are read.
    pub fn take_exceptions_from(&self, namespaces: Vec<String>) {
        self.lock().exceptions_from = Some(namespaces);
    }

    /// The policies in force.
    pub fn current(&self) -> Arc<Policies> {
        self.current.load_full()
    }

    /// Whether every place has been read once.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Wakes whenever policies were swapped.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes what one place offers now, all of it: what it offered before and does not offer now is
    /// gone. `place` is one of `awaited`; `covers` says which of the held policies are that place's.
    pub fn replace(
        &self,
        place: &str,
        covers: impl Fn(&PolicyKey, &Origin) -> bool,
        offers: Vec<(Origin, Offer)>,
    ) {
        let mut inner = self.lock();
        let kept: BTreeSet<_> =
            offers.iter().map(|(origin, offer)| (offer.key.clone(), origin.clone())).collect();
        inner.held.retain(|(key, origin), _| {
            !covers(key, origin) || kept.contains(&(key.clone(), origin.clone()))
        });
        for (origin, offer) in offers {
            inner.take(origin, offer);
        }
        inner.awaited.retain(|awaited| awaited != place);
        self.publish(&mut inner);
    }

    /// Takes one new or changed policy.
    pub fn offer(&self, origin: Origin, offer: Offer) {
        let mut inner = self.lock();
        // Our own writing of a status comes back as a change that is none.
        if inner.take(origin, offer) {
            self.publish(&mut inner);
        }
    }

    /// Forgets one policy.
    pub fn withdraw(&self, key: &PolicyKey, origin: &Origin) {
        let mut inner = self.lock();
        inner.held.remove(&(key.clone(), origin.clone()));
        self.publish(&mut inner);
    }

    /// What others found out about policies (a kind that the API server does not serve):
    /// shown in their status.
    pub fn set_notes(&self, notes: Notes) {
        let mut inner = self.lock();
        if inner.notes != notes {
            inner.notes = notes;
            drop(inner);
            self.changed.send_modify(|_| {});
        }
    }

    /// The policies that stood in a place when an earlier run read it last, until every place has been read.
    fn stood_at(&self, origin: &Origin) -> Vec<PolicyKey> {
        self.lock().remembered.at(origin)
    }

    /// Whether a document can be used: an exception, a policy, or a constraint of a template that is in
    /// force.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, document: &Value) -> Result<(), String> {
        match PolicyKey::of(document).as_ref().and_then(|key| constraint_of(&key.kind)) {
            Some(kind) => self.lock().constraint(kind, document).map(drop),
            None => check::read(document).map(drop).map_err(|error| error.to_string()),
        }
    }

    /// How each policy fares.
    pub fn reports(&self) -> Vec<PolicyReport> {
        let inner = self.lock();
        inner.held.iter().map(|((key, origin), held)| inner.report(key, origin, held)).collect()
    }

    /// Now, by the clock that records go by.
    pub(crate) fn now(&self) -> proofstream_model::Timestamp {
        self.recorder.now()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose definition serves the constraints of a template, or why none does.
    fn note_template(&self, kind: &str, made: Result<Owner, String>) {
        let mut inner = self.lock();
        if inner.made.get(kind) != Some(&made) {
            inner.made.insert(kind.to_owned(), made);
            drop(inner);
            self.changed.send_modify(|_| {});
        }
    }

    /// Whether the definition of a kind of constraints is ours.
    pub(crate) fn makes_constraints(&self, kind: &str) -> bool {
        self.lock().made.get(kind) == Some(&Ok(Owner::Us))
    }

    /// Has the store wait for one more place, unless it is ready already.
    fn awaits(&self, place: String) {
        let mut inner = self.lock();
        if !inner.awaited.is_empty() {
            inner.awaited.push(place);
        }
    }

    /// Compiles, swaps and records. Cheap enough to do under the lock: writers alone wait.
    fn publish(&self, inner: &mut Inner) {
        if !inner.awaited.contains(&cluster::place(TEMPLATES)) {
            let templates = Some(inner.templates_of_the_cluster());
            self.templates.send_if_modified(|known| {
                let differs = *known != templates;
                *known = templates;
                differs
            });
        }
        if !inner.awaited.is_empty() {
            return;
        }
        inner.join();
        inner.remembered.forget();
        inner.generation += 1;
        let is_ours = |kind: &str| self.enforcers.is_ours(kind);
        let resolver = self.resolver.as_ref();
        let next = Policies::compile(inner.generation, inner.in_force(), resolver, is_ours);
        self.current.store(Arc::new(next));
        self.ready.store(true, Ordering::Release);
        self.record_changes(inner);
        let generation = inner.generation;
        self.changed.send_replace(generation);
    }

    fn record_changes(&self, inner: &mut Inner) {
        let mut entries = Vec::new();
        let mut present: BTreeMap<PolicyKey, Recorded> = BTreeMap::new();
        for ((key, origin), held) in &inner.held {
            if inner.is_shadowed(key, origin) {
                continue;
            }
            let (state, message) = match &held.parsed {
                Ok(()) => (PolicyState::Active, None),
                Err(reason) => (PolicyState::Broken, Some(reason.clone())),
            };
            let recorded = Recorded {
                state,
                sha256: held.text.sha256().to_owned(),
                origin: origin.to_string(),
            };
            if inner.recorded.get(key) != Some(&recorded) {
                entries.extend(self.entry(key, &recorded, Some(&held.text), message));
            }
            present.insert(key.clone(), recorded);
        }
        for (key, recorded) in &inner.recorded {
            if !present.contains_key(key) {
                let gone = Recorded { state: PolicyState::Removed, ..recorded.clone() };
                entries.extend(self.entry(key, &gone, None, None));
            }
        }
        inner.recorded = present;
        for entry in entries {
            if let Err(error) = self.recorder.record(std::slice::from_ref(&entry)) {
                tracing::error!(%error, "a policy's change is not recorded");
                self.recorder.gap(
                    self.recorder.now(),
                    Some(1),
                    "a policy's change was not taken in",
                );
            }
        }
    }

    fn entry(
        &self,
        key: &PolicyKey,
        recorded: &Recorded,
        text: Option<&PolicyText>,
        message: Option<String>,
    ) -> Option<Entry> {
        let name = key.full_name();
        let state = recorded.state;
        tracing::info!(policy = name, kind = key.kind, origin = recorded.origin, ?state, message);
        let none = BTreeMap::new();
        let controls = self.resolver.controls(&name, text.map_or(&none, PolicyText::annotations));
        let modes = match state {
            PolicyState::Active => text.map(PolicyText::modes).unwrap_or_default(),
            _ => Vec::new(),
        };
        let body = PolicyBody {
            state,
            kind: key.kind.clone(),
            name,
            origin: recorded.origin.clone(),
            sha256: recorded.sha256.clone(),
            text: text.map(|text| text.canonical().to_owned()),
            modes,
            requirements: controls.requirements,
            message,
        };
        Entry::new(&body, controls.controls)
            .inspect_err(|error| tracing::error!(%error, "a policy's change cannot be written"))
            .ok()
    }
}

// === impl Held ===

impl Held {
    fn is(&self, text: &PolicyText, generation: Option<i64>) -> bool {
        self.text.sha256() == text.sha256() && self.generation == generation
    }
}

// === impl Inner ===

impl Inner {
    /// Takes an offer in; false where it is what was there already.
    fn take(&mut self, origin: Origin, offer: Offer) -> bool {
        let slot = (offer.key, origin);
        let before = self.held.remove(&slot);
        let (document, unreadable) = match offer.document {
            Ok(document) => (document, None),
            Err(reason) => (Value::Null, Some(reason)),
        };
        let generation = document.pointer("/metadata/generation").and_then(Value::as_i64);
        let text = Arc::new(PolicyText::of(document.clone()));
        let before = match before {
            Some(before) if unreadable.is_none() && before.is(&text, generation) => {
                self.held.insert(slot, before);
                return false;
            }
            other => other,
        };
        let joined = match constraint_of(&slot.0.kind) {
            Some(_) => Joined::Awaits,
            None => Joined::Never,
        };
        let read = match unreadable {
            Some(reason) => Err(reason),
            None if joined == Joined::Awaits => Err(AWAITS.to_owned()),
            None if !self.counts(&slot.0) => Err(format!(
                "exceptions in namespace `{}` do not count: `exceptionNamespaces` does not name it",
                slot.0.namespace.as_deref().unwrap_or_default()
            )),
            None => check::read(&document).map_err(|error| error.to_string()),
        };
        let (parsed, in_force) = match read {
            Ok(said) => (Ok(()), Some(Usable { text: Arc::clone(&text), said })),
            Err(reason) => {
                let last = match before {
                    Some(before) => before.in_force,
                    None => self.remembered.usable(&slot.0, &slot.1),
                };
                (Err(reason), last)
            }
        };
        let not_evaluated = check::not_evaluated(&document);
        let held = Held { text, generation, joined, parsed, not_evaluated, in_force };
        self.held.insert(slot, held);
        true
    }

    /// Whether something may count at all: an exception only where exceptions may stand.
    fn counts(&self, key: &PolicyKey) -> bool {
        let Some(globs) = self.exceptions_from.as_ref().filter(|_| key.is_exception()) else {
            return true;
        };
        let namespace = key.namespace.as_deref().unwrap_or_default();
        globs.iter().any(|glob| matches(glob, namespace))
    }

    /// A policy that stands in a directory and in the cluster counts once, in the directory's text:
    /// that one is versioned.
    fn is_shadowed(&self, key: &PolicyKey, origin: &Origin) -> bool {
        let first_file = self
            .held
            .range((key.clone(), Origin::Cluster)..)
            .take_while(|((other, _), _)| other == key)
            .find(|((_, origin), _)| matches!(origin, Origin::File(_)))
            .map(|((_, origin), _)| origin);
        first_file.is_some_and(|file| file != origin)
    }

    fn in_force(&self) -> impl Iterator<Item = (PolicyKey, Usable)> {
        self.held.iter().filter_map(|((key, origin), held)| {
            let usable = held.in_force.as_ref()?;
            (!self.is_shadowed(key, origin)).then(|| (key.clone(), usable.clone()))
        })
    }

    /// Why no constraints of a template can be there.
    fn not_made(&self, key: &PolicyKey) -> Option<&str> {
        let of = |kind: &str| key.kind == TEMPLATE && kind.to_lowercase() == key.name;
        let (_, made) = self.made.iter().find(|(kind, _)| of(kind))?;
        made.as_ref().err().map(String::as_str)
    }

    fn report(&self, key: &PolicyKey, origin: &Origin, held: &Held) -> PolicyReport {
        let mut messages = Vec::new();
        let mut ready = true;
        if let Err(reason) = &held.parsed {
            ready = false;
            messages.push(reason.clone());
            if held.in_force.is_some() {
                messages.push("the text before it stays in force".to_owned());
            }
        }
        if self.is_shadowed(key, origin) {
            ready = false;
            messages.push("a policy of the same name in a directory counts instead".to_owned());
        }
        if let Some(reason) = self.not_made(key) {
            ready = false;
            messages.push(reason.to_owned());
        }
        messages.extend(held.not_evaluated.iter().cloned());
        messages.extend(
            self.notes.get(&(key.kind.clone(), key.full_name())).into_iter().flatten().cloned(),
        );
        PolicyReport {
            key: key.clone(),
            origin: origin.clone(),
            generation: held.generation,
            ready,
            message: messages.join("; "),
        }
    }
}
