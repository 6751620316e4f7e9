//! The webhook configurations that we keep: one that judges, one that changes, one that looks at
//! policies themselves. They differ in what they call for; keeping them is the same work.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhook,
    ValidatingWebhookConfiguration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use proofstream_policy::{KnownKinds, Phase};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::desired::{self, CONFIGURATION, Shape};
use super::scope::{Lane, Scope};
use crate::enforcers::Enforcers;
use crate::policies::Policies;
use crate::policies::definitions::{self, CONSTRAINT, CONSTRAINT_GROUP, TEMPLATE};

/// Name of the configuration that looks at policies themselves.
pub const OF_POLICIES: &str = "proofstream-policies";
/// Where the API server asks about a policy.
pub const POLICIES_PATH: &str = "/policies";
const POLICIES_WEBHOOK: &str = "policies.proofstream.dev";
/// Seconds that the API server waits for what we say of a policy.
const POLICIES_SECONDS: i32 = 5;

/// What a configuration hangs on.
pub struct Cause<'a> {
    /// The policies in force.
    pub policies: &'a Policies,
    /// What the API server serves.
    pub kinds: &'a KnownKinds,
    /// Where it finds us.
    pub shape: &'a Shape,
    /// Who enforces.
    pub enforcers: &'a Enforcers,
}

/// One of the configurations.
pub trait Part: Send + Sync + 'static {
    /// Its kind.
    type Configuration: Resource<DynamicType = ()>
        + Clone
        + Debug
        + PartialEq
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// Its name.
    const NAME: &'static str;
    /// What it is, for messages.
    const WHAT: &'static str;
    /// Whether it tells people about policies, and the trail about removals: one does.
    const SPEAKS: bool;
    /// The webhooks that `cause` calls for.
    fn hooks(cause: &Cause<'_>) -> Vec<ValidatingWebhook>;
    /// A configuration of these webhooks.
    fn configuration(metadata: ObjectMeta, hooks: Vec<ValidatingWebhook>) -> Self::Configuration;
    /// The webhooks of a configuration.
    fn hooks_of(configuration: &Self::Configuration) -> Vec<ValidatingWebhook>;
}

/// The webhooks that judge.
pub struct Judging;
/// The webhooks that change.
pub struct Changing;
/// The webhook that looks at policies themselves.
pub struct OfPolicies;

impl Part for Judging {
    type Configuration = ValidatingWebhookConfiguration;
    const NAME: &'static str = CONFIGURATION;
    const WHAT: &'static str = "our webhook configuration";
    const SPEAKS: bool = true;

    fn hooks(cause: &Cause<'_>) -> Vec<ValidatingWebhook> {
        desired::hooks(Phase::Validate, &scopes(cause, Phase::Validate), cause.shape)
    }

    fn configuration(metadata: ObjectMeta, hooks: Vec<ValidatingWebhook>) -> Self::Configuration {
        ValidatingWebhookConfiguration { metadata, webhooks: Some(hooks) }
    }

    fn hooks_of(configuration: &Self::Configuration) -> Vec<ValidatingWebhook> {
        configuration.webhooks.clone().unwrap_or_default()
    }
}

impl Part for Changing {
    type Configuration = MutatingWebhookConfiguration;
    const NAME: &'static str = CONFIGURATION;
    const WHAT: &'static str = "our mutating webhook configuration";
    const SPEAKS: bool = false;

    fn hooks(cause: &Cause<'_>) -> Vec<ValidatingWebhook> {
        desired::hooks(Phase::Mutate, &scopes(cause, Phase::Mutate), cause.shape)
    }

    fn configuration(metadata: ObjectMeta, hooks: Vec<ValidatingWebhook>) -> Self::Configuration {
        let webhooks = Some(hooks.into_iter().map(changing).collect());
        MutatingWebhookConfiguration { metadata, webhooks }
    }

    fn hooks_of(configuration: &Self::Configuration) -> Vec<ValidatingWebhook> {
        configuration.webhooks.iter().flatten().cloned().map(judging).collect()
    }
}

impl Part for OfPolicies {
    type Configuration = ValidatingWebhookConfiguration;
    const NAME: &'static str = OF_POLICIES;
    const WHAT: &'static str = "our webhook configuration for policies";
    const SPEAKS: bool = false;

    /// Asked about the kinds that we enforce, and about exceptions where we enforce any. A webhook that
    /// nobody answers lets everything pass: it must never keep anybody from mending a policy.
    fn hooks(cause: &Cause<'_>) -> Vec<ValidatingWebhook> {
        let any_ours = cause.enforcers.iter().any(|(kind, _)| cause.enforcers.is_ours(kind));
        let constraints = cause.enforcers.is_ours(CONSTRAINT);
        let ours = definitions::KINDS.iter().filter(|kind| match kind.kind {
            TEMPLATE => constraints,
            _ => cause.enforcers.is_ours(kind.kind) || (kind.is_auxiliary() && any_ours),
        });
        let mut resources: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for kind in ours {
            resources.entry(kind.group).or_default().push(kind.plural.to_owned());
        }
        if constraints {
            resources.insert(CONSTRAINT_GROUP, vec!["*".to_owned()]);
        }
        if resources.is_empty() || !cause.shape.checks_policies {
            return Vec::new();
        }
        let rule = |(group, resources): (&str, Vec<String>)| RuleWithOperations {
            api_groups: Some(vec![group.to_owned()]),
            api_versions: Some(vec!["*".to_owned()]),
            operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
            resources: Some(resources),
            scope: Some("*".to_owned()),
        };
        vec![ValidatingWebhook {
            name: POLICIES_WEBHOOK.to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: desired::client_config(POLICIES_PATH.to_owned(), cause.shape),
            failure_policy: Some("Ignore".to_owned()),
            match_conditions: None,
            match_policy: Some("Equivalent".to_owned()),
            namespace_selector: Some(LabelSelector::default()),
            object_selector: Some(LabelSelector::default()),
            rules: Some(resources.into_iter().map(rule).collect()),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(POLICIES_SECONDS),
        }]
    }

    fn configuration(metadata: ObjectMeta, hooks: Vec<ValidatingWebhook>) -> Self::Configuration {
        Judging::configuration(metadata, hooks)
    }

    fn hooks_of(configuration: &Self::Configuration) -> Vec<ValidatingWebhook> {
        Judging::hooks_of(configuration)
    }
}

/// What must reach each of our webhooks.
pub(super) fn scopes(cause: &Cause<'_>, phase: Phase) -> BTreeMap<Lane, Scope> {
    let scope = |(lane, compiled): (&Lane, &crate::policies::Compiled)| {
        (lane.clone(), Scope::of(&compiled.set, cause.kinds, phase))
    };
    cause.policies.admission.iter().map(scope).collect()
}

/// Asked again where a later webhook changed the object: what one adds another may have to complete.
const REINVOCATION: &str = "IfNeeded";

fn changing(hook: ValidatingWebhook) -> MutatingWebhook {
    MutatingWebhook {
        admission_review_versions: hook.admission_review_versions,
        client_config: hook.client_config,
        failure_policy: hook.failure_policy,
        match_conditions: hook.match_conditions,
        match_policy: hook.match_policy,
        name: hook.name,
        namespace_selector: hook.namespace_selector,
        object_selector: hook.object_selector,
        reinvocation_policy: Some(REINVOCATION.to_owned()),
        rules: hook.rules,
        side_effects: hook.side_effects,
        timeout_seconds: hook.timeout_seconds,
    }
}

/// The same without its reinvocation, which shows in the side effects where it is not ours: whoever
/// compares sees a difference.
fn judging(hook: MutatingWebhook) -> ValidatingWebhook {
    let again = hook.reinvocation_policy.as_deref() == Some(REINVOCATION);
    ValidatingWebhook {
        admission_review_versions: hook.admission_review_versions,
        client_config: hook.client_config,
        failure_policy: hook.failure_policy,
        match_conditions: hook.match_conditions,
        match_policy: hook.match_policy,
        name: hook.name,
        namespace_selector: hook.namespace_selector,
        object_selector: hook.object_selector,
        rules: hook.rules,
        side_effects: if again { hook.side_effects } else { "reinvocation changed".to_owned() },
        timeout_seconds: hook.timeout_seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::desired::tests::shape;

    fn of(pairs: &[(&str, &str)]) -> Vec<ValidatingWebhook> {
        let policies = Policies::default();
        let kinds = KnownKinds::default();
        let enforcers = pairs.iter().map(|(k, e)| ((*k).to_owned(), (*e).to_owned())).collect();
        let cause =
            Cause { policies: &policies, kinds: &kinds, shape: &shape(), enforcers: &enforcers };
        OfPolicies::hooks(&cause)
    }

    #[test]
    fn policies_of_others_are_not_looked_at() {
        assert_eq!(of(&[("ClusterPolicy", "kyverno"), ("Policy", "kyverno")]), []);
        let hook = of(&[("ClusterPolicy", "proofstream"), ("Policy", "kyverno")]).remove(0);
        let resources = hook.rules.unwrap().remove(0).resources.unwrap();
        assert!(resources.contains(&"clusterpolicies".to_owned()), "{resources:?}");
        assert!(resources.contains(&"policyexceptions".to_owned()), "{resources:?}");
        assert!(!resources.contains(&"policies".to_owned()), "{resources:?}");
        assert_eq!(hook.failure_policy.as_deref(), Some("Ignore"));
    }

    #[test]
    fn a_mutating_webhook_whose_reinvocation_is_changed_differs() {
        let hook = of(&[("ClusterPolicy", "proofstream")]).remove(0);
        let there = changing(hook.clone());
        assert_eq!(judging(there.clone()), hook);
        let never = MutatingWebhook { reinvocation_policy: Some("Never".to_owned()), ..there };
        assert_ne!(judging(never), hook);
    }
}
