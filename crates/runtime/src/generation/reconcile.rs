//! Brings one object to what its rule wants, or ends it.

use proofstream_model::{ChangeAction, ChangeState};
use serde_json::Value;

use super::Generator;
use super::book::{ObjectKey, Product};
use super::maker::Wanted;
use super::sameness::{is_marked, is_same, is_unchanged, replacement};
use crate::hands::HandError;

/// Most objects that rules may answer for at a time.
const MAX_PRODUCTS: usize = 500_000;

impl Generator {
    /// Makes what is missing and mends what differs.
    pub(super) async fn stand(&mut self, wanted: Wanted) -> Result<(), HandError> {
        let Wanted { product, object, server_side_apply } = wanted;
        let id = product.id();
        let known = self.book.has(&id);
        // What is not kept in step is made once; whoever deletes it has meant it.
        if known && !product.synchronize {
            return Ok(());
        }
        // Two rules, or two triggers of one, may want the same object: the first one has it.
        let makers = self.book.of_object(&id.2);
        if makers.iter().any(|other| other.id() != id) {
            let object = &product.object;
            tracing::debug!(%object, rule = product.rule.rule, "another trigger has made it");
            return Ok(());
        }
        if !known && self.book.len() >= MAX_PRODUCTS {
            return Err(HandError::Kind(format!("more than {MAX_PRODUCTS} generated objects")));
        }
        match self.hands.read(&product.object).await? {
            None => self.create(product, &object, server_side_apply).await,
            // Somebody else's: without synchronisation it is none of ours.
            Some(_) if !product.synchronize => Ok(()),
            Some(found) => self.mend(product, &object, &found, server_side_apply).await,
        }
    }

    async fn create(
        &mut self,
        product: Product,
        object: &Value,
        server_side_apply: bool,
    ) -> Result<(), HandError> {
        let change = product.change(ChangeAction::Create, ChangeState::Begun, None);
        let id = product.id();
        self.book.put(product);
        let made = if server_side_apply {
            self.hands.apply(&change, object).await
        } else {
            self.hands.create(&change, object).await
        };
        if made.is_err() {
            self.book.remove(&id);
        }
        made
    }

    async fn mend(
        &mut self,
        product: Product,
        wanted: &Value,
        found: &Value,
        server_side_apply: bool,
    ) -> Result<(), HandError> {
        let subject = &product.object;
        let sent = if server_side_apply { wanted.clone() } else { replacement(wanted, found) };
        let same = is_same(wanted, found) || {
            let would_be = if server_side_apply {
                self.hands.would_apply(subject, &sent).await?
            } else {
                self.hands.would_replace(subject, &sent).await?
            };
            is_unchanged(found, &would_be)
        };
        let known = self.book.has(&product.id());
        if same {
            if !known {
                // It is what the rule wants already, made before the book began.
                let message = Some("it was there already, as the rule wants it".to_owned());
                let change = product.change(ChangeAction::Update, ChangeState::Done, message);
                self.hands.note(&change).await?;
            }
            self.book.put(product);
            return Ok(());
        }
        let change = product.change(ChangeAction::Update, ChangeState::Begun, None);
        self.book.put(product);
        if server_side_apply {
            self.hands.apply(&change, &sent).await
        } else {
            self.hands.replace(&change, &sent).await.map(drop)
        }
    }

    /// Ends what a rule made: it is deleted, or left to itself.
    pub(super) async fn end(&mut self, product: &Product, delete: bool) -> Result<(), HandError> {
        let id = product.id();
        let release = |message: &str| {
            product.change(ChangeAction::Release, ChangeState::Done, Some(message.to_owned()))
        };
        if !delete {
            self.hands.note(&release("it is left as it is")).await?;
            self.book.remove(&id);
            return Ok(());
        }
        let found = match self.hands.read(&product.object).await {
            // A kind that is served no more has no objects.
            Err(HandError::Kind(_)) => None,
            other => other?,
        };
        let Some(found) = found else {
            self.hands.note(&release("it is gone already")).await?;
            self.book.remove(&id);
            return Ok(());
        };
        // INVARIANT: nothing is deleted that does not say itself that this rule made it.
        if !is_marked(&found, &product.rule.rule, &product.trigger.uid) {
            self.hands.note(&release("its labels say that it is another's now")).await?;
            self.book.remove(&id);
            return Ok(());
        }
        let uid = found.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        let change = product.change(ChangeAction::Delete, ChangeState::Begun, None);
        self.hands.delete(&change, uid, None).await?;
        self.book.remove(&id);
        Ok(())
    }

    /// Ends several; those that cannot be ended are told and stay in the book.
    pub(super) async fn end_all(&mut self, products: Vec<Product>, delete: bool) -> bool {
        let mut all = true;
        for product in products {
            if let Err(error) = self.end(&product, delete).await {
                let object = &product.object;
                tracing::warn!(%object, %error, "a generated object cannot be ended now");
                all = false;
            }
        }
        all
    }

    /// The trigger is gone: what follows it goes with it, the rest is left to itself.
    pub(super) async fn trigger_gone(&mut self, uid: &str, attempts: u32) {
        self.waiting.remove(uid);
        let (follows, stays): (Vec<_>, Vec<_>) =
            self.book.of_trigger(uid).into_iter().partition(|product| product.synchronize);
        let ended = self.end_all(follows, true).await & self.end_all(stays, false).await;
        if !ended && let Some(product) = self.book.of_trigger(uid).into_iter().next() {
            self.retry(product.trigger, false, attempts);
        }
    }

    /// The source of copies is gone: copies that follow it go with it.
    pub(super) async fn source_gone(&mut self, key: &ObjectKey) {
        let copies: Vec<_> =
            self.book.of_source(key).into_iter().filter(|copy| copy.synchronize).collect();
        self.end_all(copies, true).await;
    }
}
