//! What policies look at, found out by asking them: about which requests for pods they speak at all.

use serde_json::Value;

use crate::breach::Breaches;
use crate::candidate::{Candidate, Place, controller, in_namespace};
use crate::gate::Gate;

/// About which requests for pods policies speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Views {
    /// Pods that are created.
    pub creations: bool,
    /// Pods that are changed.
    pub updates: bool,
    /// Ephemeral containers that are added to pods.
    pub ephemeral: bool,
    /// Deployments that would make pods.
    pub controllers: bool,
}

impl Views {
    /// Asks the policies of a gate in a namespace.
    pub fn of(gate: &Gate<'_>, breaches: &Breaches, namespace: &str) -> Self {
        let mut pod = breaches.base.clone();
        in_namespace(&mut pod, namespace);
        let debugged =
            breaches.all.iter().find(|breach| breach.places().contains(&Place::Ephemeral));
        let debugged = debugged.map(|breach| {
            Candidate::new(&breaches.base, breach, Place::Ephemeral, namespace).object
        });
        Self {
            creations: gate.speaks_of_creation(&pod),
            updates: gate.speaks_of_update(&pod, &relabelled(&pod), None),
            ephemeral: debugged.is_some_and(|after| {
                gate.speaks_of_update(&pod, &after, Some("ephemeralcontainers"))
            }),
            controllers: gate.speaks_of_creation(&controller(&pod, "Deployment")),
        }
    }
}

/// The pod with another image: the one change that an update may make to what runs.
fn relabelled(pod: &Value) -> Value {
    let mut changed = pod.clone();
    if let Some(image) = changed.pointer_mut("/spec/containers/0/image") {
        *image = "registry.example/app:2.0".into();
    }
    changed
}
