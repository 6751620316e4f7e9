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
use tokio::time::timeout;

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
/// How long to wait for a definition that cannot be read.
const AGAIN: Duration = Duration::from_secs(5);

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
    Write { report: Value, digest: String, is_new: bool },
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
            let is_new = !inner.known.contains_key(&place);
            let report = report.to_value(&digest);
            inner.due.insert(place, Due::Write { report, digest, is_new });
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
            let next = self.lock().due.pop_first();
            let Some((place, due)) = next else {
                self.wake.notified().await;
                continue;
            };
            match timeout(PATIENCE, self.write(&place, due)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(report = place.1, %error, "a report is not written");
                }
                Err(_) => tracing::debug!(report = place.1, "writing a report takes too long"),
            }
            tokio::time::sleep(self.pace).await;
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

    async fn write(&self, place: &Place, due: Due) -> Result<(), kube::Error> {
        let (namespace, uid) = place;
        let resource = resource(namespace.is_some());
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        match due {
            Due::Remove => match api.delete(uid, &DeleteParams::default()).await {
                Ok(_) => Ok(()),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                Err(error) => Err(error),
            },
            Due::Write { report, digest, is_new } => {
                let anothers = if is_new {
                    let object = serde_json::from_value(report).map_err(kube::Error::SerdeError)?;
                    match api.create(&PostParams::default(), &object).await {
                        Ok(_) => false,
                        // Somebody else reports on this resource: theirs stays.
                        Err(kube::Error::Api(status)) if status.code == 409 => true,
                        Err(error) => return Err(error),
                    }
                } else {
                    let params = PatchParams::apply(MANAGER).force();
                    api.patch(uid, &params, &Patch::Apply(&report)).await?;
                    false
                };
                self.change(|inner| {
                    let seen = inner.pass;
                    inner.known.insert(place.clone(), Known { digest, seen, anothers });
                });
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
        if self.known.remove(&place).is_some_and(|known| !known.anothers) {
            self.due.insert(place, Due::Remove);
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
    fn anothers_report_is_left_alone() {
        let mut inner = Inner::default();
        inner.known.insert(place("a"), Known { anothers: true, ..known("", 0) });
        assert!(inner.still_holds(&place("a"), "anything"));
        inner.remove(place("a"));
        assert!(inner.due.is_empty());
    }
}
