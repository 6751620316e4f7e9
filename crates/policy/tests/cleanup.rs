//! Cleanup policies: what they choose, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use jiff::Timestamp;
use proofstream_policy::{
    Choice, CleanupPolicy, Environment, Evaluation, KnownKinds, Propagation, Request,
};
use serde_json::{Value, json};

fn policy() -> Value {
    json!({
        "apiVersion": "kyverno.io/v2", "kind": "ClusterCleanupPolicy",
        "metadata": {"name": "clean"},
        "spec": {
            "schedule": "*/5 * * * *",
            "match": {"any": [{"resources": {"kinds": ["Deployment"]}}]},
            "exclude": {"any": [{"resources": {"namespaces": ["kube-*"]}}]},
            "context": [{"name": "least", "variable": {"value": 2}}],
            "conditions": {"any": [
                {"key": "{{ target.spec.replicas }}", "operator": "LessThan", "value": "{{ least }}"}]},
            "deletionPropagationPolicy": "Foreground",
        },
    })
}

#[expect(clippy::needless_pass_by_value, reason = "a test writes it in place")]
fn choice(policy: &Value, namespace: &str, spec: Value) -> Choice {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace}, "spec": spec});
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    let policy = CleanupPolicy::parse(policy).unwrap();
    match policy.judge(&Request::create(object), &environment) {
        Evaluation::Done(choice) => choice,
        Evaluation::Needs(lookups) => panic!("needs {lookups:?}"),
    }
}

#[test]
fn what_matches_and_meets_the_conditions_goes() {
    let clean = policy();
    assert_eq!(choice(&clean, "shop", json!({"replicas": 1})), Choice::Delete);
    assert_eq!(choice(&clean, "shop", json!({"replicas": 2})), Choice::Keep);
    assert_eq!(choice(&clean, "kube-system", json!({"replicas": 1})), Choice::Keep);
    // What cannot be judged stays.
    assert!(matches!(choice(&clean, "shop", json!({})), Choice::Unknown(_)));

    let parsed = CleanupPolicy::parse(&clean).unwrap();
    assert_eq!(parsed.propagation(), Some(Propagation::Foreground));
    assert_eq!((parsed.qualified_name().as_str(), parsed.namespace()), ("clean", None));
    let scope = parsed.scope(&KnownKinds::default());
    assert_eq!(
        scope.iter().map(|rule| rule.resource.as_str()).collect::<Vec<_>>(),
        ["deployments"]
    );

    let mut confined = clean;
    confined["kind"] = json!("CleanupPolicy");
    confined["metadata"]["namespace"] = json!("shop");
    assert_eq!(choice(&confined, "shop", json!({"replicas": 1})), Choice::Delete);
    assert_eq!(choice(&confined, "till", json!({"replicas": 1})), Choice::Keep);
}

#[test]
fn a_deleting_policy_says_the_same_in_cel() {
    let mut clean = json!({
        "apiVersion": "policies.kyverno.io/v1", "kind": "DeletingPolicy",
        "metadata": {"name": "clean"},
        "spec": {
            "schedule": "*/5 * * * *",
            "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
                "operations": ["DELETE"], "resources": ["deployments"]}]},
            "variables": [{"name": "least", "expression": "2"}],
            "conditions": [
                {"name": "few", "expression": "object.spec.replicas < variables.least"},
                {"name": "not-ours", "expression": "!object.metadata.namespace.startsWith('kube-')"},
            ],
            "deletionPropagationPolicy": "Orphan",
        },
    });
    assert_eq!(choice(&clean, "shop", json!({"replicas": 1})), Choice::Delete);
    assert_eq!(choice(&clean, "shop", json!({"replicas": 2})), Choice::Keep);
    assert_eq!(choice(&clean, "kube-system", json!({"replicas": 1})), Choice::Keep);
    // What cannot be judged stays.
    assert!(matches!(choice(&clean, "shop", json!({})), Choice::Unknown(_)));

    let parsed = CleanupPolicy::parse(&clean).unwrap();
    assert_eq!(parsed.propagation(), Some(Propagation::Orphan));
    let scope = parsed.scope(&KnownKinds::default());
    assert_eq!(
        scope.iter().map(|rule| rule.resource.as_str()).collect::<Vec<_>>(),
        ["deployments"]
    );
    clean["kind"] = json!("NamespacedDeletingPolicy");
    clean["metadata"]["namespace"] = json!("shop");
    assert_eq!(choice(&clean, "shop", json!({"replicas": 1})), Choice::Delete);
    assert_eq!(choice(&clean, "till", json!({"replicas": 1})), Choice::Keep);

    let broken = |change: fn(&mut Value)| {
        let mut document = clean.clone();
        change(&mut document);
        CleanupPolicy::parse(&document).unwrap_err().to_string()
    };
    insta::assert_debug_snapshot!([
        broken(|p| p["spec"]["schedule"] = json!("every day")),
        broken(|p| p["spec"]["schedul"] = json!("@daily")),
        broken(|p| drop(p["spec"].as_object_mut().unwrap().remove("matchConstraints"))),
        broken(|p| p["spec"]["conditions"][0]["expression"] = json!("'three'")),
        broken(|p| p["spec"]["conditions"][0]["expression"] = json!("nowhere.at.all")),
    ]);
}

#[test]
fn a_policy_of_one_namespace_asks_about_that_namespace_only() {
    let mut confined = policy();
    confined["kind"] = json!("CleanupPolicy");
    confined["metadata"]["namespace"] = json!("shop");
    confined["spec"]["context"] = json!([{"name": "least", "apiCall":
        {"urlPath": "/api/v1/namespaces/till/configmaps/least", "jmesPath": "data.least"}}]);
    let Choice::Unknown(reason) = choice(&confined, "shop", json!({"replicas": 1})) else {
        panic!("it may not look there");
    };
    assert!(reason.contains("may look into that namespace only"), "{reason}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let broken = |change: fn(&mut Value)| {
        let mut document = policy();
        change(&mut document);
        CleanupPolicy::parse(&document).unwrap_err().to_string()
    };
    let said = [
        broken(|p| p["spec"]["schedule"] = json!("every day")),
        broken(|p| p["spec"]["schedul"] = json!("@daily")),
        broken(|p| p["spec"]["match"] = json!({})),
        broken(|p| p["spec"]["match"] = json!({"any": [{"resources": {"names": ["x"]}}]})),
        broken(|p| {
            p["spec"]["match"] =
                json!({"any": [{"resources": {"kinds": ["Pod"]}, "roles": ["x"]}]});
        }),
        broken(|p| p["spec"]["deletionPropagationPolicy"] = json!("Orphans")),
        broken(|p| {
            p["spec"]["conditions"] = json!({"any": [{"key": "{{ a. }}", "operator": "Equals"}]});
        }),
        broken(|p| p["apiVersion"] = json!("kyverno.io/v9")),
    ];
    insta::assert_snapshot!(said.join("\n"));
}
