//! The body of a `decision` record.

use std::collections::BTreeSet;
use std::time::Duration;

use proofstream_model::{
    Answer, ControlId, Decision, Mode, Operation, RequirementId, RuleOutcome, Subject, Verdict,
};
use proofstream_policy as policy;

use crate::policies::Compiled;

/// The longest message of a rule that is kept, in characters.
const MESSAGE_CHARACTERS: usize = 1_000;
/// Most rules that one record lists; those that did not pass come first.
const RULES: usize = 100;
/// Most groups of a user that one record lists.
const GROUPS: usize = 64;

/// Everything that a decision is made of.
pub(super) struct Making<'a> {
    pub(super) cluster: Option<&'a str>,
    pub(super) request: &'a policy::Request,
    pub(super) request_kind: Option<&'a policy::GroupVersionKind>,
    pub(super) responses: &'a [policy::RuleResponse],
    pub(super) compiled: &'a Compiled,
    pub(super) latency: Duration,
}

impl Making<'_> {
    /// The record's body, and the controls that it is evidence for: those of the policies whose
    /// rules failed or, where none did, of all that matched.
    pub(super) fn body(&self, refused: bool) -> (Decision, Vec<ControlId>) {
        let request = self.request;
        let broken = |response: &&policy::RuleResponse| is_broken(response);
        let all_held = !self.responses.iter().any(is_broken);
        let controls: BTreeSet<ControlId> = self
            .responses
            .iter()
            .filter(|response| all_held || is_broken(response))
            .filter_map(|response| self.compiled.info(response.policy_index))
            .flat_map(|info| info.controls.controls.iter().cloned())
            .collect();
        let requirements: BTreeSet<RequirementId> = self
            .responses
            .iter()
            .filter(broken)
            .filter_map(|response| self.compiled.info(response.policy_index))
            .flat_map(|info| info.controls.requirements.iter().cloned())
            .collect();
        let policies: BTreeSet<String> =
            self.responses.iter().filter(broken).map(|response| self.name(response)).collect();
        let would_block = !refused
            && self.responses.iter().any(|response| {
                response.mode == policy::Mode::Audit && is_failure(response.status)
            });
        let user = request.user.as_ref();
        let decision = Decision {
            decision: if refused { Answer::Deny } else { Answer::Allow },
            would_block,
            dry_run: request.dry_run,
            operation: operation(request.operation),
            user: user.map(|user| user.username.clone()).unwrap_or_default(),
            groups: user
                .map(|user| user.groups.iter().take(GROUPS).cloned().collect())
                .unwrap_or_default(),
            subject: self.subject(),
            subresource: request.subresource.clone(),
            request_kind: self
                .request_kind
                .map(|kind| format!("{} {}", kind.api_version(), kind.kind)),
            owner: self.request.owner(),
            policies: policies.into_iter().collect(),
            rules: self.rules(),
            requirements: requirements.into_iter().collect(),
            uid: request.uid.clone(),
            latency_us: u64::try_from(self.latency.as_micros()).unwrap_or(u64::MAX),
        };
        (decision, controls.into_iter().collect())
    }

    fn name(&self, response: &policy::RuleResponse) -> String {
        match self.compiled.info(response.policy_index) {
            Some(info) => info.name.clone(),
            None => response.policy.to_string(),
        }
    }

    fn rules(&self) -> Vec<RuleOutcome> {
        let mut responses: Vec<_> = self.responses.iter().collect();
        responses.sort_by_key(|response| !is_broken(response));
        responses
            .into_iter()
            .take(RULES)
            .map(|response| RuleOutcome {
                policy: self.name(response),
                rule: response.rule.to_string(),
                mode: match response.mode {
                    policy::Mode::Enforce => Mode::Enforce,
                    policy::Mode::Audit => Mode::Audit,
                },
                verdict: verdict(response),
                message: match response.status {
                    policy::Status::Pass => String::new(),
                    _ => response.message.chars().take(MESSAGE_CHARACTERS).collect(),
                },
            })
            .collect()
    }

    fn subject(&self) -> Subject {
        let request = self.request;
        let object = request.subject();
        let text = |pointer: &str| object.and_then(|object| object.pointer(pointer)?.as_str());
        let name = request
            .name
            .as_deref()
            .or_else(|| text("/metadata/name"))
            .or_else(|| text("/metadata/generateName"))
            .unwrap_or_default();
        Subject {
            cluster: self.cluster.map(str::to_owned),
            api_version: request.kind.api_version(),
            kind: request.kind.kind.clone(),
            namespace: request.namespace.clone(),
            name: name.to_owned(),
            path: None,
        }
    }
}

/// Whether a rule says that the request breaks it, or refuses the request because it cannot tell.
pub(super) fn is_broken(response: &policy::RuleResponse) -> bool {
    is_failure(response.status) || response.refuses()
}

fn is_failure(status: policy::Status) -> bool {
    matches!(status, policy::Status::Fail | policy::Status::Warn)
}

/// What a record says of a rule: one that an exception covers is waived, not held.
pub(crate) fn verdict(response: &policy::RuleResponse) -> Verdict {
    if response.exception.is_some() {
        return Verdict::Waived;
    }
    match response.status {
        policy::Status::Pass => Verdict::Pass,
        policy::Status::Fail | policy::Status::Warn => Verdict::Fail,
        policy::Status::Skip => Verdict::NotApplicable,
        policy::Status::Error => Verdict::Error,
        policy::Status::NotSupported => Verdict::NotEvaluated,
    }
}

fn operation(operation: policy::Operation) -> Operation {
    match operation {
        policy::Operation::Create => Operation::Create,
        policy::Operation::Update => Operation::Update,
        policy::Operation::Delete => Operation::Delete,
        policy::Operation::Connect => Operation::Connect,
    }
}
