//! The other objects of a cluster, as Rego sees them in `data.inventory`.

use std::collections::BTreeMap;

use proofstream_rego::Value as RegoValue;
use serde_json::Value;

/// Objects by namespace, version, kind and name. Clones share the objects.
#[derive(Debug, Clone)]
pub struct Inventory(RegoValue);

/// Objects of a version and kind by their names.
type Versions = BTreeMap<String, BTreeMap<String, BTreeMap<String, RegoValue>>>;

impl Inventory {
    /// An inventory of these objects; those without a kind and a name are passed over, and of two with
    /// one name the later one stays.
    pub fn of<'v>(objects: impl IntoIterator<Item = &'v Value>) -> Self {
        let mut cluster = Versions::new();
        let mut namespaces: BTreeMap<String, Versions> = BTreeMap::new();
        for object in objects {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            let (Some(version), Some(kind), Some(name)) =
                (text("/apiVersion"), text("/kind"), text("/metadata/name"))
            else {
                continue;
            };
            let place = match text("/metadata/namespace").filter(|name| !name.is_empty()) {
                Some(namespace) => namespaces.entry(namespace.to_owned()).or_default(),
                None => &mut cluster,
            };
            let kinds = place.entry(version.to_owned()).or_default();
            let names = kinds.entry(kind.to_owned()).or_default();
            names.insert(name.to_owned(), RegoValue::from_json(object));
        }
        let of_versions = |versions: Versions| {
            nested(versions, |kinds| nested(kinds, |names| nested(names, |object| object)))
        };
        let namespaces = nested(namespaces, of_versions);
        let parts = [("cluster", of_versions(cluster)), ("namespace", namespaces)];
        let parts = parts.map(|(name, part)| (RegoValue::text(name), part));
        Self(RegoValue::object([(RegoValue::text("inventory"), RegoValue::object(parts))]))
    }

    pub(crate) fn data(&self) -> RegoValue {
        self.0.clone()
    }
}

/// The data of code that does not look at it.
pub(crate) fn nothing() -> RegoValue {
    RegoValue::object([])
}

fn nested<T>(of: BTreeMap<String, T>, make: impl Fn(T) -> RegoValue) -> RegoValue {
    RegoValue::object(of.into_iter().map(|(name, inner)| (RegoValue::text(&name), make(inner))))
}
