//! Recognises requests that the API server refused by policy, from their audit events.
//!
//! What is read are the API server's own sentences. They are matched from their beginning, with
//! names quoted as Go quotes them: a user's or an object's name, or the text of another refusal,
//! cannot pass for one. Quota, authorization and validation of the object are no policy.

mod answer;
mod webhooks;

use proofstream_model::{DecisionRef, Enforcer};

use super::event::{DryRun, Event};
pub use answer::policies_of;

/// Annotations that our webhooks leave end with this.
const DECISION: &str = ".validate.proofstream.dev/decision";

/// What an event says about policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classification {
    /// Nothing.
    None,
    /// The request was refused by policy.
    Refused(Refusal),
    /// The request was refused because a webhook could not be asked: not a block, but a lapse of
    /// whatever stands behind it.
    FailedClosed {
        /// The webhook, or the ValidatingAdmissionPolicy that could not be evaluated.
        webhook: String,
    },
}

/// Who refused a request, and by which policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who, as the answer names it.
    pub enforcer: Enforcer,
    /// The webhook that refused; absent where none did.
    pub webhook: Option<String>,
    /// The policies that the answer names, sorted; for a webhook that names none and is not known,
    /// the webhook.
    pub policies: Vec<String>,
    /// `POLICY/RULE` that the answer names, sorted.
    pub rules: Vec<String>,
    /// The object's name as the answer has it: the only place for one that was to be generated.
    pub name: Option<String>,
    /// Whether the request was a dry run, as far as the event tells: never [`DryRun::Yes`].
    pub dry_run: DryRun,
}

/// What `event` says about policy. Dry runs, and stages other than the end of a request, say
/// nothing.
pub fn classify(event: &Event<'_>) -> Classification {
    let Some(status) = &event.response_status else { return Classification::None };
    let dry_run = event.dry_run();
    if &*event.stage != "ResponseComplete" || dry_run == DryRun::Yes || status.code < 400 {
        return Classification::None;
    }
    match answer::read(&status.message) {
        Some(answer::Answer::Refused(named)) => Classification::Refused(Refusal {
            enforcer: named.enforcer,
            webhook: named.webhook,
            policies: named.policies,
            rules: named.rules,
            name: named.name,
            dry_run,
        }),
        Some(answer::Answer::Uncalled(webhook)) => Classification::FailedClosed { webhook },
        None => Classification::None,
    }
}

/// References to our decisions on this request, that of `webhook` first. One request may have been
/// seen by both of our webhooks, and several times by each: the API server keeps the first
/// reference of each.
pub fn decisions(event: &Event<'_>, webhook: Option<&str>) -> Vec<DecisionRef> {
    let mut found: Vec<(bool, DecisionRef)> = event
        .annotations
        .iter()
        .filter(|(key, _)| key.ends_with(DECISION))
        .filter_map(|(key, value)| {
            let of = key.strip_suffix("/decision");
            Some((of.is_none() || of != webhook, value.parse().ok()?))
        })
        .collect();
    found.sort_by_key(|(other, _)| *other);
    found.into_iter().map(|(_, reference)| reference).collect()
}

/// Webhooks that could not be asked about this request and were passed over (`failurePolicy:
/// Ignore`): lapses.
pub fn failed_open(event: &Event<'_>) -> Vec<String> {
    let mut names: Vec<String> = event
        .annotations
        .iter()
        .filter(|(key, _)| {
            key.starts_with("failed-open.validating.webhook.admission.k8s.io/")
                || key.starts_with("failed-open.mutation.webhook.admission.k8s.io/")
        })
        .map(|(_, webhook)| webhook.to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
