//! Admission: what all policies in force say of a request.

use std::collections::BTreeMap;

use proofstream_policy::{
    Environment, Evaluation, GroupVersionResource, Operation, PolicySet, Request, RuleResponse,
    Status, default_object,
};
use serde_json::Value;

/// Says why an object is refused, where it is.
type Refuses<'p> = &'p dyn Fn(&Value) -> Option<String>;

/// The policies in force, and what surrounds them.
pub struct Gate<'p> {
    policies: &'p PolicySet,
    environment: Environment,
    /// Labels of namespaces.
    labels: BTreeMap<String, BTreeMap<String, String>>,
    /// What else refuses objects, such as the Pod Security Standards: why it does.
    also: Option<Refuses<'p>>,
    as_enforced: bool,
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The policies with their rules, `POLICY/RULE`.
    pub by: Vec<String>,
    /// What they say.
    pub message: String,
    /// Whether some could not judge and refuse for that reason.
    pub unjudged: bool,
}

// === impl Gate ===

impl<'p> Gate<'p> {
    /// A gate of these policies.
    pub fn new(policies: &'p PolicySet, environment: Environment) -> Self {
        Self { policies, environment, labels: BTreeMap::new(), also: None, as_enforced: false }
    }

    /// With labels of namespaces.
    #[must_use]
    pub fn with_labels(self, labels: BTreeMap<String, BTreeMap<String, String>>) -> Self {
        Self { labels, ..self }
    }

    /// With something else that refuses objects.
    #[must_use]
    pub fn with_also(self, also: Refuses<'p>) -> Self {
        Self { also: Some(also), ..self }
    }

    /// As if policies that only audit refused.
    #[must_use]
    pub fn as_enforced(self) -> Self {
        Self { as_enforced: true, ..self }
    }

    /// Whether a pod or a controller would be created.
    pub(crate) fn admits(&self, object: &Value) -> Result<(), Refusal> {
        let mut object = object.clone();
        default_object(&mut object);
        self.judge(Request::create(object))
    }

    /// Whether ephemeral containers would be added to a running pod.
    pub(crate) fn admits_change(&self, before: &Value, after: &Value) -> Result<(), Refusal> {
        self.judge(update(before, after, Some("ephemeralcontainers")))
    }

    /// Whether some rule is about a creation.
    pub(crate) fn speaks_of_creation(&self, object: &Value) -> bool {
        let mut object = object.clone();
        default_object(&mut object);
        self.speaks_of(Request::create(object))
    }

    /// Whether some rule is about a change of a pod.
    pub(crate) fn speaks_of_update(
        &self,
        before: &Value,
        after: &Value,
        subresource: Option<&str>,
    ) -> bool {
        self.speaks_of(update(before, after, subresource))
    }

    fn speaks_of(&self, mut request: Request) -> bool {
        self.know_namespace(&mut request);
        match self.policies.evaluate(&request, &self.environment) {
            Evaluation::Done(responses) => !responses.is_empty(),
            Evaluation::Needs(_) => true,
        }
    }

    fn know_namespace(&self, request: &mut Request) {
        let name = request.namespace.clone().unwrap_or_default();
        let mut labels = self.labels.get(&name).cloned().unwrap_or_default();
        // The API server gives every namespace this one.
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
        request.namespace_labels = Some(labels);
    }

    fn judge(&self, mut request: Request) -> Result<(), Refusal> {
        self.know_namespace(&mut request);
        let mut refused = Refusal { by: Vec::new(), message: String::new(), unjudged: false };
        if let Evaluation::Done(mutation) = self.policies.mutate(&request, &self.environment) {
            for response in &mutation.responses {
                self.take(response, &mut refused);
            }
            if let Some(object) = mutation.object {
                request.object = Some(object);
            }
        }
        match self.policies.evaluate(&request, &self.environment) {
            Evaluation::Done(responses) => {
                for response in &responses {
                    self.take(response, &mut refused);
                }
            }
            Evaluation::Needs(lookups) => {
                refused.unjudged = true;
                for lookup in lookups {
                    refused.say("lookup", &lookup.describe());
                }
            }
        }
        if let Some(message) =
            self.also.zip(request.object.as_ref()).and_then(|(also, object)| also(object))
        {
            refused.say("pod-security", &message);
        }
        if refused.by.is_empty() { Ok(()) } else { Err(refused) }
    }

    fn take(&self, response: &RuleResponse, refused: &mut Refusal) {
        let refuses = response.refuses() || (self.as_enforced && response.status == Status::Fail);
        if refuses {
            refused.unjudged |= response.status != Status::Fail;
            let by = format!("{}/{}", response.policy, response.rule);
            refused.say(&by, &response.message);
        }
    }
}

/// A change of a pod, or of a part of it.
fn update(before: &Value, after: &Value, subresource: Option<&str>) -> Request {
    let (mut before, mut after) = (before.clone(), after.clone());
    default_object(&mut before);
    default_object(&mut after);
    let mut request = Request::create(after);
    request.operation = Operation::Update;
    request.old_object = Some(before);
    request.subresource = subresource.map(str::to_owned);
    request.resource = GroupVersionResource {
        group: String::new(),
        version: "v1".to_owned(),
        resource: "pods".to_owned(),
    };
    request
}

impl Refusal {
    fn say(&mut self, by: &str, message: &str) {
        self.by.push(by.to_owned());
        if !self.message.is_empty() {
            self.message.push_str("; ");
        }
        self.message.push_str(message);
    }
}
