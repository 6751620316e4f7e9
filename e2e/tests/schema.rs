//! The types that we know without a cluster are those that a real API server publishes.

#![cfg(test)]

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use proofstream_e2e::{Cluster, ClusterOptions};
use serde_json::{Map, Value};

const FILE: &str = "../crates/schema/data/kubernetes.json";
const REFERENCE: &str = "#/components/schemas/";
/// What the file keeps of a definition.
const KEPT: [&str; 17] = [
    "type",
    "$ref",
    "allOf",
    "oneOf",
    "properties",
    "items",
    "required",
    "default",
    "format",
    "enum",
    "additionalProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-group-version-kind",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
];

/// With `UPDATE_SCHEMA=1` the file is written anew.
#[tokio::test]
async fn the_shipped_types_are_those_of_the_api_server() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let client = cluster.client().await?;
    let get = |path: String| {
        let client = client.clone();
        async move {
            let request = http::Request::get(path).body(Vec::new())?;
            anyhow::Ok(serde_json::from_str::<Value>(&client.request_text(request).await?)?)
        }
    };
    let index = get("/openapi/v3".to_owned()).await?;
    let paths = index["paths"].as_object().context("no paths")?;
    let mut all = BTreeMap::new();
    for (path, entry) in paths {
        if !path.starts_with("api/") && !path.starts_with("apis/") {
            continue;
        }
        let place = entry["serverRelativeURL"].as_str().context("no address")?;
        let document = get(place.to_owned()).await?;
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
        for (name, definition) in schemas.into_iter().flatten() {
            all.entry(name.clone()).or_insert_with(|| stripped(definition));
        }
    }
    let reached = reached(&all);
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let lines: Vec<String> = reached
            .iter()
            .map(|name| format!("{}:{}", Value::from(name.as_str()), sorted(&all[name])))
            .collect();
        let text = format!("{{\"components\":{{\"schemas\":{{\n{}\n}}}}}}\n", lines.join(",\n"));
        std::fs::write(FILE, text)?;
    }
    let shipped: Value = serde_json::from_str(&std::fs::read_to_string(FILE)?)?;
    let shipped = shipped.pointer("/components/schemas").and_then(Value::as_object);
    let shipped = shipped.context("the file has no schemas")?;
    let names: Vec<&String> = shipped.keys().collect();
    ensure!(names == reached.iter().collect::<Vec<_>>(), "other types are published");
    for name in names {
        ensure!(shipped[name] == all[name], "{name}: {}\nshipped: {}", all[name], shipped[name]);
    }
    Ok(())
}

/// A definition without what people read and what nothing asks for.
fn stripped(definition: &Value) -> Value {
    match definition {
        Value::Array(items) => items.iter().map(stripped).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| KEPT.contains(&key.as_str()));
            let kept = kept.map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    ("default" | "enum" | "required", value) => value.clone(),
                    ("properties", Value::Object(properties)) => Value::Object(
                        properties.iter().map(|(name, of)| (name.clone(), stripped(of))).collect(),
                    ),
                    (_, value) => stripped(value),
                };
                (key.clone(), value)
            });
            // `kind` and so on of a kind are no keywords.
            if members.contains_key("group") && members.contains_key("version") {
                return definition.clone();
            }
            Value::Object(kept.collect())
        }
        other => other.clone(),
    }
}

/// The types of kinds that people write, lists and options of calls apart, and all that they are made of.
fn reached(all: &BTreeMap<String, Value>) -> Vec<String> {
    let is_written = |name: &String, definition: &Value| {
        definition.get("x-kubernetes-group-version-kind").is_some()
            && !name.ends_with("List")
            && !name.contains(".apis.meta.v1.")
    };
    let mut waiting: Vec<&str> = all
        .iter()
        .filter(|(name, definition)| is_written(name, definition))
        .map(|(name, _)| name.as_str())
        .collect();
    let mut found = std::collections::BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if let Some(definition) = all.get(name).filter(|_| found.insert(name.to_owned())) {
            references(definition, &mut waiting);
        }
    }
    found.into_iter().collect()
}

fn references<'d>(definition: &'d Value, found: &mut Vec<&'d str>) {
    match definition {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("$ref", Value::String(name)) => found.extend(name.strip_prefix(REFERENCE)),
                    (_, value) => references(value, found),
                }
            }
        }
        _ => {}
    }
}

/// A value with the members of its objects in order, so that the file changes only where types do.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(members) => {
            let in_order: BTreeMap<_, _> = members.iter().collect();
            let in_order = in_order.into_iter().map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(in_order.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}
