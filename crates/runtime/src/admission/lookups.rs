//! What a policy must look up before it can judge.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, TypeMeta};
use kube::client::Body;
use kube::discovery::Scope;
use kube::{Api, Client, Resource as _};
use proofstream_policy::{Answer, Lookup};
use serde_json::Value;

use super::services::{Call, Services};
use crate::globals::Globals;
use crate::metrics::Metrics;

/// The longest answer to a lookup.
const ANSWER_BYTES: usize = 2 << 20;

/// Objects that one page of a list has.
const PAGE: u32 = 500;
/// Most objects that one lookup gives.
const MAX_OBJECTS: usize = 10_000;

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

    /// One object.
    async fn object(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Answer {
        let path = self.path(api_version, kind, namespace, Some(name)).await?;
        self.call("GET", &path, None).await.map_err(|error| {
            let missing = error.ends_with("404 Not Found");
            let shown =
                namespace.map_or(name.to_owned(), |namespace| format!("{namespace}/{name}"));
            if missing { format!("{kind} `{shown}` does not exist") } else { error }
        })
    }

    /// All objects of a kind, of one namespace where it is given and the kind has namespaces.
    async fn objects(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Answer {
        let path = self.path(api_version, kind, namespace, None).await?;
        let mut list = self.call("GET", &path, None).await?;
        let mut items = list.get_mut("items").map(Value::take).unwrap_or_default();
        // Items of a list do not say what they are.
        for item in items.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            item.insert("apiVersion".to_owned(), Value::from(api_version));
            item.insert("kind".to_owned(), Value::from(kind));
        }
        Ok(items)
    }

    /// The named object in a list, if it is there and among those that `lookup` asks for.
    async fn selected_one(
        &self,
        lookup: &Lookup,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Answer {
        let (resource, scope) = self.resource(api_version, kind).await?;
        let namespaced = scope == Scope::Namespaced;
        if namespaced && namespace.is_none() {
            return self.selected(lookup, api_version, kind, None).await;
        }
        let api: Api<DynamicObject> = match namespace.filter(|_| namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let found = api.get_opt(name).await.map_err(|error| format!("{kind} `{name}`: {error}"))?;
        let found = found.map(serde_json::to_value).transpose();
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.into_iter().filter(|object| lookup.selects(object)).collect())
    }

    /// The objects that `lookup` asks for, page by page.
    async fn selected(
        &self,
        lookup: &Lookup,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Answer {
        let (resource, scope) = self.resource(api_version, kind).await?;
        let api: Api<DynamicObject> = match namespace.filter(|_| scope == Scope::Namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let mut parameters = ListParams::default().limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = api.list(&parameters).await.map_err(|error| format!("{kind}: {error}"))?;
            for object in page.items {
                let mut object = serde_json::to_value(object).map_err(|error| error.to_string())?;
                // Items of a list do not say what they are.
                if let Some(members) = object.as_object_mut() {
                    members.insert("apiVersion".to_owned(), Value::from(api_version));
                    members.insert("kind".to_owned(), Value::from(kind));
                }
                if lookup.selects(&object) {
                    found.push(object);
                }
            }
            if found.len() > MAX_OBJECTS {
                return Err(format!("{}: more than {MAX_OBJECTS}", lookup.describe()));
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(Value::Array(found)),
            }
        }
    }

    async fn resource(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<(ApiResource, Scope), String> {
        let gvk = GroupVersionKind::try_from(TypeMeta {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        })
        .map_err(|error| format!("`{api_version}` `{kind}`: {error}"))?;
        let (resource, served) = kube::discovery::pinned_kind(&self.client, &gvk)
            .await
            .map_err(|error| format!("`{api_version}` `{kind}` is not served: {error}"))?;
        Ok((resource, served.scope))
    }

    /// Where the API server has the objects of a kind, or the named one.
    async fn path(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<String, String> {
        // INVARIANT: a name that is none does not become another path.
        let leads_astray =
            |text: &&str| text.contains(['/', '%', '?', '#']) || text.starts_with('.');
        if let Some(text) = [namespace, name].into_iter().flatten().find(leads_astray) {
            return Err(format!("`{text}` is no name of an object"));
        }
        let (resource, scope) = self.resource(api_version, kind).await?;
        let namespace = namespace.filter(|_| scope == Scope::Namespaced);
        let path = DynamicObject::url_path(&resource, namespace);
        Ok(name.map_or(path.clone(), |name| format!("{path}/{name}")))
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

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?'])
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
            Lookup::Parameters { api_version, kind, namespace, name: Some(name) } => {
                let found = self.object(api_version, kind, namespace.as_deref(), name).await?;
                Ok(Value::Array(vec![found]))
            }
            Lookup::Parameters { api_version, kind, namespace, name: None } => {
                self.objects(api_version, kind, namespace.as_deref()).await
            }
            Lookup::Object { api_version, kind, namespace, name } => {
                self.object(api_version, kind, namespace.as_deref(), name).await
            }
            Lookup::Objects { api_version, kind, namespace, name, .. } => {
                if is_glob(api_version) || is_glob(kind) || kind.contains('/') {
                    let what = lookup.describe();
                    return Err(format!("{what}: globs of kinds are not looked up, nor parts"));
                }
                let named = |text: &str| !text.is_empty() && !is_glob(text);
                let place = Some(namespace.as_str()).filter(|text| named(text));
                if named(name) && (place.is_some() || namespace.is_empty()) {
                    return self.selected_one(lookup, api_version, kind, place, name).await;
                }
                self.selected(lookup, api_version, kind, place).await
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
