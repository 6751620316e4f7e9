//! What a policy must look up before it can judge.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DynamicObject, GroupVersionKind, TypeMeta};
use kube::client::Body;
use kube::{Api, Client, Resource as _};
use proofstream_policy::{Answer, Lookup};
use serde_json::Value;

use super::services::{Call, Services};
use crate::globals::Globals;
use crate::metrics::Metrics;

/// The longest answer to a lookup.
const ANSWER_BYTES: usize = 2 << 20;

/// A future of a resolver.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Finds out what a policy must know.
pub trait LookupResolver: Send + Sync {
    /// Finds one thing out, or says why not. The caller bounds the time.
    fn resolve<'a>(&'a self, lookup: &'a Lookup) -> Resolving<'a>;
}

/// Asks the API server, services, and what is kept for global entries.
pub struct ApiServer {
    client: Client,
    services: Services,
    globals: Option<Arc<Globals>>,
    metrics: Option<Arc<Metrics>>,
}

// === impl ApiServer ===

impl ApiServer {
    /// Asks as `client`; knows no global entries.
    pub fn new(client: Client) -> Self {
        Self { client, services: Services::default(), globals: None, metrics: None }
    }

    /// The same with global entries, and measured.
    pub fn with_globals(client: &Client, globals: &Arc<Globals>, metrics: &Arc<Metrics>) -> Self {
        let (globals, metrics) = (Some(Arc::clone(globals)), Some(Arc::clone(metrics)));
        Self { globals, metrics, ..Self::new(client.clone()) }
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Answer {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = api
            .get(name)
            .await
            .map_err(|error| format!("ConfigMap `{namespace}/{name}`: {error}"))?;
        serde_json::to_value(found).map_err(|error| error.to_string())
    }

    /// One object, or without a name all of them in the namespace.
    async fn object(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Answer {
        let gvk = GroupVersionKind::try_from(TypeMeta {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        })
        .map_err(|error| format!("`{api_version}` `{kind}`: {error}"))?;
        let (resource, _) = kube::discovery::pinned_kind(&self.client, &gvk)
            .await
            .map_err(|error| format!("`{api_version}` `{kind}` is not served: {error}"))?;
        let shown = [namespace, name].into_iter().flatten().collect::<Vec<_>>().join("/");
        // A name that is none must not become another path.
        let leads_astray =
            |text: &str| text.contains(['/', '%', '?', '#']) || text.starts_with('.');
        if [namespace, name].into_iter().flatten().any(leads_astray) {
            return Err(format!("`{shown}` is no name of an object"));
        }
        let mut path = DynamicObject::url_path(&resource, namespace);
        if let Some(name) = name {
            path.push('/');
            path.push_str(name);
        }
        self.call("GET", &path, None).await.map_err(|error| {
            let missing = error.ends_with("404 Not Found");
            if missing { format!("{kind} `{shown}` does not exist") } else { error }
        })
    }

    /// Objects of a kind: the named one, or all in the namespace, as a list.
    async fn objects(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Answer {
        let root = if api_version.contains('/') { "apis" } else { "api" };
        let served = self.call("GET", &format!("/{root}/{api_version}"), None).await?;
        let text = |resource: &Value, key: &str| {
            resource.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let resources = served.get("resources").and_then(Value::as_array);
        let resource = resources
            .into_iter()
            .flatten()
            .find(|resource| {
                text(resource, "kind") == kind && !text(resource, "name").contains('/')
            })
            .ok_or_else(|| format!("the cluster serves no `{api_version}` {kind}"))?;
        let namespaced = resource.get("namespaced").and_then(Value::as_bool).unwrap_or_default();
        let within = match (namespaced, namespace) {
            (true, Some(namespace)) => format!("/namespaces/{namespace}"),
            (true, None) => return Err(format!("{kind} needs a namespace to be looked for in")),
            (false, _) => String::new(),
        };
        let plural = text(resource, "name");
        let path = format!("/{root}/{api_version}{within}/{plural}");
        if let Some(name) = name {
            let found = self.call("GET", &format!("{path}/{name}"), None).await?;
            return Ok(Value::Array(vec![found]));
        }
        let mut list = self.call("GET", &path, None).await?;
        let mut items = list.get_mut("items").map(Value::take).unwrap_or_default();
        // Items of a list do not say what they are.
        for item in items.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            item.insert("apiVersion".to_owned(), Value::from(api_version));
            item.insert("kind".to_owned(), Value::from(kind));
        }
        Ok(items)
    }

    async fn call(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let failed = |error: String| format!("{method} `{path}`: {error}");
        if !path.starts_with('/') {
            return Err(failed("a path begins with `/`".to_owned()));
        }
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Accept", "application/json")
            .header("Content-Type", "application/json")
            .body(Body::from(body.unwrap_or_default().as_bytes().to_vec()))
            .map_err(|error| failed(error.to_string()))?;
        read(self.client.send(request).await).await.map_err(failed)
    }

    async fn global(&self, name: &str, projection: &str) -> Answer {
        match &self.globals {
            Some(globals) => globals.answer(name, projection).await,
            None => Err(format!("GlobalContextEntry `{name}`: global entries are not kept here")),
        }
    }
}

/// Decodes an answer of bounded length.
pub(super) async fn read(answer: Result<Response<Body>, kube::Error>) -> Result<Value, String> {
    let response = answer.map_err(|error| chain(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
    let bytes = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            format!("the answer is longer than {} MiB", ANSWER_BYTES >> 20)
        } else {
            format!("the answer cannot be read: {error}")
        }
    })?;
    if !status.is_success() {
        return Err(status.to_string());
    }
    serde_json::from_slice(&bytes.to_bytes())
        .map_err(|error| format!("the answer is no JSON: {error}"))
}

/// An error with its causes: what broke a call is often said by the last of them.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

impl ApiServer {
    async fn find(&self, lookup: &Lookup) -> Answer {
        match lookup {
            Lookup::ConfigMap { namespace, name } => self.config_map(namespace, name).await,
            Lookup::ApiCall { method, url_path, body } => {
                self.call(method, url_path, body.as_deref()).await
            }
            Lookup::Service { method, url, body, ca_bundle, headers } => {
                let (body, ca_bundle) = (body.as_deref(), ca_bundle.as_deref());
                self.services.call(&Call { method, url, body, ca_bundle, headers }).await
            }
            Lookup::Global { name, projection } => self.global(name, projection).await,
            Lookup::Parameters { api_version, kind, namespace, name } => {
                self.objects(api_version, kind, namespace.as_deref(), name.as_deref()).await
            }
            Lookup::Object { api_version, kind, namespace, name } => {
                self.object(api_version, kind, namespace.as_deref(), Some(name)).await
            }
            Lookup::Objects { api_version, kind, namespace, name, selector: None }
                if name.is_empty()
                    && [api_version, kind, namespace]
                        .iter()
                        .all(|text| !text.contains(['*', '?'])) =>
            {
                let namespace = Some(namespace.as_str()).filter(|name| !name.is_empty());
                self.object(api_version, kind, namespace, None).await
            }
            Lookup::Objects { .. } => {
                Err(format!("{}: not looked up by this version", lookup.describe()))
            }
            Lookup::Image { reference } => {
                Err(format!("registries are not asked by this version: `{reference}`"))
            }
        }
    }
}

impl LookupResolver for ApiServer {
    fn resolve<'a>(&'a self, lookup: &'a Lookup) -> Resolving<'a> {
        Box::pin(async move {
            let began = Instant::now();
            let answer = self.find(lookup).await;
            if let Some(metrics) = &self.metrics {
                metrics.looked_up(lookup, answer.is_ok(), began.elapsed());
            }
            answer
        })
    }
}
