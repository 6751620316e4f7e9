//! Mutate rules that change objects that exist, at work.
//!
//! A rule starts once its trigger is seen stored. As for what is generated there is no list of work that
//! could be lost: what a rule has done is settled in the ledger, with a digest of what the trigger said
//! then. Whatever is stored and says something else than was settled is due, however long we were away;
//! what was there before its policy is due only where the rule asks for that. What fails waits in a
//! bounded queue and is tried again, later each time.

mod rules;
mod settled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use kube::Client;
use kube::api::ApiResource;
use proofstream_model::{ChangeAction, ChangeBody, ChangeCause, ChangeState, Subject, Trigger};
use proofstream_observe::cluster::{Interrupted, Seen, watch};
use proofstream_policy::{Operation, Status};
use serde_json::Value;
use tokio::time::Instant;

use crate::background::{Identity, RuleName};
use crate::hands::{HandError, Hands};
use crate::waiting::{Queue, Waiting};
pub use rules::Rules;
use rules::{Plan, RulePlan, Started};
use settled::{Settled, digest};

/// How often everything is listed anew although nothing said that it changed.
const SWEEP: Duration = Duration::from_hours(1);
/// Before the API server is asked again what it serves.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Carries the rules out.
pub struct Mutator {
    client: Client,
    rules: Arc<Rules>,
    hands: Hands,
    settled: Settled,
    waiting: Queue,
}

type Watches = SelectAll<BoxStream<'static, (usize, Result<Seen, Interrupted>)>>;

/// What is known while one set of watches lasts.
struct Pass {
    plan: Plan,
    /// By kind whose list is under way: the UIDs it has shown so far.
    listed: BTreeMap<usize, BTreeSet<String>>,
    /// Objects that were seen: the next that is seen of them is a change.
    seen: BTreeSet<String>,
}

// === impl Mutator ===

impl Mutator {
    /// `settled` is what the ledger says was settled.
    pub fn new(client: Client, rules: Rules, hands: Hands, settled: Vec<ChangeBody>) -> Self {
        let settled = Settled::new(settled);
        Self { client, rules: Arc::new(rules), hands, settled, waiting: Queue::default() }
    }

    /// Runs until dropped.
    pub async fn run(mut self) {
        let mut changes = self.rules.changes();
        loop {
            changes.mark_unchanged();
            let plan = match self.rules.plan().await {
                Ok(plan) => plan,
                Err(error) => {
                    tracing::warn!(%error, "the API server did not say what it serves");
                    tokio::time::sleep(ASK_AGAIN).await;
                    continue;
                }
            };
            let mut pass = Pass { plan, listed: BTreeMap::new(), seen: BTreeSet::new() };
            let mut watches = self.watches(&pass);
            let mut sweep = std::pin::pin!(tokio::time::sleep(SWEEP));
            loop {
                let due = self.waiting.next();
                tokio::select! {
                    changed = changes.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    () = &mut sweep => break,
                    Some((kind, seen)) = watches.next() => self.take(&mut pass, kind, seen).await,
                    () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)),
                        if due.is_some() => self.look_again(&mut pass).await,
                }
            }
        }
    }

    fn watches(&self, pass: &Pass) -> Watches {
        let kinds = pass.plan.kinds.iter().enumerate();
        let watches = kinds.map(|(index, kind)| {
            watch(self.client.clone(), kind).map(move |seen| (index, seen)).boxed()
        });
        watches.collect()
    }

    async fn take(&mut self, pass: &mut Pass, kind: usize, seen: Result<Seen, Interrupted>) {
        match seen {
            Ok(Seen::Start) => {
                pass.listed.insert(kind, BTreeSet::new());
            }
            Ok(Seen::Object(object)) => self.object(pass, kind, object).await,
            Ok(Seen::Gone { uid }) => {
                pass.seen.remove(&uid);
                self.gone(&uid).await;
            }
            Ok(Seen::Listed) => {
                if let (Some(listed), Some(resource)) =
                    (pass.listed.remove(&kind), pass.plan.kinds.get(kind))
                {
                    for uid in self.not_listed(resource, &listed) {
                        self.gone(&uid).await;
                    }
                }
            }
            Err(interrupted) => {
                tracing::warn!(cause = %interrupted.cause, "{interrupted}");
            }
        }
    }

    async fn object(&mut self, pass: &mut Pass, kind: usize, object: Value) {
        let uid = Identity::of(&object).uid;
        let fresh = match pass.listed.get_mut(&kind) {
            Some(listed) => {
                listed.insert(uid.clone());
                pass.seen.insert(uid);
                false
            }
            // The first that is seen of an object is its creation, which its age tells.
            None => !pass.seen.insert(uid),
        };
        if self.due(pass, &object, fresh).is_empty() {
            return;
        }
        // INVARIANT: what is settled is what is stored. An event may be older than what we wrote since; acted
        // on as it is, it would set off another, and so on.
        let Identity { uid, subject, .. } = Identity::of(&object);
        match self.hands.read(&subject).await {
            Ok(Some(stored)) if Identity::of(&stored).uid == uid => {
                self.consider(pass, stored, fresh, 0).await;
            }
            // That it is gone will be said.
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(trigger = %subject, %error, "a trigger cannot be read");
                let trigger = Trigger { subject, uid };
                self.waiting.again(Waiting { trigger, fresh, attempts: 0 }, Instant::now());
            }
        }
    }

    /// The rules that an object starts, and as what.
    fn due(&self, pass: &Pass, object: &Value, fresh: bool) -> BTreeMap<RuleName, Operation> {
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return BTreeMap::new();
        }
        let (uid, content) = (Identity::of(object).uid, digest(object));
        let starts = |(rule, plan): (&RuleName, &RulePlan)| {
            let before = self.settled.get(rule, &uid);
            if before == Some(plan.content(&content).as_str()) {
                return None;
            }
            match plan.starts(object, before, fresh) {
                Started::Not => None,
                Started::By(operation) => Some((rule.clone(), operation)),
            }
        };
        pass.plan.rules.iter().filter_map(starts).collect()
    }

    /// Triggers of a kind that a complete list does not show.
    fn not_listed(&self, resource: &ApiResource, listed: &BTreeSet<String>) -> Vec<String> {
        let is_kind = |subject: &Subject| {
            let group = subject.api_version.rsplit_once('/').map_or("", |(group, _)| group);
            subject.kind == resource.kind && group == resource.group
        };
        self.settled.uids(is_kind).filter(|uid| !listed.contains(uid)).collect()
    }

    /// A trigger is gone: nothing that was settled of it is of use any more.
    async fn gone(&mut self, uid: &str) {
        self.waiting.remove(uid);
        for (rule, subject) in self.settled.of(uid) {
            let trigger = Trigger { subject, uid: uid.to_owned() };
            let released = ChangeBody {
                action: ChangeAction::Release,
                state: ChangeState::Done,
                message: Some("it is gone".to_owned()),
                ..change(&rule, &trigger, trigger.subject.clone())
            };
            if let Err(error) = self.hands.note(&released).await {
                let trigger = &released.object;
                tracing::warn!(%trigger, %error, "that a trigger is gone is recorded later");
                return;
            }
            self.settled.forget(&rule, uid);
        }
    }

    /// Looks at one trigger that waits, as it is stored now.
    async fn look_again(&mut self, pass: &mut Pass) {
        let Some(waiting) = self.waiting.pop(Instant::now()) else { return };
        let Waiting { trigger, fresh, attempts } = waiting;
        match self.hands.read(&trigger.subject).await {
            Ok(Some(object)) if Identity::of(&object).uid == trigger.uid => {
                self.consider(pass, object, fresh, attempts).await;
            }
            Ok(_) => self.gone(&trigger.uid).await,
            Err(error) => {
                tracing::warn!(trigger = %trigger.subject, %error, "a trigger cannot be read");
                self.waiting.again(Waiting { trigger, fresh, attempts }, Instant::now());
            }
        }
    }

    /// Has the rules that an object starts change their targets.
    async fn consider(&mut self, pass: &mut Pass, object: Value, fresh: bool, attempts: u32) {
        let due = self.due(pass, &object, fresh);
        if due.is_empty() {
            return;
        }
        let Identity { uid, subject, .. } = Identity::of(&object);
        let trigger = Trigger { subject, uid };
        let content = digest(&object);
        let made = match self.rules.judge(&due, &object).await {
            Ok(made) => made,
            Err(reason) => {
                tracing::warn!(trigger = %trigger.subject, reason, "no target is changed");
                self.waiting.again(Waiting { trigger, fresh, attempts }, Instant::now());
                return;
            }
        };
        let mut failed: BTreeSet<RuleName> = BTreeSet::new();
        // What the trigger says once a rule has changed it itself.
        let mut left = None;
        for one in made {
            let outcome = match (one.status, one.target, one.object) {
                (Status::Error, ..) => self.fault(&one.rule, &trigger, &one.message, attempts),
                (_, Some(target), Some(object)) => {
                    let written = self.write(pass, &one.rule, &trigger, &target, object).await;
                    written.map(|(uid, content)| {
                        if uid == trigger.uid {
                            left = Some(content);
                        }
                    })
                }
                _ => Ok(()),
            };
            if let Err(reason) = outcome {
                let (policy, rule) = (&one.rule.policy, &one.rule.rule);
                tracing::warn!(trigger = %trigger.subject, policy, rule, reason);
                failed.insert(one.rule);
            }
        }
        let content = left.as_ref().unwrap_or(&content);
        for rule in due.into_keys().filter(|rule| !failed.contains(rule)) {
            if let Some(plan) = pass.plan.rules.get(&rule) {
                self.settle(rule, &trigger, plan.content(content)).await;
            }
        }
        if !failed.is_empty() {
            self.waiting.again(Waiting { trigger, fresh, attempts }, Instant::now());
        }
    }

    /// A rule that cannot say what it wants: recorded the first time, and tried again.
    fn fault(
        &self,
        rule: &RuleName,
        trigger: &Trigger,
        message: &str,
        attempts: u32,
    ) -> Result<(), String> {
        if attempts == 0 {
            let failed = ChangeBody {
                state: ChangeState::Failed,
                message: Some(message.to_owned()),
                ..change(rule, trigger, trigger.subject.clone())
            };
            self.hands.tell(&failed);
        }
        Err(message.to_owned())
    }

    /// Writes one target, if it is still as the rule saw it. Gives its UID and what it says now.
    async fn write(
        &mut self,
        pass: &Pass,
        rule: &RuleName,
        trigger: &Trigger,
        target: &Value,
        object: Value,
    ) -> Result<(String, String), String> {
        let Identity { uid, subject, .. } = Identity::of(target);
        let change = change(rule, trigger, subject.clone());
        let stored = self.hands.replace(&change, &object).await;
        let stored = stored.map_err(|error: HandError| error.to_string())?;
        // INVARIANT: what we wrote ourselves starts no rule, or two rules could go on for ever.
        let content = digest(&stored);
        let own = Trigger { subject, uid };
        let group = own.subject.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let starts = |kind: &ApiResource| kind.kind == own.subject.kind && kind.group == group;
        if own.uid != trigger.uid && pass.plan.kinds.iter().any(starts) {
            for (name, plan) in &pass.plan.rules {
                self.settle(name.clone(), &own, plan.content(&content)).await;
            }
        }
        Ok((own.uid, content))
    }

    /// What is not recorded now is done again, and then comes to nothing.
    async fn settle(&mut self, rule: RuleName, trigger: &Trigger, content: String) {
        let settled = ChangeBody {
            action: ChangeAction::Settle,
            state: ChangeState::Done,
            content: Some(content.clone()),
            ..change(&rule, trigger, trigger.subject.clone())
        };
        match self.hands.note(&settled).await {
            Ok(()) => self.settled.put(rule, trigger, content),
            Err(error) => {
                tracing::warn!(trigger = %trigger.subject, %error, "it is settled later");
            }
        }
    }
}

fn change(rule: &RuleName, trigger: &Trigger, object: Subject) -> ChangeBody {
    ChangeBody {
        cause: ChangeCause::Mutate,
        action: ChangeAction::Update,
        state: ChangeState::Begun,
        object,
        policy: Some(rule.policy.clone()),
        rule: Some(rule.rule.clone()),
        trigger: Some(trigger.clone()),
        source: None,
        synchronize: false,
        orphan: false,
        content: None,
        message: None,
    }
}
