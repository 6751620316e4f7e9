//! The generate rules in force: what they must be told of, and what they make of an object.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::ApiResource;
use proofstream_model::{Subject, Trigger};
use proofstream_policy::{
    Environment, Generated, Generation, GroupVersionKind, Operation, Request, ResourceName,
    RuleResponse, Status,
};
use serde_json::Value;
use tokio::sync::watch::Receiver;

use super::book::Product;
use crate::admission::{LookupResolver, Namespaces, settle};
use crate::background::{Identity, RuleName, resources};
use crate::enforcers::Enforcers;
use crate::policies::{Compiled, PolicyStore};
use crate::webhooks::Catalogue;

/// How long the lookups for one object may take.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(10);

/// Asks the policies that are ours to enforce.
pub struct Maker {
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
    /// Kinds to watch.
    pub(super) kinds: Vec<ApiResource>,
    /// How many of them, from the first, start rules.
    pub(super) triggers: usize,
    /// The rules.
    pub(super) rules: BTreeMap<RuleName, RulePlan>,
}

/// A rule, as it is carried out.
pub(super) struct RulePlan {
    existing: bool,
    on_create: bool,
    on_update: bool,
    /// When the policy was stored; objects younger than it start the rule whenever they are seen.
    since: Option<jiff::Timestamp>,
}

/// What the rules say of one object.
#[derive(Default)]
pub(super) struct Made {
    pub(super) responses: Vec<Response>,
    pub(super) wanted: Vec<Wanted>,
}

/// What one rule says.
pub(super) struct Response {
    pub(super) rule: RuleName,
    pub(super) status: Status,
    pub(super) message: String,
}

/// An object that shall be.
pub(super) struct Wanted {
    pub(super) product: Product,
    pub(super) object: Value,
    pub(super) server_side_apply: bool,
}

// === impl RulePlan ===

impl RulePlan {
    /// Whether an object starts the rule for the first time: on its creation, also when we saw that
    /// later; on a change that we saw; or because the rule looks at what was there before it.
    pub(super) fn starts(&self, object: &Value, fresh: bool) -> bool {
        let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        let created: Option<jiff::Timestamp> = created.and_then(|text| text.parse().ok());
        let younger = self.since.zip(created).is_some_and(|(since, created)| created >= since);
        self.existing || (fresh && self.on_update) || (younger && self.on_create)
    }
}

// === impl Maker ===

impl Maker {
    /// Wakes whenever policies change.
    pub(super) fn changes(&self) -> Receiver<u64> {
        self.policies.subscribe()
    }

    /// What must be watched: what starts rules, and what those of `products` are and copy.
    pub(super) async fn plan(
        &self,
        products: impl Iterator<Item = Subject>,
    ) -> Result<Plan, kube::Error> {
        let policies = self.policies.current();
        let compiled = &policies.all;
        let mut rules = BTreeMap::new();
        let mut made: Vec<GroupVersionKind> = Vec::new();
        for rule in compiled.set.generation_rules() {
            let Some(info) = compiled.info(rule.policy_index) else { continue };
            if !self.enforcers.is_ours(&info.kind) {
                continue;
            }
            let name = RuleName { policy: info.name.clone(), rule: rule.rule.to_string() };
            let plan = RulePlan {
                existing: rule.existing,
                on_create: rule.on_create,
                on_update: rule.on_update,
                since: info.created(),
            };
            rules.insert(name, plan);
            if rule.synchronize {
                made.extend(rule.kinds);
            }
        }
        made.extend(
            products.map(|one| GroupVersionKind::from_api_version(&one.api_version, &one.kind)),
        );
        if rules.is_empty() && made.is_empty() {
            return Ok(Plan { kinds: Vec::new(), triggers: 0, rules });
        }
        let catalogue = Catalogue::discover(&self.client).await?;
        let scope = compiled.set.generation_scope(&catalogue.known_kinds());
        let (mut kinds, missing) = resources(&scope, catalogue.served());
        for what in missing {
            tracing::warn!(what, "no object of it can start a generate rule");
        }
        let triggers = kinds.len();
        for kind in made {
            let served = catalogue.served().iter().filter(|served| {
                served.subresource.is_empty()
                    && served.group == kind.group
                    && served.kind == kind.kind
            });
            let exact = served.clone().find(|served| served.version == kind.version);
            let Some(served) = exact.or_else(|| served.clone().next()) else { continue };
            let resource = served.api_resource();
            if !kinds.iter().any(|one| one.group == resource.group && one.kind == resource.kind) {
                kinds.push(resource);
            }
        }
        Ok(Plan { kinds, triggers, rules })
    }

    /// Whether a policy is there although it is not in force: it was broken by an edit, so what it
    /// made is left as it is.
    pub(super) fn is_broken(&self, policy: &str) -> bool {
        self.policies
            .reports()
            .iter()
            .any(|report| !report.ready && report.key.full_name() == policy)
    }

    /// What the rules make of a stored object, or why that cannot be said.
    pub(super) async fn make(&self, plan: &Plan, object: &Value) -> Result<Made, String> {
        let policies = self.policies.current();
        let mut made = Made::default();
        // Rules that take changes and no creations are asked about a change.
        for (operation, asked) in [
            (Operation::Create, plan.rules.values().any(|rule| rule.on_create)),
            (Operation::Update, plan.rules.values().any(|rule| !rule.on_create)),
        ] {
            if !asked {
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
            let set = &policies.all.set;
            let asking = settle(&mut environment, self.lookups.as_ref(), deadline, |environment| {
                set.generate(&request, environment)
            });
            let generation = asking.await.ok_or("the rules never have what they ask for")?;
            let wants = |name: &RuleName| {
                let rule = plan.rules.get(name);
                rule.is_some_and(|rule| rule.on_create == (operation == Operation::Create))
            };
            made.take(&policies.all, generation, object, wants);
        }
        Ok(made)
    }
}

// === impl Made ===

impl Made {
    fn take(
        &mut self,
        compiled: &Compiled,
        generation: Generation,
        trigger: &Value,
        wants: impl Fn(&RuleName) -> bool,
    ) {
        let identity = Identity::of(trigger);
        let trigger = Trigger { subject: identity.subject, uid: identity.uid };
        for response in generation.responses {
            let rule = rule_name(compiled, &response);
            if wants(&rule) {
                let RuleResponse { status, message, .. } = response;
                self.responses.push(Response { rule, status, message });
            }
        }
        for made in generation.objects {
            let info = compiled.info(made.policy_index);
            let policy = info.map_or_else(|| made.policy.to_string(), |info| info.name.clone());
            let rule = RuleName { policy, rule: made.rule.to_string() };
            if wants(&rule) {
                self.wanted.push(wanted(made, rule, &trigger));
            }
        }
    }
}

fn wanted(made: Generated, rule: RuleName, trigger: &Trigger) -> Wanted {
    Wanted {
        product: Product {
            rule,
            trigger: trigger.clone(),
            object: subject(made.name),
            source: made.source.map(subject),
            synchronize: made.synchronize,
            orphan: made.orphan_on_policy_delete,
        },
        object: made.object,
        server_side_apply: made.server_side_apply,
    }
}

fn rule_name(compiled: &Compiled, response: &RuleResponse) -> RuleName {
    let info = compiled.info(response.policy_index);
    let policy = info.map_or_else(|| response.policy.to_string(), |info| info.name.clone());
    RuleName { policy, rule: response.rule.to_string() }
}

fn subject(name: ResourceName) -> Subject {
    Subject {
        cluster: None,
        api_version: name.api_version,
        kind: name.kind,
        namespace: name.namespace,
        name: name.name,
        path: None,
    }
}
