//! Breaches as the catalog writes them.

use serde::Deserialize;
use serde_json::Value;

use crate::candidate::Place;

const OWN: &str = include_str!("../../../catalog/breaches/pods.yaml");

/// The pod that keeps every claim, and the ways to break one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaches {
    pub(crate) base: Value,
    pub(crate) repairs: Vec<Change>,
    #[serde(rename = "breaches")]
    pub(crate) all: Vec<Breach>,
    pub(crate) harmless: Vec<Breach>,
}

/// What is merged into a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) metadata: Option<Value>,
    pub(crate) pod: Option<Value>,
    pub(crate) container: Option<Value>,
}

/// One way to break claims, or what looks like one and is none.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Breach {
    pub(crate) id: String,
    /// Controls whose claim it breaks.
    #[serde(default)]
    pub(crate) controls: Vec<String>,
    /// The check of the Pod Security Standards that it violates.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests hold every breach against it"))]
    pod_security: Option<String>,
    pub(crate) says: String,
    /// The lists that its container can stand in; all where it is not said.
    #[serde(default)]
    lists: Vec<String>,
    #[serde(flatten)]
    pub(crate) change: Change,
}

/// Breaches that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the catalog of breaches cannot be read: {0}")]
pub struct BreachesError(#[from] serde_yaml_ng::Error);

// === impl Breaches ===

impl Breaches {
    /// Those that come with the program.
    ///
    /// # Errors
    /// Never in a released program: a test reads them.
    pub fn embedded() -> Result<Self, BreachesError> {
        Ok(serde_yaml_ng::from_str(OWN)?)
    }

    /// The controls whose claims can be broken here, each once.
    pub fn controls(&self) -> Vec<&str> {
        let mut all: Vec<&str> =
            self.all.iter().flat_map(|breach| breach.controls.iter().map(String::as_str)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The same with another pod to begin with.
    #[must_use]
    pub fn beginning_with(self, base: Value) -> Self {
        Self { base, ..self }
    }
}

// === impl Breach ===

impl Breach {
    /// Where in a pod it can stand: in each list of containers, or in the pod as a whole.
    pub(crate) fn places(&self) -> Vec<Place> {
        if self.change.container.is_none() {
            return vec![Place::Pod];
        }
        let fits = |place: &Place| {
            self.lists.is_empty() || self.lists.iter().any(|list| list == place.list())
        };
        // What it needs of the pod as a whole cannot come with an ephemeral container.
        let alone = |place: &Place| self.change.pod.is_none() || *place != Place::Ephemeral;
        Place::OF_CONTAINERS.into_iter().filter(fits).filter(alone).collect()
    }
}

#[cfg(test)]
mod tests {
    use proofstream_policy::pod_security::{Level, Pod, Version, evaluate};

    use super::*;
    use crate::candidate::Candidate;

    fn violated(object: &Value) -> Vec<&'static str> {
        let pod = Pod::read(object.get("metadata"), object.get("spec")).unwrap();
        let found = evaluate(Level::Restricted, Version::Latest, &pod);
        found.into_iter().map(|violation| violation.check).collect()
    }

    #[test]
    fn the_pod_to_begin_with_keeps_every_claim() {
        let breaches = Breaches::embedded().unwrap();
        assert_eq!(violated(&breaches.base), [""; 0]);
        for harmless in &breaches.harmless {
            for place in harmless.places() {
                let candidate = Candidate::new(&breaches.base, harmless, place, "default");
                assert_eq!(violated(&candidate.object), [""; 0], "{} in {place}", harmless.id);
            }
        }
    }

    #[test]
    fn every_breach_breaks_what_it_says() {
        let breaches = Breaches::embedded().unwrap();
        for breach in &breaches.all {
            for place in breach.places() {
                let candidate = Candidate::new(&breaches.base, breach, place, "default");
                let violated = violated(&candidate.object);
                match &breach.pod_security {
                    Some(check) => {
                        assert!(violated.contains(&check.as_str()), "{}: {violated:?}", breach.id);
                    }
                    None => assert_eq!(violated, [""; 0], "{} in {place}", breach.id),
                }
            }
        }
    }
}
