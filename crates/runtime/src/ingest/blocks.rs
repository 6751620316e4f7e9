//! From a refusal to the body of its `block` record.

use proofstream_model::{
    Answer, Block, ControlId, ControlRef, DecisionRef, Enforcer, EventRef, Mode, Operation,
    Subject, Timestamp, Verdict,
};
use proofstream_observe::audit::block::{self, Refusal};
use proofstream_observe::audit::event::{DryRun, Event, ObjectRef, Text};

use super::{Ingest, Known};

/// Bytes of an answer that a block keeps; the event has it whole.
const MESSAGE: usize = 8 << 10;
/// Groups that a block keeps, and bytes of them; the event has them all.
const GROUPS: (usize, usize) = (128, 8 << 10);

/// A block, but for where its event stands.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) block: Block,
    pub(super) controls: Vec<ControlId>,
}

/// The block of `event`, whose identity is `sha256`; none where our decision says that the request
/// was a dry run (a delete may say so in its body alone, which a Metadata event lacks).
pub(super) fn find(
    ingest: &Ingest,
    event: &Event<'_>,
    refusal: &Refusal,
    sha256: String,
) -> Option<Found> {
    let references = block::decisions(event, refusal.webhook.as_deref());
    let known: Vec<(&DecisionRef, Known)> = references
        .iter()
        .filter_map(|reference| Some((reference, ingest.options.decisions.find(reference)?)))
        .collect();
    if known.iter().any(|(_, known)| known.decision.dry_run) {
        return None;
    }
    if refusal.dry_run == DryRun::Unknown && known.is_empty() {
        Ingest::count(&ingest.counters.uncertain_dry_runs, 1);
    }
    let ours = refusal.enforcer == Enforcer::Proofstream;
    // One delete of a collection has a decision for each object and the reference of the first: an
    // answer that allowed does not say why another one was refused.
    let joined = known.iter().find(|(_, known)| !ours || known.decision.decision == Answer::Deny);
    if ours && joined.is_none() {
        Ingest::count(&ingest.counters.unjoined, 1);
        tracing::warn!(audit_id = &*event.audit_id, "our refusal has no decision at hand");
    }
    let judged = match joined {
        Some((_, known)) if ours => by_decision(ingest, known),
        _ => by_answer(ingest, refusal),
    };
    let decision = joined.map(|(reference, _)| *reference).or(references.first()).cloned();
    let subject = match joined {
        Some((_, known)) => known.decision.subject.clone(),
        None => subject(ingest, event, refusal),
    };
    let actor = event.actor();
    let status = event.response_status.as_ref()?;
    let received = event.request_received_timestamp.parse();
    let requested = received.or_else(|_| event.stage_timestamp.parse());
    let block = Block {
        enforcer: refusal.enforcer,
        policies: judged.policies,
        rules: judged.rules,
        requirements: judged.control.requirements,
        operation: event.operation().unwrap_or(Operation::Connect),
        user: cut(&actor.user, MESSAGE),
        groups: groups(actor.groups),
        subject,
        owner: joined.map(|(_, known)| known.decision.owner.clone()),
        code: status.code,
        message: cut(&status.message, MESSAGE),
        requested: requested.unwrap_or(Timestamp::from_micros(0)),
        event: EventRef {
            audit_id: cut(&event.audit_id, 1024),
            source: String::new(),
            epoch: 0,
            number: 0,
            sha256,
        },
        decision,
    };
    Some(Found { block, controls: judged.control.controls })
}

/// What refused, and what it stands for.
struct Judged {
    policies: Vec<String>,
    rules: Vec<String>,
    control: ControlRef,
}

/// From our decision: the rules in Enforce that did not hold.
fn by_decision(ingest: &Ingest, known: &Known) -> Judged {
    let decision = &known.decision;
    let refusing = decision.rules.iter().filter(|rule| {
        rule.mode == Mode::Enforce && matches!(rule.verdict, Verdict::Fail | Verdict::Error)
    });
    let (policies, rules): (Vec<_>, Vec<_>) = refusing
        .map(|rule| (rule.policy.clone(), format!("{}/{}", rule.policy, rule.rule)))
        .unzip();
    let policies = sorted(policies);
    let control = if policies == decision.policies {
        ControlRef { controls: known.controls.clone(), requirements: decision.requirements.clone() }
    } else {
        // Policies in Audit mode failed, too: what they stand for did not refuse.
        control(ingest, Enforcer::Proofstream, &policies)
    };
    Judged { policies, rules: sorted(rules), control }
}

fn by_answer(ingest: &Ingest, refusal: &Refusal) -> Judged {
    let control = control(ingest, refusal.enforcer, &refusal.policies);
    Judged { policies: refusal.policies.clone(), rules: refusal.rules.clone(), control }
}

fn control(ingest: &Ingest, enforcer: Enforcer, policies: &[String]) -> ControlRef {
    let mut all = ControlRef::default();
    for policy in policies {
        let one = ingest.options.controls.controls(enforcer, policy);
        all.controls.extend(one.controls);
        all.requirements.extend(one.requirements);
    }
    ControlRef { controls: sorted(all.controls), requirements: sorted(all.requirements) }
}

/// The object as far as the event tells.
fn subject(ingest: &Ingest, event: &Event<'_>, refusal: &Refusal) -> Subject {
    let object = event.object_ref.as_ref();
    let named = |text: &Text<'_>| Some(text.to_string()).filter(|text| !text.is_empty());
    let namespace = object.and_then(|object: &ObjectRef<'_>| named(&object.namespace));
    let name = object.and_then(|object| named(&object.name)).or_else(|| refusal.name.clone());
    Subject {
        cluster: ingest.options.cluster.clone(),
        api_version: cut(&event.api_version(), 512),
        kind: cut(&event.kind(), 256),
        namespace: namespace.map(|text| cut(&text, 256)),
        name: cut(&name.unwrap_or_default(), 1024),
        path: None,
    }
}

fn groups(mut groups: Vec<String>) -> Vec<String> {
    let mut bytes = 0;
    groups.truncate(GROUPS.0);
    groups.retain(|group| {
        bytes += group.len();
        bytes <= GROUPS.1
    });
    groups
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items.dedup();
    items
}

/// `text`, or as much of it as `bytes` hold, marked.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}
