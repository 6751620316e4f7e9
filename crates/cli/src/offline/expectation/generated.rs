//! Holds what rules generate against the objects that a test expects.

use std::path::Path;

use proofstream_policy::Generated;
use serde_json::{Map, Value};

use super::difference::{Difference, difference};
use crate::exit::Failure;
use crate::offline::files;
use crate::offline::test_file::Expected;

/// Labels by which a generated object tells who made it; tests need not write them.
const OWNER_LABELS: &str = "generate.kyverno.io/";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// What an expectation wants to see generated; nothing where it does not say.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    objects: Option<Vec<Value>>,
    /// Why some file cannot be used.
    failure: Option<String>,
}

impl Wanted {
    /// Reads the files that an expectation names.
    pub(super) fn load(folder: &Path, expected: &Expected) -> Self {
        let files: Vec<&String> =
            expected.generated_resource.iter().chain(&expected.generated_resources).collect();
        if files.is_empty() {
            return Self::default();
        }
        let read = || -> Result<Vec<Value>, Failure> {
            let mut objects = Vec::new();
            for file in files.into_iter().filter(|file| !file.is_empty()) {
                for document in files::open(&folder.join(file))? {
                    objects.push(bare(&document?.value));
                }
            }
            Ok(objects)
        };
        match read() {
            Ok(objects) => Self { objects: Some(objects), failure: None },
            Err(failure) => Self { objects: None, failure: Some(failure.message) },
        }
    }

    /// Where the two differ, in words: an object too many, none at all, or a field. A file may hold
    /// what several triggers make, so what is left of it after one of them is no difference.
    pub(super) fn difference(&self, generated: &[&Generated]) -> Option<String> {
        if let Some(failure) = &self.failure {
            return Some(format!("the generated resource cannot be read: {failure}"));
        }
        let mut missing: Vec<&Value> = self.objects.as_ref()?.iter().collect();
        for made in generated {
            let made = bare(&made.object);
            let Some(place) = missing.iter().position(|wanted| name(wanted) == name(&made)) else {
                return Some(format!("{} is generated and not expected", name(&made)));
            };
            let wanted = missing.swap_remove(place);
            if let Some(Difference { path, values }) = difference(&made, wanted) {
                let name = name(&made);
                return Some(format!(
                    "{name} is generated otherwise than expected: `{path}`: {values}"
                ));
            }
        }
        let first = missing.first().filter(|_| generated.is_empty())?;
        Some(format!("{} is expected and not generated", name(first)))
    }
}

fn name(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, namespace) = (text("/kind"), text("/metadata/namespace"));
    let separator = if namespace.is_empty() { "" } else { "/" };
    format!("{kind} `{namespace}{separator}{}`", text("/metadata/name"))
}

/// An object without who made it.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
        if let Some(labels) = labels.as_object_mut() {
            labels.retain(|key, _| !key.starts_with(OWNER_LABELS) && key != MANAGED_BY);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn emptiness_and_owners_do_not_count_and_all_else_does() {
        let made = json!({"kind": "ConfigMap", "metadata": {"name": "m", "labels": {
            "generate.kyverno.io/rule-name": "r", "app.kubernetes.io/managed-by": "kyverno"}},
            "data": {"a": "1"}, "list": [{}, 1]});
        let wanted = json!({"kind": "ConfigMap", "metadata": {"name": "m"},
            "data": {"a": "1"}, "list": [1]});
        assert_eq!(difference(&bare(&made), &bare(&wanted)), None);
        let other = json!({"kind": "ConfigMap", "metadata": {"name": "m"},
            "data": {"a": "2"}, "list": [1]});
        let said = difference(&bare(&made), &bare(&other)).unwrap();
        assert_eq!((&*said.path, &*said.values), ("/data/a", "expected \"2\", got \"1\""));
    }
}
