//! Reading of OpenAPI v3 documents with Kubernetes' extensions.
//!
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy>

use serde_json::Value;

use crate::shape::{List, Map, Member, Node, Relation, Scalar, Schemas};

const REFERENCE: &str = "#/components/schemas/";

/// Adds the types of a document, and the kinds among them.
pub(crate) fn read(document: &Value, schemas: &mut Schemas) {
    let types = document.pointer("/components/schemas").and_then(Value::as_object);
    for (name, definition) in types.into_iter().flatten() {
        for (api_version, kind) in kinds(definition) {
            schemas.kinds.entry((api_version, kind)).or_insert_with(|| name.clone());
        }
        schemas.types.entry(name.clone()).or_insert_with(|| node(definition));
    }
}

/// The kinds that a definition is the type of: one, but for types that every group shares.
fn kinds(definition: &Value) -> Vec<(String, String)> {
    let named = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
    let read = |named: &Value| {
        let text = |key: &str| named.get(key).and_then(Value::as_str);
        let (group, version) = (text("group").unwrap_or_default(), text("version")?);
        let api_version =
            if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Some((api_version, text("kind")?.to_owned()))
    };
    named.into_iter().flatten().filter_map(read).collect()
}

fn node(definition: &Value) -> Node {
    let text = |key: &str| definition.get(key).and_then(Value::as_str);
    let flag = |key: &str| definition.get(key).and_then(Value::as_bool) == Some(true);
    if let Some(name) = text("$ref") {
        return Node::Named(name.strip_prefix(REFERENCE).unwrap_or(name).to_owned());
    }
    if let Some([only]) = definition.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        return node(only);
    }
    if flag("x-kubernetes-int-or-string") || definition.get("oneOf").is_some() {
        return Node::Scalar(Scalar::Any);
    }
    match text("type") {
        Some("string") => Node::Scalar(Scalar::Text),
        Some("integer" | "number") => Node::Scalar(Scalar::Number),
        Some("boolean") => Node::Scalar(Scalar::Boolean),
        Some("array") => Node::List(Box::new(list(definition))),
        Some("object") => map(definition),
        _ => Node::Unknown,
    }
}

fn list(definition: &Value) -> List {
    let element = definition.get("items").map_or(Node::Unknown, node);
    let keys = definition.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let relation = match definition.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Relation::Set,
        Some("map") => Relation::Keys(
            keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        ),
        _ => Relation::Atomic,
    };
    List { element, relation }
}

fn map(definition: &Value) -> Node {
    let flag = |key: &str| definition.get(key).and_then(Value::as_bool) == Some(true);
    let members = definition.get("properties").and_then(Value::as_object);
    let preserved = flag("x-kubernetes-preserve-unknown-fields");
    let others = match definition.get("additionalProperties") {
        Some(Value::Bool(false)) | None => preserved.then_some(Node::Unknown),
        Some(Value::Bool(true)) => Some(Node::Unknown),
        Some(others) => Some(node(others)),
    };
    if members.is_none() && others.is_none() {
        return Node::Unknown;
    }
    let read = |(name, definition): (&String, &Value)| {
        let member = Member {
            node: node(definition),
            default: definition.get("default").cloned(),
            is_atomic: is_atomic(definition),
        };
        (name.clone(), member)
    };
    let members = members.into_iter().flatten().map(read).collect();
    Node::Map(Box::new(Map { members, others, is_atomic: is_atomic(definition) }))
}

fn is_atomic(definition: &Value) -> bool {
    definition.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic")
}
