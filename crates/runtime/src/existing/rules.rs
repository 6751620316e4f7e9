//! The rules in force that change objects that exist: what they must be told of, and what they want.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::ApiResource;
use proofstream_policy::{Environment, Operation, Request, Status};
use serde_json::Value;
use tokio::sync::watch::Receiver;

use crate::admission::{LookupResolver, Namespaces, settle};
use crate::background::{RuleName, resources};
use crate::enforcers::Enforcers;
use crate::policies::PolicyStore;
use crate::webhooks::Catalogue;

/// How long the lookups for one object may take.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(10);

/// Asks the policies that are ours to enforce.
pub struct Rules {
    /// Asks what the API server serves.
    pub client: Client,
    /// The policies in force.
    pub policies: Arc<PolicyStore>,
    /// Who enforces which kind.
    pub enforcers: Arc<Enforcers>,
    /// Labels of namespaces.
    pub namespaces: Arc<Namespaces>,
    /// What policies may ask.
    pub lookups: Arc<dyn LookupResolver>,
}

/// What must be watched, and which rules there are.
pub(super) struct Plan {
    pub(super) kinds: Vec<ApiResource>,
    pub(super) rules: BTreeMap<RuleName, RulePlan>,
}

/// A rule, as it is carried out.
pub(super) struct RulePlan {
    /// Whether it looks at what was there before its policy, and again when the policy changes.
    existing: bool,
    on_create: bool,
    on_update: bool,
    /// When the policy was stored.
    since: Option<jiff::Timestamp>,
    /// SHA-256 of the policy's text.
    text: String,
}

/// Whether an object starts a rule, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Started {
    Not,
    By(Operation),
}

/// What one rule says of one target, or of all where it comes to none.
pub(super) struct Said {
    pub(super) rule: RuleName,
    pub(super) status: Status,
    pub(super) message: String,
    pub(super) target: Option<Value>,
    pub(super) object: Option<Value>,
}

// === impl RulePlan ===

impl RulePlan {
    /// What is settled of a trigger with this content: for a rule that follows its policy, of both.
    pub(super) fn content(&self, content: &str) -> String {
        if self.existing { format!("{content} {}", self.text) } else { content.to_owned() }
    }

    /// Whether an object starts the rule for which something else was settled `before`, or nothing.
    /// `fresh` says that we saw the object before.
    pub(super) fn starts(&self, object: &Value, before: Option<&str>, fresh: bool) -> Started {
        let known = before.is_some();
        let by_policy = self.existing && before.is_none_or(|before| !before.ends_with(&self.text));
        let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        let created: Option<jiff::Timestamp> = created.and_then(|text| text.parse().ok());
        let younger = self.since.zip(created).is_some_and(|(since, created)| created >= since);
        let operation = if self.on_create { Operation::Create } else { Operation::Update };
        if (known || fresh) && self.on_update {
            Started::By(Operation::Update)
        } else if by_policy || (!known && younger && self.on_create) {
            Started::By(operation)
        } else {
            Started::Not
        }
    }
}

// === impl Rules ===

impl Rules {
    /// Wakes whenever policies change.
    pub(super) fn changes(&self) -> Receiver<u64> {
        self.policies.subscribe()
    }

    /// What must be watched: what starts rules.
    pub(super) async fn plan(&self) -> Result<Plan, kube::Error> {
        let policies = self.policies.current();
        let compiled = &policies.all;
        let mut rules = BTreeMap::new();
        for rule in compiled.set.existing_rules() {
            let Some(info) = compiled.info(rule.policy_index) else { continue };
            if !self.enforcers.is_ours(&info.kind) {
                continue;
            }
            let name = RuleName { policy: info.name.clone(), rule: rule.rule.to_string() };
            let plan = RulePlan {
                existing: rule.on_policy_update,
                on_create: rule.on_create,
                on_update: rule.on_update,
                since: info.created(),
                text: info.sha256().to_owned(),
            };
            rules.insert(name, plan);
        }
        if rules.is_empty() {
            return Ok(Plan { kinds: Vec::new(), rules });
        }
        let catalogue = Catalogue::discover(&self.client).await?;
        let scope = compiled.set.existing_scope(&catalogue.known_kinds());
        let (kinds, missing) = resources(&scope, catalogue.served());
        for what in missing {
            tracing::warn!(what, "no object of it can start a mutate rule");
        }
        Ok(Plan { kinds, rules })
    }

    /// What the rules that are due say of their targets, or why that cannot be said.
    pub(super) async fn judge(
        &self,
        due: &BTreeMap<RuleName, Operation>,
        object: &Value,
    ) -> Result<Vec<Said>, String> {
        let policies = self.policies.current();
        let set = &policies.all.set;
        let mut made = Vec::new();
        for operation in [Operation::Create, Operation::Update] {
            if !due.values().any(|asked| *asked == operation) {
                continue;
            }
            let mut request = Request::create(object.clone());
            request.operation = operation;
            if let Some(namespace) = &request.namespace {
                let labels = self.namespaces.labels(namespace).await;
                request.namespace_labels = labels.map(|labels| labels.as_ref().clone());
            }
            let mut environment = Environment::at(jiff::Timestamp::now());
            let deadline = Instant::now() + LOOKUP_PATIENCE;
            let asking = settle(&mut environment, self.lookups.as_ref(), deadline, |environment| {
                set.mutate_existing(&request, environment)
            });
            let mutations = asking.await.ok_or("the rules never have what they ask for")?;
            made.extend(mutations.into_iter().filter_map(|mutation| {
                let response = mutation.response;
                let info = policies.all.info(response.policy_index)?;
                let rule = RuleName { policy: info.name.clone(), rule: response.rule.to_string() };
                (*due.get(&rule)? == operation).then_some(Said {
                    rule,
                    status: response.status,
                    message: response.message,
                    target: mutation.target,
                    object: mutation.object,
                })
            }));
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_starts_a_rule() {
        let plan = |existing: bool, on_create: bool, on_update: bool| RulePlan {
            existing,
            on_create,
            on_update,
            since: "2026-01-02T00:00:00Z".parse().ok(),
            text: "t".to_owned(),
        };
        let object = |created: &str| json!({"metadata": {"creationTimestamp": created}});
        let (old, new) = (object("2026-01-01T00:00:00Z"), object("2026-01-03T00:00:00Z"));
        let (create, update) = (Started::By(Operation::Create), Started::By(Operation::Update));
        for (plan, object, before, fresh, wanted) in [
            (plan(false, true, true), &new, None, false, create),
            (plan(false, true, true), &old, None, false, Started::Not),
            (plan(false, true, true), &old, None, true, update),
            (plan(false, true, true), &old, Some("c"), false, update),
            (plan(false, true, false), &new, Some("c"), true, Started::Not),
            (plan(false, false, true), &new, None, false, Started::Not),
            (plan(true, true, false), &old, None, false, create),
            (plan(true, false, true), &old, None, false, update),
            (plan(true, true, false), &old, Some("c t"), true, Started::Not),
            (plan(true, true, false), &old, Some("c other"), false, create),
        ] {
            let found = plan.starts(object, before, fresh);
            assert_eq!(found, wanted, "{object} before {before:?} fresh {fresh}");
        }
        assert_ne!(plan(true, true, true).content("c"), plan(false, true, true).content("c"));
    }
}
