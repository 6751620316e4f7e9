//! What the API server is answered about policies themselves: one that cannot be used is refused, with
//! the reason and the place; one that can be is let through, with what its author should know.

use proofstream_policy::{Review, ReviewError};

use super::review::Reply;
use crate::policies::{PolicyStore, check};
use serde_json::Value;

/// Most warnings that one answer carries, and the longest of them.
const WARNINGS: usize = 20;
const WARNING_CHARACTERS: usize = 256;

/// Answers one call about a policy, an exception, or whatever else of ours `body` carries.
///
/// # Errors
/// A body that is no `AdmissionReview`.
pub(super) fn review_policy(store: &PolicyStore, body: &[u8]) -> Result<Vec<u8>, ReviewError> {
    let Review { request, .. } = Review::parse(body)?;
    let check = |object: &Value| store.check(object);
    let reply = match &request.object {
        Some(object) => reply(object, request.old_object.as_ref(), check),
        None => Reply::default(),
    };
    Ok(reply.to_json(&request.uid)?)
}

fn reply(
    object: &Value,
    old: Option<&Value>,
    check: impl Fn(&Value) -> Result<(), String>,
) -> Reply {
    // What is there already, and broken, can still be labelled and deleted: finalizers are removed by
    // an update.
    let same = old.is_some_and(|old| old.get("spec") == object.get("spec"));
    if same || object.pointer("/metadata/deletionTimestamp").is_some() {
        return Reply::default();
    }
    match check(object) {
        Ok(()) => Reply { warnings: warnings(object), ..Reply::default() },
        Err(error) => {
            Reply { refusal: Some(format!("it cannot be used: {error}")), ..Reply::default() }
        }
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let advice = check::advice(object);
    let more = advice.len().saturating_sub(WARNINGS);
    let mut warnings: Vec<String> = advice
        .into_iter()
        .take(WARNINGS)
        .map(|line| line.chars().take(WARNING_CHARACTERS).collect())
        .collect();
    if more > 0 {
        warnings.push(format!("and {more} more"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(object: &Value, old: Option<&Value>) -> Reply {
        let check =
            |object: &Value| check::read(object).map(drop).map_err(|error| error.to_string());
        super::reply(object, old, check)
    }

    fn policy(validate: &Value) -> Value {
        json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
            "spec": {"rules": [{"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "validate": validate}]}})
    }

    #[test]
    fn a_broken_policy_is_refused_and_can_be_put_away() {
        let broken = policy(&json!({"patern": {}}));
        let refusal = reply(&broken, None).refusal.unwrap();
        assert!(refusal.contains("`spec.rules[0].validate.patern`"), "{refusal}");
        assert!(refusal.contains("did you mean `pattern`?"), "{refusal}");
        let good = policy(&json!({"deny": {}}));
        assert_eq!(reply(&good, Some(&broken)), Reply::default());
        assert!(reply(&broken, Some(&good)).refusal.is_some());
        let mut labelled = broken.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(reply(&labelled, Some(&broken)), Reply::default());
        let mut leaving = broken.clone();
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(reply(&leaving, Some(&good)), Reply::default());
    }

    #[test]
    fn warnings_are_few() {
        let mut long = policy(&json!({"deny": {}}));
        let rule = long["spec"]["rules"][0].clone();
        let rules = (0..30).map(|number| {
            let mut rule = rule.clone();
            rule["name"] = json!(format!("r{number}"));
            rule["match"] = json!({"resources": {"kinds": ["Secret"]}});
            rule["validate"] = json!({"cel": {"expressions": [{"expression": "true"}]}});
            rule
        });
        long["spec"]["rules"] = rules.collect();
        assert!(reply(&long, None).warnings.len() <= WARNINGS + 1);
    }
}
