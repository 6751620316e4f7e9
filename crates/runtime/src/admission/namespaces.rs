//! Labels of namespaces, kept at hand: names and labels alone, not whole objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};

use crate::reach::Reach;

/// Labels of one namespace.
pub type Labels = BTreeMap<String, String>;

/// Names and labels of all namespaces.
pub struct Namespaces {
    client: Client,
    labels: RwLock<HashMap<String, Arc<Labels>>>,
}

impl Namespaces {
    /// No namespaces yet; `client` asks for them.
    pub fn new(client: Client) -> Self {
        Self { client, labels: RwLock::default() }
    }

    /// Labels of a namespace. One that is not known yet is asked for: it may be so new that a request
    /// for it comes before our watch tells of it. `None` where the API server knows it not either.
    pub async fn labels(&self, name: &str) -> Option<Arc<Labels>> {
        if let Some(labels) = self.known(name) {
            return Some(labels);
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = api
            .get_metadata_opt(name)
            .await
            .inspect_err(|error| tracing::warn!(namespace = name, %error, "no labels"))
            .ok()??;
        let labels = Arc::new(found.labels().clone());
        self.change(|all| {
            all.entry(name.to_owned()).or_insert_with(|| Arc::clone(&labels));
        });
        Some(labels)
    }

    /// Names of all that are known; none before they have been read.
    pub fn names(&self) -> BTreeSet<String> {
        self.labels.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn known(&self, name: &str) -> Option<Arc<Labels>> {
        self.labels.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Follows the cluster's namespaces for as long as the task lives.
    pub async fn watch(self: Arc<Self>, reach: Arc<Reach>) {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        let mut listed = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(namespace)) => {
                    listed.insert(namespace.name_any(), Arc::new(namespace.labels().clone()));
                }
                Ok(watcher::Event::InitDone) => {
                    self.change(|all| *all = std::mem::take(&mut listed));
                }
                Ok(watcher::Event::Apply(namespace)) => self.change(|all| {
                    all.insert(namespace.name_any(), Arc::new(namespace.labels().clone()));
                }),
                Ok(watcher::Event::Delete(namespace)) => self.change(|all| {
                    all.remove(&namespace.name_any());
                }),
                Err(error) => {
                    tracing::warn!(%error, "cannot watch namespaces; trying again");
                    reach.interrupted(&error);
                }
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<String, Arc<Labels>>)) {
        change(&mut self.labels.write().unwrap_or_else(PoisonError::into_inner));
    }
}
