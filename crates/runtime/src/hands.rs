//! What we change in the cluster: no request is sent before the ledger durably says so.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
    Preconditions,
};
use kube::discovery::{self, Scope};
use kube::{Api, Client};
use proofstream_model::{ChangeBody, ChangeState, Entry, Subject};
use proofstream_policy::Propagation;
use serde_json::Value;

use crate::recorder::{Durability, Recorder, durable_within};
use crate::webhooks::MANAGER;

/// How long a record may take to become durable before the change is put off.
const DURABLE: Duration = Duration::from_secs(10);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most kinds whose resources are remembered.
const MAX_KINDS: usize = 10_000;

/// Why something was not changed.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// The API server refused, or does not answer.
    #[error("{0}")]
    Api(#[source] Box<kube::Error>),
    /// It took too long.
    #[error("the API server did not answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// The kind is not served, or its scope does not fit.
    #[error("{0}")]
    Kind(String),
    /// The ledger does not take the record, so nothing is done.
    #[error("the ledger does not take the record of it now, so it is put off")]
    NotRecorded,
}

/// Changes the cluster in the name of policies.
pub struct Hands {
    client: Client,
    recorder: Recorder,
    kinds: Mutex<HashMap<(String, String), (ApiResource, Scope)>>,
}

// === impl Hands ===

impl Hands {
    /// Acts as `client` and records with `recorder`.
    pub fn new(client: Client, recorder: Recorder) -> Self {
        Self { client, recorder, kinds: Mutex::default() }
    }

    /// The object as it is stored, without managed fields; `None` where there is none.
    pub async fn read(&self, subject: &Subject) -> Result<Option<Value>, HandError> {
        let api = self.api(subject).await?;
        let found = in_time(api.get_opt(&subject.name)).await?;
        Ok(found.and_then(|object| serde_json::to_value(object).ok()).map(bare))
    }

    /// Makes an object.
    pub async fn create(&self, change: &ChangeBody, object: &Value) -> Result<(), HandError> {
        let api = self.api(&change.object).await?;
        let object = dynamic(object)?;
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), dry_run: false };
        self.act(change, async { api.create(&parameters, &object).await.map(drop) }).await
    }

    /// What a replacement would make of the object, without making it.
    pub async fn would_replace(&self, subject: &Subject, by: &Value) -> Result<Value, HandError> {
        let api = self.api(subject).await?;
        let object = dynamic(by)?;
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), dry_run: true };
        let made = in_time(api.replace(&subject.name, &parameters, &object)).await?;
        Ok(bare(serde_json::to_value(made).unwrap_or_default()))
    }

    /// Replaces an object, if it is still the version that `object` names. Gives it as it is stored now.
    pub async fn replace(&self, change: &ChangeBody, object: &Value) -> Result<Value, HandError> {
        let api = self.api(&change.object).await?;
        let object = dynamic(object)?;
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), dry_run: false };
        let name = &change.object.name;
        let stored = self.act(change, api.replace(name, &parameters, &object)).await?;
        Ok(bare(serde_json::to_value(stored).unwrap_or_default()))
    }

    /// Applies an object by the API server's own merge; what others own is taken over.
    pub async fn apply(&self, change: &ChangeBody, object: &Value) -> Result<(), HandError> {
        let api = self.api(&change.object).await?;
        let parameters = PatchParams::apply(MANAGER).force();
        let (name, patch) = (&change.object.name, Patch::Apply(object));
        self.act(change, async { api.patch(name, &parameters, &patch).await.map(drop) }).await
    }

    /// What applying would make of the object, without making it.
    pub async fn would_apply(&self, subject: &Subject, object: &Value) -> Result<Value, HandError> {
        let api = self.api(subject).await?;
        let parameters = PatchParams::apply(MANAGER).force().dry_run();
        let patch = Patch::Apply(object);
        let made = in_time(api.patch(&subject.name, &parameters, &patch)).await?;
        Ok(bare(serde_json::to_value(made).unwrap_or_default()))
    }

    /// Deletes an object, and only the very one that was looked at.
    pub async fn delete(
        &self,
        change: &ChangeBody,
        uid: &str,
        propagation: Option<Propagation>,
    ) -> Result<(), HandError> {
        let api = self.api(&change.object).await?;
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            propagation_policy: propagation.map(|propagation| match propagation {
                Propagation::Foreground => kube::api::PropagationPolicy::Foreground,
                Propagation::Background => kube::api::PropagationPolicy::Background,
                Propagation::Orphan => kube::api::PropagationPolicy::Orphan,
            }),
            ..DeleteParams::default()
        };
        let name = &change.object.name;
        self.act(change, async {
            match api.delete(name, &parameters).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                other => other.map(drop),
            }
        })
        .await
    }

    /// Records what needs no request: that something is left to itself, or is as it should be.
    pub async fn note(&self, change: &ChangeBody) -> Result<(), HandError> {
        self.durable(change).await
    }

    /// Records what nobody waits for.
    pub(crate) fn tell(&self, change: &ChangeBody) {
        self.after(change, change.state, change.message.clone());
    }

    async fn act<T>(
        &self,
        change: &ChangeBody,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, HandError> {
        let begun = ChangeBody { state: ChangeState::Begun, ..change.clone() };
        if let Err(error) = self.durable(&begun).await {
            self.after(change, ChangeState::Failed, Some(error.to_string()));
            return Err(error);
        }
        match in_time(request).await {
            Ok(outcome) => {
                tracing::info!(action = ?change.action, object = %change.object, cause = ?change.cause);
                self.after(change, ChangeState::Done, None);
                Ok(outcome)
            }
            Err(error) => {
                self.after(change, ChangeState::Failed, Some(error.to_string()));
                Err(error)
            }
        }
    }

    /// INVARIANT: returns well only once the record is durable.
    async fn durable(&self, change: &ChangeBody) -> Result<(), HandError> {
        let entry = Entry::new(change, Vec::new()).map_err(|error| {
            tracing::error!(%error, "a change cannot be written");
            HandError::NotRecorded
        })?;
        let ticket = self.recorder.record(std::slice::from_ref(&entry)).map_err(|error| {
            tracing::warn!(%error, "a change is put off");
            HandError::NotRecorded
        })?;
        match durable_within(ticket, DURABLE).await {
            Durability::Durable => Ok(()),
            Durability::Late(_) | Durability::Lost => Err(HandError::NotRecorded),
        }
    }

    /// Records how a change ended. Nobody waits for it: a missing end is found out at the next look.
    fn after(&self, change: &ChangeBody, state: ChangeState, message: Option<String>) {
        let ended = ChangeBody { state, message, ..change.clone() };
        let recorded =
            Entry::new(&ended, Vec::new()).map_err(|error| error.to_string()).and_then(|entry| {
                let taken = self.recorder.record(std::slice::from_ref(&entry));
                taken.map(drop).map_err(|error| error.to_string())
            });
        if let Err(error) = recorded {
            tracing::warn!(error, "the end of a change is not recorded");
            self.recorder.gap(self.recorder.now(), Some(1), "the end of a change was not taken in");
        }
    }

    async fn api(&self, subject: &Subject) -> Result<Api<DynamicObject>, HandError> {
        let (resource, scope) = self.kind(subject).await?;
        let kind = &subject.kind;
        match (scope, &subject.namespace) {
            (Scope::Namespaced, Some(namespace)) => {
                Ok(Api::namespaced_with(self.client.clone(), namespace, &resource))
            }
            (Scope::Cluster, None) => Ok(Api::all_with(self.client.clone(), &resource)),
            (Scope::Namespaced, None) => {
                Err(HandError::Kind(format!("a `{kind}` is in a namespace, and none is named")))
            }
            (Scope::Cluster, Some(namespace)) => Err(HandError::Kind(format!(
                "a `{kind}` is in no namespace, and `{namespace}` is named"
            ))),
        }
    }

    async fn kind(&self, subject: &Subject) -> Result<(ApiResource, Scope), HandError> {
        let key = (subject.api_version.clone(), subject.kind.clone());
        let known = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let (group, version) = key.0.split_once('/').unwrap_or(("", key.0.as_str()));
        let asked = GroupVersionKind::gvk(group, version, &key.1);
        let found = tokio::time::timeout(PATIENCE, discovery::pinned_kind(&self.client, &asked));
        let (resource, capabilities) =
            found.await.map_err(|_| HandError::Slow)?.map_err(|error| {
                HandError::Kind(format!("`{}` `{}` cannot be used: {error}", key.0, key.1))
            })?;
        let found = (resource, capabilities.scope);
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.len() < MAX_KINDS {
            kinds.insert(key, found.clone());
        }
        Ok(found)
    }
}

async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, HandError> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(outcome) => outcome.map_err(|error| HandError::Api(Box::new(error))),
        Err(_) => Err(HandError::Slow),
    }
}

fn dynamic(object: &Value) -> Result<DynamicObject, HandError> {
    serde_json::from_value(object.clone())
        .map_err(|error| HandError::Kind(format!("the object cannot be sent: {error}")))
}

fn bare(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}
