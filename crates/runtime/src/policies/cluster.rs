//! Policies in the cluster: watched, and told how they fare.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::Value;

use super::definitions::{self, Kind, Owner};
use super::status::StatusWriter;
use super::{Offer, Origin, PolicyKey, PolicyStore};
use crate::reach::Reach;

/// How long to wait before asking again for a kind that the API server does not serve.
const NOT_SERVED: Duration = Duration::from_secs(5);

/// A kind of the cluster's objects that are policies, as it is watched.
pub(super) struct Watched {
    pub(super) resource: ApiResource,
    /// As [`PolicyKey::kind`] has it.
    pub(super) key: String,
    /// Whether it is no policy itself but something that policies refer to, or that refers to them.
    pub(super) auxiliary: bool,
}

// === impl Watched ===

impl Watched {
    fn of(kind: Kind, version: &str) -> Self {
        let known = GroupVersionKind::gvk(kind.group, version, kind.kind);
        Self {
            resource: ApiResource::from_gvk_with_plural(&known, kind.plural),
            key: kind.key(),
            auxiliary: kind.is_auxiliary(),
        }
    }

    /// The name under which [`PolicyStore`] awaits it.
    pub(super) fn place(&self) -> String {
        place_of(&self.key)
    }

    pub(super) fn covers(&self) -> impl Fn(&PolicyKey, &Origin) -> bool + use<> {
        let kind = self.key.clone();
        move |key, origin| key.kind == kind && *origin == Origin::Cluster
    }

    fn document(&self, object: DynamicObject) -> Option<(PolicyKey, Value)> {
        let mut document = serde_json::to_value(object).ok()?;
        // Objects of a list carry neither of these.
        let members = document.as_object_mut()?;
        members.insert("apiVersion".to_owned(), self.resource.api_version.clone().into());
        members.insert("kind".to_owned(), self.resource.kind.clone().into());
        Some((PolicyKey::of(&document)?, document))
    }
}

/// The name under which [`PolicyStore`] awaits a kind of the cluster.
pub fn place(kind: Kind) -> String {
    place_of(&kind.key())
}

fn place_of(key: &str) -> String {
    format!("{key} of the cluster")
}

/// Follows the policies of one kind, for as long as the task lives. Survives an API server that goes
/// away: what was read stays in force.
pub async fn watch(client: Client, kind: Kind, store: Arc<PolicyStore>, reach: Arc<Reach>) {
    loop {
        let (owner, version) = match definitions::ensure(&client, kind).await {
            Ok(of) => of,
            Err(error) => {
                tracing::warn!(kind = kind.kind, %error, "cannot make sure of our definition");
                (Owner::Another, kind.version())
            }
        };
        follow(&client, &Watched::of(kind, version), owner, &store, &reach).await;
        // `follow` returns when the kind is not served (any more).
        tokio::time::sleep(NOT_SERVED).await;
    }
}

/// Follows the policies of one kind until it is not served (any more).
pub(super) async fn follow(
    client: &Client,
    watched: &Watched,
    owner: Owner,
    store: &Arc<PolicyStore>,
    reach: &Reach,
) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &watched.resource);
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut changes = store.subscribe();
    let mut status = StatusWriter::new(client.clone(), watched, owner);
    let mut listed: Option<BTreeMap<PolicyKey, Value>> = None;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => take(event, watched, store, &mut status, &mut listed),
                Some(Err(error)) if is_not_served(&error) => {
                    store.replace(&watched.place(), watched.covers(), Vec::new());
                    return;
                }
                Some(Err(error)) => {
                    let kind = &watched.resource.kind;
                    tracing::warn!(kind, %error, "cannot watch policies; trying again");
                    reach.interrupted(&error);
                }
                None => return,
            },
            Ok(()) = changes.changed() => {
                status.write(&store.reports(), store.now()).await;
            }
        }
    }
}

fn take(
    event: watcher::Event<DynamicObject>,
    watched: &Watched,
    store: &PolicyStore,
    status: &mut StatusWriter,
    listed: &mut Option<BTreeMap<PolicyKey, Value>>,
) {
    match event {
        watcher::Event::Init => {
            *listed = Some(BTreeMap::new());
            status.forget_all();
        }
        watcher::Event::InitApply(object) => {
            status.see(&object);
            if let (Some((key, document)), Some(listed)) =
                (watched.document(object), listed.as_mut())
            {
                listed.insert(key, document);
            }
        }
        watcher::Event::InitDone => {
            let offers = listed
                .take()
                .unwrap_or_default()
                .into_iter()
                .map(|(key, document)| (Origin::Cluster, Offer { key, document: Ok(document) }))
                .collect();
            store.replace(&watched.place(), watched.covers(), offers);
        }
        watcher::Event::Apply(object) => {
            status.see(&object);
            if let Some((key, document)) = watched.document(object) {
                store.offer(Origin::Cluster, Offer { key, document: Ok(document) });
            }
        }
        watcher::Event::Delete(object) => {
            status.forget(&object);
            if let Some((key, _)) = watched.document(object) {
                store.withdraw(&key, &Origin::Cluster);
            }
        }
    }
}

fn is_not_served(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 404
    )
}
