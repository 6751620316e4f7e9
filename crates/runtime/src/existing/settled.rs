//! What rules have settled; knows no cluster and no clock.

use std::collections::BTreeMap;

use proofstream_canonical as canonical;
use proofstream_model::{ChangeAction, ChangeBody, Subject, Trigger};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::background::RuleName;

/// Most triggers that are remembered.
const MOST: usize = 500_000;
/// Fields of `metadata` that change without anybody's will.
const NOT_SAID: [&str; 4] = ["managedFields", "resourceVersion", "generation", "selfLink"];

/// By the trigger's UID and the rule.
#[derive(Debug, Default)]
pub(super) struct Settled(BTreeMap<(String, RuleName), (Subject, String)>);

impl Settled {
    /// From what the ledger says.
    pub(super) fn new(changes: Vec<ChangeBody>) -> Self {
        let mut settled = Self::default();
        for change in changes {
            if let (ChangeAction::Settle, Some(policy), Some(rule), Some(trigger), Some(content)) =
                (change.action, change.policy, change.rule, change.trigger, change.content)
            {
                settled.put(RuleName { policy, rule }, &trigger, content);
            }
        }
        settled
    }

    /// What a trigger said when a rule was done with it.
    pub(super) fn get(&self, rule: &RuleName, uid: &str) -> Option<&str> {
        self.0.get(&(uid.to_owned(), rule.clone())).map(|(_, content)| content.as_str())
    }

    pub(super) fn put(&mut self, rule: RuleName, trigger: &Trigger, content: String) {
        let key = (trigger.uid.clone(), rule);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            tracing::warn!(trigger = %trigger.subject, "too many triggers to remember them all");
            return;
        }
        self.0.insert(key, (trigger.subject.clone(), content));
    }

    pub(super) fn forget(&mut self, rule: &RuleName, uid: &str) {
        self.0.remove(&(uid.to_owned(), rule.clone()));
    }

    /// Rules that were done with a trigger, and the trigger.
    pub(super) fn of(&self, uid: &str) -> Vec<(RuleName, Subject)> {
        let from = (uid.to_owned(), RuleName::default());
        let all = self.0.range(from..).take_while(|((of, _), _)| of == uid);
        all.map(|((_, rule), (subject, _))| (rule.clone(), subject.clone())).collect()
    }

    /// UIDs of the triggers that a test takes.
    pub(super) fn uids(&self, test: impl Fn(&Subject) -> bool) -> impl Iterator<Item = String> {
        let mut uids: Vec<String> = self
            .0
            .iter()
            .filter(|(_, (subject, _))| test(subject))
            .map(|((uid, _), _)| uid.clone())
            .collect();
        uids.dedup();
        uids.into_iter()
    }
}

/// A digest (SHA-256, hex) of what an object says: neither its status nor what the API server counts.
pub(super) fn digest(object: &Value) -> String {
    let mut said = object.clone();
    if let Some(members) = said.as_object_mut() {
        members.remove("status");
    }
    if let Some(metadata) = said.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in NOT_SAID {
            metadata.remove(field);
        }
    }
    let text = canonical::to_string(&said).unwrap_or_else(|_| said.to_string());
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_somebody_says_counts() {
        let object = |version: &str, replicas: u32, ready: u32| {
            json!({"kind": "Deployment", "metadata": {"name": "a", "resourceVersion": version},
                "spec": {"replicas": replicas}, "status": {"ready": ready}})
        };
        assert_eq!(digest(&object("1", 2, 0)), digest(&object("2", 2, 1)));
        assert_ne!(digest(&object("1", 2, 0)), digest(&object("1", 3, 0)));
    }

    #[test]
    fn a_trigger_is_remembered_by_rule() {
        let rule = |name: &str| RuleName { policy: "p".to_owned(), rule: name.to_owned() };
        let subject = Subject { kind: "ConfigMap".to_owned(), ..Subject::default() };
        let trigger = |uid: &str| Trigger { subject: subject.clone(), uid: uid.to_owned() };
        let mut settled = Settled::default();
        settled.put(rule("r"), &trigger("u"), "1".to_owned());
        settled.put(rule("s"), &trigger("u"), "2".to_owned());
        settled.put(rule("r"), &trigger("v"), "3".to_owned());
        assert_eq!(settled.get(&rule("s"), "u"), Some("2"));
        assert_eq!(settled.of("u").len(), 2);
        assert_eq!(settled.uids(|one| one.kind == "ConfigMap").collect::<Vec<_>>(), ["u", "v"]);
        settled.forget(&rule("s"), "u");
        assert_eq!(settled.get(&rule("s"), "u"), None);
    }
}
