//! The policies in force, as the background asks them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::Client;
use kube::api::ApiResource;
use proofstream_model::{Subject, Verdict};
use proofstream_policy::{Environment, PolicyException, Request, RuleResponse, ScopeRule, Trigger};
use serde_json::Value;
use tokio::sync::watch::Receiver;

use super::book::expired_exception;
use super::{Identity, Judge, Judged, Notebook, RuleName};
use crate::admission::{LookupResolver, Namespaces, judge_with, verdict};
use crate::inventory::Inventories;
use crate::policies::{Compiled, PolicyStore};
use crate::recorder::Recorder;
use crate::webhooks::{Catalogue, Served};

/// How long the lookups for one object may take.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(10);

/// Judges with all policies, whoever enforces them.
pub struct PolicyJudge {
    /// Asks what the API server serves.
    pub client: Client,
    /// The policies in force.
    pub policies: Arc<PolicyStore>,
    /// Labels of namespaces.
    pub namespaces: Arc<Namespaces>,
    /// What policies may ask.
    pub lookups: Arc<dyn LookupResolver>,
    /// The cluster's other objects.
    pub inventory: Arc<Inventories>,
}

// === impl PolicyJudge ===

impl PolicyJudge {
    async fn say(&self, object: Value) -> Vec<Judged> {
        let policies = self.policies.current();
        let mut request = Request::create(object);
        if let Some(namespace) = &request.namespace {
            let labels = self.namespaces.labels(namespace).await;
            request.namespace_labels = labels.map(|labels| labels.as_ref().clone());
        }
        let now = jiff::Timestamp::now();
        let mut environment = Environment::at(now);
        environment.trigger = Trigger::Background;
        environment.inventory = self.inventory.current();
        let deadline = Instant::now() + LOOKUP_PATIENCE;
        let set = &policies.all.set;
        let responses =
            judge_with(set, &request, environment, self.lookups.as_ref(), deadline).await;
        responses.iter().map(|response| judged(&policies.all, response)).collect()
    }
}

impl Judge for PolicyJudge {
    fn kinds(&self) -> BoxFuture<'_, (Vec<ApiResource>, Vec<String>)> {
        async {
            let catalogue = match Catalogue::discover(&self.client).await {
                Ok(catalogue) => catalogue,
                Err(error) => {
                    let reason = format!("the API server did not say what it serves: {error}");
                    return (Vec::new(), vec![reason]);
                }
            };
            let policies = self.policies.current();
            self.inventory.settle(policies.asks_inventory.as_ref()).await;
            let rules = policies.all.set.background_scope(&catalogue.known_kinds());
            resources(&rules, catalogue.served())
        }
        .boxed()
    }

    fn rules(&self) -> BTreeSet<RuleName> {
        let policies = self.policies.current();
        let compiled = &policies.all;
        let rules =
            compiled.infos.iter().zip(compiled.set.policies()).flat_map(|(info, policy)| {
                policy
                    .rule_names()
                    .map(|rule| RuleName { policy: info.name.clone(), rule: rule.to_owned() })
            });
        rules.chain([expired_exception()]).collect()
    }

    fn exceptions(&self) -> (Vec<(Identity, Judged)>, Option<Duration>) {
        let policies = self.policies.current();
        let now = jiff::Timestamp::now();
        let set = &policies.all.set;
        let expired = set.expired_exceptions(now).map(|one| expired(&policies.all, one)).collect();
        let next = set.next_expiry(now).and_then(|at| Duration::try_from(at - now).ok());
        (expired, next)
    }

    fn judge(&self, object: Value) -> BoxFuture<'_, Vec<Judged>> {
        self.say(object).boxed()
    }

    fn changes(&self) -> Receiver<u64> {
        self.policies.subscribe()
    }

    fn surroundings(&self) -> Receiver<u64> {
        self.inventory.subscribe()
    }
}

impl Notebook for Recorder {
    fn write(&self, entries: &[proofstream_model::Entry]) -> bool {
        self.record(entries)
            .inspect_err(|error| tracing::warn!(%error, "the background's records must wait"))
            .is_ok()
    }

    fn now(&self) -> proofstream_model::Timestamp {
        Self::now(self)
    }
}

/// What is said of an exception that has run out: it stands for what the policies stand for that it was
/// an exception to.
fn expired(compiled: &Compiled, exception: &PolicyException) -> (Identity, Judged) {
    let api_version =
        if exception.is_of_cel() { "policies.kyverno.io/v1" } else { "kyverno.io/v2" };
    let subject = Subject {
        api_version: api_version.to_owned(),
        kind: "PolicyException".to_owned(),
        namespace: Some(exception.namespace().to_owned()),
        name: exception.name().to_owned(),
        ..Subject::default()
    };
    let controls = compiled
        .set
        .excepted_by(exception)
        .filter_map(|place| compiled.info(place))
        .map(|info| &info.controls);
    let (controls, requirements): (Vec<_>, Vec<_>) =
        controls.map(|controls| (controls.controls.clone(), controls.requirements.clone())).unzip();
    let when = exception.expires().map_or_else(String::new, |at| format!(" at {at}"));
    let judged = Judged {
        name: expired_exception(),
        verdict: Verdict::Fail,
        message: format!("it expired{when} and exempts nothing: remove it, or decide on it anew"),
        path: None,
        controls: sorted(controls.concat()),
        requirements: sorted(requirements.concat()),
    };
    let owner = format!("{}/{}", subject.kind, subject.name);
    // It may stand in a file, where nothing has a UID.
    let uid = format!("{api_version}/PolicyException/{}", exception.qualified_name());
    (Identity { uid, subject, owner }, judged)
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all.dedup();
    all
}

/// Resources to watch: the newest served version of each kind that can be listed, and what was
/// asked for and is served nowhere.
pub(crate) fn resources(rules: &[ScopeRule], served: &[Served]) -> (Vec<ApiResource>, Vec<String>) {
    let mut found: Vec<ApiResource> = Vec::new();
    let mut missing = Vec::new();
    for rule in rules.iter().filter(|rule| !rule.resource.contains('/')) {
        let fits = |word: &str, pattern: &str| pattern == "*" || word == pattern;
        let matching: Vec<&Served> = served
            .iter()
            .filter(|served| served.subresource.is_empty())
            .filter(|served| fits(&served.group, &rule.group))
            .filter(|served| fits(&served.version, &rule.version))
            .filter(|served| fits(&served.resource, &rule.resource))
            .collect();
        if matching.is_empty() {
            missing
                .push(format!("the API server serves no `{}` of `{}`", rule.resource, rule.group));
        }
        for served in matching {
            let known =
                |one: &ApiResource| one.group == served.group && one.plural == served.resource;
            if !found.iter().any(known) {
                found.push(served.api_resource());
            }
        }
    }
    (found, missing)
}

fn judged(compiled: &Compiled, response: &RuleResponse) -> Judged {
    let info = compiled.info(response.policy_index);
    let policy = info.map_or_else(|| response.policy.to_string(), |info| info.name.clone());
    Judged {
        name: RuleName { policy, rule: response.rule.to_string() },
        verdict: verdict(response),
        message: response.message.clone(),
        path: response.path.clone(),
        controls: info.map(|info| info.controls.controls.clone()).unwrap_or_default(),
        requirements: info.map(|info| info.controls.requirements.clone()).unwrap_or_default(),
    }
}
