//! What a generate rule makes: objects from data written in the rule, or copies of others.

use serde_json::Value;

use super::generating::Generating;
use super::validation::preconditions;
use crate::condition::Conditions;
use crate::context::{self, ContextEntry, ListQuery};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::kinds::BUILT_IN;
use crate::selection::LabelSelector;
use crate::template::{Document, Template};

/// Most kinds of one `cloneList`.
const MAX_KINDS: usize = 64;

/// The ways to say what is made; exactly one stands in a rule or a loop.
const WAYS: [&str; 3] = ["data", "clone", "cloneList"];

/// A generate rule's own part.
#[derive(Debug)]
pub(crate) struct GenerateRule {
    /// Whether what was made follows its data, its source and its trigger.
    pub(crate) synchronize: bool,
    /// Whether objects older than the policy start it; absent where the policy decides.
    pub(crate) existing: Option<bool>,
    /// Whether what was made stays when the policy goes.
    pub(crate) orphan: bool,
    pub(crate) work: Work,
}

/// What is made, once or for each element.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a rule")]
pub(crate) enum Work {
    Once(Product),
    ForEach(Vec<GenerateEach>),
    /// Expressions that say themselves what is made, and where.
    Expressions(Box<Generating>),
}

/// One loop.
#[derive(Debug)]
pub(crate) struct GenerateEach {
    pub(crate) list: ListQuery,
    pub(crate) context: Vec<ContextEntry>,
    pub(crate) preconditions: Conditions,
    pub(crate) product: Product,
}

/// What is made.
#[derive(Debug)]
pub(crate) enum Product {
    /// An object with this content.
    Data { target: ObjectTemplate, data: Document },
    /// A copy of one object of the same kind.
    Clone { target: ObjectTemplate, namespace: Template, name: Template },
    /// Copies of all objects of some kinds in a namespace, under their own names.
    CloneList {
        namespace: Template,
        source: Template,
        kinds: Vec<SourceKind>,
        selector: Option<LabelSelector>,
    },
}

/// What an object is called.
#[derive(Debug)]
pub(crate) struct ObjectTemplate {
    pub(crate) api_version: Template,
    pub(crate) kind: Template,
    pub(crate) namespace: Template,
    pub(crate) name: Template,
}

/// A kind that is copied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SourceKind {
    pub(crate) api_version: String,
    pub(crate) kind: String,
}

/// Reads `generate` of a rule.
pub(super) fn parse(rule: &Fields<'_>) -> Result<GenerateRule, ParseError> {
    let path = rule.path("generate");
    let written = rule.get("generate").unwrap_or(&Value::Null);
    // References within the rule are filled before anything is read of it.
    let filled = crate::references::resolve(written, &path)?;
    let known = [
        "apiVersion",
        "kind",
        "namespace",
        "name",
        "uid",
        "data",
        "clone",
        "cloneList",
        "foreach",
        "synchronize",
        "generateExisting",
        "orphanDownstreamOnPolicyDelete",
    ];
    let fields = Fields::new(&filled, &path, &known)?;
    refuse_own_trigger(rule, &fields)?;
    let loops = fields.list("foreach")?;
    let work = if loops.is_empty() {
        Work::Once(product(&fields)?)
    } else {
        if let Some(beside) = WAYS.into_iter().find(|way| fields.get(way).is_some()) {
            return Err(fields.error(beside, "cannot stand beside `foreach`"));
        }
        let loops = loops.into_iter().map(|(path, item)| one_loop(item, &path));
        Work::ForEach(loops.collect::<Result<_, _>>()?)
    };
    Ok(GenerateRule {
        synchronize: fields.flag("synchronize")?.unwrap_or(false),
        existing: fields.flag("generateExisting")?,
        orphan: fields.flag("orphanDownstreamOnPolicyDelete")?.unwrap_or(false),
        work,
    })
}

/// A rule whose plain `match.resources` names the kind that it makes would start itself. The field
/// refuses exactly this; under `any` and `all` names and labels usually keep the two apart, and what
/// a rule made does not start it (see `PolicySet::generate`).
fn refuse_own_trigger(rule: &Fields<'_>, fields: &Fields<'_>) -> Result<(), ParseError> {
    let kinds = rule.get("match").and_then(|matched| matched.pointer("/resources/kinds"));
    let kind = fields.text("kind")?.unwrap_or_default();
    let own = kinds
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|named| named.rsplit('/').next() == Some(kind));
    if own {
        let message =
            format!("the rule matches `{kind}` and makes `{kind}`: it would start itself");
        return Err(fields.error("kind", message));
    }
    Ok(())
}

fn one_loop(value: &Value, path: &str) -> Result<GenerateEach, ParseError> {
    let known = [
        "list",
        "context",
        "preconditions",
        "apiVersion",
        "kind",
        "namespace",
        "name",
        "uid",
        "data",
        "clone",
        "cloneList",
    ];
    let fields = Fields::new(value, path, &known)?;
    Ok(GenerateEach {
        list: context::parse_list(&fields, "list")?,
        context: context::parse(&fields)?,
        preconditions: preconditions(&fields)?,
        product: product(&fields)?,
    })
}

fn product(fields: &Fields<'_>) -> Result<Product, ParseError> {
    let present: Vec<&str> = WAYS.into_iter().filter(|name| fields.get(name).is_some()).collect();
    if let [first, second, ..] = present.as_slice() {
        return Err(fields.error(second, format!("cannot stand beside `{first}`")));
    }
    match present.first().copied() {
        Some("clone") => clone(fields),
        Some("cloneList") => clone_list(fields),
        // Without content the object is made with its name alone.
        _ => {
            let data = fields.get("data").cloned().unwrap_or_else(|| serde_json::json!({}));
            let data = Document::compile(&data, &fields.path("data"))?;
            Ok(Product::Data { target: target(fields)?, data })
        }
    }
}

fn target(fields: &Fields<'_>) -> Result<ObjectTemplate, ParseError> {
    let required = |name: &str| Template::compile(fields.required_text(name)?, &fields.path(name));
    let namespace = template(fields, "namespace")?;
    let made = ObjectTemplate {
        api_version: required("apiVersion")?,
        kind: required("kind")?,
        name: required("name")?,
        namespace,
    };
    Ok(made)
}

fn template(fields: &Fields<'_>, name: &str) -> Result<Template, ParseError> {
    Template::compile(fields.text(name)?.unwrap_or_default(), &fields.path(name))
}

fn clone(fields: &Fields<'_>) -> Result<Product, ParseError> {
    let source = fields.get("clone").unwrap_or(&Value::Null);
    let source = Fields::new(source, &fields.path("clone"), &["namespace", "name"])?;
    let name = Template::compile(source.required_text("name")?, &source.path("name"))?;
    let namespace = template(&source, "namespace")?;
    Ok(Product::Clone { target: target(fields)?, namespace, name })
}

fn clone_list(fields: &Fields<'_>) -> Result<Product, ParseError> {
    let list = fields.get("cloneList").unwrap_or(&Value::Null);
    let list = Fields::new(list, &fields.path("cloneList"), &["namespace", "kinds", "selector"])?;
    let mut kinds = Vec::new();
    for (path, item) in list.list("kinds")? {
        let text =
            item.as_str().ok_or_else(|| crate::fields::wrong_type(&path, "a string", item))?;
        kinds.push(SourceKind::parse(text, &path)?);
    }
    if kinds.is_empty() {
        return Err(list.error("kinds", "needs at least one kind"));
    }
    if kinds.len() > MAX_KINDS {
        return Err(list.error("kinds", format!("more than {MAX_KINDS} kinds")));
    }
    let selector = list.get("selector");
    let selector =
        selector.map(|value| LabelSelector::parse(value, &list.path("selector"))).transpose()?;
    let (namespace, source) = (template(fields, "namespace")?, template(&list, "namespace")?);
    Ok(Product::CloneList { namespace, source, kinds, selector })
}

// === impl SourceKind ===

impl SourceKind {
    /// Reads `v1/Secret`, `apps/v1/Deployment`, or the bare name of a built-in kind.
    fn parse(text: &str, path: &str) -> Result<Self, ParseError> {
        let made = |api_version: &str, kind: &str| {
            Ok(Self { api_version: api_version.to_owned(), kind: kind.to_owned() })
        };
        let has_gap = text.split('/').any(|part| part.is_empty() || part == "*");
        match text.rsplit_once('/') {
            Some((api_version, kind)) if !has_gap && text.matches('/').count() <= 2 => {
                made(api_version, kind)
            }
            None => match BUILT_IN.iter().find(|known| known.kind == text) {
                Some(known) if known.group.is_empty() => made("v1", text),
                Some(known) => made(&format!("{}/v1", known.group), text),
                None => {
                    let message = format!("write `{text}` with its version, as in `v1/Secret`");
                    Err(ParseError::new(path, message))
                }
            },
            Some(_) => {
                let message = format!("`{text}` is not a kind such as `v1/Secret`");
                Err(ParseError::new(path, message))
            }
        }
    }
}

// === impl GenerateRule ===

impl GenerateRule {
    /// Every product, looped over or not.
    pub(crate) fn products(&self) -> impl Iterator<Item = &Product> {
        let (once, loops) = match &self.work {
            Work::Once(product) => (Some(product), [].as_slice()),
            Work::ForEach(loops) => (None, loops.as_slice()),
            Work::Expressions(_) => (None, [].as_slice()),
        };
        once.into_iter().chain(loops.iter().map(|each| &each.product))
    }

    /// Refuses what a policy of a namespace may not do: make or copy anything outside of it. What
    /// variables fill in is looked at again when it is made.
    pub(super) fn confine(&self, namespace: &str, path: &str) -> Result<(), ParseError> {
        for product in self.products() {
            let (target, source) = match product {
                Product::Data { target, .. } => (&target.namespace, None),
                Product::Clone { target, namespace, .. } => (&target.namespace, Some(namespace)),
                Product::CloneList { namespace, source, .. } => (namespace, Some(source)),
            };
            for (what, template) in [("makes", Some(target)), ("copies", source)] {
                if let Some(Template::Plain(other)) = template
                    && other != namespace
                {
                    let message = format!(
                        "a policy of namespace `{namespace}` {what} nothing outside of it: `{other}`"
                    );
                    return Err(ParseError::new(path, message));
                }
            }
        }
        Ok(())
    }
}
