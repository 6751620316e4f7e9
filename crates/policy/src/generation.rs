//! What comes out of generate rules.

use std::sync::Arc;

use serde_json::Value;

use crate::policy::{Action, GenerateRule, Product, Work};
use crate::request::{GroupVersionKind, Operation};
use crate::response::{ResourceName, RuleResponse};
use crate::set::PolicySet;
use crate::template::Template;

/// What generate rules make of one request.
#[derive(Debug, Clone, Default)]
pub struct Generation {
    /// What each rule that matched says, in the order of policies and rules.
    pub responses: Vec<RuleResponse>,
    /// What is to be made, in the same order.
    pub objects: Vec<Generated>,
}

/// An object that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Position of the policy in the set.
    pub policy_index: usize,
    /// Name of the policy.
    pub policy: Arc<str>,
    /// Namespace of the policy, for namespaced ones.
    pub policy_namespace: Option<Arc<str>>,
    /// Name of the rule.
    pub rule: Arc<str>,
    /// The object, complete, with the labels that say who made it.
    pub object: Value,
    /// What it is called.
    pub name: ResourceName,
    /// What it is a copy of.
    pub source: Option<ResourceName>,
    /// Whether it follows its data, its source and its trigger.
    pub synchronize: bool,
    /// Whether it stays when its policy goes.
    pub orphan_on_policy_delete: bool,
    /// Whether it is applied by the API server's own merge instead of being replaced.
    pub server_side_apply: bool,
}

/// A generate rule of a set, as whoever carries it out must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the rule")]
pub struct GenerationRule {
    /// Position of the policy in the set.
    pub policy_index: usize,
    /// Name of the rule.
    pub rule: Arc<str>,
    /// Whether objects older than the policy start it too.
    pub existing: bool,
    /// Whether the creation of an object starts it.
    pub on_create: bool,
    /// Whether a change of an object starts it.
    pub on_update: bool,
    /// Whether what it made follows its data, its sources and its triggers.
    pub synchronize: bool,
    /// Kinds of what it makes, where they stand in the rule: a copy's source is of the same kind.
    pub kinds: Vec<GroupVersionKind>,
}

impl PolicySet {
    /// The generate rules that follow requests.
    pub fn generation_rules(&self) -> impl Iterator<Item = GenerationRule> {
        let policies = self.policies().iter().enumerate();
        let admission = policies.filter(|(_, policy)| policy.is_admission());
        admission.flat_map(|(policy_index, policy)| {
            policy.rules.iter().filter_map(move |rule| {
                let Action::Generate(generation) = &rule.action else { return None };
                Some(GenerationRule {
                    policy_index,
                    rule: Arc::clone(&rule.name),
                    existing: generation.existing.unwrap_or(policy.settings.generate_existing),
                    on_create: rule.selection.takes(Operation::Create),
                    on_update: rule.selection.takes(Operation::Update),
                    synchronize: generation.synchronize,
                    kinds: generation.kinds(),
                })
            })
        })
    }
}

impl GenerateRule {
    /// The kinds of what is made, as far as they are written out.
    fn kinds(&self) -> Vec<GroupVersionKind> {
        match &self.work {
            Work::Expressions(expressions) => expressions
                .kinds
                .iter()
                .map(|(api_version, kind)| GroupVersionKind::from_api_version(api_version, kind))
                .collect(),
            Work::Once(_) | Work::ForEach(_) => self.products().flat_map(Product::kinds).collect(),
        }
    }
}

impl Product {
    /// The kinds of what is made, as far as no variable stands in them.
    fn kinds(&self) -> Vec<GroupVersionKind> {
        match self {
            Self::Data { target, .. } | Self::Clone { target, .. } => {
                match (&target.api_version, &target.kind) {
                    (Template::Plain(api_version), Template::Plain(kind)) => {
                        vec![GroupVersionKind::from_api_version(api_version, kind)]
                    }
                    _ => Vec::new(),
                }
            }
            Self::CloneList { kinds, .. } => kinds
                .iter()
                .map(|kind| GroupVersionKind::from_api_version(&kind.api_version, &kind.kind))
                .collect(),
        }
    }
}
