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

/// The name under which [`PolicyStore`] awaits a kind of the cluster.
pub fn place(kind: Kind) -> String {
    format!("{} of the cluster", kind.key())
}

/// Follows the policies of one kind, for as long as the task lives. Survives an API server that goes
/// away: what was read stays in force.
pub async fn watch(client: Client, kind: Kind, store: Arc<PolicyStore>, reach: Arc<Reach>) {
    loop {
        match definitions::ensure(&client, kind).await {
            Ok(of) => follow(&client, kind, &store, &reach, of).await,
            Err(error) => {
                tracing::warn!(kind = kind.kind, %error, "cannot make sure of our definition");
                follow(&client, kind, &store, &reach, (Owner::Another, kind.version())).await;
            }
        }
        // `follow` returns when the kind is not served (any more).
        tokio::time::sleep(NOT_SERVED).await;
    }
}

async fn follow(
    client: &Client,
    kind: Kind,
    store: &Arc<PolicyStore>,
    reach: &Reach,
    (owner, version): (Owner, &'static str),
) {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(kind.group, version, kind.kind),
        kind.plural,
    );
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut changes = store.subscribe();
    let mut status = StatusWriter::new(client.clone(), resource, kind, owner);
    let mut listed: Option<BTreeMap<PolicyKey, Value>> = None;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => take(event, (kind, version), store, &mut status, &mut listed),
                Some(Err(error)) if is_not_served(&error) => {
                    store.replace(&place(kind), covers(kind), Vec::new());
                    return;
                }
                Some(Err(error)) => {
                    tracing::warn!(kind = kind.kind, %error, "cannot watch policies; trying again");
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
    (kind, version): (Kind, &str),
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
                (document(object, kind, version), listed.as_mut())
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
            store.replace(&place(kind), covers(kind), offers);
        }
        watcher::Event::Apply(object) => {
            status.see(&object);
            if let Some((key, document)) = document(object, kind, version) {
                store.offer(Origin::Cluster, Offer { key, document: Ok(document) });
            }
        }
        watcher::Event::Delete(object) => {
            status.forget(&object);
            if let Some((key, _)) = document(object, kind, version) {
                store.withdraw(&key, &Origin::Cluster);
            }
        }
    }
}

fn covers(kind: Kind) -> impl Fn(&PolicyKey, &Origin) -> bool {
    move |key, origin| key.kind == kind.key() && *origin == Origin::Cluster
}

fn document(object: DynamicObject, kind: Kind, version: &str) -> Option<(PolicyKey, Value)> {
    let mut document = serde_json::to_value(object).ok()?;
    // Objects of a list carry neither of these.
    let members = document.as_object_mut()?;
    members.insert("apiVersion".to_owned(), format!("{}/{version}", kind.group).into());
    members.insert("kind".to_owned(), kind.kind.into());
    Some((PolicyKey::of(&document)?, document))
}

fn is_not_served(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 404
    )
}
