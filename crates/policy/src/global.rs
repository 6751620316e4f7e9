//! `GlobalContextEntry` (`kyverno.io/v2`, `v2alpha1`): what all policies may refer to, kept by whoever
//! runs them. Here it is only read: what is to be fetched, how often, and its projections.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::environment::Lookup;
use crate::error::ParseError;
use crate::fields::Fields;
use crate::jmespath::{self, Ast, Data, Interpreter};

/// How often an API call is made anew where the entry does not say.
const REFRESH: Duration = Duration::from_mins(10);
/// The shortest time between two calls.
const SHORTEST: Duration = Duration::from_secs(1);
/// How often a call that failed is tried again at once.
const RETRIES: u32 = 3;
const MOST_RETRIES: u32 = 10;
/// Most projections of one entry.
const MAX_PROJECTIONS: usize = 50;
const GROUP: &str = "kyverno.io/";
const KIND: &str = "GlobalContextEntry";

/// One entry.
#[derive(Debug)]
pub struct GlobalEntry {
    name: String,
    source: GlobalSource,
    projections: Vec<(String, Ast)>,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GlobalSource {
    /// All objects of a resource, as a list.
    Resource {
        /// API group, empty for the core group.
        group: String,
        /// API version.
        version: String,
        /// Plural, as in `deployments`.
        resource: String,
        /// One namespace; `None` for all.
        namespace: Option<String>,
    },
    /// What a call answers.
    Call {
        /// The call: [`Lookup::ApiCall`] or [`Lookup::Service`].
        lookup: Lookup,
        /// How often it is made anew.
        refresh: Duration,
        /// How often one that failed is tried again at once.
        retries: u32,
    },
}

// === impl GlobalEntry ===

impl GlobalEntry {
    /// Whether a document is of the kind that [`Self::parse`] reads.
    pub fn is_entry(document: &Value) -> bool {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        text("apiVersion").starts_with(GROUP) && text("kind") == KIND
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// An unknown field, something missing, an unreadable expression: with its path.
    pub fn parse(document: &Value) -> Result<Self, ParseError> {
        let top = Fields::new(document, "", &["apiVersion", "kind", "metadata", "spec", "status"])?;
        let metadata = top.get("metadata").ok_or_else(|| top.error("metadata", "is required"))?;
        let name = Fields::open(metadata, "metadata")?.required_text("name")?.to_owned();
        let spec = top.get("spec").ok_or_else(|| top.error("spec", "is required"))?;
        let spec = Fields::new(spec, "spec", &["kubernetesResource", "apiCall", "projections"])?;
        let source = match (spec.get("kubernetesResource"), spec.get("apiCall")) {
            (Some(value), None) => resource(value, &spec.path("kubernetesResource"))?,
            (None, Some(value)) => call(value, &spec.path("apiCall"))?,
            _ => {
                let message = "needs exactly one of `kubernetesResource`, `apiCall`";
                return Err(ParseError::new("spec", message));
            }
        };
        let mut projections = Vec::new();
        for (path, item) in spec.list("projections")? {
            let fields = Fields::new(item, &path, &["name", "jmesPath"])?;
            let name = fields.required_text("name")?.to_owned();
            let ast = jmespath::compile(fields.required_text("jmesPath")?.trim())
                .map_err(|cause| fields.error("jmesPath", cause.to_string()))?;
            projections.push((name, ast));
        }
        if projections.len() > MAX_PROJECTIONS {
            return Err(spec.error("projections", format!("more than {MAX_PROJECTIONS}")));
        }
        Ok(Self { name, source, projections })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds.
    pub fn source(&self) -> &GlobalSource {
        &self.source
    }

    /// One of its projections of what was fetched; the whole for the empty name.
    ///
    /// # Errors
    /// There is no such projection, or it cannot be evaluated.
    pub fn project(
        &self,
        data: &Value,
        projection: &str,
        now: jiff::Timestamp,
    ) -> Result<Value, String> {
        if projection.is_empty() {
            return Ok(data.clone());
        }
        let Some((_, ast)) = self.projections.iter().find(|(name, _)| name == projection) else {
            return Err(format!("entry `{}` has no projection `{projection}`", self.name));
        };
        Interpreter::new(now, 0)
            .evaluate(ast, &Data::Borrowed(data))
            .and_then(Data::into_value)
            .map_err(|failure| {
                format!("projection `{projection}` of entry `{}`: {failure}", self.name)
            })
    }
}

fn resource(value: &Value, path: &str) -> Result<GlobalSource, ParseError> {
    let fields = Fields::new(value, path, &["group", "version", "resource", "namespace"])?;
    Ok(GlobalSource::Resource {
        group: fields.text("group")?.unwrap_or_default().to_owned(),
        version: fields.required_text("version")?.to_owned(),
        resource: fields.required_text("resource")?.to_owned(),
        namespace: fields.text("namespace")?.filter(|name| !name.is_empty()).map(str::to_owned),
    })
}

fn call(value: &Value, path: &str) -> Result<GlobalSource, ParseError> {
    let known = ["urlPath", "method", "data", "service", "refreshInterval", "retryLimit"];
    let fields = Fields::new(value, path, &known)?;
    let method = fields.text("method")?.unwrap_or("GET").to_owned();
    if !matches!(method.as_str(), "GET" | "POST") {
        return Err(fields.error("method", format!("`{method}` is neither GET nor POST")));
    }
    let mut data = Map::new();
    for (path, item) in fields.list("data")? {
        let entry = Fields::new(item, &path, &["key", "value"])?;
        let value = entry.get("value").ok_or_else(|| entry.error("value", "is required"))?;
        data.insert(entry.required_text("key")?.to_owned(), value.clone());
    }
    let body = (!data.is_empty()).then(|| Value::Object(data).to_string());
    let lookup = match (fields.text("urlPath")?, fields.get("service")) {
        (Some(url_path), None) => Lookup::ApiCall { method, url_path: url_path.to_owned(), body },
        (None, Some(service)) => {
            let inner =
                Fields::new(service, &fields.path("service"), &["url", "caBundle", "headers"])?;
            let mut headers = Vec::new();
            for (path, item) in inner.list("headers")? {
                let header = Fields::new(item, &path, &["key", "value"])?;
                let value = header.text("value")?.unwrap_or_default().to_owned();
                headers.push((header.required_text("key")?.to_owned(), value));
            }
            let url = inner.required_text("url")?.to_owned();
            let ca_bundle = inner.text("caBundle")?.map(str::to_owned);
            Lookup::Service { method, url, body, ca_bundle, headers }
        }
        _ => return Err(ParseError::new(path, "needs exactly one of `urlPath`, `service`")),
    };
    let refresh = match fields.text("refreshInterval")? {
        None => REFRESH,
        Some(text) => interval(text).ok_or_else(|| {
            fields.error("refreshInterval", format!("`{text}` is not a duration such as `10m`"))
        })?,
    };
    let retries = match fields.integer("retryLimit")? {
        None => RETRIES,
        Some(number) => {
            u32::try_from(number).ok().filter(|number| *number <= MOST_RETRIES).ok_or_else(
                || fields.error("retryLimit", format!("`{number}` is not in 0 to {MOST_RETRIES}")),
            )?
        }
    };
    Ok(GlobalSource::Call { lookup, refresh, retries })
}

fn interval(text: &str) -> Option<Duration> {
    let nanoseconds = crate::duration::Duration::parse(text)?.0;
    let nanoseconds = u64::try_from(nanoseconds).ok()?;
    Some(Duration::from_nanos(nanoseconds).max(SHORTEST))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(spec: &Value) -> Result<GlobalEntry, ParseError> {
        GlobalEntry::parse(&json!({"apiVersion": "kyverno.io/v2alpha1", "kind": KIND,
            "metadata": {"name": "e"}, "spec": spec}))
    }

    #[test]
    fn reads_both_sources_and_projects() {
        let read = entry(&json!({"kubernetesResource":
            {"group": "apps", "version": "v1", "resource": "deployments", "namespace": "a"},
            "projections": [{"name": "names", "jmesPath": "[].metadata.name"}]}))
        .unwrap();
        let data = json!([{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]);
        let project = |name: &str| read.project(&data, name, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(project("names").unwrap(), json!(["a", "b"]));
        assert_eq!(project("").unwrap(), data);
        assert_eq!(project("x").unwrap_err(), "entry `e` has no projection `x`");
        let call = entry(&json!({"apiCall": {"urlPath": "/version", "refreshInterval": "5s"}}));
        let GlobalSource::Call { refresh, retries, .. } = call.unwrap().source else {
            panic!("a call is a call");
        };
        assert_eq!((refresh, retries), (Duration::from_secs(5), 3));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let error = |spec: Value| entry(&spec).unwrap_err().to_string();
        assert!(error(json!({})).contains("needs exactly one of `kubernetesResource`"));
        let often = json!({"apiCall": {"urlPath": "/version", "refreshInterval": "soon"}});
        assert!(error(often).contains("`spec.apiCall.refreshInterval`: `soon`"));
        let misspelt = json!({"kubernetesResource": {"version": "v1", "resorce": "pods"}});
        assert!(error(misspelt).contains("did you mean `resource`?"));
        let unreadable = json!({"apiCall": {"urlPath": "/version"},
            "projections": [{"name": "n", "jmesPath": "a["}]});
        assert!(error(unreadable).contains("`spec.projections[0].jmesPath`"));
    }
}
