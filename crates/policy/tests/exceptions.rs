//! Exceptions that run out, and rules on images.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by panicking"
)]

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, Policy, PolicyException, PolicySet, Request, RuleResponse, Status,
    Trigger, parse,
};
use serde_json::{Value, json};

fn judge(
    spec: &Value,
    exceptions: &[Value],
    now: &str,
    trigger: Trigger,
    object: Value,
) -> Vec<RuleResponse> {
    let policy = json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": spec,
    });
    let exceptions = exceptions.iter().map(|each| PolicyException::parse(each).unwrap()).collect();
    let (set, _) = PolicySet::with_exceptions(vec![parse(&policy).unwrap()], exceptions);
    let mut environment = Environment::at(now.parse().unwrap());
    environment.trigger = trigger;
    match set.evaluate(&Request::create(object), &environment) {
        Evaluation::Done(responses) => responses,
        Evaluation::Needs(needs) => panic!("{needs:?}"),
    }
}

fn denying() -> Value {
    json!({"rules": [{
        "name": "r", "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
        "validate": {"message": "no", "deny": {}},
    }]})
}

fn object() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}})
}

fn exception(metadata: &Value, more: &Value) -> Value {
    let mut made = json!({
        "apiVersion": "kyverno.io/v2", "kind": "PolicyException",
        "metadata": {"name": "e", "namespace": "n"},
        "spec": {
            "exceptions": [{"policyName": "p", "ruleNames": ["r"]}],
            "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
        },
    });
    for (place, members) in [("metadata", metadata), ("spec", more)] {
        for (key, value) in members.as_object().unwrap() {
            made[place][key] = value.clone();
        }
    }
    made
}

#[test]
fn an_exception_exempts_until_it_expires_whatever_asks() {
    let ttl = json!({"labels": {"cleanup.kyverno.io/ttl": "24h"}, "creationTimestamp": "2026-01-01T00:00:00Z"});
    let ends = [
        exception(&json!({}), &json!({"expiresAt": "2026-01-02T00:00:00Z"})),
        exception(&ttl, &json!({})),
        exception(&json!({"labels": {"cleanup.kyverno.io/ttl": "2026-01-02"}}), &json!({})),
    ];
    for each in ends {
        for trigger in [Trigger::Admission, Trigger::Background] {
            let of = |now: &str| {
                judge(&denying(), std::slice::from_ref(&each), now, trigger, object()).remove(0)
            };
            assert_eq!(of("2026-01-01T23:59:59Z").status, Status::Skip, "{each}");
            let after = of("2026-01-02T00:00:00Z");
            assert_eq!(after.status, Status::Fail, "{each}");
            assert!(
                after.message.ends_with("; exception `n/e` expired at 2026-01-02T00:00:00Z"),
                "{}",
                after.message
            );
        }
    }
    let (set, _) = PolicySet::with_exceptions(
        Vec::<Policy>::new(),
        vec![
            PolicyException::parse(&exception(
                &json!({}),
                &json!({"expiresAt": "2026-01-02T00:00:00Z"}),
            ))
            .unwrap(),
            PolicyException::parse(&exception(&json!({}), &json!({}))).unwrap(),
        ],
    );
    let expired = |now: &str| set.expired_exceptions(now.parse::<Timestamp>().unwrap()).count();
    assert_eq!((expired("2026-01-01T00:00:00Z"), expired("2026-01-03T00:00:00Z")), (0, 1));
}

#[test]
fn an_exception_holds_under_its_conditions_and_occasions() {
    let named = |name: &str| {
        json!({"conditions": {"any": [
            {"key": "{{ request.object.metadata.name }}", "operator": "Equals", "value": name},
        ]}})
    };
    let missing = json!({"conditions": {"all": [
        {"key": "{{ request.object.spec.missing }}", "operator": "Equals", "value": "x"},
    ]}});
    for (more, trigger, status) in [
        (named("c"), Trigger::Admission, Status::Skip),
        (named("d"), Trigger::Admission, Status::Fail),
        (missing, Trigger::Admission, Status::Fail),
        (json!({"background": false}), Trigger::Background, Status::Fail),
        (json!({"background": false}), Trigger::Admission, Status::Skip),
    ] {
        let each = exception(&json!({}), &more);
        let said = judge(&denying(), &[each], "2026-01-01T00:00:00Z", trigger, object()).remove(0);
        assert_eq!(said.status, status, "{more}: {}", said.message);
    }
}

#[test]
fn images_that_a_rule_names_are_not_verified_and_follow_the_failure_policy() {
    let spec = |failure: &str, action: &str| {
        json!({"failurePolicy": failure, "rules": [{
            "name": "signed", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "verifyImages": [{
                "failureAction": action,
                "imageReferences": ["ghcr.io/acme/*"], "skipImageReferences": ["*:debug"],
                "attestors": [{"entries": [{"keys": {"publicKeys": "k"}}]}],
            }],
        }]})
    };
    let pod = |image: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "a", "image": image}]}})
    };
    for (failure, action, image, status, refuses) in [
        ("Fail", "Enforce", "ghcr.io/acme/app:1", Status::NotSupported, true),
        ("Fail", "Audit", "ghcr.io/acme/app:1", Status::NotSupported, false),
        ("Ignore", "Enforce", "ghcr.io/acme/app:1", Status::NotSupported, false),
        ("Fail", "Enforce", "nginx", Status::Skip, false),
        ("Fail", "Enforce", "ghcr.io/acme/app:debug", Status::Skip, false),
        ("Fail", "Enforce", "not an image", Status::NotSupported, true),
    ] {
        let rules = spec(failure, action);
        let said =
            judge(&rules, &[], "2026-01-01T00:00:00Z", Trigger::Admission, pod(image)).remove(0);
        assert_eq!((said.status, said.refuses()), (status, refuses), "{image}: {}", said.message);
    }
    let unknown = json!({"rules": [{
        "name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "verifyImages": [{"imageReference": ["*"]}],
    }]});
    let policy = json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": unknown});
    let error = parse(&policy).unwrap_err();
    assert_eq!(error.path, "spec.rules[0].verifyImages[0].imageReference");
}
