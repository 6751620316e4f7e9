//! Judges one object after another with the same policies.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use proofstream_policy::{
    Answer, Duplicate, Environment, Evaluation, Generated, Generation, Lookup, Operation, Policy,
    PolicyException, PolicySet, Request, RuleResponse, UserInfo, default_object,
};
use serde_json::{Map, Value};

use crate::offline::scope;
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
    /// Whether objects get the API server's defaults first.
    pub defaults: Defaults,
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
    defaults: Defaults,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    now: Timestamp,
    /// Objects that rules may copy, as answers to their lookups.
    sources: HashMap<Lookup, Answer>,
}

/// What one rule says of one object, and the objects it makes of it.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// What it says.
    pub response: RuleResponse,
    /// What it makes.
    pub generated: Vec<Generated>,
}

// === impl Judge ===

impl Judge {
    /// A judge with policies and what stands in for a cluster; also names the policies that could
    /// not be taken in because another has their name.
    pub fn new(policies: Vec<Policy>, circumstances: Circumstances) -> (Self, Vec<Duplicate>) {
        let Circumstances { values, exceptions, user, defaults, now } = circumstances;
        let (set, duplicates) = PolicySet::with_exceptions(policies, exceptions);
        let (by_rule, by_element) = values.by_rule();
        let namespaces = values.namespaces();
        let sources = HashMap::new();
        let judge =
            Self { set, values, by_rule, by_element, user, defaults, namespaces, now, sources };
        (judge, duplicates)
    }

    /// The policies, in the order of the responses' `policy_index`.
    pub fn policies(&self) -> &[Policy] {
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

    /// Lets rules copy an object, as if it were in the cluster.
    pub fn offer_source(&mut self, object: &Value) {
        let text = |pointer: &str| {
            object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        let namespace = Some(text("/metadata/namespace")).filter(|name| !name.is_empty());
        let all = Lookup::Objects {
            api_version: api_version.clone(),
            kind: kind.clone(),
            namespace: namespace.clone(),
        };
        let one = Lookup::Object { api_version, kind, namespace, name: text("/metadata/name") };
        // Of two with one name the first counts.
        if self.sources.contains_key(&one) {
            return;
        }
        self.sources.insert(one, Ok(object.clone()));
        let list = self.sources.entry(all).or_insert_with(|| Ok(Value::Array(Vec::new())));
        if let Ok(Value::Array(items)) = list {
            items.push(object.clone());
        }
    }

    /// What every rule that matches says of an object, in the order of policies and rules, if the
    /// operation (CREATE, unless values say otherwise) were tried on it.
    pub fn judge(&self, mut object: Value, operation: Option<Operation>) -> Vec<Spoken> {
        scope::put_into_namespace(&mut object);
        if self.defaults == Defaults::Filled {
            default_object(&mut object);
        }
        let request = self.request(object);
        let resource = request.name.clone().unwrap_or_default();
        // Values may differ by policy: each such policy is asked on its own, all others at once.
        let special = self.values.policies_with_values_for(&resource);
        let is_special = |spoken: &Spoken| special.contains(&&*spoken.response.policy);
        let common = self.values.variables(None, &resource);
        let mut all = self.evaluate(request.clone(), common, operation);
        all.retain(|spoken| !is_special(spoken));
        for policy in &special {
            let variables = self.values.variables(Some(policy), &resource);
            let own = self.evaluate(request.clone(), variables, operation);
            all.extend(own.into_iter().filter(|spoken| &*spoken.response.policy == *policy));
        }
        all.sort_by_key(|spoken| spoken.response.policy_index);
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

    fn evaluate(
        &self,
        mut request: Request,
        mut variables: Map<String, Value>,
        operation: Option<Operation>,
    ) -> Vec<Spoken> {
        // Taken out, because it becomes the request's own: an old object, for one, is judged as if
        // it were created, whatever happens to the new one.
        let given = variables.remove("request.operation");
        let given = given.as_ref().and_then(Value::as_str).and_then(Operation::from_word);
        set_operation(&mut request, operation.or(given));
        let mut environment = Environment::at(self.now);
        environment.variables = variables;
        environment.rule_variables.clone_from(&self.by_rule);
        environment.foreach_variables.clone_from(&self.by_element);
        environment.offline = true;
        let judged =
            finish(&mut environment, |environment| self.set.evaluate(&request, environment));
        environment.answers.clone_from(&self.sources);
        let Generation { responses, mut objects } =
            finish(&mut environment, |environment| self.set.generate(&request, environment));
        let judged = judged.into_iter().map(|response| Spoken { response, generated: Vec::new() });
        let made = responses.into_iter().map(|response| {
            let (generated, others) = std::mem::take(&mut objects).into_iter().partition(|made| {
                made.policy_index == response.policy_index && made.rule == response.rule
            });
            objects = others;
            Spoken { response, generated }
        });
        judged.chain(made).collect()
    }
}

/// Evaluates until nothing is missing any more: what is asked for is not there.
fn finish<T: Default>(
    environment: &mut Environment,
    evaluate: impl Fn(&Environment) -> Evaluation<T>,
) -> T {
    for _ in 0..MAX_ROUNDS {
        match evaluate(environment) {
            Evaluation::Done(done) => return done,
            Evaluation::Needs(lookups) => {
                for lookup in lookups {
                    let answer = Err("there is no cluster to ask".to_owned());
                    environment.answers.insert(lookup, answer);
                }
            }
        }
    }
    T::default()
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
