//! Mutation by a set of policies: each rule works on the object as the rules before it left it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::index::Place;
use super::{PolicySet, Work};
use crate::environment::{Environment, Lookup};
use crate::evaluate::mutate;
use crate::mutation::{Mutation, TargetMutation};
use crate::policy::Action;
use crate::request::{Operation, Request};
use crate::response::{Evaluation, RuleResponse};
use crate::scope::Judgement;
use crate::selection::Target;

/// What one run over rules came to before the object changed under the next.
struct Step {
    responses: Vec<RuleResponse>,
    /// The object, where the last of the rules changed it.
    object: Option<Value>,
    needs: Vec<Lookup>,
    /// How many rules were tried.
    tried: usize,
}

/// A rule that changes objects that exist, and what starts it.
#[derive(Debug, Clone)]
pub struct ExistingRule {
    /// The policy, by its place in [`PolicySet::policies`].
    pub policy_index: usize,
    /// The rule.
    pub rule: Arc<str>,
    /// Whether it also looks at what is there when its policy is made or changed.
    pub on_policy_update: bool,
    /// Whether creations start it.
    pub on_create: bool,
    /// Whether updates start it.
    pub on_update: bool,
}

impl PolicySet {
    /// Changes the object of a request by the mutate rules, in the order of policies and rules.
    /// Nothing is fetched: what is missing comes back as [`Evaluation::Needs`], and the caller asks
    /// again with the answers in the environment.
    pub fn mutate(&self, request: &Request, environment: &Environment) -> Evaluation<Mutation> {
        let places = self.index.candidates(&Target::new(request), request);
        self.mutate_at(&places, request, environment)
    }

    /// The same by one policy alone, for callers that must look at the object between policies.
    pub fn mutate_by(
        &self,
        policy_index: usize,
        request: &Request,
        environment: &Environment,
    ) -> Evaluation<Mutation> {
        let rules = self.policies.get(policy_index).map_or(0, |policy| policy.rules.len());
        let places: Vec<Place> = (0..rules).map(|rule| (policy_index, rule)).collect();
        self.mutate_at(&places, request, environment)
    }

    fn mutate_at(
        &self,
        places: &[Place],
        request: &Request,
        environment: &Environment,
    ) -> Evaluation<Mutation> {
        let rules: Vec<_> = self.rules_at(places, environment.trigger, Work::Mutate).collect();
        let mut rest = rules.as_slice();
        let mut current = Cow::Borrowed(request);
        let mut mutation = Mutation::default();
        let mut decided = None;
        while !rest.is_empty() {
            let step = step(rest, &current, environment, &mut decided);
            if !step.needs.is_empty() {
                return Evaluation::Needs(step.needs);
            }
            mutation.responses.extend(step.responses);
            if step.object.is_some() {
                mutation.changes.push(mutation.responses.len() - 1);
            }
            rest = rest.get(step.tried..).unwrap_or_default();
            if let Some(object) = step.object {
                current = match current {
                    Cow::Borrowed(request) => Cow::Owned(request.with_object(object)),
                    Cow::Owned(request) => Cow::Owned(Request { object: Some(object), ..request }),
                };
            }
        }
        if let Cow::Owned(request) = current {
            mutation.object = request.object;
        }
        Evaluation::Done(mutation)
    }

    /// The rules that change objects that exist.
    pub fn existing_rules(&self) -> impl Iterator<Item = ExistingRule> {
        let policies = self.policies().iter().enumerate();
        let admission = policies.filter(|(_, policy)| policy.is_admission());
        admission.flat_map(|(policy_index, policy)| {
            policy.rules.iter().filter_map(move |rule| {
                let Action::Mutate(mutate) = &rule.action else { return None };
                let by_policy = policy.settings.mutate_existing_on_update;
                (!mutate.targets.is_empty()).then(|| ExistingRule {
                    policy_index,
                    rule: Arc::clone(&rule.name),
                    on_policy_update: mutate.on_policy_update.unwrap_or(by_policy),
                    on_create: rule.selection.takes(Operation::Create),
                    on_update: rule.selection.takes(Operation::Update),
                })
            })
        })
    }

    /// Changes existing objects (the targets of mutate rules) on the occasion of a request. Which
    /// objects those are comes back as lookups of [`Lookup::Objects`] first.
    pub fn mutate_existing(
        &self,
        request: &Request,
        environment: &Environment,
    ) -> Evaluation<Vec<TargetMutation>> {
        let target = Target::new(request);
        let places = self.index.candidates(&target, request);
        let judgement = Judgement::new(request, environment);
        let empty = Map::new();
        let mut made = Vec::new();
        for at in self.rules_at(&places, environment.trigger, Work::MutateExisting) {
            made.extend(mutate::existing(&judgement, &target, &at, &empty));
        }
        let needs = judgement.needs.into_inner();
        if needs.is_empty() { Evaluation::Done(made) } else { Evaluation::Needs(needs) }
    }
}

/// Tries rules until one changes the object or needs a lookup: what comes after it must see that.
fn step(
    rules: &[crate::evaluate::RuleAt<'_>],
    request: &Request,
    environment: &Environment,
    decided: &mut Option<usize>,
) -> Step {
    let target = Target::new(request);
    let judgement = Judgement::new(request, environment);
    let empty = Map::new();
    let mut step = Step { responses: Vec::new(), object: None, needs: Vec::new(), tried: 0 };
    for at in rules {
        step.tried += 1;
        // With `applyRules: One` the first rule that changes anything ends the policy.
        if *decided == Some(at.policy_index) {
            continue;
        }
        let Some((response, object)) = mutate::rule(&judgement, &target, at, &empty) else {
            continue;
        };
        if at.policy.settings.apply_one && response.status.is_decided() {
            *decided = Some(at.policy_index);
        }
        step.responses.push(response);
        step.object = object;
        if step.object.is_some() || !judgement.needs.borrow().is_empty() {
            break;
        }
    }
    step.needs = judgement.needs.into_inner();
    step
}
