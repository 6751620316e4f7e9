//! Reports (`wgpolicyk8s.io/v1alpha2`) on what runs, for the tools that read them: one a resource, named
//! by its UID and owned by it, so that it goes with it.
//!
//! They are a copy for others: nothing here reads them, and the ledger does not hang on them. What has
//! not changed is not written again, and writes are paced, so that etcd is not what pays.

mod content;
mod definition;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::background::Judged;
use crate::background::book::Identity;
use crate::policies::PolicyStore;
use crate::webhooks::{MANAGED_BY, MANAGER};
use content::Report;

/// API group of reports.
pub(crate) const GROUP: &str = "wgpolicyk8s.io";
/// The version that is written.
pub(crate) const VERSION: &str = "v1alpha2";
/// What a report says, so that a later start knows whether it still holds.
const DIGEST: &str = "proofstream.dev/digest";
/// Most reports that wait to be written; what comes after is left to the next pass.
const MOST_DUE: usize = 20_000;
/// How long one write may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often one write is tried.
const TRIES: u8 = 5;

/// Writes reports.
pub struct Reports {
    client: Client,
    policies: Arc<PolicyStore>,
    /// Between two writes.
    pace: Duration,
    inner: Mutex<Inner>,
    wake: Notify,
}

/// A resource with a report: its namespace (`None` for the cluster) and its UID.
type Place = (Option<String>, String);

#[derive(Debug, Default)]
struct Inner {
    /// Counts passes over everything; what one does not see has no report any more.
    pass: u64,
    known: HashMap<Place, Known>,
    due: BTreeMap<Place, Due>,
    /// What failed, and how often: to be tried again unless something newer is due by then.
    late: BTreeMap<Place, (Due, u8)>,
    /// When it is tried again.
    again: Option<Instant>,
    /// What is being written now.
    writing: Option<Place>,
    put_off: u64,
}

#[derive(Debug)]
struct Known {
    digest: String,
    seen: u64,
    /// Whether the report there is somebody else's, who came before us.
    anothers: bool,
}

#[derive(Debug)]
enum Due {
    Write { report: Value, digest: String },
    Remove,
}

// === impl Reports ===

impl Reports {
    /// At most `per_second` writes a second.
    pub fn new(client: Client, policies: Arc<PolicyStore>, per_second: u32) -> Arc<Self> {
        let pace = Duration::from_secs(1) / per_second.max(1);
        let (inner, wake) = (Mutex::default(), Notify::new());
        Arc::new(Self { client, policies, pace, inner, wake })
    }

    /// A pass over everything begins.
    pub(crate) fn begin(&self) {
        self.change(|inner| inner.pass = inner.pass.saturating_add(1));
    }

    /// What the rules that match say of an object.
    pub(crate) fn note(&self, identity: &Identity, judged: &[Judged]) {
        let place = (identity.subject.namespace.clone(), identity.uid.clone());
        if identity.uid.is_empty() {
            return;
        }
        if judged.is_empty() {
            self.change(|inner| inner.remove(place));
            return;
        }
        let policies = self.policies.current();
        let report = Report { identity, judged, policies: &policies };
        let digest = report.digest();
        self.change(|inner| {
            if inner.still_holds(&place, &digest) {
                return;
            }
            if inner.due.len() >= MOST_DUE && !inner.due.contains_key(&place) {
                inner.put_off = inner.put_off.saturating_add(1);
                return;
            }
            let report = report.to_value(&digest);
            inner.late.remove(&place);
            inner.due.insert(place, Due::Write { report, digest });
        });
    }

    /// A pass over everything is complete: what it did not see has no rule that speaks of it.
    pub(crate) fn complete(&self) {
        self.change(|inner| {
            let pass = inner.pass;
            let unseen = inner.known.iter().filter(|(_, known)| known.seen < pass);
            let unseen: Vec<Place> = unseen.map(|(place, _)| place.clone()).collect();
            for place in unseen {
                inner.remove(place);
            }
            if inner.put_off > 0 {
                tracing::warn!(reports = inner.put_off, "reports are left to the next pass");
                inner.put_off = 0;
            }
        });
    }

    /// Writes what is due, for as long as the task lives.
    pub async fn run(self: Arc<Self>) {
        while let Err(error) = self.prepare().await {
            tracing::warn!(%error, "reports cannot be written yet");
            tokio::time::sleep(AGAIN).await;
        }
        loop {
            let Some((place, due, tried)) = self.lock().next() else {
                self.wait().await;
                continue;
            };
            let failed = match timeout(PATIENCE, self.write(&place, &due)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it takes too long".to_owned()),
            };
            self.lock().written(place, due, tried, failed);
            tokio::time::sleep(self.pace).await;
        }
    }

    /// Waits until something is due, or what failed may be tried again.
    async fn wait(&self) {
        let again = self.lock().again;
        match again {
            None => self.wake.notified().await,
            Some(at) => {
                if timeout_at(at, self.wake.notified()).await.is_err() {
                    self.lock().try_again();
                }
            }
        }
    }

    /// Makes sure of the definitions, and learns what an earlier start has written.
    async fn prepare(&self) -> Result<(), kube::Error> {
        definition::ensure(&self.client).await?;
        for namespaced in [true, false] {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource(namespaced));
            let selector = format!("{MANAGED_BY}={MANAGER}");
            let mut page = ListParams::default().labels(&selector).limit(500);
            loop {
                let list = api.list_metadata(&page).await?;
                self.change(|inner| list.items.iter().for_each(|report| inner.learn(report)));
                match list.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => page = page.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(())
    }

    async fn write(&self, place: &Place, due: &Due) -> Result<(), kube::Error> {
        let (namespace, uid) = place;
        let resource = resource(namespace.is_some());
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        // INVARIANT: one write at a time, so that what is not known now has no report of ours.
        let whose = self.lock().known.get(place).map(|known| known.anothers);
        match due {
            // Somebody else reports on this resource: theirs stays.
            _ if whose == Some(true) => Ok(()),
            Due::Remove => {
                match api.delete(uid, &DeleteParams::default()).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => return Err(error),
                }
                self.lock().known.remove(place);
                Ok(())
            }
            Due::Write { report, digest } => {
                let anothers = if whose.is_some() {
                    let params = PatchParams::apply(MANAGER).force();
                    api.patch(uid, &params, &Patch::Apply(report)).await?;
                    false
                } else {
                    let object =
                        serde_json::from_value(report.clone()).map_err(kube::Error::SerdeError)?;
                    match api.create(&PostParams::default(), &object).await {
                        Ok(_) => false,
                        Err(kube::Error::Api(status)) if status.code == 409 => {
                            let there = api.get_metadata(uid).await?;
                            // A write of ours that was given up may have been made.
                            if there.labels().get(MANAGED_BY).is_some_and(|by| by == MANAGER) {
                                let params = PatchParams::apply(MANAGER).force();
                                api.patch(uid, &params, &Patch::Apply(report)).await?;
                                false
                            } else {
                                true
                            }
                        }
                        Err(error) => return Err(error),
                    }
                };
                let mut inner = self.lock();
                let (seen, digest) = (inner.pass, digest.clone());
                inner.known.insert(place.clone(), Known { digest, seen, anothers });
                Ok(())
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.lock());
        self.wake.notify_one();
    }
}

// === impl Inner ===

impl Inner {
    /// Whether the report that is there, or on its way, says the same. Notes that its resource was seen.
    fn still_holds(&mut self, place: &Place, digest: &str) -> bool {
        let pass = self.pass;
        if let Some(Due::Write { digest: due, .. }) = self.due.get(place) {
            return due == digest;
        }
        let Some(known) = self.known.get_mut(place) else { return false };
        known.seen = pass;
        let holds = known.anothers || known.digest == digest;
        if holds {
            self.due.remove(place);
        }
        holds
    }

    fn remove(&mut self, place: Place) {
        self.due.remove(&place);
        self.late.remove(&place);
        let is_ours = self.known.remove(&place).is_some_and(|known| !known.anothers);
        if is_ours || self.writing.as_ref() == Some(&place) {
            self.due.insert(place, Due::Remove);
        }
    }

    /// The next thing to write, with how often it has failed.
    fn next(&mut self) -> Option<(Place, Due, u8)> {
        let (place, due) = self.due.pop_first()?;
        let tried = self.late.remove(&place).map_or(0, |(_, tried)| tried);
        self.writing = Some(place.clone());
        Some((place, due, tried))
    }

    /// A write has ended: what failed is kept for another try, unless something newer is due.
    fn written(&mut self, place: Place, due: Due, tried: u8, failed: Option<String>) {
        self.writing = None;
        let (Some(error), tried) = (failed, tried.saturating_add(1)) else { return };
        if tried >= TRIES {
            tracing::warn!(report = place.1, error, "a report is left to the next pass");
        } else if !self.due.contains_key(&place) {
            tracing::debug!(report = place.1, error, "a report is not written yet");
            self.late.insert(place, (due, tried));
            self.again.get_or_insert_with(|| Instant::now() + AGAIN);
        }
    }

    /// Has what failed be due again.
    fn try_again(&mut self) {
        self.again = None;
        for (place, (due, _)) in &mut self.late {
            let again = std::mem::replace(due, Due::Remove);
            self.due.entry(place.clone()).or_insert(again);
        }
    }

    fn learn(&mut self, report: &impl ResourceExt) {
        let place = (report.namespace(), report.name_any());
        let digest = report.annotations().get(DIGEST).cloned().unwrap_or_default();
        let pass = self.pass;
        self.known.entry(place).or_insert(Known { digest, seen: pass, anothers: false });
    }
}

fn kind(namespaced: bool) -> &'static str {
    if namespaced { "PolicyReport" } else { "ClusterPolicyReport" }
}

fn resource(namespaced: bool) -> ApiResource {
    let plural = if namespaced { "policyreports" } else { "clusterpolicyreports" };
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(GROUP, VERSION, kind(namespaced)),
        plural,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uid: &str) -> Place {
        (Some("payments".to_owned()), uid.to_owned())
    }

    fn known(digest: &str, seen: u64) -> Known {
        Known { digest: digest.to_owned(), seen, anothers: false }
    }

    #[test]
    fn what_holds_is_not_written_and_what_is_unseen_is_removed() {
        let mut inner = Inner { pass: 2, ..Inner::default() };
        inner.known.insert(place("a"), known("1", 1));
        inner.known.insert(place("b"), known("1", 1));
        assert!(inner.still_holds(&place("a"), "1"));
        assert_eq!(inner.known[&place("a")].seen, 2);
        assert!(!inner.still_holds(&place("b"), "2"));
        assert!(!inner.still_holds(&place("c"), "1"));
        inner.remove(place("b"));
        assert!(matches!(inner.due.get(&place("b")), Some(Due::Remove)));
        inner.remove(place("c"));
        assert!(!inner.due.contains_key(&place("c")), "there was no report of it");
    }

    #[test]
    fn what_fails_is_tried_again_and_not_for_ever() {
        let mut inner = Inner::default();
        let write = |digest: &str| Due::Write { report: Value::Null, digest: digest.to_owned() };
        inner.due.insert(place("a"), write("1"));
        for _ in 0..TRIES {
            let (place, due, tried) = inner.next().expect("it is due");
            assert!(matches!(&due, Due::Write { digest, .. } if digest == "1"));
            inner.written(place, due, tried, Some("no".to_owned()));
            assert!(inner.next().is_none(), "not at once");
            inner.try_again();
        }
        assert!(inner.next().is_none(), "it was tried often enough");
        // What is newer takes the place of what failed.
        inner.due.insert(place("a"), write("1"));
        let (place_a, due, tried) = inner.next().expect("it is due");
        inner.due.insert(place("a"), write("2"));
        inner.written(place_a, due, tried, Some("no".to_owned()));
        assert!(inner.late.is_empty());
        // What nobody speaks of any more while it is written is removed behind it.
        inner.next();
        inner.remove(place("a"));
        assert!(matches!(inner.next(), Some((_, Due::Remove, 0))));
    }

    #[test]
    fn anothers_report_is_left_alone() {
        let mut inner = Inner::default();
        inner.known.insert(place("a"), Known { anothers: true, ..known("", 0) });
        assert!(inner.still_holds(&place("a"), "anything"));
        inner.remove(place("a"));
        assert!(inner.due.is_empty());
    }
}
