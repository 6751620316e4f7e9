//! Sets of policies compiled for judging, with what the records need to know of each policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use proofstream_model::ControlRef;
use proofstream_policy::{
    CleanupPolicy, FailurePolicy, KnownKinds, Policy, PolicySet, is_policy, parse,
};
use serde_json::Value;

use super::{ControlResolver, Policies, PolicyKey, PolicyText};
use crate::webhooks::{Class, Lane};

/// What a record says of a policy.
#[derive(Debug)]
pub struct PolicyInfo {
    /// `NAME`, or `NAMESPACE/NAME`.
    pub name: String,
    /// `ClusterPolicy` or `Policy`.
    pub kind: String,
    /// What it stands for.
    pub controls: ControlRef,
    text: Arc<PolicyText>,
}

// === impl PolicyInfo ===

impl PolicyInfo {
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
}

// === impl Compiled ===

impl Compiled {
    /// Compiles policies whose texts have been parsed before.
    fn new(infos: &[Arc<PolicyInfo>]) -> Self {
        let (set, duplicates) = PolicySet::compile(infos.iter().filter_map(policy).collect());
        // INVARIANT: names are unique within a kind, and kinds differ in having a namespace.
        for duplicate in duplicates {
            tracing::error!(%duplicate, "a policy is left out");
        }
        let by_name: BTreeMap<&str, &Arc<PolicyInfo>> =
            infos.iter().map(|info| (info.name.as_str(), info)).collect();
        let infos = set
            .policies()
            .iter()
            .filter_map(|policy| by_name.get(policy.qualified_name().as_str()).copied().cloned())
            .collect();
        Self { set, infos }
    }

    /// What a record says of the policy at `index` of the set.
    pub fn info(&self, index: usize) -> Option<&Arc<PolicyInfo>> {
        self.infos.get(index)
    }

    /// Each policy as a set of its own, by full name.
    pub(crate) fn one_by_one(&self) -> impl Iterator<Item = (String, PolicySet)> {
        self.infos.iter().filter_map(|info| {
            let (set, _) = PolicySet::compile(vec![policy(info)?]);
            Some((info.name.clone(), set))
        })
    }
}

// === impl Policies ===

impl Policies {
    /// Compiles. `is_ours` says whether we enforce a kind at admission.
    pub(super) fn compile(
        generation: u64,
        policies: impl IntoIterator<Item = (PolicyKey, Arc<PolicyText>)>,
        resolver: &dyn ControlResolver,
        is_ours: impl Fn(&str) -> bool,
    ) -> Self {
        let infos: Vec<_> = policies
            .into_iter()
            .map(|(key, text)| {
                let name = key.full_name();
                let controls = resolver.controls(&name, text.annotations());
                Arc::new(PolicyInfo { name, kind: key.kind, controls, text })
            })
            .collect();
        let (infos, others): (Vec<_>, Vec<_>) =
            infos.into_iter().partition(|info| is_policy(info.text.document()));
        let ours: Vec<_> = infos.iter().filter(|info| is_ours(&info.kind)).cloned().collect();
        let cleanup = others.iter().filter_map(cleanup).collect();
        Self { generation, admission: lanes(&ours), all: Compiled::new(&infos), cleanup }
    }
}

/// Policies by failure policy and conditions: the engine says which belong together.
fn lanes(ours: &[Arc<PolicyInfo>]) -> BTreeMap<Lane, Compiled> {
    let together = Compiled::new(ours);
    let mut lanes: BTreeMap<Lane, Vec<Arc<PolicyInfo>>> = BTreeMap::new();
    for scope in together.set.admission_scope(&KnownKinds::default()) {
        let class = match scope.failure_policy {
            FailurePolicy::Fail => Class::Fail,
            FailurePolicy::Ignore => Class::Ignore,
        };
        let conditions: Vec<_> = scope
            .match_conditions
            .into_iter()
            .map(|condition| (condition.name, condition.expression))
            .collect();
        let named = ours.iter().filter(|info| scope.policies.contains(&info.name));
        lanes.entry(Lane::under(class, &conditions)).or_default().extend(named.cloned());
    }
    lanes.into_iter().map(|(lane, infos)| (lane, Compiled::new(&infos))).collect()
}

/// Whether a document of one of our kinds can be used, or why not.
pub(super) fn check(document: &Value) -> Result<(), String> {
    let parsed = if CleanupPolicy::is_cleanup_policy(document) {
        CleanupPolicy::parse(document).map(drop)
    } else {
        parse(document).map(drop)
    };
    parsed.map_err(|error| error.to_string())
}

fn cleanup(info: &Arc<PolicyInfo>) -> Option<Arc<CleanupPolicy>> {
    CleanupPolicy::parse(info.text.document())
        .inspect_err(|error| tracing::error!(policy = info.name, %error, "a policy is left out"))
        .ok()
        .map(Arc::new)
}

fn policy(info: &Arc<PolicyInfo>) -> Option<Policy> {
    parse(info.text.document())
        .inspect_err(|error| tracing::error!(policy = info.name, %error, "a policy is left out"))
        .ok()
}
