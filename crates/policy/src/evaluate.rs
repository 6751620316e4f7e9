//! Judgement of one request by one rule.

mod expressions;
mod functions;
mod generate;
mod images;
pub(crate) mod mutate;
mod mutating;
mod validate;

pub(crate) use expressions::preconditions;
use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::environment::Trigger;
use crate::exception::PolicyException;
use crate::generation::Generated;
use crate::jmespath::Failure;
use crate::ownership;
use crate::policy::{Action, ModeOverride, Policy, Rule, Validation};
use crate::request::{Operation, Request};
use crate::response::{Mode, ResourceName, RuleResponse, Status};
use crate::scope::{Frame, Judgement, Scope};
use crate::selection::{Filter, Selection, Target};
use crate::trace::{self, StepOutcome};

/// The user names of background controllers, whose requests rules skip by default.
const BACKGROUND_USERS: [&str; 2] = [
    "system:serviceaccount:kyverno:kyverno-background-controller",
    "system:serviceaccount:kyverno:kyverno-reports-controller",
];

/// A rule, and what surrounds it.
pub(crate) struct RuleAt<'p> {
    pub(crate) policy_index: usize,
    pub(crate) policy: &'p Policy,
    pub(crate) rule: &'p Rule,
    pub(crate) exceptions: &'p [Arc<PolicyException>],
}

/// What a rule says, before it is dressed as a response.
pub(crate) struct Said {
    pub(crate) status: Status,
    pub(crate) message: String,
    pub(crate) path: Option<String>,
    /// The exception that says it.
    pub(crate) exception: Option<Arc<str>>,
    /// What is said one by one, where a rule can be broken in several ways at once.
    pub(crate) violations: Vec<String>,
}

impl Said {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            path: None,
            exception: None,
            violations: Vec::new(),
        }
    }

    /// A rule needs what is not done yet: never a pass, and never silence.
    pub(crate) fn not_supported(what: &str) -> Self {
        Self::new(Status::NotSupported, format!("`{what}` is not evaluated by this version"))
    }

    pub(crate) fn error(what: &str, failure: &Failure) -> Self {
        Self::new(Status::Error, format!("{what}: {failure}"))
    }
}

/// Judges a request by a rule; `None` where the rule is not about it.
pub(crate) fn rule(
    judgement: &Judgement<'_>,
    target: &Target<'_>,
    at: &RuleAt<'_>,
    empty: &Map<String, Value>,
) -> Option<RuleResponse> {
    if let Err(said) = approach(judgement, target, at)? {
        return Some(dress(said, judgement.request, target, at));
    }
    if let Some((said, exception)) = exempted(judgement, target, at, empty) {
        let mut response = dress(said, judgement.request, target, at);
        response.exception = Some(exception);
        return Some(response);
    }
    let said = tell_expired(judge(judgement, at, empty)?, judgement, target, at);
    Some(dress(said, judgement.request, target, at))
}

/// What a generate rule says of a request and makes of it; `None` where the rule is not about it.
pub(crate) fn generate(
    judgement: &Judgement<'_>,
    target: &Target<'_>,
    at: &RuleAt<'_>,
    empty: &Map<String, Value>,
) -> Option<(RuleResponse, Vec<Generated>)> {
    let (rule, request) = (at.rule, judgement.request);
    let Action::Generate(generation) = &rule.action else { return None };
    if request.operation == Operation::Delete && !rule.selection.names_deletion() {
        return None;
    }
    if let Err(said) = approach(judgement, target, at)? {
        return Some((dress(said, request, target, at), Vec::new()));
    }
    let (said, objects) = if let Some((said, _)) = exempted(judgement, target, at, empty) {
        (said, Vec::new())
    } else if asks_for_nobody(judgement, rule) {
        (Said::new(Status::Error, FOR_NOBODY), Vec::new())
    } else if was_generated(at, request) {
        (Said::new(Status::Skip, "the object was generated itself"), Vec::new())
    } else {
        let made = in_scope(judgement, at, empty, |scope| generate::make(at, generation, scope));
        made.unwrap_or_else(|said| (said, Vec::new()))
    };
    Some((dress(said, request, target, at), objects))
}

/// Why a rule does nothing for a stored object.
const FOR_NOBODY: &str = "the rule names users, and nobody knows who asked";

/// Whether a rule's filters name users where no user is known: what is done because of a stored object
/// must not be done for everybody. Offline a match is not narrowed by users, as in judging.
fn asks_for_nobody(judgement: &Judgement<'_>, rule: &Rule) -> bool {
    let sides = [Some(&rule.selection), rule.exclusion.as_ref()];
    let mut filters = sides.into_iter().flatten().flat_map(Selection::filters);
    judgement.request.user.is_none()
        && !judgement.environment.offline
        && filters.any(Filter::names_users)
}

/// Whether a rule would go on from what rules made. What this very rule made never starts it. What
/// another made does where the rule takes requests of background controllers; where nobody knows who
/// asked, the labels of the object tell.
fn was_generated(at: &RuleAt<'_>, request: &Request) -> bool {
    let Some(object) = request.subject() else { return false };
    let RuleAt { policy, rule, .. } = at;
    let namespace = policy.namespace().unwrap_or_default();
    ownership::is_made_by(object, &policy.name, namespace, &rule.name)
        || (rule.skip_background_requests
            && request.user.is_none()
            && ownership::is_generated(object))
}

/// Turns to a rule; `None` where it is not about the request, an error where that cannot be known.
pub(crate) fn approach(
    judgement: &Judgement<'_>,
    target: &Target<'_>,
    at: &RuleAt<'_>,
) -> Option<Result<(), Said>> {
    let (policy, rule, request) = (at.policy, at.rule, judgement.request);
    let unknown = request.user.as_ref().and_then(|user| user.roles_unknown.as_ref());
    if let Some(reason) = unknown.filter(|_| rule.asks_roles) {
        // INVARIANT: roles that are not known are not roles that are not held.
        let said = Said::new(Status::Error, format!("the user's roles are not known: {reason}"));
        return may_be_about(policy, rule, target, request).then_some(Err(said));
    }
    if trace::is_heard() {
        tell_about(policy, rule, target, request);
    }
    if !is_about(policy, rule, target, request) {
        return None;
    }
    judgement.confine(policy.namespace.as_ref());
    Some(Ok(()))
}

/// Whether a rule can be about a request of somebody.
fn may_be_about(policy: &Policy, rule: &Rule, target: &Target<'_>, request: &Request) -> bool {
    is_confined_to(policy, target, request)
        && rule.selection.fits_somebody(target)
        && rule.confined_to.as_ref().is_none_or(|place| place.fits_somebody(target))
        && !rule.exclusion.as_ref().is_some_and(|exclusion| exclusion.fits_anybody(target))
        && !skips_background_request(rule, request)
        && !is_managed(policy, request)
}

fn is_confined_to(policy: &Policy, target: &Target<'_>, request: &Request) -> bool {
    policy
        .namespace
        .as_deref()
        .is_none_or(|namespace| request.kind.kind != "Namespace" && namespace == target.namespace)
}

fn is_about(policy: &Policy, rule: &Rule, target: &Target<'_>, request: &Request) -> bool {
    is_confined_to(policy, target, request)
        && rule.selection.includes(target)
        && rule.confined_to.as_ref().is_none_or(|place| place.includes(target))
        && !rule.exclusion.as_ref().is_some_and(|exclusion| exclusion.excludes(target))
        && !skips_background_request(rule, request)
        && !is_managed(policy, request)
}

/// Tells what of a rule's `match` and `exclude` fits a request, and what does not.
fn tell_about(policy: &Policy, rule: &Rule, target: &Target<'_>, request: &Request) {
    if let Some(namespace) = &policy.namespace {
        let here = is_confined_to(policy, target, request);
        trace::answer(here, || format!("the policy is about the namespace `{namespace}` alone"));
    }
    trace::within(|| "match".to_owned(), || rule.selection.tell(target));
    if let Some(place) = &rule.confined_to {
        trace::within(|| "the binding's resources".to_owned(), || place.tell(target));
    }
    if let Some(exclusion) = &rule.exclusion {
        let excluded = exclusion.excludes(target);
        trace::within(|| "exclude".to_owned(), || exclusion.tell(target));
        trace::answer(!excluded, || {
            format!("it is {}excluded", if excluded { "" } else { "not " })
        });
    }
    if skips_background_request(rule, request) {
        trace::note(StepOutcome::Skips, || "background controllers are passed over".to_owned());
    }
    if is_managed(policy, request) {
        let words = "the pod is judged through its controller";
        trace::note(StepOutcome::Skips, || words.to_owned());
    }
}

fn skips_background_request(rule: &Rule, request: &Request) -> bool {
    rule.skip_background_requests
        && request.user.as_ref().is_some_and(|user| BACKGROUND_USERS.contains(&&*user.username))
}

/// Whether a pod (or a job) is judged through its controller instead.
fn is_managed(policy: &Policy, request: &Request) -> bool {
    let Some(controllers) = &policy.managed_by else { return false };
    if !matches!(request.kind.kind.as_str(), "Pod" | "Job") {
        return false;
    }
    let owners = request.subject().and_then(|object| object.pointer("/metadata/ownerReferences"));
    let owners = owners.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    !owners.is_empty()
        && owners.iter().all(|owner| {
            let kind = owner.get("kind").and_then(Value::as_str).unwrap_or_default();
            kind == "ReplicaSet" || controllers.contains(kind)
        })
}

/// What an exception says, and which one, if one covers the request.
fn exempted(
    judgement: &Judgement<'_>,
    target: &Target<'_>,
    at: &RuleAt<'_>,
    empty: &Map<String, Value>,
) -> Option<(Said, Arc<str>)> {
    let covering =
        at.exceptions.iter().filter(|exception| !exception.is_partial_for(at.rule)).filter(
            |exception| exception.names(at.policy, &at.rule.name) && exception.fits(target),
        );
    for exception in covering {
        let holds = covers(exception, judgement, empty);
        trace::answer(holds, || {
            let name = exception.qualified_name();
            let expired = exception.is_expired(judgement.environment.now);
            format!("exception `{name}` {}", if expired { "has expired" } else { "covers it" })
        });
        if holds {
            let message = format!("exempted by exception `{}`", exception.qualified_name());
            let status = if exception.passes() { Status::Pass } else { Status::Skip };
            return Some((Said::new(status, message), exception.qualified_name().into()));
        }
    }
    None
}

/// Adds to a failure which exceptions would have covered it, had they not run out.
fn tell_expired(
    mut said: Said,
    judgement: &Judgement<'_>,
    target: &Target<'_>,
    at: &RuleAt<'_>,
) -> Said {
    if said.status != Status::Fail {
        return said;
    }
    let now = judgement.environment.now;
    let expired = at.exceptions.iter().filter(|exception| exception.is_expired(now));
    for exception in expired
        .filter(|exception| exception.names(at.policy, &at.rule.name) && exception.fits(target))
    {
        said.message.push_str(&exception.expiry_in_words());
    }
    said
}

/// Whether an exception to a request that it fits holds here and now.
fn covers(
    exception: &PolicyException,
    judgement: &Judgement<'_>,
    empty: &Map<String, Value>,
) -> bool {
    let environment = judgement.environment;
    if exception.is_expired(environment.now)
        || (environment.trigger == Trigger::Background && !exception.is_background())
    {
        return false;
    }
    let merged = OnceCell::new();
    let scope = Scope::root(judgement, empty, None, &merged);
    // INVARIANT: an exception that cannot be judged exempts nothing.
    exception.conditions().evaluate(&scope).is_ok_and(|outcome| outcome.holds)
        && expressions::preconditions(exception.cel_conditions(), None, &scope).is_none()
}

/// Exceptions that cover the request and excuse some controls of a `podSecurity` rule.
pub(crate) fn partial_exceptions<'p>(
    judgement: &Judgement<'_>,
    at: &RuleAt<'p>,
) -> Vec<&'p PolicyException> {
    let target = Target::new(judgement.request);
    at.exceptions
        .iter()
        .map(Arc::as_ref)
        .filter(|exception| exception.is_partial_for(at.rule))
        .filter(|exception| exception.names(at.policy, &at.rule.name) && exception.fits(&target))
        .filter(|exception| covers(exception, judgement, &Map::new()))
        .collect()
}

fn judge(judgement: &Judgement<'_>, at: &RuleAt<'_>, empty: &Map<String, Value>) -> Option<Said> {
    let rule = at.rule;
    let validation = match &rule.action {
        Action::Validate(validation) => validation,
        Action::Generate(_) | Action::Mutate(_) => return None,
        Action::VerifyImages(entries) => {
            let said =
                in_scope(judgement, at, empty, |_| images::judge(entries, judgement.request));
            return said.unwrap_or_else(Some);
        }
        Action::NotSupported(what) => {
            return Some(Said::not_supported(what));
        }
    };
    let said = judge_once(judgement, at, validation, empty)?;
    let existing = judgement.request.operation == Operation::Update
        && said.status == Status::Fail
        && rule.allow_existing_violations
        // Expressions see the old object and have their own say.
        && validation.expressions().is_none()
        && at.mode(judgement.request) == Mode::Enforce;
    if existing && violates_already(judgement, at, validation, empty) {
        let message = "the object broke this rule before the request";
        return Some(Said::new(Status::Skip, message));
    }
    Some(said)
}

fn judge_once(
    judgement: &Judgement<'_>,
    at: &RuleAt<'_>,
    validation: &Validation,
    empty: &Map<String, Value>,
) -> Option<Said> {
    let judged = in_scope(judgement, at, empty, |scope| validate::judge(at, validation, scope));
    judged.unwrap_or_else(Some)
}

/// Does a rule's own work in its scope, once its preconditions hold.
///
/// # Errors
/// What the rule says where they do not, or cannot be evaluated.
fn in_scope<T>(
    judgement: &Judgement<'_>,
    at: &RuleAt<'_>,
    empty: &Map<String, Value>,
    work: impl FnOnce(&Scope<'_>) -> T,
) -> Result<T, Said> {
    let rule = at.rule;
    let environment = judgement.environment;
    let unfolded;
    let mut foreach_given = None;
    let mut rule_given = empty;
    if !(environment.rule_variables.is_empty() && environment.foreach_variables.is_empty()) {
        let key = (at.policy.name.to_string(), rule.name.to_string());
        foreach_given = environment.foreach_variables.get(&key);
        if let Some(flat) = environment.rule_variables.get(&key) {
            unfolded = crate::scope::unfold(flat);
            rule_given = &unfolded;
        }
    }
    let merged = OnceCell::new();
    let root = Scope::root(judgement, rule_given, foreach_given, &merged);
    let frame = Frame::new(&rule.context);
    let scope = root.with_frame(&frame);
    let conditions = || rule.preconditions.evaluate(&scope);
    let met = if rule.preconditions.is_empty() {
        conditions()
    } else {
        trace::within(|| "preconditions".to_owned(), conditions)
    };
    match met {
        Err(failure) => Err(Said::error("preconditions cannot be evaluated", &failure)),
        Ok(outcome) if !outcome.holds => {
            let mut message = "preconditions not met".to_owned();
            for text in outcome.messages {
                message.push_str("; ");
                message.push_str(&text);
            }
            Err(Said::new(Status::Skip, message))
        }
        Ok(_) => {
            let own = rule.action.shared_by_expressions();
            match expressions::preconditions(&rule.cel_preconditions, own, &scope) {
                Some(said) => Err(said),
                None => Ok(work(&scope)),
            }
        }
    }
}

/// Whether the object as it was breaks the rule too, judged as if it were created now: a rule that
/// forbids the update itself is not broken by the object as it was.
fn violates_already(
    judgement: &Judgement<'_>,
    at: &RuleAt<'_>,
    validation: &Validation,
    empty: &Map<String, Value>,
) -> bool {
    let request = judgement.request;
    let Some(old) = &request.old_object else { return false };
    let before = Request {
        operation: Operation::Create,
        object: Some(old.clone()),
        old_object: None,
        ..request.clone()
    };
    let target = Target::new(&before);
    if !is_about(at.policy, at.rule, &target, &before) {
        return false;
    }
    let judgement = Judgement::before(&before, judgement.environment);
    judgement.confine(at.policy.namespace.as_ref());
    judge_once(&judgement, at, validation, empty).is_some_and(|said| said.status == Status::Fail)
}

impl RuleAt<'_> {
    /// What a failure does to this request: the rule's word, or the policy's, each with overrides.
    pub(crate) fn mode(&self, request: &Request) -> Mode {
        if let Some(mode) = self.rule.mode {
            return overridden(&self.rule.overrides, request).unwrap_or(mode);
        }
        overridden(&self.policy.settings.overrides, request).unwrap_or(self.policy.settings.mode)
    }
}

fn overridden(overrides: &[ModeOverride], request: &Request) -> Option<Mode> {
    if overrides.is_empty() {
        return None;
    }
    let target = Target::new(request);
    let labels = request.namespace_labels.as_ref();
    let fits = |entry: &&ModeOverride| {
        let named = entry.namespaces.is_empty()
            || entry.namespaces.iter().any(|glob| glob.matches(target.namespace));
        named && entry.namespace_selector.as_ref().is_none_or(|selector| selector.matches(&labels))
    };
    overrides.iter().find(fits).map(|entry| entry.mode)
}

fn dress(said: Said, request: &Request, target: &Target<'_>, at: &RuleAt<'_>) -> RuleResponse {
    dress_for(said, request, Arc::clone(target.resource()), at)
}

/// Dresses what a rule says of an object.
fn dress_for(
    said: Said,
    request: &Request,
    resource: Arc<ResourceName>,
    at: &RuleAt<'_>,
) -> RuleResponse {
    RuleResponse {
        policy_index: at.policy_index,
        policy: Arc::clone(&at.policy.name),
        policy_namespace: at.policy.namespace.clone(),
        rule: Arc::clone(&at.rule.name),
        kind: at.rule.kind,
        status: said.status,
        mode: at.mode(request),
        failure_policy: at.policy.settings.failure_policy,
        message: said.message,
        path: said.path,
        exception: said.exception,
        violations: said.violations,
        resource,
    }
}
