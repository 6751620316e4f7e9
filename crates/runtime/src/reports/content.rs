//! What a report says.

use proofstream_model::Verdict;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{DIGEST, GROUP, VERSION, kind};
use crate::background::Judged;
use crate::background::book::Identity;
use crate::policies::Policies;
use crate::webhooks::{MANAGED_BY, MANAGER};

/// Most results that a report lists; those that did not pass come first.
const RESULTS: usize = 100;
/// The longest message, in characters.
const MESSAGE: usize = 500;
const SEVERITY: &str = "policies.kyverno.io/severity";
const CATEGORY: &str = "policies.kyverno.io/category";
const SCORED: &str = "policies.kyverno.io/scored";

/// A report, before it is written.
pub(super) struct Report<'a> {
    pub(super) identity: &'a Identity,
    pub(super) judged: &'a [Judged],
    pub(super) policies: &'a Policies,
}

// === impl Report ===

impl Report<'_> {
    /// Changes when what it says does.
    pub(super) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for judged in self.judged {
            let scored = self.annotation(&judged.name.policy, SCORED).unwrap_or_default();
            let severity = self.annotation(&judged.name.policy, SEVERITY).unwrap_or_default();
            for part in [
                judged.name.policy.as_str(),
                &judged.name.rule,
                judged.verdict.word(),
                &judged.message,
                scored,
                severity,
            ] {
                digest.update(part.as_bytes());
                digest.update([0]);
            }
        }
        hex::encode(digest.finalize()).chars().take(16).collect()
    }

    /// The object.
    pub(super) fn to_value(&self, digest: &str) -> Value {
        let subject = &self.identity.subject;
        let mut listed: Vec<&Judged> = self.judged.iter().collect();
        listed.sort_by_key(|judged| rank(judged.verdict));
        let results: Vec<Value> =
            listed.iter().take(RESULTS).map(|judged| self.result(judged)).collect();
        let mut summary: Map<String, Value> = ["pass", "fail", "warn", "error", "skip"]
            .map(|word| (word.to_owned(), 0.into()))
            .into_iter()
            .collect();
        for judged in self.judged {
            let word = self.word(judged);
            let count = summary.get(word).and_then(Value::as_u64).unwrap_or_default();
            summary.insert(word.to_owned(), count.saturating_add(1).into());
        }
        let mut scope = json!({
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "name": subject.name,
            "uid": self.identity.uid,
        });
        let owner = scope.clone();
        let mut metadata = json!({
            "name": self.identity.uid,
            "labels": {MANAGED_BY: MANAGER},
            "annotations": {DIGEST: digest},
            "ownerReferences": [owner],
        });
        if let Some(namespace) = &subject.namespace {
            for value in [&mut scope, &mut metadata] {
                if let Some(members) = value.as_object_mut() {
                    members.insert("namespace".to_owned(), namespace.as_str().into());
                }
            }
        }
        json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": kind(subject.namespace.is_some()),
            "metadata": metadata,
            "scope": scope,
            "results": results,
            "summary": summary,
        })
    }

    fn result(&self, judged: &Judged) -> Value {
        let policy = &judged.name.policy;
        let mut result = json!({
            "source": MANAGER,
            "policy": policy,
            "rule": judged.name.rule,
            "result": self.word(judged),
            "scored": self.is_scored(policy),
            "message": judged.message.chars().take(MESSAGE).collect::<String>(),
        });
        if let Some(members) = result.as_object_mut() {
            for (field, key) in [("severity", SEVERITY), ("category", CATEGORY)] {
                if let Some(text) = self.annotation(policy, key) {
                    members.insert(field.to_owned(), text.into());
                }
            }
            if let Some(path) = &judged.path {
                members.insert("properties".to_owned(), json!({"path": path}));
            }
        }
        result
    }

    /// The report's own words; what could not be judged is an error in it.
    fn word(&self, judged: &Judged) -> &'static str {
        match judged.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail if self.is_scored(&judged.name.policy) => "fail",
            Verdict::Fail => "warn",
            Verdict::Waived | Verdict::NotApplicable => "skip",
            Verdict::NotEvaluated | Verdict::Error => "error",
        }
    }

    fn is_scored(&self, policy: &str) -> bool {
        self.annotation(policy, SCORED) != Some("false")
    }

    fn annotation(&self, policy: &str, key: &str) -> Option<&str> {
        let info = self.policies.all.infos.iter().find(|info| info.name == policy)?;
        info.annotation(key)
    }
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Fail => 0,
        Verdict::Error | Verdict::NotEvaluated => 1,
        Verdict::Waived => 2,
        Verdict::Pass => 3,
        Verdict::NotApplicable => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::RuleName;

    fn judged(rule: &str, verdict: Verdict) -> Judged {
        Judged {
            name: RuleName { policy: "p".to_owned(), rule: rule.to_owned() },
            verdict,
            message: "m".repeat(1_000),
            path: None,
            controls: Vec::new(),
            requirements: Vec::new(),
        }
    }

    #[test]
    fn a_report_is_owned_by_its_resource_and_bounded() {
        let identity = Identity::of(&json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "namespace": "payments", "uid": "u-1"}}));
        let mut all: Vec<_> =
            (0..150).map(|number| judged(&number.to_string(), Verdict::Pass)).collect();
        all.push(judged("bad", Verdict::Fail));
        let policies = Policies::default();
        let report = Report { identity: &identity, judged: &all, policies: &policies };
        let value = report.to_value(&report.digest());
        assert_eq!(value["kind"], "PolicyReport");
        assert_eq!(value["metadata"]["name"], "u-1");
        assert_eq!(
            value["metadata"]["ownerReferences"],
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u-1"}])
        );
        assert_eq!(value["summary"]["pass"], 150);
        assert_eq!(value["summary"]["fail"], 1);
        let results = value["results"].as_array().unwrap();
        assert_eq!((results.len(), &results[0]["rule"]), (RESULTS, &json!("bad")));
        assert_eq!(results[0]["message"].as_str().unwrap().len(), MESSAGE);
        let other = [judged("bad", Verdict::Pass)];
        assert_ne!(
            Report { judged: &other, ..report }.digest(),
            value["metadata"]["annotations"][DIGEST]
        );
    }
}
