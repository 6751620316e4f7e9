//! Sets of policies compiled for judging, with what the records need to know of each policy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use proofstream_model::ControlRef;
use proofstream_policy::{FailurePolicy, Policy, PolicyException, PolicySet};
use serde_json::Value;

use super::check::Said;
use super::{ControlResolver, KnownGlobal, Policies, PolicyKey, PolicyText, Usable};
use crate::inventory::{Kept, REQUIRES};
use crate::webhooks::{Class, Lane};

/// What a record says of a policy.
#[derive(Debug)]
pub struct PolicyInfo {
    /// `NAME`, or `NAMESPACE/NAME`.
    pub name: String,
    /// `ClusterPolicy`, `Policy`, …, as [`PolicyKey::kind`] has it.
    pub kind: String,
    /// What it stands for.
    pub controls: ControlRef,
    text: Arc<PolicyText>,
    policy: Arc<Policy>,
}

// === impl PolicyInfo ===

impl PolicyInfo {
    /// SHA-256 (hex) of its text.
    pub fn sha256(&self) -> &str {
        self.text.sha256()
    }

    /// For a constraint: what it does to what breaks it.
    pub fn enforcement_action(&self) -> String {
        let document: Value = serde_json::from_str(self.text.canonical()).unwrap_or_default();
        let action = document.pointer("/spec/enforcementAction").and_then(Value::as_str);
        action.filter(|action| !action.is_empty()).unwrap_or("deny").to_owned()
    }

    /// When the API server stored the policy first; `None` for one that is in a file.
    pub fn created(&self) -> Option<jiff::Timestamp> {
        self.text.created()?.parse().ok()
    }
}

/// A compiled set and the policies in it, in the set's order.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The set.
    pub set: PolicySet,
    /// One for each of `set.policies()`.
    pub infos: Vec<Arc<PolicyInfo>>,
    /// Whether some rule or exception must know the roles of the user.
    pub asks_roles: bool,
}

// === impl PolicyInfo ===

impl PolicyInfo {
    /// One of its annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.text.annotations().get(key).map(String::as_str)
    }
}

// === impl Compiled ===

impl Compiled {
    /// Sets of what has been read before share it.
    fn new(infos: &[Arc<PolicyInfo>], exceptions: &[Arc<PolicyException>]) -> Self {
        let policies = infos.iter().map(|info| Arc::clone(&info.policy)).collect();
        let (set, duplicates) = PolicySet::with_exceptions(policies, exceptions.to_vec());
        // INVARIANT: names are unique within a kind, and kinds differ in having a namespace.
        for duplicate in duplicates {
            tracing::error!(%duplicate, "a policy is left out");
        }
        let by_policy: HashMap<*const Policy, &Arc<PolicyInfo>> =
            infos.iter().map(|info| (Arc::as_ptr(&info.policy), info)).collect();
        let info = |policy: &Arc<Policy>| by_policy.get(&Arc::as_ptr(policy)).copied().cloned();
        let infos = set.policies().iter().filter_map(info).collect();
        let asks_roles = set.asks_roles();
        Self { set, infos, asks_roles }
    }

    /// What a record says of the policy at `index` of the set.
    pub fn info(&self, index: usize) -> Option<&Arc<PolicyInfo>> {
        self.infos.get(index)
    }

    /// Each policy as a set of its own.
    pub(crate) fn one_by_one(&self) -> impl Iterator<Item = (&PolicyInfo, PolicySet)> {
        self.infos.iter().map(|info| {
            let (set, _) = PolicySet::compile(vec![Arc::clone(&info.policy)]);
            (&**info, set)
        })
    }
}

// === impl Policies ===

impl Policies {
    /// Compiles policies and the exceptions to them. `is_ours` says whether we enforce a kind at admission.
    pub(super) fn compile(
        generation: u64,
        policies: impl IntoIterator<Item = (PolicyKey, Usable)>,
        resolver: &dyn ControlResolver,
        is_ours: impl Fn(&str) -> bool,
    ) -> Self {
        let (mut infos, mut exceptions) = (Vec::new(), Vec::new());
        let (mut globals, mut cleanup) = (Vec::new(), Vec::new());
        let mut asks_inventory: Option<BTreeSet<Kept>> = None;
        for (key, Usable { text, said }) in policies {
            match said {
                Said::Exception(exception) => exceptions.push(exception),
                Said::Global(entry) => {
                    globals.push(KnownGlobal { sha256: text.sha256().to_owned(), entry });
                }
                Said::Cleanup(policy) => cleanup.push(policy),
                // It does nothing but through its constraints.
                Said::Template(template) if template.asks_inventory() => {
                    let kept = text.annotations().get(REQUIRES).map(|it| Kept::of_annotation(it));
                    asks_inventory.get_or_insert_default().extend(kept.into_iter().flatten());
                }
                Said::Template(_) => {}
                Said::Policy(policy) => {
                    let name = key.full_name();
                    let controls = resolver.controls(&name, text.annotations());
                    let info = PolicyInfo { name, kind: key.kind, controls, text, policy };
                    infos.push(Arc::new(info));
                }
            }
        }
        let ours: Vec<_> = infos.iter().filter(|info| is_ours(&info.kind)).cloned().collect();
        Self {
            generation,
            admission: lanes(&ours, &exceptions),
            all: Compiled::new(&infos, &exceptions),
            cleanup,
            globals,
            asks_inventory,
        }
    }
}

/// Policies by what the API server does when it cannot ask us, and by the conditions under which it does.
fn lanes(
    ours: &[Arc<PolicyInfo>],
    exceptions: &[Arc<PolicyException>],
) -> BTreeMap<Lane, Compiled> {
    let mut lanes: BTreeMap<Lane, Vec<Arc<PolicyInfo>>> = BTreeMap::new();
    for info in ours {
        let policy = &info.policy;
        let class = match policy.failure_policy() {
            FailurePolicy::Fail => Class::Fail,
            FailurePolicy::Ignore => Class::Ignore,
        };
        let conditions: Vec<_> = policy
            .match_conditions()
            .iter()
            .map(|condition| (condition.name.clone(), condition.expression.clone()))
            .collect();
        lanes.entry(Lane::under(class, &conditions)).or_default().push(Arc::clone(info));
    }
    lanes.into_iter().map(|(lane, infos)| (lane, Compiled::new(&infos, exceptions))).collect()
}
