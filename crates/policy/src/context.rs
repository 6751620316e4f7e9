//! Entries of a rule's `context`: variables, and what must be looked up.

use serde_json::{Value, json};

use crate::environment::Lookup;
use crate::error::ParseError;
use crate::fields::{Fields, wrong_type};
use crate::jmespath::{self, Ast, Data, Failure};
use crate::scope::Scope;
use crate::template::{Document, Template};

/// Most entries of one context.
const MAX_ENTRIES: usize = 200;

/// One entry.
#[derive(Debug)]
pub(crate) struct ContextEntry {
    pub(crate) name: String,
    source: Source,
}

/// Where an entry's value comes from.
#[derive(Debug)]
enum Source {
    Variable { value: Option<Document>, query: Option<Query>, default: Option<Document> },
    ConfigMap { namespace: Template, name: Template },
    ApiCall { call: Call, query: Option<Query>, default: Option<Document> },
    Global { name: Template, query: Option<Query> },
    Image { reference: Template, query: Option<Query> },
}

/// A JMESPath, with or without variables in it.
#[derive(Debug)]
enum Query {
    Fixed(Ast),
    Made(Template),
}

#[derive(Debug)]
struct Call {
    method: Template,
    url: Template,
    body: Vec<(String, Document)>,
    service: Option<Service>,
}

#[derive(Debug)]
struct Service {
    ca_bundle: Option<String>,
    headers: Vec<(String, Template)>,
}

impl Query {
    fn compile(text: &str, path: &str) -> Result<Self, ParseError> {
        if text.contains("{{") {
            return Template::compile(text, path).map(Self::Made);
        }
        let ast = jmespath::compile(text.trim());
        ast.map(Self::Fixed).map_err(|cause| ParseError::new(path, cause.to_string()))
    }

    fn read(fields: &Fields<'_>) -> Result<Option<Self>, ParseError> {
        fields
            .text("jmesPath")?
            .filter(|text| !text.is_empty())
            .map(|text| Self::compile(text, &fields.path("jmesPath")))
            .transpose()
    }

    /// Evaluates at a node, or at the names of the scope.
    fn apply(&self, scope: &Scope<'_>, node: Option<&Value>) -> Result<Value, Failure> {
        let at = |ast: &Ast| {
            let node = node.map_or(Data::Lazy(scope), Data::Borrowed);
            scope.interpreter().evaluate(ast, &node)?.into_value()
        };
        match self {
            Self::Fixed(ast) => at(ast),
            Self::Made(template) => {
                let text = template.resolve_text(scope)?;
                let ast = jmespath::compile(text.trim())
                    .map_err(|cause| Failure::invalid(cause.to_string()))?;
                at(&ast)
            }
        }
    }
}

const SOURCES: [&str; 5] = ["variable", "configMap", "apiCall", "globalReference", "imageRegistry"];

/// Reads a context.
pub(crate) fn parse(fields: &Fields<'_>) -> Result<Vec<ContextEntry>, ParseError> {
    let entries = fields.list("context")?;
    if entries.len() > MAX_ENTRIES {
        return Err(fields.error("context", format!("more than {MAX_ENTRIES} entries")));
    }
    entries.into_iter().map(|(path, value)| parse_entry(value, &path)).collect()
}

fn parse_entry(value: &Value, path: &str) -> Result<ContextEntry, ParseError> {
    let known = ["name", "variable", "configMap", "apiCall", "globalReference", "imageRegistry"];
    let fields = Fields::new(value, path, &known)?;
    let name = fields.required_text("name")?.to_owned();
    let mut sources = SOURCES.into_iter().filter_map(|kind| Some((kind, fields.get(kind)?)));
    let Some((kind, source)) = sources.next() else {
        return Err(ParseError::new(path, format!("needs one of {}", SOURCES.join(", "))));
    };
    if sources.next().is_some() {
        return Err(ParseError::new(path, format!("needs exactly one of {}", SOURCES.join(", "))));
    }
    let path = fields.path(kind);
    let source = match kind {
        "variable" => parse_variable(source, &path)?,
        "configMap" => {
            let inner = Fields::new(source, &path, &["name", "namespace"])?;
            let read = |name: &str| {
                Template::compile(inner.text(name)?.unwrap_or_default(), &inner.path(name))
            };
            inner.required_text("name")?;
            Source::ConfigMap { namespace: read("namespace")?, name: read("name")? }
        }
        "apiCall" => parse_call(source, &path)?,
        "globalReference" => {
            let inner = Fields::new(source, &path, &["name", "jmesPath"])?;
            let name = Template::compile(inner.required_text("name")?, &inner.path("name"))?;
            Source::Global { name, query: Query::read(&inner)? }
        }
        _ => {
            let known = ["reference", "jmesPath", "imageRegistryCredentials"];
            let inner = Fields::new(source, &path, &known)?;
            let reference =
                Template::compile(inner.required_text("reference")?, &inner.path("reference"))?;
            Source::Image { reference, query: Query::read(&inner)? }
        }
    };
    Ok(ContextEntry { name, source })
}

fn document(fields: &Fields<'_>, name: &str) -> Result<Option<Document>, ParseError> {
    fields.get(name).map(|value| Document::compile(value, &fields.path(name))).transpose()
}

fn parse_variable(value: &Value, path: &str) -> Result<Source, ParseError> {
    let fields = Fields::new(value, path, &["value", "jmesPath", "default"])?;
    let (value, query) = (document(&fields, "value")?, Query::read(&fields)?);
    if value.is_none() && query.is_none() {
        return Err(ParseError::new(path, "needs `value` or `jmesPath`"));
    }
    Ok(Source::Variable { value, query, default: document(&fields, "default")? })
}

fn parse_call(value: &Value, path: &str) -> Result<Source, ParseError> {
    let fields =
        Fields::new(value, path, &["urlPath", "method", "data", "service", "jmesPath", "default"])?;
    let mut body = Vec::new();
    for (path, item) in fields.list("data")? {
        let entry = Fields::new(item, &path, &["key", "value"])?;
        let value = entry.get("value").ok_or_else(|| entry.error("value", "is required"))?;
        let document = Document::compile(value, &entry.path("value"))?;
        body.push((entry.required_text("key")?.to_owned(), document));
    }
    let method =
        Template::compile(fields.text("method")?.unwrap_or("GET"), &fields.path("method"))?;
    let (url, service) = match (fields.text("urlPath")?, fields.get("service")) {
        (Some(url), None) => (Template::compile(url, &fields.path("urlPath"))?, None),
        (None, Some(service)) => {
            let inner =
                Fields::new(service, &fields.path("service"), &["url", "caBundle", "headers"])?;
            let mut headers = Vec::new();
            for (path, item) in inner.list("headers")? {
                let header = Fields::new(item, &path, &["key", "value"])?;
                let value = header.text("value")?.unwrap_or_default();
                let value = Template::compile(value, &header.path("value"))?;
                headers.push((header.required_text("key")?.to_owned(), value));
            }
            let ca_bundle = inner.text("caBundle")?.map(str::to_owned);
            let url = Template::compile(inner.required_text("url")?, &inner.path("url"))?;
            (url, Some(Service { ca_bundle, headers }))
        }
        _ => return Err(ParseError::new(path, "needs exactly one of `urlPath`, `service`")),
    };
    let call = Call { method, url, body, service };
    Ok(Source::ApiCall {
        call,
        query: Query::read(&fields)?,
        default: document(&fields, "default")?,
    })
}

impl ContextEntry {
    /// Whether it is made from names alone.
    pub(crate) fn is_variable(&self) -> bool {
        matches!(self.source, Source::Variable { .. })
    }

    /// The value of the entry.
    pub(crate) fn load(&self, scope: &Scope<'_>) -> Result<Value, Failure> {
        match &self.source {
            Source::Variable { value, query, default } => {
                load_variable(scope, value.as_ref(), query.as_ref(), default.as_ref())
            }
            Source::ConfigMap { namespace, name } => {
                let namespace = namespace.resolve_text(scope)?;
                let namespace = if namespace.is_empty() { "default".to_owned() } else { namespace };
                let name = name.resolve_text(scope)?;
                let answer = scope.judgement().answer(Lookup::ConfigMap { namespace, name })?;
                Ok(json!({
                    "data": answer.get("data").cloned().unwrap_or_else(|| json!({})),
                    "metadata": answer.get("metadata").cloned().unwrap_or_else(|| json!({})),
                }))
            }
            Source::ApiCall { call, query, default } => {
                let loaded = call.lookup(scope).and_then(|lookup| {
                    let answer = scope.judgement().answer(lookup)?;
                    match query {
                        Some(query) => query.apply(scope, Some(answer)),
                        None => Ok(answer.clone()),
                    }
                });
                or_default(scope, loaded, default.as_ref())
            }
            Source::Global { name, query } => {
                let name = name.resolve_text(scope)?;
                let (name, projection) = name.split_once('.').unwrap_or((&name, ""));
                let lookup =
                    Lookup::Global { name: name.to_owned(), projection: projection.to_owned() };
                let answer = scope.judgement().answer(lookup)?;
                match query {
                    Some(query) => query.apply(scope, Some(answer)),
                    None => Ok(answer.clone()),
                }
            }
            Source::Image { reference, query } => {
                let reference = reference.resolve_text(scope)?;
                let answer = scope.judgement().answer(Lookup::Image { reference })?;
                match query {
                    Some(query) => query.apply(scope, Some(answer)),
                    None => Ok(answer.clone()),
                }
            }
        }
    }
}

fn load_variable(
    scope: &Scope<'_>,
    value: Option<&Document>,
    query: Option<&Query>,
    default: Option<&Document>,
) -> Result<Value, Failure> {
    let loaded = match (value, query) {
        (Some(value), query) => {
            let value = value.resolve(scope)?.into_value()?;
            match query {
                Some(query) => query.apply(scope, Some(&value)),
                None => Ok(value),
            }
        }
        (None, Some(query)) => query.apply(scope, None),
        (None, None) => Ok(Value::Null),
    };
    let loaded = or_default(scope, loaded, default)?;
    if loaded.is_null() {
        return Err(Failure::invalid("evaluates to nothing and has no default"));
    }
    Ok(loaded)
}

/// A value, or the default where there is none.
fn or_default(
    scope: &Scope<'_>,
    loaded: Result<Value, Failure>,
    default: Option<&Document>,
) -> Result<Value, Failure> {
    match (loaded, default) {
        (Err(Failure::Pending), _) => Err(Failure::Pending),
        (Err(_) | Ok(Value::Null), Some(default)) => default.resolve(scope)?.into_value(),
        (loaded, _) => loaded,
    }
}

impl Call {
    fn lookup(&self, scope: &Scope<'_>) -> Result<Lookup, Failure> {
        let method = self.method.resolve_text(scope)?;
        let url = self.url.resolve_text(scope)?;
        let body = if self.body.is_empty() {
            None
        } else {
            let mut made = serde_json::Map::new();
            for (key, value) in &self.body {
                made.insert(key.clone(), value.resolve(scope)?.into_value()?);
            }
            Some(Value::Object(made).to_string())
        };
        let Some(service) = &self.service else {
            return Ok(Lookup::ApiCall { method, url_path: url, body });
        };
        let mut headers = Vec::new();
        for (key, value) in &service.headers {
            headers.push((key.clone(), value.resolve_text(scope)?));
        }
        Ok(Lookup::Service { method, url, body, ca_bundle: service.ca_bundle.clone(), headers })
    }
}

/// Reads a JMESPath that must be a list (`foreach[].list`).
pub(crate) fn parse_list(fields: &Fields<'_>, name: &str) -> Result<ListQuery, ParseError> {
    match fields.get(name) {
        Some(Value::String(text)) => {
            let text = text.trim();
            let bare = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
            Query::compile(
                bare.filter(|bare| !bare.contains("{{")).unwrap_or(text),
                &fields.path(name),
            )
            .map(ListQuery)
        }
        Some(other) => Err(wrong_type(&fields.path(name), "a string", other)),
        None => Err(fields.error(name, "is required")),
    }
}

/// A JMESPath that gives a loop its elements.
#[derive(Debug)]
pub(crate) struct ListQuery(Query);

impl ListQuery {
    /// The elements: of a list its own, anything else is one element.
    pub(crate) fn elements<'s>(&'s self, scope: &'s Scope<'s>) -> Result<Vec<Data<'s>>, Failure> {
        let value = match &self.0 {
            Query::Fixed(ast) => scope.interpreter().evaluate(ast, &Data::Lazy(scope))?,
            made @ Query::Made(_) => Data::Owned(made.apply(scope, None)?),
        };
        if value.is_list() {
            return Ok(value.into_elements().unwrap_or_default());
        }
        Ok(vec![value])
    }
}
