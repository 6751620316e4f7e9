//! What a mutate rule changes.

use serde_json::Value;

use super::expressions::Changes;
use super::validation::preconditions;
use crate::condition::Conditions;
use crate::context::{self, ContextEntry, ListQuery};
use crate::error::ParseError;
use crate::fields::{Fields, wrong_type};
use crate::patch::{Operation, check_strategic, read_operations};
use crate::selection::LabelSelector;
use crate::spelling;
use crate::template::{Document, Template};

/// Deepest nesting of loops.
const MAX_LOOPS: usize = 8;
/// Most loops beside one another.
const MAX_SIBLINGS: usize = 100;
/// Most targets of one rule.
const MAX_TARGETS: usize = 100;

/// A mutate rule's own part.
#[derive(Debug)]
pub(crate) struct Mutate {
    pub(crate) change: Change,
    /// Existing objects that are changed in the stead of the request's own; none for most rules.
    pub(crate) targets: Vec<Target>,
    /// Whether the targets are also changed when the policy is.
    pub(crate) on_policy_update: Option<bool>,
}

/// What is changed.
#[derive(Debug)]
pub(crate) enum Change {
    Patch(Patch),
    ForEach(Vec<Loop>),
    Expressions(Box<Changes>),
}

/// One patch.
#[derive(Debug)]
pub(crate) enum Patch {
    Strategic(Document),
    Operations(Operations),
}

/// RFC 6902 operations, read once where their text has no variables.
#[derive(Debug)]
pub(crate) enum Operations {
    Fixed(Vec<Operation>),
    Made(Template),
}

/// One loop.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) list: ListQuery,
    /// From the last element to the first.
    pub(crate) descending: bool,
    pub(crate) context: Vec<ContextEntry>,
    pub(crate) preconditions: Conditions,
    pub(crate) change: Change,
}

/// Existing objects, by what they are called.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) api_version: Template,
    pub(crate) kind: Template,
    pub(crate) namespace: Template,
    pub(crate) name: Template,
    pub(crate) uid: Template,
    pub(crate) selector: Option<Document>,
    pub(crate) context: Vec<ContextEntry>,
    pub(crate) preconditions: Conditions,
}

/// Reads the `mutate` of a rule.
pub(super) fn mutate(rule: &Fields<'_>) -> Result<Mutate, ParseError> {
    let path = rule.path("mutate");
    let value = rule.get("mutate").unwrap_or(&Value::Null);
    let known = [
        "targets",
        "patchStrategicMerge",
        "patchesJson6902",
        "foreach",
        "mutateExistingOnPolicyUpdate",
    ];
    let fields = Fields::new(value, &path, &known)?;
    let mut targets = Vec::new();
    for (path, item) in fields.list("targets")? {
        targets.push(target(item, &path)?);
    }
    if targets.len() > MAX_TARGETS {
        return Err(fields.error("targets", format!("more than {MAX_TARGETS} targets")));
    }
    Ok(Mutate {
        change: change(&fields, &path, 0)?,
        targets,
        on_policy_update: fields.flag("mutateExistingOnPolicyUpdate")?,
    })
}

fn change(fields: &Fields<'_>, path: &str, depth: usize) -> Result<Change, ParseError> {
    let present: Vec<&str> = ["patchStrategicMerge", "patchesJson6902", "foreach"]
        .into_iter()
        .filter(|name| fields.get(name).is_some())
        .collect();
    let (name, value) = match present.as_slice() {
        [name] => (*name, fields.get(name).unwrap_or(&Value::Null)),
        [] => {
            let message = "needs one of `patchStrategicMerge`, `patchesJson6902`, `foreach`";
            return Err(ParseError::new(path, message));
        }
        [first, second, ..] => {
            return Err(fields.error(second, format!("cannot stand beside `{first}`")));
        }
    };
    let path = fields.path(name);
    Ok(match name {
        "patchStrategicMerge" => Change::Patch(Patch::Strategic(strategic(value, &path)?)),
        "patchesJson6902" => Change::Patch(Patch::Operations(operations(fields, &path)?)),
        _ => Change::ForEach(loops(fields, depth)?),
    })
}

fn strategic(value: &Value, path: &str) -> Result<Document, ParseError> {
    let referenced = crate::references::resolve(value, path)?;
    let document = Document::compile(&referenced, path)?;
    if let Document::Plain(patch) = &document {
        check_strategic(patch, path)?;
    }
    Ok(document)
}

fn operations(fields: &Fields<'_>, path: &str) -> Result<Operations, ParseError> {
    let text = fields.required_text("patchesJson6902")?;
    Ok(match Template::compile(text, path)? {
        Template::Plain(text) => Operations::Fixed(read_operations(&text, path)?),
        made => Operations::Made(made),
    })
}

fn loops(fields: &Fields<'_>, depth: usize) -> Result<Vec<Loop>, ParseError> {
    if depth >= MAX_LOOPS {
        return Err(fields.error("foreach", format!("nested deeper than {MAX_LOOPS}")));
    }
    let items = fields.list("foreach")?;
    if items.is_empty() {
        return Err(fields.error("foreach", "needs at least one loop"));
    }
    if items.len() > MAX_SIBLINGS {
        return Err(fields.error("foreach", format!("more than {MAX_SIBLINGS} loops")));
    }
    items.into_iter().map(|(path, item)| one_loop(item, &path, depth + 1)).collect()
}

fn one_loop(value: &Value, path: &str, depth: usize) -> Result<Loop, ParseError> {
    let known = [
        "list",
        "order",
        "context",
        "preconditions",
        "patchStrategicMerge",
        "patchesJson6902",
        "foreach",
    ];
    let fields = Fields::new(value, path, &known)?;
    let change = change(&fields, path, depth)?;
    let descending = match fields.text("order")? {
        Some("Descending") => true,
        Some("Ascending") => false,
        Some(other) => {
            let hint = spelling::hint(other, ["Ascending", "Descending"]);
            return Err(fields.error("order", format!("unknown value `{other}`{hint}")));
        }
        // A merge puts its elements first in a list: backwards, they end up in the loop's order.
        None => matches!(change, Change::Patch(Patch::Strategic(_))),
    };
    Ok(Loop {
        list: context::parse_list(&fields, "list")?,
        descending,
        context: context::parse(&fields)?,
        preconditions: preconditions(&fields)?,
        change,
    })
}

fn target(value: &Value, path: &str) -> Result<Target, ParseError> {
    let known =
        ["apiVersion", "kind", "namespace", "name", "uid", "selector", "context", "preconditions"];
    let fields = Fields::new(value, path, &known)?;
    let template =
        |name: &str| Template::compile(fields.text(name)?.unwrap_or_default(), &fields.path(name));
    fields.required_text("apiVersion")?;
    fields.required_text("kind")?;
    let selector = match fields.get("selector") {
        None => None,
        Some(selector @ Value::Object(_)) => {
            let path = fields.path("selector");
            let document = Document::compile(selector, &path)?;
            if let Document::Plain(selector) = &document {
                LabelSelector::parse(selector, &path)?;
            }
            Some(document)
        }
        Some(other) => return Err(wrong_type(&fields.path("selector"), "an object", other)),
    };
    Ok(Target {
        api_version: template("apiVersion")?,
        kind: template("kind")?,
        namespace: template("namespace")?,
        name: template("name")?,
        uid: template("uid")?,
        selector,
        context: context::parse(&fields)?,
        preconditions: preconditions(&fields)?,
    })
}
