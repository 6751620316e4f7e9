//! A set of policies, indexed so that a request meets only the rules that may be about it.

mod index;
mod mutate;
mod scope_of;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Map;

use crate::environment::{Environment, Trigger};
use crate::evaluate::{self, RuleAt};
use crate::exception::PolicyException;
use crate::generation::Generation;
use crate::policy::{Action, Policy, Rule};
use crate::request::Request;
use crate::response::{Evaluation, RuleKind, RuleResponse};
use crate::scope::Judgement;
use crate::selection::Target;
use crate::trace::{self, Step};
use index::{Index, Place};
pub use mutate::ExistingRule;
pub use scope_of::{KnownKinds, MatchesNothing, Phase, ScopeRule, WebhookScope};
pub(crate) use scope_of::{of_rules, resources_of};

/// Policies ready to be evaluated; immutable, and shared between threads.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    exceptions: Vec<Arc<PolicyException>>,
    index: Index,
}

/// How a rule came to what it says.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// Position of the policy in the set.
    pub policy_index: usize,
    /// Name of the rule.
    pub rule: Arc<str>,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// What it says; `None` where it is not about the request.
    pub response: Option<RuleResponse>,
}

/// A policy that could not be taken into a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("another policy is called `{name}`")]
pub struct Duplicate {
    /// The name, with the namespace before it for namespaced policies.
    pub name: String,
}

/// What a set can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Say what rules make of a request.
    Judge,
    /// Change the object of a request.
    Mutate,
    /// Change objects that exist.
    MutateExisting,
    /// Make objects.
    Generate,
}

/// The work that a rule takes part in.
fn speaks_in(rule: &Rule) -> Work {
    match (rule.kind, &rule.action) {
        (RuleKind::Mutate, Action::Mutate(mutate)) if !mutate.targets.is_empty() => {
            Work::MutateExisting
        }
        (RuleKind::Mutate, _) => Work::Mutate,
        (RuleKind::Generate, _) => Work::Generate,
        (RuleKind::Validate | RuleKind::VerifyImages, _) => Work::Judge,
    }
}

impl PolicySet {
    /// Takes policies into a set, in the order of their names as the field evaluates them. Of two with
    /// one name the first is kept, and the other is named in the second result.
    ///
    /// Policies may be shared with other sets: they are read once and never changed.
    pub fn compile<P: Into<Arc<Policy>>>(policies: Vec<P>) -> (Self, Vec<Duplicate>) {
        Self::with_exceptions(policies, Vec::<PolicyException>::new())
    }

    /// The same, with exceptions to the policies.
    pub fn with_exceptions<P: Into<Arc<Policy>>, E: Into<Arc<PolicyException>>>(
        policies: Vec<P>,
        exceptions: Vec<E>,
    ) -> (Self, Vec<Duplicate>) {
        let key = |policy: &Arc<Policy>| {
            (policy.namespace.clone(), policy.name.clone(), policy.kind.clone())
        };
        let mut policies: Vec<Arc<Policy>> = policies.into_iter().map(Into::into).collect();
        policies.sort_by_key(key);
        let mut duplicates = Vec::new();
        let mut kept: Vec<Arc<Policy>> = Vec::with_capacity(policies.len());
        for policy in policies {
            if kept.last().is_some_and(|last| key(last) == key(&policy)) {
                duplicates.push(Duplicate { name: policy.qualified_name() });
            } else {
                kept.push(policy);
            }
        }
        let index = Index::build(&kept);
        let exceptions = exceptions.into_iter().map(Into::into).collect();
        (Self { policies: kept, exceptions, index }, duplicates)
    }

    /// The policies, in the order of `RuleResponse::policy_index`.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    fn shared(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().map(Arc::as_ref)
    }

    /// The exceptions.
    pub fn exceptions(&self) -> &[Arc<PolicyException>] {
        &self.exceptions
    }

    /// Whether some policy or exception must know the roles of the user.
    pub fn asks_roles(&self) -> bool {
        self.policies.iter().any(|policy| policy.asks_roles())
            || self.exceptions.iter().any(|exception| exception.asks_roles())
    }

    /// The exceptions that have run out, and so exempt nothing: each is worth a finding.
    pub fn expired_exceptions(&self, now: Timestamp) -> impl Iterator<Item = &PolicyException> {
        self.exceptions.iter().map(Arc::as_ref).filter(move |exception| exception.is_expired(now))
    }

    /// When the next exception runs out.
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.exceptions
            .iter()
            .filter_map(|exception| exception.expires())
            .filter(|at| *at > now)
            .min()
    }

    /// The policies of which an exception speaks, by their places in [`PolicySet::policies`].
    pub fn excepted_by<'s>(
        &'s self,
        exception: &'s PolicyException,
    ) -> impl Iterator<Item = usize> + 's {
        let speaks =
            |policy: &Policy| policy.rules.iter().any(|rule| exception.names(policy, &rule.name));
        let policies = self.policies.iter().enumerate();
        policies.filter(move |(_, policy)| speaks(policy)).map(|(place, _)| place)
    }

    /// Judges a request by the rules that judge (validate, verifyImages). Nothing is fetched: what is
    /// missing comes back as [`Evaluation::Needs`], and
    /// the caller asks again with the answers in the environment.
    pub fn evaluate(&self, request: &Request, environment: &Environment) -> Evaluation {
        let target = Target::new(request);
        let candidates = self.index.candidates(&target, request);
        if candidates.is_empty() {
            return Evaluation::Done(Vec::new());
        }
        let judgement = Judgement::new(request, environment);
        let empty = Map::new();
        let mut responses = Vec::new();
        let mut decided = None;
        for at in self.rules_at(&candidates, environment.trigger, Work::Judge) {
            // With `applyRules: One` the first rule that says pass or fail ends the policy.
            if decided == Some(at.policy_index) {
                continue;
            }
            if let Some(response) = evaluate::rule(&judgement, &target, &at, &empty) {
                if at.policy.settings.apply_one && response.status.is_decided() {
                    decided = Some(at.policy_index);
                }
                responses.push(response);
            }
        }
        let needs = judgement.needs.into_inner();
        if needs.is_empty() { Evaluation::Done(responses) } else { Evaluation::Needs(needs) }
    }

    /// What every rule that judges makes of a request, with each step of how it came to that; rules that
    /// are not about the request say why.
    pub fn explain(
        &self,
        request: &Request,
        environment: &Environment,
    ) -> Evaluation<Vec<Explanation>> {
        let target = Target::new(request);
        let judgement = Judgement::new(request, environment);
        let empty = Map::new();
        let mut told = Vec::new();
        for (policy_index, policy) in self.policies.iter().enumerate() {
            for rule in policy.rules.iter().filter(|rule| speaks_in(rule) == Work::Judge) {
                let at = RuleAt { policy_index, policy, rule, exceptions: &self.exceptions };
                let judge = || evaluate::rule(&judgement, &target, &at, &empty);
                let (response, steps) = trace::listen(judge);
                let rule = rule.name.clone();
                told.push(Explanation { policy_index, rule, steps, response });
            }
        }
        let needs = judgement.needs.into_inner();
        if needs.is_empty() { Evaluation::Done(told) } else { Evaluation::Needs(needs) }
    }

    /// What generate rules make of a request: complete objects, which the caller makes or compares with
    /// what is there. A rule whose objects cannot all be made says so, and what can be made is made.
    pub fn generate(&self, request: &Request, environment: &Environment) -> Evaluation<Generation> {
        let target = Target::new(request);
        let candidates = self.index.candidates(&target, request);
        let mut generation = Generation::default();
        if candidates.is_empty() {
            return Evaluation::Done(generation);
        }
        let judgement = Judgement::new(request, environment);
        let empty = Map::new();
        let mut decided = None;
        for at in self.rules_at(&candidates, environment.trigger, Work::Generate) {
            if decided == Some(at.policy_index) {
                continue;
            }
            if let Some((response, objects)) = evaluate::generate(&judgement, &target, &at, &empty)
            {
                if at.policy.settings.apply_one && response.status.is_decided() {
                    decided = Some(at.policy_index);
                }
                generation.responses.push(response);
                generation.objects.extend(objects);
            }
        }
        let needs = judgement.needs.into_inner();
        if needs.is_empty() { Evaluation::Done(generation) } else { Evaluation::Needs(needs) }
    }

    /// The rules at some places that speak on such an occasion.
    fn rules_at<'s>(
        &'s self,
        places: &'s [Place],
        trigger: Trigger,
        work: Work,
    ) -> impl Iterator<Item = RuleAt<'s>> + 's {
        places.iter().filter_map(move |&(policy_index, rule_index)| {
            let policy = self.policies.get(policy_index)?;
            let wanted = match trigger {
                Trigger::Admission => policy.settings.admission,
                Trigger::Background => policy.settings.background,
            };
            let rule = policy.rules.get(rule_index).filter(|_| wanted)?;
            if speaks_in(rule) != work {
                return None;
            }
            Some(RuleAt { policy_index, policy, rule, exceptions: &self.exceptions })
        })
    }
}
