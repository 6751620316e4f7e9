//! The book of open findings: says what came, went or changed; knows no cluster and no clock.

use std::collections::{BTreeMap, BTreeSet};

use proofstream_model::{
    ControlId, Finding, FindingBody, FindingState, RequirementId, Subject, Timestamp, Verdict,
};
use serde_json::Value;

/// A rule of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName {
    /// The policy; a namespaced one is `NAMESPACE/NAME`.
    pub policy: String,
    /// The rule, autogen prefix included.
    pub rule: String,
}

/// What one rule says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The rule.
    pub name: RuleName,
    /// What it says.
    pub verdict: Verdict,
    /// Why.
    pub message: String,
    /// The field it is about.
    pub path: Option<String>,
    /// Controls that the policy stands for.
    pub controls: Vec<ControlId>,
    /// Requirements that those map to.
    pub requirements: Vec<RequirementId>,
}

/// Which object it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `metadata.uid`.
    pub uid: String,
    /// Name, namespace and kind.
    pub subject: Subject,
    /// The controller that owns it, `KIND/NAME`; itself where nothing owns it.
    pub owner: String,
}

/// What finds exceptions that have run out.
pub fn expired_exception() -> RuleName {
    RuleName { policy: "policy-exceptions".to_owned(), rule: "expired".to_owned() }
}

/// The open findings of one object, by the rule.
type OfObject = BTreeMap<RuleName, FindingBody>;

/// The open findings, by the object's UID and the rule. What one object costs does not grow with what is
/// open of others.
#[derive(Debug, Default)]
pub struct Book {
    open: BTreeMap<String, OfObject>,
}

// === impl Identity ===

impl Identity {
    /// From an object's metadata.
    pub fn of(object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let subject = Subject {
            cluster: None,
            api_version: text("/apiVersion").unwrap_or_default().to_owned(),
            kind: text("/kind").unwrap_or_default().to_owned(),
            namespace: text("/metadata/namespace").map(str::to_owned),
            name: text("/metadata/name").unwrap_or_default().to_owned(),
            path: None,
        };
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let controller = owners
            .into_iter()
            .flatten()
            .find(|owner| owner.get("controller").and_then(Value::as_bool).unwrap_or_default());
        let owner = match controller {
            Some(owner) => {
                let word = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
                format!("{}/{}", word("kind"), word("name"))
            }
            None => format!("{}/{}", subject.kind, subject.name),
        };
        Self { uid: text("/metadata/uid").unwrap_or_default().to_owned(), subject, owner }
    }
}

// === impl Book ===

impl Book {
    /// With what is known to be open.
    pub fn new(open: Vec<FindingBody>) -> Self {
        let mut book = Self::default();
        for finding in open.into_iter().filter(|finding| finding.state == FindingState::Found) {
            let of_object = book.open.entry(finding.uid.clone()).or_default();
            of_object.insert(rule_of(&finding), finding);
        }
        book
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.values().map(BTreeMap::len).sum()
    }

    /// All that are open, by object and rule.
    pub fn open(&self) -> impl Iterator<Item = &FindingBody> {
        self.open.values().flat_map(BTreeMap::values)
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// All rules that match have spoken of this object. A rule that no longer speaks of it (it does
    /// not match any more) closes its finding as `gone`; one that passes, as `fixed`.
    pub fn judged(
        &mut self,
        identity: &Identity,
        judged: &[Judged],
        now: Timestamp,
    ) -> Vec<FindingBody> {
        let mut before = self.open.remove(&identity.uid).unwrap_or_default();
        let mut after = OfObject::new();
        let mut changes = Vec::new();
        for result in judged {
            // Two policies may go by one name: what the first said is what the second finds.
            let known = after.remove(&result.name).or_else(|| before.remove(&result.name));
            if matches!(result.verdict, Verdict::Fail | Verdict::Error | Verdict::NotEvaluated) {
                let body = found(identity, result, known.as_ref(), now);
                if known.as_ref() != Some(&body) {
                    changes.push(body.clone());
                }
                after.insert(result.name.clone(), body);
            } else if let Some(mut body) = known {
                // What is waived or no longer asked for still is as it was.
                body.state = match result.verdict {
                    Verdict::Pass => FindingState::Fixed,
                    _ => FindingState::Gone,
                };
                changes.push(body);
            }
        }
        changes.extend(before.into_values().map(gone));
        if !after.is_empty() {
            self.open.insert(identity.uid.clone(), after);
        }
        changes
    }

    /// An object went.
    pub fn object_gone(&mut self, uid: &str) -> Vec<FindingBody> {
        self.open.remove(uid).into_iter().flat_map(BTreeMap::into_values).map(gone).collect()
    }

    /// A list of one kind is complete: what was not in it is gone.
    pub fn not_listed(
        &mut self,
        api_version: &str,
        kind: &str,
        listed: &BTreeSet<String>,
    ) -> Vec<FindingBody> {
        self.close(|_, body| {
            let subject = &body.finding.subject;
            subject.api_version == api_version
                && subject.kind == kind
                && !listed.contains(&body.uid)
        })
    }

    /// Exceptions that have run out: all of them. One that is no longer among them is fixed.
    pub fn exceptions(
        &mut self,
        expired: &[(Identity, Judged)],
        now: Timestamp,
    ) -> Vec<FindingBody> {
        let mut changes = Vec::new();
        for (identity, judged) in expired {
            changes.extend(self.judged(identity, std::slice::from_ref(judged), now));
        }
        let rule = expired_exception();
        let still = |uid: &str| expired.iter().any(|(identity, _)| identity.uid == uid);
        let over = self.close(|of, body| *of == rule && !still(&body.uid));
        changes.extend(
            over.into_iter().map(|body| FindingBody { state: FindingState::Fixed, ..body }),
        );
        changes
    }

    /// The policies changed: findings of rules that are no longer in force are gone.
    pub fn rules_gone(&mut self, in_force: &BTreeSet<RuleName>) -> Vec<FindingBody> {
        self.close(|rule, _| !in_force.contains(rule))
    }

    /// Looks at everything that is open.
    fn close(&mut self, which: impl Fn(&RuleName, &FindingBody) -> bool) -> Vec<FindingBody> {
        let mut closed = Vec::new();
        self.open.retain(|_, of_object| {
            closed.extend(of_object.extract_if(.., |rule, body| which(rule, body)));
            !of_object.is_empty()
        });
        closed.into_iter().map(|(_, body)| gone(body)).collect()
    }
}

fn rule_of(finding: &FindingBody) -> RuleName {
    RuleName { policy: finding.finding.check.clone(), rule: finding.finding.rule.clone() }
}

fn gone(body: FindingBody) -> FindingBody {
    FindingBody { state: FindingState::Gone, ..body }
}

fn found(
    identity: &Identity,
    result: &Judged,
    before: Option<&FindingBody>,
    now: Timestamp,
) -> FindingBody {
    let mut subject = identity.subject.clone();
    subject.path.clone_from(&result.path);
    FindingBody {
        state: FindingState::Found,
        finding: Finding {
            controls: result.controls.clone(),
            requirements: result.requirements.clone(),
            check: result.name.policy.clone(),
            rule: result.name.rule.clone(),
            subject,
            verdict: result.verdict,
            message: result.message.clone(),
            fix: None,
        },
        uid: identity.uid.clone(),
        owner: identity.owner.clone(),
        first_seen: before.map_or(now, |before| before.first_seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str) -> Identity {
        Identity::of(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("pod-{uid}"), "namespace": "payments", "uid": uid,
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": true}]}
        }))
    }

    fn says(rule: &str, verdict: Verdict, message: &str) -> Judged {
        Judged {
            name: RuleName { policy: "hardened".to_owned(), rule: rule.to_owned() },
            verdict,
            message: message.to_owned(),
            path: None,
            controls: vec![],
            requirements: vec![],
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn states(changes: &[FindingBody]) -> Vec<FindingState> {
        changes.iter().map(|change| change.state).collect()
    }

    #[test]
    fn a_finding_is_told_once_and_again_when_it_changes() {
        let mut book = Book::default();
        let first = book.judged(&pod("1"), &[says("root", Verdict::Fail, "runs as root")], at(1));
        assert_eq!(states(&first), [FindingState::Found]);
        assert_eq!((first[0].owner.as_str(), first[0].first_seen), ("ReplicaSet/web", at(1)));
        let again = book.judged(&pod("1"), &[says("root", Verdict::Fail, "runs as root")], at(2));
        assert!(again.is_empty());
        let other = book.judged(&pod("1"), &[says("root", Verdict::Fail, "uid 0")], at(3));
        assert_eq!((states(&other), other[0].first_seen), (vec![FindingState::Found], at(1)));
        let fixed = book.judged(&pod("1"), &[says("root", Verdict::Pass, "")], at(4));
        assert_eq!(states(&fixed), [FindingState::Fixed]);
        assert!(book.is_empty());
    }

    #[test]
    fn what_went_is_gone_and_not_fixed() {
        let mut book = Book::default();
        for uid in ["1", "2", "3"] {
            book.judged(&pod(uid), &[says("root", Verdict::Fail, "no")], at(1));
        }
        assert_eq!(states(&book.object_gone("1")), [FindingState::Gone]);
        let listed = BTreeSet::from(["3".to_owned()]);
        assert!(book.not_listed("v1", "Service", &listed).is_empty(), "another kind's list");
        let gone = book.not_listed("v1", "Pod", &listed);
        assert_eq!((gone.len(), gone[0].uid.as_str()), (1, "2"));
        assert_eq!(book.rules_gone(&BTreeSet::new()).len(), 1);
    }

    #[test]
    fn a_rule_that_no_longer_matches_closes_its_finding() {
        let mut book = Book::default();
        book.judged(&pod("1"), &[says("root", Verdict::Fail, "no")], at(1));
        assert_eq!(states(&book.judged(&pod("1"), &[], at(2))), [FindingState::Gone]);
    }

    #[test]
    fn what_could_not_be_judged_is_never_silently_a_pass() {
        let mut book = Book::default();
        let told = book.judged(&pod("1"), &[says("root", Verdict::Error, "no such key")], at(1));
        assert_eq!(told[0].finding.verdict, Verdict::Error);
        assert_eq!(book.len(), 1);
    }

    #[test]
    fn a_restart_tells_nothing_twice() {
        let mut book = Book::default();
        let told = book.judged(&pod("1"), &[says("root", Verdict::Fail, "no")], at(1));
        let mut later = Book::new(told);
        assert!(later.judged(&pod("1"), &[says("root", Verdict::Fail, "no")], at(9)).is_empty());
    }
}
