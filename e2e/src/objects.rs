//! Objects of the cluster: apply YAML, make namespaces as the controller manager would.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client, ResourceExt as _};

/// The field manager of [`apply`].
const MANAGER: &str = "proofstream-e2e";

/// Applies each document of `yaml` in turn (server-side apply, forced); gives the stored objects.
///
/// A namespaced object that names no namespace goes to `default`. Stops at the first refusal; the
/// error's cause is the [`kube::Error`].
pub async fn apply(client: &Client, yaml: &str) -> Result<Vec<DynamicObject>> {
    let mut stored = Vec::new();
    for object in documents(yaml)? {
        let name = object.name_any();
        let (api, kind) = api_for(client, &object).await?;
        let parameters = PatchParams::apply(MANAGER).force();
        let result = api
            .patch(&name, &parameters, &Patch::Apply(&object))
            .await
            .with_context(|| format!("applying {kind} `{name}`"))?;
        stored.push(result);
    }
    Ok(stored)
}

/// Creates each document of `yaml` in turn, as `kubectl create` does.
///
/// Stops at the first refusal; the error's cause is the [`kube::Error`].
pub async fn create(client: &Client, yaml: &str) -> Result<Vec<DynamicObject>> {
    let mut stored = Vec::new();
    for object in documents(yaml)? {
        let (api, kind) = api_for(client, &object).await?;
        let result = api
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("creating {kind} `{}`", object.name_any()))?;
        stored.push(result);
    }
    Ok(stored)
}

/// Makes a namespace with these labels and its `default` service account.
///
/// Without a controller manager no service account appears, and without one every pod is refused.
pub(crate) async fn create_namespace(
    client: &Client,
    name: &str,
    labels: &[(&str, &str)],
) -> Result<()> {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    namespace.metadata.labels =
        Some(labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect());
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .with_context(|| format!("creating namespace `{name}`"))?;
    create_default_service_account(client, name).await
}

/// Makes the `default` service account of a namespace, unless it is there.
pub(crate) async fn create_default_service_account(client: &Client, namespace: &str) -> Result<()> {
    let mut account = ServiceAccount::default();
    account.metadata.name = Some("default".to_owned());
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    match api.create(&PostParams::default(), &account).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other
            .map(|_| ())
            .with_context(|| format!("creating the service account of `{namespace}`")),
    }
}

/// Waits until `condition` holds, asking every 50 ms, for at most `patience`.
///
/// The error names what was waited for and what the last attempt said.
pub async fn wait_until<F, Fut, T>(what: &str, patience: Duration, mut condition: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    let mut last = None;
    loop {
        match tokio::time::timeout_at(deadline, condition()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = last.or_else(|| Some(anyhow::anyhow!("the first attempt hangs"))),
        }
        if let Some(error) = last.take_if(|_| tokio::time::Instant::now() >= deadline) {
            return Err(error).with_context(|| format!("waited {patience:?} for {what}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn documents(yaml: &str) -> Result<Vec<DynamicObject>> {
    let values: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(yaml).context("the YAML does not parse")?;
    let objects: Vec<DynamicObject> = values
        .into_iter()
        .filter(|value| !value.is_null())
        .map(|value| serde_json::from_value(value).context("not a Kubernetes object"))
        .collect::<Result<_>>()?;
    ensure!(!objects.is_empty(), "the YAML holds no object");
    Ok(objects)
}

async fn api_for(client: &Client, object: &DynamicObject) -> Result<(Api<DynamicObject>, String)> {
    let types = object.types.as_ref().context("an object without apiVersion and kind")?;
    let kind = GroupVersionKind::try_from(types)?;
    let (resource, capabilities) = pinned_kind(client, &kind)
        .await
        .with_context(|| format!("the API server does not know `{}`", types.kind))?;
    let api = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    Ok((api, types.kind.clone()))
}
