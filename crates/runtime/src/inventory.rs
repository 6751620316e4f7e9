//! The other objects of the cluster, which templates of constraints see in `data.inventory`.
//!
//! Whole objects are kept, so only of the kinds that somebody names: the annotation
//! `metadata.gatekeeper.sh/requires-sync-data` of a template that looks at them, Gatekeeper's Config and
//! SyncSets where the API server has them. Until all of those have been read, nothing is known, and
//! whoever asks is told so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use proofstream_observe::cluster::{Interrupted, Seen, watch};
use proofstream_policy::Inventory;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch as channel;
use tokio::time::MissedTickBehavior;

use crate::policies::PolicyStore;
use crate::webhooks::Catalogue;

/// Says which kinds a template must know.
pub(crate) const REQUIRES: &str = "metadata.gatekeeper.sh/requires-sync-data";
/// Gatekeeper's kinds that say it: group, version, kind, plural, and where in them.
const SAYING: [(&str, &str, &str, &str, &str); 2] = [
    ("config.gatekeeper.sh", "v1alpha1", "Config", "configs", "/spec/sync/syncOnly"),
    ("syncset.gatekeeper.sh", "v1alpha1", "SyncSet", "syncsets", "/spec/gvks"),
];
/// The most that is kept, as JSON.
const BYTES: usize = 128 << 20;
/// How long changes are gathered before they are shown: each showing walks all objects.
const SETTLE: Duration = Duration::from_millis(250);
/// How long a pass over everything waits for what it is judged beside.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between an attempt that failed and the next.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked what the cluster says is to be kept.
const PLAN: Duration = Duration::from_secs(30);

/// A kind of which objects are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kept {
    group: String,
    version: String,
    kind: String,
}

/// What is known of the cluster's other objects.
pub struct Inventories {
    client: Client,
    current: ArcSwapOption<Inventory>,
    changed: channel::Sender<u64>,
    /// What was asked for when all that can be known of it was known last; `None` where nobody asked.
    settled: channel::Sender<Option<BTreeSet<Kept>>>,
}

type Watches = SelectAll<BoxStream<'static, (usize, Result<Seen, Interrupted>)>>;

/// The objects of the kinds that are watched, by kind and UID.
#[derive(Default)]
struct Objects {
    by_uid: BTreeMap<(usize, String), (Value, usize)>,
    bytes: usize,
    /// Kinds that have not been listed yet.
    waiting: BTreeSet<usize>,
    /// What a list that has begun anew has shown so far.
    listed: BTreeMap<usize, BTreeSet<String>>,
    dirty: bool,
}

// === impl Inventories ===

impl Inventories {
    /// Nothing is known yet.
    pub fn new(client: Client) -> Arc<Self> {
        let (changed, settled) = (channel::Sender::new(0), channel::Sender::new(None));
        Arc::new(Self { client, current: ArcSwapOption::empty(), changed, settled })
    }

    /// Waits, for a while, until what `asked` asks for has been read: what is judged before that is an error
    /// that says nothing.
    pub(crate) async fn settle(&self, asked: Option<&BTreeSet<Kept>>) {
        let mut settled = self.settled.subscribe();
        let read = settled.wait_for(|settled| settled.as_ref() == asked);
        let _ = tokio::time::timeout(PATIENCE, read).await;
    }

    /// What is known now; nothing before everything that is asked for has been read.
    pub fn current(&self) -> Option<Inventory> {
        self.current.load().as_deref().cloned()
    }

    /// Wakes when what is known changes.
    pub fn subscribe(&self) -> channel::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Keeps what the policies in force ask for, for as long as the task lives.
    pub async fn follow(self: Arc<Self>, policies: Arc<PolicyStore>) {
        let mut changes = policies.subscribe();
        loop {
            changes.mark_unchanged();
            let asked = policies.current().asks_inventory.clone();
            let Some(named) = asked else {
                self.show(None);
                self.settled.send_replace(None);
                if changes.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let kinds = match self.kinds(named.clone()).await {
                Ok(kinds) => kinds,
                Err(error) => {
                    tracing::warn!(%error, "it cannot be found out which objects to keep");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            let others = self.until_others(&policies, &named, &kinds);
            if kinds.is_empty() {
                self.show(None);
                self.settled.send_replace(Some(named.clone()));
                others.await;
            } else {
                tokio::select! {
                    () = self.keep(&kinds, &named) => {}
                    () = others => {}
                }
            }
        }
    }

    /// Returns once other kinds are to be kept.
    async fn until_others(
        &self,
        policies: &PolicyStore,
        named: &BTreeSet<Kept>,
        kinds: &[ApiResource],
    ) {
        let mut changes = policies.subscribe();
        while policies.current().asks_inventory.as_ref() == Some(named) {
            let _ = tokio::time::timeout(PLAN, changes.changed()).await;
            match self.kinds(named.clone()).await {
                Ok(now) if now != kinds => return,
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// The kinds to watch: those that are named and served.
    async fn kinds(&self, mut named: BTreeSet<Kept>) -> Result<Vec<ApiResource>, kube::Error> {
        let catalogue = Catalogue::discover(&self.client).await?;
        for (group, version, kind, plural, place) in SAYING {
            if catalogue.api_resource(group, version, plural).is_none() {
                continue;
            }
            let resource = ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk(group, version, kind),
                plural,
            );
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            for object in api.list(&ListParams::default()).await?.items {
                let listed = object.data.pointer(place).cloned().unwrap_or_default();
                let kept: Vec<Value> = serde_json::from_value(listed).unwrap_or_default();
                named.extend(kept.iter().filter_map(Kept::of));
            }
        }
        let served = catalogue.served().iter().filter(|served| served.subresource.is_empty());
        let wanted = served.filter(|served| {
            named.iter().any(|kept| {
                kept.group == served.group
                    && kept.version == served.version
                    && kept.kind == served.kind
            })
        });
        Ok(wanted.map(crate::webhooks::Served::api_resource).collect())
    }

    /// Watches kinds, of which there are some, until dropped.
    async fn keep(&self, kinds: &[ApiResource], named: &BTreeSet<Kept>) {
        let mut watches: Watches = kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| {
                watch(self.client.clone(), kind).map(move |seen| (index, seen)).boxed()
            })
            .collect();
        let mut objects =
            Objects { waiting: (0..kinds.len()).collect(), dirty: true, ..Objects::default() };
        let mut showings = tokio::time::interval(SETTLE);
        showings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some((kind, seen)) = watches.next() => match seen {
                    Ok(seen) => objects.take(kind, seen),
                    Err(interrupted) => {
                        tracing::warn!(cause = %interrupted.cause, "{interrupted}");
                    }
                },
                _ = showings.tick() => {
                    if std::mem::take(&mut objects.dirty) {
                        self.show(objects.inventory());
                        if objects.waiting.is_empty() {
                            self.settled.send_replace(Some(named.clone()));
                        }
                    }
                }
            }
        }
    }

    fn show(&self, inventory: Option<Inventory>) {
        if inventory.is_none() && self.current.load().is_none() {
            return;
        }
        self.current.store(inventory.map(Arc::new));
        self.changed.send_modify(|count| *count += 1);
    }
}

// === impl Objects ===

impl Objects {
    fn take(&mut self, kind: usize, seen: Seen) {
        self.dirty = true;
        match seen {
            Seen::Start => drop(self.listed.insert(kind, BTreeSet::new())),
            Seen::Object(object) => {
                let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
                let uid = uid.unwrap_or_default().to_owned();
                if let Some(listed) = self.listed.get_mut(&kind) {
                    listed.insert(uid.clone());
                }
                self.forget(&(kind, uid.clone()));
                let size = object.to_string().len();
                self.bytes += size;
                self.by_uid.insert((kind, uid), (object, size));
            }
            Seen::Gone { uid } => self.forget(&(kind, uid)),
            Seen::Listed => {
                self.waiting.remove(&kind);
                let listed = self.listed.remove(&kind).unwrap_or_default();
                let of_kind = (kind, String::new())..(kind + 1, String::new());
                let gone: Vec<_> = self
                    .by_uid
                    .range(of_kind)
                    .map(|(key, _)| key.clone())
                    .filter(|(_, uid)| !listed.contains(uid))
                    .collect();
                for key in gone {
                    self.forget(&key);
                }
            }
        }
    }

    fn forget(&mut self, key: &(usize, String)) {
        if let Some((_, size)) = self.by_uid.remove(key) {
            self.bytes -= size;
        }
    }

    /// All of it; nothing while something is missing, or where it is more than is kept.
    fn inventory(&self) -> Option<Inventory> {
        if self.bytes > BYTES {
            let (bytes, most) = (self.bytes, BYTES);
            tracing::error!(bytes, most, "the inventory is too large: constraints cannot ask it");
            return None;
        }
        let whole = self.waiting.is_empty();
        whole.then(|| Inventory::of(self.by_uid.values().map(|(object, _)| object)))
    }
}

// === impl Kept ===

impl Kept {
    fn of(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        Some(Self {
            group: text("group").unwrap_or_default().to_owned(),
            version: text("version")?.to_owned(),
            kind: text("kind")?.to_owned(),
        })
    }

    /// The kinds that a template's annotation names: a list of demands, each a list of kinds of which any
    /// serves. It is JSON, often within quotation marks of its own.
    pub(crate) fn of_annotation(text: &str) -> Vec<Self> {
        #[derive(Deserialize)]
        struct Any {
            groups: Vec<String>,
            versions: Vec<String>,
            kinds: Vec<String>,
        }
        let inner = text.trim().trim_matches('"');
        let demands: Vec<Vec<Any>> = serde_json::from_str(inner).unwrap_or_default();
        let mut kept = Vec::new();
        for any in demands.iter().flatten() {
            for group in &any.groups {
                for version in &any.versions {
                    kept.extend(any.kinds.iter().map(|kind| Self {
                        group: group.clone(),
                        version: version.clone(),
                        kind: kind.clone(),
                    }));
                }
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(uid: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": uid, "uid": uid}})
    }

    #[test]
    fn an_annotation_names_kinds() {
        let text = r#"
            "[[{"groups": ["networking.k8s.io"], "versions": ["v1beta1", "v1"], "kinds": ["Ingress"]}],
              [{"groups": [""], "versions": ["v1"], "kinds": ["Service"]}]]"
        "#;
        let named: Vec<String> = Kept::of_annotation(text)
            .iter()
            .map(|kept| format!("{}/{} {}", kept.group, kept.version, kept.kind))
            .collect();
        let ingress = |version: &str| format!("networking.k8s.io/{version} Ingress");
        assert_eq!(named, [ingress("v1beta1"), ingress("v1"), "/v1 Service".to_owned()]);
        assert_eq!(Kept::of_annotation("no json"), []);
    }

    #[test]
    fn nothing_is_known_before_everything_is() {
        let mut objects = Objects { waiting: [0, 1].into(), ..Objects::default() };
        objects.take(0, Seen::Start);
        objects.take(0, Seen::Object(map("a")));
        objects.take(0, Seen::Object(map("b")));
        objects.take(0, Seen::Listed);
        assert!(objects.inventory().is_none());
        objects.take(1, Seen::Start);
        objects.take(1, Seen::Listed);
        assert!(objects.inventory().is_some());
        // A list that begins anew forgets what it no longer shows, and nothing of other kinds.
        objects.take(1, Seen::Object(map("c")));
        objects.take(0, Seen::Start);
        objects.take(0, Seen::Object(map("b")));
        objects.take(0, Seen::Listed);
        let left: Vec<_> = objects.by_uid.keys().map(|(_, uid)| uid.as_str()).collect();
        assert_eq!(left, ["b", "c"]);
        objects.take(0, Seen::Gone { uid: "b".to_owned() });
        objects.take(1, Seen::Gone { uid: "c".to_owned() });
        assert_eq!((objects.by_uid.len(), objects.bytes), (0, 0));
    }
}
