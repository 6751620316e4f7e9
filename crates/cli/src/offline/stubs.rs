//! What a test gives in place of a cluster and of services: answers to calls, data of global context
//! entries, and objects that are there.

use std::path::Path;

use jiff::Timestamp;
use proofstream_policy::{Answer, GroupVersionKind, Lookup, query};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::offline::files;

/// Answers to lookups.
#[derive(Debug, Clone, Default)]
pub struct Stubs {
    calls: Vec<CallResponse>,
    globals: Vec<GlobalEntry>,
    objects: Vec<Value>,
    now: Timestamp,
}

/// One entry of `apiCallResponses`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallResponse {
    url: Option<String>,
    url_path: Option<String>,
    #[serde(default)]
    method: String,
    response: Response,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Response {
    #[serde(default = "ok")]
    status_code: u16,
    #[serde(default)]
    body: Value,
}

fn ok() -> u16 {
    200
}

/// One entry of `globalContextEntries`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GlobalEntry {
    name: String,
    data: Value,
    #[serde(default)]
    field_path: String,
    #[serde(default)]
    projections: Vec<Projection>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Projection {
    name: String,
    path: String,
}

/// A file of `clusterResources`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClusterResource {
    spec: ClusterResourceSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClusterResourceSpec {
    /// Definitions tell a client what it may ask; here anything may be asked.
    crds: Vec<String>,
    resources: Vec<Value>,
}

impl CallResponse {
    /// What is wrong with it.
    pub fn fault(&self) -> Option<String> {
        match (&self.url, &self.url_path) {
            (Some(_), Some(_)) => Some("`url` and `urlPath` cannot stand together".to_owned()),
            (None, None) => Some("needs `url` or `urlPath`".to_owned()),
            (None, Some(path)) if !path.starts_with('/') => {
                Some(format!("urlPath `{path}` does not begin with `/`"))
            }
            (Some(url), None) if !url.starts_with("http://") && !url.starts_with("https://") => {
                Some(format!("url `{url}` is no absolute http or https address"))
            }
            _ if !matches!(self.method.to_uppercase().as_str(), "" | "GET" | "POST") => {
                Some(format!("method `{}` is none of GET, POST", self.method))
            }
            _ => None,
        }
    }

    fn answers(&self, method: &str, address: &str) -> bool {
        let own = self.url.as_deref().or(self.url_path.as_deref()).unwrap_or_default().trim();
        own == address.trim()
            && (self.method.is_empty() || self.method.eq_ignore_ascii_case(method))
    }

    fn answer(&self) -> Answer {
        if self.response.status_code >= 400 {
            return Err(format!("the call is answered with status {}", self.response.status_code));
        }
        Ok(self.response.body.clone())
    }
}

impl Stubs {
    /// From the entries of a test, and the files of its cluster's resources.
    pub fn load(
        calls: &[CallResponse],
        globals: &[GlobalEntry],
        resources: &[impl AsRef<Path>],
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let mut objects = Vec::new();
        for path in resources {
            let file: ClusterResource =
                files::read_one(path.as_ref(), "one `cli.kyverno.io/v1alpha1` ClusterResource")?;
            objects.extend(file.spec.resources);
        }
        Ok(Self { calls: calls.to_vec(), globals: globals.to_vec(), objects, now })
    }

    /// Whether there is nothing to answer with.
    pub fn are_none(&self) -> bool {
        self.calls.is_empty() && self.globals.is_empty() && self.objects.is_empty()
    }

    /// The answer to a lookup.
    pub fn answer(&self, lookup: &Lookup) -> Answer {
        let unknown = || Err(format!("the test has no answer for {}", lookup.describe()));
        match lookup {
            Lookup::ConfigMap { namespace, name } => {
                let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
                self.call("GET", &path).unwrap_or_else(unknown)
            }
            Lookup::ApiCall { method, url_path, .. } => {
                self.call(method, url_path).unwrap_or_else(unknown)
            }
            Lookup::Service { method, url, .. } => {
                let found = self.calls.iter().find(|call| call.answers(method, url));
                found.map_or_else(unknown, CallResponse::answer)
            }
            Lookup::Global { name, projection } => {
                let found = self.globals.iter().find(|entry| entry.name == *name);
                found.map_or_else(unknown, |entry| entry.answer(projection, self.now))
            }
            _ => unknown(),
        }
    }

    fn call(&self, method: &str, path: &str) -> Option<Answer> {
        let stub = self.calls.iter().find(|call| call.answers(method, path));
        stub.map(CallResponse::answer).or_else(|| {
            let place = ApiPath::parse(path).filter(|_| method.eq_ignore_ascii_case("GET"))?;
            self.read(&place)
        })
    }

    /// The object, or the list of objects, at a path of the API server; `None` where nothing is known
    /// of the resource.
    fn read(&self, place: &ApiPath<'_>) -> Option<Answer> {
        let mut found = self.objects.iter().filter(|object| place.is_of(object));
        let Some(name) = place.name else {
            let items: Vec<&Value> = found.collect();
            return (!items.is_empty())
                .then(|| Ok(json!({"apiVersion": "v1", "kind": "List", "items": items})));
        };
        let named = found.find(|object| text(object, "/metadata/name") == name);
        named.map(|object| Ok(object.clone()))
    }
}

impl GlobalEntry {
    fn answer(&self, projection: &str, now: Timestamp) -> Answer {
        let root = match self.field_path.as_str() {
            "" => self.data.clone(),
            path => query(path, &self.data, now)?,
        };
        if projection.is_empty() {
            return Ok(root);
        }
        let path = self.projections.iter().find(|each| each.name == projection);
        let path = path.ok_or_else(|| {
            format!("global context entry `{}` has no projection `{projection}`", self.name)
        })?;
        query(&path.path, &root, now)
    }
}

/// A path of the API server in parts.
struct ApiPath<'p> {
    group: &'p str,
    version: &'p str,
    namespace: Option<&'p str>,
    resource: &'p str,
    name: Option<&'p str>,
}

impl<'p> ApiPath<'p> {
    fn parse(path: &'p str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.trim_end_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, resource, name) = match rest {
            [resource] => (None, *resource, None),
            ["namespaces", namespace, resource] => (Some(*namespace), *resource, None),
            ["namespaces", namespace, resource, name] => (Some(*namespace), *resource, Some(*name)),
            [resource, name] => (None, *resource, Some(*name)),
            _ => return None,
        };
        // A query narrows the answer, which is not done here.
        (!path.contains('?')).then_some(Self { group, version, namespace, resource, name })
    }

    fn is_of(&self, object: &Value) -> bool {
        let kind =
            GroupVersionKind::from_api_version(text(object, "/apiVersion"), text(object, "/kind"));
        kind.group == self.group
            && kind.version == self.version
            && kind.resource() == self.resource
            && self.namespace.is_none_or(|wanted| text(object, "/metadata/namespace") == wanted)
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stubs() -> Stubs {
        let calls = json!([
            {"urlPath": "/apis/a.io/v1/things", "response": {"body": {"items": [1]}}},
            {"url": "https://b.io/x", "method": "POST", "response": {"statusCode": 500, "body": {}}},
        ]);
        let globals = json!([{"name": "g", "data": {"items": [{"n": 1}, {"n": 2}]},
            "fieldPath": "items", "projections": [{"name": "all", "path": "[].n"}]}]);
        let object = |namespace: &str, name: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"namespace": namespace, "name": name}, "data": {"k": name}})
        };
        Stubs {
            calls: serde_json::from_value(calls).unwrap(),
            globals: serde_json::from_value(globals).unwrap(),
            objects: vec![object("a", "one"), object("b", "two")],
            now: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn each_kind_of_lookup_is_answered() {
        let stubs = stubs();
        let api = |method: &str, path: &str| {
            stubs.answer(&Lookup::ApiCall {
                method: method.to_owned(),
                url_path: path.to_owned(),
                body: None,
            })
        };
        assert_eq!(api("GET", "/apis/a.io/v1/things"), Ok(json!({"items": [1]})));
        assert_eq!(api("GET", "/api/v1/configmaps").unwrap()["items"].as_array().unwrap().len(), 2);
        let one = api("GET", "/api/v1/namespaces/b/configmaps").unwrap();
        assert_eq!(one["items"][0]["data"]["k"], "two");
        assert!(api("POST", "/api/v1/configmaps").is_err());
        assert!(api("GET", "/api/v1/namespaces/b/configmaps/one").is_err());
        assert!(api("GET", "/api/v1/secrets").is_err());
        let map = |namespace: &str| {
            stubs.answer(&Lookup::ConfigMap {
                namespace: namespace.to_owned(),
                name: "one".to_owned(),
            })
        };
        assert_eq!(map("a").unwrap()["data"]["k"], "one");
        assert!(map("b").is_err());
        let global = |projection: &str| {
            stubs
                .answer(&Lookup::Global { name: "g".to_owned(), projection: projection.to_owned() })
        };
        assert_eq!(global("all"), Ok(json!([1, 2])));
        assert_eq!(global("").unwrap()[1]["n"], 2);
        assert!(global("none").is_err());
        let service = Lookup::Service {
            method: "POST".to_owned(),
            url: "https://b.io/x".to_owned(),
            body: None,
            ca_bundle: None,
            headers: Vec::new(),
        };
        assert!(stubs.answer(&service).unwrap_err().contains("500"));
    }

    #[test]
    fn faults_of_entries_are_named() {
        for (entry, word) in [
            (json!({"response": {"body": {}}}), "needs"),
            (json!({"url": "https://a", "urlPath": "/a", "response": {"body": {}}}), "together"),
            (json!({"urlPath": "a", "response": {"body": {}}}), "begin"),
            (json!({"url": "a", "response": {"body": {}}}), "absolute"),
            (json!({"urlPath": "/a", "method": "PUT", "response": {"body": {}}}), "PUT"),
        ] {
            let call: CallResponse = serde_json::from_value(entry).unwrap();
            assert!(call.fault().unwrap().contains(word));
        }
    }
}
