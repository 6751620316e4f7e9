//! Generate rules at work: what they want is made, kept in step and ended.
//!
//! There is no list of work that could be lost: what is to be done is found by looking at what is
//! stored (every trigger is listed when we start, when policies change and once an hour) and at the
//! book of what was made, which the ledger holds. A trigger that is younger than its policy and has
//! not had its objects made is due, however long we were away. What fails waits in a bounded queue
//! and is tried again, later each time.

mod book;
mod maker;
mod reconcile;
mod sameness;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use kube::Client;
use proofstream_model::{ChangeBody, Subject, Trigger};
use proofstream_observe::cluster::{Interrupted, Seen, watch};
use proofstream_policy::Status;
use serde_json::Value;
use tokio::time::Instant;

use crate::background::{Identity, RuleName};
use crate::hands::Hands;
use crate::waiting::{Queue, Waiting};
pub use book::{Book, ObjectKey, Product, stands};
pub use maker::Maker;
use maker::Plan;

/// How often everything is listed anew although nothing said that it changed.
const SWEEP: Duration = Duration::from_hours(1);
/// Before the API server is asked again what it serves.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Before a generated object that somebody changed is mended: two who fight over one do it slowly.
const CALM: Duration = Duration::from_millis(200);

/// Carries generate rules out.
pub struct Generator {
    client: Client,
    maker: Arc<Maker>,
    hands: Hands,
    book: Book,
    waiting: Queue,
    /// Of objects that were made or copied: which one a UID is.
    uids: HashMap<String, ObjectKey>,
}

type Watches = SelectAll<BoxStream<'static, (usize, Result<Seen, Interrupted>)>>;

/// What a kind's list has shown so far.
#[derive(Default)]
struct Listed {
    uids: BTreeSet<String>,
    keys: BTreeSet<ObjectKey>,
}

/// What is known while one set of watches lasts.
struct Pass {
    plan: Plan,
    /// Kinds whose list is under way.
    listed: BTreeMap<usize, Listed>,
    /// Kinds of made objects that are not watched yet.
    unwatched: bool,
}

// === impl Generator ===

impl Generator {
    /// `open` is what the ledger says was made and stands.
    pub fn new(client: Client, maker: Maker, hands: Hands, open: Vec<ChangeBody>) -> Self {
        Self {
            client,
            maker: Arc::new(maker),
            hands,
            book: Book::new(open),
            waiting: Queue::default(),
            uids: HashMap::new(),
        }
    }

    /// Runs until dropped.
    pub async fn run(mut self) {
        let mut changes = self.maker.changes();
        loop {
            changes.mark_unchanged();
            let subjects = self.book.select(|product| product.synchronize).into_iter();
            let subjects = subjects.flat_map(|one| [Some(one.object), one.source]).flatten();
            let plan = match self.maker.plan(subjects).await {
                Ok(plan) => plan,
                Err(error) => {
                    tracing::warn!(%error, "the API server did not say what it serves");
                    tokio::time::sleep(ASK_AGAIN).await;
                    continue;
                }
            };
            let mut pass = Pass { plan, listed: BTreeMap::new(), unwatched: false };
            self.rules_gone(&pass).await;
            let mut watches = self.watches(&pass);
            let mut sweep = std::pin::pin!(tokio::time::sleep(SWEEP));
            while !pass.unwatched {
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

    /// What rules made that are no more goes, or is left to itself as its rule said.
    async fn rules_gone(&mut self, pass: &Pass) {
        let gone = self.book.select(|product| !pass.plan.rules.contains_key(&product.rule));
        let gone = gone.into_iter().filter(|product| !self.maker.is_broken(&product.rule.policy));
        let (goes, stays): (Vec<_>, Vec<_>) =
            gone.partition(|product| product.synchronize && !product.orphan);
        self.end_all(goes, true).await;
        self.end_all(stays, false).await;
    }

    async fn take(&mut self, pass: &mut Pass, kind: usize, seen: Result<Seen, Interrupted>) {
        match seen {
            Ok(Seen::Start) => {
                pass.listed.insert(kind, Listed::default());
            }
            Ok(Seen::Object(object)) => self.object(pass, kind, object).await,
            Ok(Seen::Gone { uid }) => self.gone(&uid).await,
            Ok(Seen::Listed) => {
                if let Some(listed) = pass.listed.remove(&kind) {
                    self.not_listed(pass, kind, &listed).await;
                }
            }
            Err(interrupted) => {
                tracing::warn!(cause = %interrupted.cause, "{interrupted}");
            }
        }
    }

    async fn object(&mut self, pass: &mut Pass, kind: usize, object: Value) {
        let Identity { uid, subject, .. } = Identity::of(&object);
        let key = ObjectKey::of(&subject);
        let fresh = match pass.listed.get_mut(&kind) {
            Some(listed) => {
                listed.uids.insert(uid.clone());
                listed.keys.insert(key.clone());
                false
            }
            None => true,
        };
        // Somebody changed what was made, or what was copied.
        let copies = self.book.of_source(&key);
        let concerned: Vec<Product> = self.book.of_object(&key).into_iter().chain(copies).collect();
        if !concerned.is_empty() {
            self.uids.insert(uid.clone(), key);
        }
        for product in concerned.into_iter().filter(|product| product.synchronize) {
            self.waiting.push(product.trigger, Instant::now() + CALM);
        }
        if kind < pass.plan.triggers {
            self.consider(pass, object, fresh, 0).await;
        }
    }

    async fn gone(&mut self, uid: &str) {
        if let Some(key) = self.uids.remove(uid) {
            self.missing(&key).await;
        }
        self.trigger_gone(uid, 0).await;
    }

    /// What was made is made again; copies of what is gone go.
    async fn missing(&mut self, key: &ObjectKey) {
        for product in self.book.of_object(key).into_iter().filter(|one| one.synchronize) {
            self.waiting.push(product.trigger, Instant::now());
        }
        self.source_gone(key).await;
    }

    /// What a complete list does not show went while nobody looked.
    async fn not_listed(&mut self, pass: &Pass, kind: usize, listed: &Listed) {
        let Some(resource) = pass.plan.kinds.get(kind) else { return };
        let is_kind =
            |subject: &Subject| ObjectKey::of(subject).is_of(&resource.group, &resource.kind);
        let gone =
            |subject: &Subject| is_kind(subject) && !listed.keys.contains(&ObjectKey::of(subject));
        let objects = self.book.select(|product| gone(&product.object));
        let sources = self.book.select(|product| product.source.as_ref().is_some_and(gone));
        let keys: BTreeSet<ObjectKey> = objects
            .iter()
            .map(|product| ObjectKey::of(&product.object))
            .chain(sources.iter().filter_map(|one| one.source.as_ref()).map(ObjectKey::of))
            .collect();
        for key in keys {
            self.missing(&key).await;
        }
        if kind < pass.plan.triggers {
            let triggers = self.book.select(|product| {
                is_kind(&product.trigger.subject) && !listed.uids.contains(&product.trigger.uid)
            });
            let uids: BTreeSet<String> = triggers.into_iter().map(|one| one.trigger.uid).collect();
            for uid in uids {
                self.trigger_gone(&uid, 0).await;
            }
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
            Ok(_) => self.trigger_gone(&trigger.uid, attempts).await,
            Err(error) => {
                tracing::warn!(trigger = %trigger.subject, %error, "a trigger cannot be read");
                self.retry(trigger, fresh, attempts);
            }
        }
    }

    fn retry(&mut self, trigger: Trigger, fresh: bool, attempts: u32) {
        self.waiting.again(Waiting { trigger, fresh, attempts }, Instant::now());
    }

    /// Has the rules say what they want of an object, and does it.
    async fn consider(&mut self, pass: &mut Pass, object: Value, fresh: bool, attempts: u32) {
        // What is being deleted starts nothing; once it is gone, what followed it goes.
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return;
        }
        let Identity { uid, subject, .. } = Identity::of(&object);
        let trigger = Trigger { subject, uid };
        let made = match self.maker.make(&pass.plan, &object).await {
            Ok(made) => made,
            Err(reason) => {
                tracing::warn!(trigger = %trigger.subject, reason, "nothing is generated");
                return self.retry(trigger, fresh, attempts);
            }
        };
        let before = self.book.of_trigger(&trigger.uid);
        let mut failed = false;
        let mut wanted = made.wanted;
        let mut spoken = BTreeSet::new();
        for response in made.responses {
            spoken.insert(response.rule.clone());
            let known = before.iter().any(|product| product.rule == response.rule);
            let plan = pass.plan.rules.get(&response.rule);
            if !known && !plan.is_some_and(|plan| plan.starts(&object, fresh)) {
                continue;
            }
            let (own, others) =
                wanted.into_iter().partition(|one| one.product.rule == response.rule);
            wanted = others;
            failed |= !self.carry_out(pass, &response.rule, response.status, own, &before).await;
            if response.status == Status::Error {
                let (trigger, rule) = (&trigger.subject, &response.rule);
                tracing::warn!(%trigger, policy = rule.policy, rule = rule.rule, response.message);
            }
        }
        // Rules that no longer match take back what follows its trigger.
        let silent = before.into_iter().filter(|product| {
            product.synchronize
                && pass.plan.rules.contains_key(&product.rule)
                && !spoken.contains(&product.rule)
        });
        failed |= !self.end_all(silent.collect(), true).await;
        if failed {
            self.retry(trigger, fresh, attempts);
        }
    }

    /// Does what one rule wants; false where that is to be tried again.
    async fn carry_out(
        &mut self,
        pass: &mut Pass,
        rule: &RuleName,
        status: Status,
        wanted: Vec<maker::Wanted>,
        before: &[Product],
    ) -> bool {
        let ids: BTreeSet<_> = wanted.iter().map(|one| one.product.id()).collect();
        let mut done = status != Status::Error;
        for one in wanted {
            let object = one.product.object.clone();
            let follows = one.product.synchronize;
            match self.stand(one).await {
                Ok(()) => {
                    let key = ObjectKey::of(&object);
                    let kinds = &pass.plan.kinds;
                    let watched = kinds.iter().any(|kind| key.is_of(&kind.group, &kind.kind));
                    pass.unwatched |= follows && !watched;
                }
                Err(error) => {
                    tracing::warn!(%object, %error, "an object is not generated");
                    done = false;
                }
            }
        }
        // What the rule made and wants no more goes; where it cannot say, nothing does.
        if matches!(status, Status::Pass | Status::Skip) {
            let left = before.iter().filter(|product| {
                product.rule == *rule && product.synchronize && !ids.contains(&product.id())
            });
            done &= self.end_all(left.cloned().collect(), true).await;
        }
        done
    }
}
