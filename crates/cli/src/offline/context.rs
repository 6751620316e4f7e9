//! Context files (`cli.kyverno.io` Context): what the lookups of CEL policies find in a test.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use proofstream_manifest::documents;
use proofstream_policy::{Answer, Lookup};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::offline::files;

/// Reads a file: objects of the API server, and what registries know of images.
pub fn load(path: &Path) -> Result<HashMap<Lookup, Answer>, Failure> {
    let bytes = files::read_whole(path)?;
    let shown = path.display().to_string();
    let mut answers = HashMap::new();
    for document in documents(&bytes, &shown) {
        let document = document?;
        let kind = document.value.get("kind").and_then(Value::as_str).unwrap_or_default();
        if kind != "Context" {
            let message = format!("{shown}:{}: kind `{kind}` is not Context", document.line);
            return Err(Failure::input(message));
        }
        let list = |name: &str| {
            let found = document.value.pointer(&format!("/spec/{name}")).and_then(Value::as_array);
            found.map(Vec::as_slice).unwrap_or_default()
        };
        take_objects(list("resources"), &mut answers);
        for image in list("images") {
            if let Some(reference) = image.get("image").and_then(Value::as_str) {
                let lookup = Lookup::Image { reference: reference.to_owned() };
                answers.insert(lookup, Ok(image.clone()));
            }
        }
    }
    Ok(answers)
}

/// Each object answers the call for it, and together they answer those that list them.
fn take_objects(objects: &[Value], answers: &mut HashMap<Lookup, Answer>) {
    let mut lists: BTreeMap<String, (Lookup, Vec<Value>)> = BTreeMap::new();
    for object in objects {
        let mut answered = Lookup::answered_by(object).into_iter();
        if let Some(own) = answered.next() {
            answers.insert(own, Ok(object.clone()));
        }
        for list in answered {
            lists
                .entry(list.describe())
                .or_insert_with(|| (list, Vec::new()))
                .1
                .push(object.clone());
        }
    }
    for (lookup, items) in lists.into_values() {
        answers.insert(lookup, Ok(json!({"apiVersion": "v1", "kind": "List", "items": items})));
    }
}
