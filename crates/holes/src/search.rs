//! The search itself.

use serde_json::Value;

use crate::breach::{Breach, Breaches};
use crate::candidate::{Candidate, Place, changed, controller, in_namespace};
use crate::gate::{Gate, Refusal};
use crate::minimal::minimal;

/// Controllers that may carry a hole.
const CONTROLLERS: [&str; 6] =
    ["Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob"];

/// A search for holes.
pub struct Search<'s> {
    /// What can break claims.
    pub breaches: &'s Breaches,
    /// The controls whose claims are tried; empty for those that some policy stands for.
    pub controls: Vec<String>,
    /// The namespaces that are tried.
    pub namespaces: Vec<String>,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// The controls whose claims were tried.
    pub controls: Vec<String>,
    /// Pods that break a claim and are admitted.
    pub holes: Vec<Hole>,
    /// Pods that keep every claim and are refused.
    pub strict: Vec<Strictness>,
    /// How many breaches were tried, places and namespaces counted apart.
    pub tried: usize,
    /// Pods that break a claim and are refused.
    pub refused: Vec<Refused>,
    /// Namespaces in which no pod at all could be made that policies admit, with why.
    pub closed: Vec<(String, Refusal)>,
}

/// A pod that breaks a claim and is admitted.
#[derive(Debug, Clone)]
pub struct Hole {
    /// The breach, by its id.
    pub breach: String,
    /// What the pod or the container does, in words.
    pub says: String,
    /// Controls whose claim it breaks, of those that were tried.
    pub controls: Vec<String>,
    /// Where in the pod it stands.
    pub place: Place,
    /// Namespaces in which it is admitted.
    pub namespaces: Vec<String>,
    /// The pod, as small as it can be.
    pub object: Value,
    /// The running pod that it changes, where the breach is added to one.
    pub before: Option<Value>,
    /// Controllers that would make such pods and are admitted too.
    pub controllers: Vec<&'static str>,
}

/// A pod that breaks a claim and is refused, as it should be.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The breach, by its id.
    pub breach: String,
    /// Where in the pod it stands.
    pub place: Place,
    /// The pod, in its namespace.
    pub object: Value,
    /// The running pod that it changes, where the breach is added to one.
    pub before: Option<Value>,
    /// Why.
    pub refusal: Refusal,
}

/// A pod that keeps every claim and is refused.
#[derive(Debug, Clone)]
pub struct Strictness {
    /// What the pod or the container does, in words.
    pub says: String,
    /// Where in the pod.
    pub place: Place,
    /// The pod.
    pub object: Value,
    /// Why it is refused.
    pub refusal: Refusal,
}

impl Hole {
    /// A controller of a kind in `controllers` that would make the pod.
    pub fn controller(&self, kind: &str) -> Value {
        controller(&self.object, kind)
    }
}

impl Search<'_> {
    /// Tries every breach in every namespace.
    pub fn run(&self, gate: &Gate<'_>) -> Found {
        let mut found = Found::default();
        let mut bases = Vec::new();
        for namespace in &self.namespaces {
            match self.base(gate, namespace) {
                Ok(base) => bases.push((namespace.as_str(), base)),
                Err(refusal) => found.closed.push((namespace.clone(), refusal)),
            }
        }
        found.controls = self.controls(gate, &bases);
        for breach in &self.breaches.all {
            let controls: Vec<String> = breach
                .controls
                .iter()
                .filter(|control| found.controls.contains(control))
                .cloned()
                .collect();
            if controls.is_empty() {
                continue;
            }
            let mut in_first = false;
            for place in breach.places() {
                // What gets through in the only container is no news in a second one.
                if place == Place::SecondContainer && in_first {
                    continue;
                }
                found.tried += bases.len();
                let mut open = Vec::new();
                for (namespace, base) in &bases {
                    let candidate = Candidate::new(base, breach, place, namespace);
                    match admits(gate, &candidate) {
                        Ok(()) => open.push((*namespace, candidate)),
                        Err(refusal) => {
                            let (breach, object) = (breach.id.clone(), candidate.object);
                            let before = candidate.before;
                            found.refused.push(Refused { breach, place, object, before, refusal });
                        }
                    }
                }
                if let Some(hole) = hole(gate, breach, place, open, &controls) {
                    in_first |= place == Place::Container;
                    found.holes.push(hole);
                }
            }
        }
        found.strict = self.strict(gate, &bases);
        found
    }

    /// A pod that keeps every claim and that policies admit.
    fn base(&self, gate: &Gate<'_>, namespace: &str) -> Result<Value, Refusal> {
        let mut base = self.breaches.base.clone();
        in_namespace(&mut base, namespace);
        let mut refusal = match gate.admits(&base) {
            Ok(()) => return Ok(base),
            Err(refusal) => refusal,
        };
        for repair in &self.breaches.repairs {
            let repaired = changed(&base, repair);
            match gate.admits(&repaired) {
                Ok(()) => return Ok(repaired),
                Err(less)
                    if less.by.len() < refusal.by.len() || less.message != refusal.message =>
                {
                    (base, refusal) = (repaired, less);
                }
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    /// The controls that were asked for; or those that some policy stands for: it refuses a breach of them.
    fn controls(&self, gate: &Gate<'_>, bases: &[(&str, Value)]) -> Vec<String> {
        if !self.controls.is_empty() {
            return self.controls.clone();
        }
        let mut stood_for: Vec<String> = Vec::new();
        for breach in &self.breaches.all {
            if breach.controls.iter().all(|control| stood_for.contains(control)) {
                continue;
            }
            let refused = bases.iter().any(|(namespace, base)| {
                breach.places().into_iter().any(|place| {
                    admits(gate, &Candidate::new(base, breach, place, namespace)).is_err()
                })
            });
            if refused {
                stood_for.extend(breach.controls.iter().cloned());
            }
        }
        stood_for.sort();
        stood_for.dedup();
        stood_for
    }

    fn strict(&self, gate: &Gate<'_>, bases: &[(&str, Value)]) -> Vec<Strictness> {
        let Some((namespace, base)) = bases.first() else { return Vec::new() };
        let mut found = Vec::new();
        for harmless in &self.breaches.harmless {
            for place in [Place::Pod, Place::Container] {
                if !harmless.places().contains(&place) {
                    continue;
                }
                let candidate = Candidate::new(base, harmless, place, namespace);
                if let Err(refusal) = admits(gate, &candidate) {
                    let (says, object) = (harmless.says.clone(), candidate.object);
                    found.push(Strictness { says, place, object, refusal });
                }
            }
        }
        found
    }
}

fn admits(gate: &Gate<'_>, candidate: &Candidate) -> Result<(), Refusal> {
    match &candidate.before {
        Some(before) => gate.admits_change(before, &candidate.object),
        None => gate.admits(&candidate.object),
    }
}

/// The hole that a breach is in the namespaces in which it is admitted.
fn hole(
    gate: &Gate<'_>,
    breach: &Breach,
    place: Place,
    open: Vec<(&str, Candidate)>,
    controls: &[String],
) -> Option<Hole> {
    let namespaces: Vec<String> = open.iter().map(|(name, _)| (*name).to_owned()).collect();
    let (_, mut candidate) = open.into_iter().next()?;
    minimal(&mut candidate, |smaller| {
        smaller.before.as_ref().is_none_or(|before| gate.admits(before).is_ok())
            && admits(gate, smaller).is_ok()
    });
    let carries = |kind: &&&str| gate.admits(&controller(&candidate.object, kind)).is_ok();
    let controllers = match place {
        Place::Ephemeral => Vec::new(),
        _ => CONTROLLERS.iter().filter(carries).copied().collect(),
    };
    Some(Hole {
        breach: breach.id.clone(),
        says: breach.says.clone(),
        controls: controls.to_vec(),
        place,
        namespaces,
        object: candidate.object,
        before: candidate.before,
        controllers,
    })
}
