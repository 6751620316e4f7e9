//! Objects as a test expects rules to leave them.

use std::path::PathBuf;

use serde_json::Value;

use super::difference::{Difference, difference};
use super::selector::Identity;
use crate::offline::files;
use crate::offline::scope;

/// A test that wants a resource compared with a file that has nothing to say of it cannot be run.
pub(super) const NOT_IN_THE_FILE: &str = "the file of patched resources does not contain this one";

/// The objects of the files that an entry names; none where it names no file.
#[derive(Debug, Default)]
pub(super) struct Patched {
    objects: Vec<(Identity, Value)>,
    /// Why some file cannot be used.
    failure: Option<String>,
    is_asked: bool,
}

// === impl Patched ===

impl Patched {
    pub(super) fn load(paths: &[PathBuf]) -> Self {
        let mut patched = Self { is_asked: !paths.is_empty(), ..Self::default() };
        for path in paths {
            match files::open(path) {
                Ok(documents) => {
                    for document in documents {
                        match document {
                            Ok(document) => patched.keep(document.value),
                            Err(error) => patched.failure = Some(error.to_string()),
                        }
                    }
                }
                Err(failure) => patched.failure = Some(failure.message),
            }
        }
        patched
    }

    fn keep(&mut self, mut object: Value) {
        scope::put_into_namespace(&mut object);
        self.objects.push((Identity::of(&object), object));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(super) fn knows(&self, identity: &Identity) -> bool {
        self.objects.iter().any(|(known, _)| known == identity)
    }

    /// How an object differs from what is expected of it, in words; `None` where it does not, or
    /// nothing is expected.
    pub(super) fn difference(&self, object: &Value) -> Option<String> {
        if !self.is_asked {
            return None;
        }
        if let Some(failure) = &self.failure {
            return Some(format!("the patched resource cannot be read: {failure}"));
        }
        let identity = Identity::of(object);
        let Some((_, wanted)) = self.objects.iter().find(|(known, _)| *known == identity) else {
            return Some(NOT_IN_THE_FILE.to_owned());
        };
        let Difference { path, .. } = difference(object, wanted)?;
        Some(format!("the object differs from the patched resource at `{path}`"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differ(left: &Value, right: &Value) -> Option<String> {
        let object = |spec: &Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
        let mut patched = Patched { is_asked: true, ..Patched::default() };
        patched.keep(object(right));
        let mut left = object(left);
        scope::put_into_namespace(&mut left);
        patched.difference(&left)
    }

    #[test]
    fn what_is_empty_does_not_count_and_order_does() {
        assert_eq!(differ(&json!({"a": 1, "b": {}, "c": []}), &json!({"a": 1.0, "d": null})), None);
        let said = differ(&json!({"a": ["x", "y"]}), &json!({"a": ["y", "x"]})).unwrap();
        assert!(said.ends_with("at `/spec/a/0`"), "{said}");
        let said = differ(&json!({"a": {"b/c": 1}}), &json!({"a": {"b/c": 1, "d": 2}})).unwrap();
        assert!(said.ends_with("at `/spec/a/d`"), "{said}");
        assert!(differ(&json!({"a": "1"}), &json!({"a": 1})).is_some());
    }

    #[test]
    fn an_object_that_is_not_in_the_file_is_not_as_expected() {
        let mut patched = Patched { is_asked: true, ..Patched::default() };
        assert!(patched.difference(&json!({"kind": "Pod"})).is_some());
        patched.is_asked = false;
        assert_eq!(patched.difference(&json!({"kind": "Pod"})), None);
    }
}
