//! Cleanup: policies that delete on a schedule, and objects whose own label says when they go.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use proofstream_model::{ChangeAction, ChangeBody, ChangeCause, ChangeState};
use proofstream_observe::cluster::{Seen, watch};
use proofstream_policy::{
    Choice, CleanupPolicy, Environment, Propagation, Request, TTL_LABEL, expires_at,
};
use serde_json::Value;

use crate::admission::{LookupResolver, Namespaces, settle};
use crate::background::{Identity, resources};
use crate::enforcers::Enforcers;
use crate::hands::Hands;
use crate::policies::PolicyStore;
use crate::webhooks::Catalogue;

/// How often objects with a label are looked at, and schedules at the latest.
const TICK: Duration = Duration::from_mins(1);
/// How long one run of a policy may take.
const RUN: Duration = Duration::from_mins(10);
/// How long the lookups for one object may take.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(10);
/// Says what becomes of what an object with a label owns.
const PROPAGATION: &str = "cleanup.kyverno.io/propagation-policy";

/// Deletes what policies and labels say.
pub struct Cleaner {
    /// Lists objects.
    pub client: Client,
    /// The policies in force.
    pub policies: Arc<PolicyStore>,
    /// Who enforces which kind.
    pub enforcers: Arc<Enforcers>,
    /// Labels of namespaces.
    pub namespaces: Arc<Namespaces>,
    /// What policies may ask.
    pub lookups: Arc<dyn LookupResolver>,
    /// Deletes and records.
    pub hands: Hands,
}

/// A policy and its schedule, by which its next run is remembered.
type Key = (String, String);

// === impl Cleaner ===

impl Cleaner {
    /// Runs until dropped. A run that was due while we were away is not caught up with.
    pub async fn run(self) {
        let mut changes = self.policies.subscribe();
        let mut due: BTreeMap<Key, Timestamp> = BTreeMap::new();
        let mut labels = tokio::time::interval(TICK);
        labels.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            changes.mark_unchanged();
            let now = Timestamp::now();
            self.plan(&mut due, now);
            let next = due.values().min().copied();
            let pause = next.map_or(TICK, |next| {
                Duration::try_from(next.duration_since(now)).unwrap_or_default().min(TICK)
            });
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = labels.tick() => self.expired().await,
                () = tokio::time::sleep(pause) => self.scheduled(&mut due).await,
            }
        }
    }

    fn ours(&self) -> Vec<Arc<CleanupPolicy>> {
        // Whoever enforces cluster policies runs the cleanup that belongs to them.
        if !self.enforcers.is_ours("ClusterPolicy") {
            return Vec::new();
        }
        self.policies.current().cleanup.clone()
    }

    fn plan(&self, due: &mut BTreeMap<Key, Timestamp>, now: Timestamp) {
        let policies = self.ours();
        let keys: BTreeSet<Key> = policies.iter().map(|policy| key(policy)).collect();
        due.retain(|key, _| keys.contains(key));
        for policy in policies {
            if let Some(next) = policy.schedule().next_after(now) {
                due.entry(key(&policy)).or_insert(next);
            }
        }
    }

    async fn scheduled(&self, due: &mut BTreeMap<Key, Timestamp>) {
        let now = Timestamp::now();
        for policy in self.ours() {
            let key = key(&policy);
            if due.get(&key).is_none_or(|next| *next > now) {
                continue;
            }
            due.remove(&key);
            match tokio::time::timeout(RUN, self.clean(&policy)).await {
                Ok(Ok(deleted)) => tracing::info!(policy = key.0, deleted, "cleaned up"),
                Ok(Err(error)) => tracing::warn!(policy = key.0, %error, "not cleaned up"),
                Err(_) => tracing::warn!(policy = key.0, "cleaning up was cut off"),
            }
        }
    }

    async fn clean(&self, policy: &CleanupPolicy) -> Result<u64, kube::Error> {
        let catalogue = Catalogue::discover(&self.client).await?;
        let scope = policy.scope(&catalogue.known_kinds());
        let (kinds, missing) = resources(&scope, catalogue.served());
        for what in missing {
            tracing::warn!(policy = policy.qualified_name(), what, "it has nothing to clean up");
        }
        let mut deleted: u64 = 0;
        for kind in kinds {
            let mut seen = pin!(watch(self.client.clone(), &kind));
            while let Some(seen) = seen.next().await {
                match seen {
                    Ok(Seen::Object(object)) => {
                        deleted += u64::from(self.consider(policy, object).await);
                    }
                    Ok(Seen::Listed) => break,
                    Ok(Seen::Start | Seen::Gone { .. }) => {}
                    Err(error) => {
                        let kind = &kind.kind;
                        tracing::warn!(kind, cause = %error.cause, "objects cannot be listed");
                        break;
                    }
                }
            }
        }
        Ok(deleted)
    }

    /// Deletes an object if the policy says so; whether it did.
    async fn consider(&self, policy: &CleanupPolicy, object: Value) -> bool {
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return false;
        }
        let identity = Identity::of(&object);
        let mut request = Request::create(object);
        if let Some(namespace) = &request.namespace {
            let labels = self.namespaces.labels(namespace).await;
            request.namespace_labels = labels.map(|labels| labels.as_ref().clone());
        }
        let mut environment = Environment::at(Timestamp::now());
        let deadline = Instant::now() + LOOKUP_PATIENCE;
        let judge = |environment: &Environment| policy.judge(&request, environment);
        let choice = settle(&mut environment, self.lookups.as_ref(), deadline, judge).await;
        match choice {
            Some(Choice::Delete) => {}
            Some(Choice::Keep) | None => return false,
            Some(Choice::Unknown(reason)) => {
                let (name, object) = (policy.qualified_name(), &identity.subject);
                tracing::warn!(policy = name, %object, reason, "kept: it cannot be judged");
                return false;
            }
        }
        let change = change(&identity, ChangeCause::Cleanup, Some(policy.qualified_name()));
        self.delete(&change, &identity.uid, policy.propagation()).await
    }

    /// Deletes what its own label says is to go.
    async fn expired(&self) {
        let catalogue = match Catalogue::discover(&self.client).await {
            Ok(catalogue) => catalogue,
            Err(error) => {
                tracing::warn!(%error, "labels that say when objects go are not looked at");
                return;
            }
        };
        let mut looked = BTreeSet::new();
        for served in catalogue.served().iter().filter(|served| served.subresource.is_empty()) {
            if looked.insert((served.group.clone(), served.resource.clone())) {
                self.expired_of(&served.api_resource()).await;
            }
        }
    }

    async fn expired_of(&self, kind: &ApiResource) {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), kind);
        let labelled = ListParams::default().labels(TTL_LABEL).match_any();
        // A kind that cannot be listed has nothing that could be deleted either.
        let Ok(list) = api.list_metadata(&labelled).await else { return };
        let now = Timestamp::now();
        for item in list.items {
            let object = serde_json::json!({
                "apiVersion": kind.api_version, "kind": kind.kind, "metadata": item.metadata,
            });
            let identity = Identity::of(&object);
            match expires_at(&object) {
                Some(Ok(time)) if time <= now => {
                    let change = change(&identity, ChangeCause::Ttl, None);
                    self.delete(&change, &identity.uid, propagation_of(&object)).await;
                }
                Some(Err(reason)) => tracing::debug!(object = %identity.subject, reason),
                Some(Ok(_)) | None => {}
            }
        }
    }

    async fn delete(
        &self,
        change: &ChangeBody,
        uid: &str,
        propagation: Option<Propagation>,
    ) -> bool {
        let deleted = self.hands.delete(change, uid, propagation).await;
        if let Err(error) = &deleted {
            tracing::warn!(object = %change.object, %error, "not deleted");
        }
        deleted.is_ok()
    }
}

fn key(policy: &CleanupPolicy) -> Key {
    (policy.qualified_name(), policy.schedule().to_string())
}

fn change(identity: &Identity, cause: ChangeCause, policy: Option<String>) -> ChangeBody {
    ChangeBody {
        cause,
        action: ChangeAction::Delete,
        state: ChangeState::Begun,
        object: identity.subject.clone(),
        policy,
        rule: None,
        trigger: None,
        source: None,
        synchronize: false,
        orphan: false,
        content: None,
        message: None,
    }
}

fn propagation_of(object: &Value) -> Option<Propagation> {
    let annotations = object.pointer("/metadata/annotations")?;
    match annotations.get(PROPAGATION)?.as_str()? {
        "Foreground" => Some(Propagation::Foreground),
        "Background" => Some(Propagation::Background),
        "Orphan" => Some(Propagation::Orphan),
        _ => None,
    }
}
