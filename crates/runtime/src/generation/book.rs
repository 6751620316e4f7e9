//! The book of what generate rules made and still answer for; knows no cluster and no clock.

use std::collections::{BTreeMap, BTreeSet};

use proofstream_model::{ChangeAction, ChangeBody, ChangeCause, ChangeState, Subject, Trigger};

use crate::background::RuleName;

/// An object by group, kind, namespace and name, whatever the version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    group: String,
    kind: String,
    namespace: String,
    name: String,
}

/// One object that a rule made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The rule.
    pub rule: RuleName,
    /// What started it.
    pub trigger: Trigger,
    /// The object.
    pub object: Subject,
    /// What it is a copy of.
    pub source: Option<Subject>,
    /// Whether it follows rule, trigger and source.
    pub synchronize: bool,
    /// Whether it stays when its policy goes.
    pub orphan: bool,
}

/// Trigger's UID, rule, object.
pub(crate) type Id = (String, RuleName, ObjectKey);

/// All of them.
#[derive(Debug, Default)]
pub struct Book {
    products: BTreeMap<Id, Product>,
    by_object: BTreeMap<ObjectKey, BTreeSet<Id>>,
    by_source: BTreeMap<ObjectKey, BTreeSet<Id>>,
}

// === impl ObjectKey ===

impl ObjectKey {
    /// Of a subject.
    pub fn of(subject: &Subject) -> Self {
        let group = subject.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Self {
            group: group.to_owned(),
            kind: subject.kind.clone(),
            namespace: subject.namespace.clone().unwrap_or_default(),
            name: subject.name.clone(),
        }
    }

    /// Whether it is of this group and kind.
    pub fn is_of(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

// === impl Product ===

impl Product {
    /// What tells it apart.
    pub(crate) fn id(&self) -> Id {
        (self.trigger.uid.clone(), self.rule.clone(), ObjectKey::of(&self.object))
    }

    /// What the ledger says of a change to it.
    pub fn change(
        &self,
        action: ChangeAction,
        state: ChangeState,
        message: Option<String>,
    ) -> ChangeBody {
        ChangeBody {
            cause: ChangeCause::Generate,
            action,
            state,
            object: self.object.clone(),
            policy: Some(self.rule.policy.clone()),
            rule: Some(self.rule.rule.clone()),
            trigger: Some(self.trigger.clone()),
            source: self.source.clone(),
            synchronize: self.synchronize,
            orphan: self.orphan,
            content: None,
            message,
        }
    }

    /// From what the ledger says; `None` where it speaks of no generated object.
    fn read(change: ChangeBody) -> Option<Self> {
        Some(Self {
            rule: RuleName { policy: change.policy?, rule: change.rule? },
            trigger: change.trigger?,
            object: change.object,
            source: change.source,
            synchronize: change.synchronize,
            orphan: change.orphan,
        })
    }
}

// === impl Book ===

impl Book {
    /// With what the ledger says is open (see [`stands`]).
    pub fn new(open: Vec<ChangeBody>) -> Self {
        let mut book = Self::default();
        open.into_iter().filter_map(Product::read).for_each(|product| book.put(product));
        book
    }

    /// Takes one in, in place of what was known of it.
    pub fn put(&mut self, product: Product) {
        let id = product.id();
        self.remove(&id);
        self.by_object.entry(id.2.clone()).or_default().insert(id.clone());
        if let Some(source) = &product.source {
            self.by_source.entry(ObjectKey::of(source)).or_default().insert(id.clone());
        }
        self.products.insert(id, product);
    }

    /// Forgets one.
    pub(crate) fn remove(&mut self, id: &Id) {
        let Some(product) = self.products.remove(id) else { return };
        let forget = |index: &mut BTreeMap<ObjectKey, BTreeSet<Id>>, key: &ObjectKey| {
            if let Some(ids) = index.get_mut(key) {
                ids.remove(id);
                if ids.is_empty() {
                    index.remove(key);
                }
            }
        };
        forget(&mut self.by_object, &id.2);
        if let Some(source) = &product.source {
            forget(&mut self.by_source, &ObjectKey::of(source));
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.products.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty()
    }

    /// Whether an object is one of them.
    pub(crate) fn has(&self, id: &Id) -> bool {
        self.products.contains_key(id)
    }

    /// What an object started.
    pub fn of_trigger(&self, uid: &str) -> Vec<Product> {
        let from = (uid.to_owned(), RuleName::default(), ObjectKey::default());
        let all = self.products.range(from..).take_while(|((trigger, _, _), _)| trigger == uid);
        all.map(|(_, product)| product.clone()).collect()
    }

    /// Whoever made an object.
    pub fn of_object(&self, key: &ObjectKey) -> Vec<Product> {
        self.find(self.by_object.get(key))
    }

    /// Copies of an object.
    pub fn of_source(&self, key: &ObjectKey) -> Vec<Product> {
        self.find(self.by_source.get(key))
    }

    /// All that a test takes.
    pub fn select(&self, test: impl Fn(&Product) -> bool) -> Vec<Product> {
        self.products.values().filter(|product| test(product)).cloned().collect()
    }

    fn find(&self, ids: Option<&BTreeSet<Id>>) -> Vec<Product> {
        let ids = ids.into_iter().flatten();
        ids.filter_map(|id| self.products.get(id)).cloned().collect()
    }
}

impl Default for ObjectKey {
    fn default() -> Self {
        Self::of(&Subject::default())
    }
}

/// Whether a product stands after a change: `None` where the change says nothing of that.
pub fn stands(action: ChangeAction, state: ChangeState) -> Option<bool> {
    match (action, state) {
        // What was begun may have come to be before we could say so.
        (ChangeAction::Create, ChangeState::Begun | ChangeState::Done)
        | (ChangeAction::Update, _) => Some(true),
        (ChangeAction::Create, ChangeState::Failed)
        | (ChangeAction::Delete | ChangeAction::Release, ChangeState::Done) => Some(false),
        (ChangeAction::Delete | ChangeAction::Release | ChangeAction::Settle, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(kind: &str, name: &str) -> Subject {
        Subject {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
            ..Subject::default()
        }
    }

    fn product(uid: &str, name: &str, source: Option<&str>) -> Product {
        Product {
            rule: RuleName { policy: "p".to_owned(), rule: "r".to_owned() },
            trigger: Trigger { subject: subject("ConfigMap", "t"), uid: uid.to_owned() },
            object: subject("Secret", name),
            source: source.map(|name| subject("Secret", name)),
            synchronize: true,
            orphan: false,
        }
    }

    #[test]
    fn the_book_reads_back_what_the_ledger_says_stands() {
        let first = product("u1", "a", Some("s"));
        let begun = first.change(ChangeAction::Create, ChangeState::Begun, None);
        assert_eq!(stands(begun.action, begun.state), Some(true));
        let mut book = Book::new(vec![begun]);
        book.put(product("u1", "b", None));
        book.put(product("u2", "a", Some("s")));
        let names = |products: Vec<Product>| {
            products.into_iter().map(|one| (one.trigger.uid, one.object.name)).collect::<Vec<_>>()
        };
        let pair = |uid: &str, name: &str| (uid.to_owned(), name.to_owned());
        assert_eq!(names(book.of_trigger("u1")), [pair("u1", "a"), pair("u1", "b")]);
        let (a, s) =
            (ObjectKey::of(&subject("Secret", "a")), ObjectKey::of(&subject("Secret", "s")));
        assert_eq!(names(book.of_object(&a)), [pair("u1", "a"), pair("u2", "a")]);
        assert_eq!(names(book.of_source(&s)), [pair("u1", "a"), pair("u2", "a")]);
        book.remove(&first.id());
        assert_eq!(names(book.of_source(&s)), [pair("u2", "a")]);
        assert_eq!(book.len(), 2);
        assert_eq!(stands(ChangeAction::Delete, ChangeState::Begun), None);
        assert_eq!(stands(ChangeAction::Release, ChangeState::Done), Some(false));
    }
}
