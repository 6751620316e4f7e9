//! Judges one object after another with the same policies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use proofstream_policy::{
    Answer, Duplicate, Environment, Evaluation, Explanation, Generated, Inventory, Lookup,
    Mutation, Operation, Policy, PolicyException, PolicySet, Request, RuleResponse, TargetMutation,
    UserInfo, default_object,
};
use serde_json::{Map, Value};

use crate::offline::scope;
use crate::offline::stubs::Stubs;
use crate::offline::values::{ByRule, Values, namespace_labels};

/// Most namespaces whose labels are remembered from the objects themselves.
const MAX_NAMESPACES: usize = 100_000;
/// Most rounds of lookups before a judgement is given up.
const MAX_ROUNDS: usize = 200;

/// What stands in for a cluster.
pub struct Circumstances {
    /// Values of variables.
    pub values: Values,
    /// Exceptions to the policies.
    pub exceptions: Vec<PolicyException>,
    /// Who asks; `None` where a match on users shall not be narrowed by them.
    pub user: Option<UserInfo>,
    /// Objects that exist, for rules that change them; `None` where nothing is known of any.
    pub existing: Option<Vec<Value>>,
    /// Whether objects get the API server's defaults first.
    pub defaults: Defaults,
    /// Objects that policies may take as parameters.
    pub parameters: Vec<Value>,
    /// What lookups find.
    pub answers: HashMap<Lookup, Answer>,
    /// Answers to what policies look up.
    pub stubs: Stubs,
    /// The other objects of the cluster, where they are known.
    pub inventory: Option<Inventory>,
    /// The present moment.
    pub now: Timestamp,
}

/// Whether objects get the API server's defaults before they are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Defaults {
    /// Objects are judged as they are written.
    #[default]
    AsWritten,
    /// Objects are judged as admission would see them.
    Filled,
}

/// Policies with what stands in for a cluster.
pub struct Judge {
    set: PolicySet,
    values: Values,
    by_rule: ByRule,
    by_element: ByRule,
    user: Option<UserInfo>,
    existing: Option<Vec<Value>>,
    defaults: Defaults,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    parameters: Value,
    answers: HashMap<Lookup, Answer>,
    stubs: Stubs,
    inventory: Option<Inventory>,
    now: Timestamp,
}

/// What came of one object.
#[derive(Default)]
pub struct Judged {
    /// What every rule that matches says, mutate rules first; each in the order of policies and
    /// rules.
    pub responses: Vec<RuleResponse>,
    /// The object after each policy that changed it, by the policy's position.
    pub patched: Vec<(usize, Value)>,
    /// What rules did to existing objects.
    pub targets: Vec<TargetMutation>,
    /// What rules make.
    pub generated: Vec<Generated>,
}

// === impl Judged ===

impl Judged {
    /// What the rule of a response makes.
    pub fn made_by(&self, response: &RuleResponse) -> impl Iterator<Item = &Generated> {
        let (policy_index, rule) = (response.policy_index, response.rule.clone());
        self.generated
            .iter()
            .filter(move |made| made.policy_index == policy_index && made.rule == rule)
    }

    /// The object as a policy left it; `None` where neither it nor one before it changed anything.
    pub fn after(&self, policy_index: usize) -> Option<&Value> {
        let left = self.patched.iter().rfind(|(index, _)| *index <= policy_index);
        left.map(|(_, object)| object)
    }
}

// === impl Judge ===

impl Judge {
    /// A judge with policies and what stands in for a cluster; also names the policies that could
    /// not be taken in because another has their name.
    pub fn new(policies: Vec<Policy>, circumstances: Circumstances) -> (Self, Vec<Duplicate>) {
        let Circumstances {
            values,
            exceptions,
            user,
            existing,
            defaults,
            parameters,
            answers,
            stubs,
            inventory,
            now,
        } = circumstances;
        let parameters = Value::Array(parameters);
        let (set, duplicates) = PolicySet::with_exceptions(policies, exceptions);
        let (by_rule, by_element) = values.by_rule();
        let namespaces = values.namespaces();
        let judge = Self {
            set,
            values,
            by_rule,
            by_element,
            user,
            existing,
            defaults,
            namespaces,
            parameters,
            answers,
            stubs,
            inventory,
            now,
        };
        (judge, duplicates)
    }

    /// The policies, in the order of the responses' `policy_index`.
    pub fn policies(&self) -> &[Arc<Policy>] {
        self.set.policies()
    }

    /// Remembers the labels of a Namespace object for the objects in it.
    pub fn notice(&mut self, object: &Value) {
        if self.namespaces.len() < MAX_NAMESPACES
            && let Some((name, labels)) = namespace_labels(object)
        {
            // What the values say of a namespace stands above its manifest.
            self.namespaces.entry(name).or_insert(labels);
        }
    }

    /// Mutates an object, then says of every rule that judges how it came to what it says.
    pub fn explain(&self, mut object: Value, operation: Option<Operation>) -> Vec<Explanation> {
        scope::put_into_namespace(&mut object);
        if self.defaults == Defaults::Filled {
            default_object(&mut object);
        }
        let mut request = self.request(object);
        self.mutate(&mut request, operation, &mut Judged::default());
        self.by_policy(
            &request,
            operation,
            |_| true,
            |told: &Explanation| told.policy_index,
            |request, environment| self.set.explain(request, environment),
        )
    }

    /// Mutates an object, then judges it, as if the operation (CREATE, unless values say otherwise)
    /// were tried on it.
    pub fn judge(&self, mut object: Value, operation: Option<Operation>) -> Judged {
        scope::put_into_namespace(&mut object);
        if self.defaults == Defaults::Filled {
            default_object(&mut object);
        }
        let mut request = self.request(object);
        let mut judged = Judged::default();
        self.mutate(&mut request, operation, &mut judged);
        judged.targets = self.by_policy(
            &request,
            operation,
            Policy::mutates_existing,
            |mutation: &TargetMutation| mutation.response.policy_index,
            |request, environment| self.set.mutate_existing(request, environment),
        );
        judged.responses.extend(self.by_policy(
            &request,
            operation,
            |_| true,
            |response: &RuleResponse| response.policy_index,
            |request, environment| self.set.evaluate(request, environment),
        ));
        let making = self.by_policy(
            &request,
            operation,
            |_| true,
            |(response, _): &(RuleResponse, Vec<Generated>)| response.policy_index,
            |request, environment| self.generate(request, environment),
        );
        for (response, generated) in making {
            judged.responses.push(response);
            judged.generated.extend(generated);
        }
        judged
    }

    /// What each generate rule says, with what it makes.
    fn generate(
        &self,
        request: &Request,
        environment: &Environment,
    ) -> Evaluation<Vec<(RuleResponse, Vec<Generated>)>> {
        let generation = match self.set.generate(request, environment) {
            Evaluation::Done(generation) => generation,
            Evaluation::Needs(lookups) => return Evaluation::Needs(lookups),
        };
        let mut objects = generation.objects;
        let pairs = generation.responses.into_iter().map(|response| {
            let its_own = |made: &Generated| {
                made.policy_index == response.policy_index && made.rule == response.rule
            };
            let (own, others) = std::mem::take(&mut objects).into_iter().partition(its_own);
            objects = others;
            (response, own)
        });
        Evaluation::Done(pairs.collect())
    }

    /// Lets each policy that mutates have the object as the policies before it left it.
    fn mutate(&self, request: &mut Request, operation: Option<Operation>, judged: &mut Judged) {
        let resource = request.name.clone().unwrap_or_default();
        for (policy_index, policy) in self.policies().iter().enumerate() {
            // A rule that cannot be run says so.
            if !policy.mutates() && policy.not_supported().next().is_none() {
                continue;
            }
            let variables = self.values.variables(Some(policy.name()), &resource);
            let work = |request: &Request, environment: &Environment| {
                self.set.mutate_by(policy_index, request, environment)
            };
            let done = self.run(request, variables, operation, work);
            let Mutation { responses, object, .. } = done.unwrap_or_default();
            judged.responses.extend(responses);
            if let Some(object) = object {
                judged.patched.push((policy_index, object.clone()));
                request.object = Some(object);
            }
        }
    }

    /// Runs work for policies of a kind. Values may differ by policy: each policy with values of its
    /// own is asked alone, all others at once.
    fn by_policy<T>(
        &self,
        request: &Request,
        operation: Option<Operation>,
        wanted: fn(&Policy) -> bool,
        policy_of: fn(&T) -> usize,
        work: impl Fn(&Request, &Environment) -> Evaluation<Vec<T>>,
    ) -> Vec<T> {
        if !self.policies().iter().any(|policy| wanted(policy)) {
            return Vec::new();
        }
        let resource = request.name.clone().unwrap_or_default();
        let special = self.values.policies_with_values_for(&resource);
        let name_of = |each: &T| self.policies().get(policy_of(each)).map(|policy| policy.name());
        let common = self.values.variables(None, &resource);
        let mut all = self.run(request, common, operation, &work).unwrap_or_default();
        all.retain(|each| name_of(each).is_none_or(|name| !special.contains(&name)));
        for policy in &special {
            let variables = self.values.variables(Some(policy), &resource);
            let own = self.run(request, variables, operation, &work).unwrap_or_default();
            all.extend(own.into_iter().filter(|each| name_of(each) == Some(policy)));
        }
        if !special.is_empty() {
            all.sort_by_key(policy_of);
        }
        all
    }

    fn request(&self, object: Value) -> Request {
        let mut request = Request::create(object);
        request.subresource = self.values.subresource(&request.kind);
        request.user.clone_from(&self.user);
        request.namespace_labels =
            request.namespace.as_deref().and_then(|name| self.namespaces.get(name)).cloned();
        request
    }

    /// Runs work until it has the answers that it needs; `None` if it never has.
    fn run<T>(
        &self,
        request: &Request,
        mut variables: Map<String, Value>,
        operation: Option<Operation>,
        work: impl Fn(&Request, &Environment) -> Evaluation<T>,
    ) -> Option<T> {
        // Taken out, because it becomes the request's own: an old object, for one, is judged as if
        // it were created, whatever happens to the new one.
        let given = variables.remove("request.operation");
        let given = given.as_ref().and_then(Value::as_str).and_then(Operation::from_word);
        let mut request = request.clone();
        set_operation(&mut request, operation.or(given));
        let mut environment = Environment::at(self.now);
        environment.variables = variables;
        environment.rule_variables.clone_from(&self.by_rule);
        environment.foreach_variables.clone_from(&self.by_element);
        environment.offline = self.existing.is_none() && self.stubs.are_none();
        environment.answers.clone_from(&self.answers);
        environment.parameters = Some(self.parameters.clone());
        environment.inventory.clone_from(&self.inventory);
        for _ in 0..MAX_ROUNDS {
            match work(&request, &environment) {
                Evaluation::Done(done) => return Some(done),
                Evaluation::Needs(lookups) => {
                    for lookup in lookups {
                        let answer = self.answer(&lookup);
                        environment.answers.insert(lookup, answer);
                    }
                }
            }
        }
        None
    }

    fn answer(&self, lookup: &Lookup) -> Result<Value, String> {
        match (&self.existing, lookup) {
            (Some(existing), Lookup::Objects { .. }) => {
                Ok(existing.iter().filter(|object| lookup.selects(object)).cloned().collect())
            }
            (Some(existing), Lookup::Object { api_version, kind, namespace, name }) => {
                let text = |object: &Value, pointer: &str| {
                    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
                };
                let found = existing.iter().find(|object| {
                    text(object, "/apiVersion") == *api_version
                        && text(object, "/kind") == *kind
                        && text(object, "/metadata/name") == *name
                        && text(object, "/metadata/namespace")
                            == namespace.as_deref().unwrap_or_default()
                });
                found.cloned().ok_or_else(|| format!("{} does not exist", lookup.describe()))
            }
            _ => self.stubs.answer(lookup),
        }
    }
}

/// Makes a CREATE into another operation on the same object.
fn set_operation(request: &mut Request, operation: Option<Operation>) {
    match operation {
        Some(Operation::Update) => request.old_object.clone_from(&request.object),
        Some(Operation::Delete) => request.old_object = request.object.take(),
        None | Some(Operation::Create | Operation::Connect) => {}
    }
    if let Some(operation) = operation {
        request.operation = operation;
    }
}
