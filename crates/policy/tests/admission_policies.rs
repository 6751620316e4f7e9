//! ValidatingAdmissionPolicy with its bindings: each binding a rule of its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, FailurePolicy, Mode, Operation, Policy, PolicyBinding, PolicySet,
    Request, RuleResponse, Status, is_admission_policy, is_policy, parse_admission_policy,
};
use serde_json::{Value, json};

fn policy(spec: Value) -> Value {
    let mut document = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
                "operations": ["CREATE", "UPDATE", "DELETE"],
            }]},
            "validations": [{"expression": "true"}],
        },
    });
    for (key, value) in spec.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    document
}

fn binding(name: &str, spec: Value) -> PolicyBinding {
    PolicyBinding::parse(&binding_document(name, spec)).unwrap()
}

fn binding_document(name: &str, spec: Value) -> Value {
    let mut document = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": "p", "validationActions": ["Deny"]},
    });
    for (key, value) in spec.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    document
}

fn pod(labels: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "team-a", "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "ghcr.io/a/b:1"}]},
    })
}

/// Limits as config maps, which stand in for a cluster's.
fn limits() -> Value {
    let map = |namespace: &str, name: &str, labels: Value, max: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": namespace, "name": name, "labels": labels},
            "data": {"max": max},
        })
    };
    json!([
        map("team-a", "small", json!({"limit": "a"}), "0"),
        map("team-a", "large", json!({"limit": "a"}), "9"),
        map("team-b", "other", json!({"limit": "b"}), "0"),
    ])
}

fn offline() -> Environment {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    Environment { offline: true, parameters: Some(limits()), ..Environment::at(now) }
}

fn parsed(document: &Value, bindings: &[PolicyBinding]) -> Policy {
    assert!(is_admission_policy(document));
    assert!(!is_policy(document), "the API server runs it, not our webhook");
    parse_admission_policy(document, &bindings.iter().collect::<Vec<_>>()).unwrap()
}

fn responses(document: &Value, bindings: &[PolicyBinding], request: &Request) -> Vec<RuleResponse> {
    let set = PolicySet::compile(vec![parsed(document, bindings)]).0;
    match set.evaluate(request, &offline()) {
        Evaluation::Done(responses) => responses,
        Evaluation::Needs(lookups) => panic!("needs {lookups:?}"),
    }
}

/// Rule, status and mode of each response.
fn judge(
    document: &Value,
    bindings: &[PolicyBinding],
    request: &Request,
) -> Vec<(String, Status, Mode)> {
    let all = responses(document, bindings, request);
    all.iter().map(|each| (each.rule.to_string(), each.status, each.mode)).collect()
}

fn create(labels: Value) -> Request {
    Request::create(pod(labels))
}

fn never() -> Value {
    policy(json!({"validations": [{"expression": "false"}]}))
}

#[test]
fn each_binding_is_a_rule_and_has_its_own_word() {
    let bindings = [
        binding("denies", json!({})),
        binding("tells", json!({"validationActions": ["Warn", "Audit"]})),
    ];
    let found = judge(&never(), &bindings, &create(json!({})));
    assert_eq!(
        found,
        [
            ("denies".to_owned(), Status::Fail, Mode::Enforce),
            ("tells".to_owned(), Status::Fail, Mode::Audit),
        ]
    );
    let unbound = judge(&never(), &[], &create(json!({})));
    assert_eq!(unbound, [("p".to_owned(), Status::Fail, Mode::Enforce)]);
}

#[test]
fn a_binding_is_in_force_only_where_its_resources_are_too() {
    let labelled = |label: &str| json!({"objectSelector": {"matchLabels": {"team": label}}});
    let bindings = [
        binding("in-a", json!({"matchResources": labelled("a")})),
        binding("in-b", json!({"matchResources": labelled("b")})),
        binding(
            "not-for-pods",
            json!({"matchResources": {"excludeResourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["*"],
            }]}}),
        ),
        binding(
            "for-services",
            json!({"matchResources": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"],
                "operations": ["*"],
            }]}}),
        ),
    ];
    let rules = |request: &Request| -> Vec<String> {
        judge(&never(), &bindings, request).into_iter().map(|(rule, ..)| rule).collect()
    };
    assert_eq!(rules(&create(json!({"team": "a"}))), ["in-a"]);
    assert_eq!(rules(&create(json!({"team": "b"}))), ["in-b"]);
    assert!(rules(&create(json!({}))).is_empty());
    // Taking a label away does not take an object out of a policy.
    let mut update = create(json!({"team": "b"}));
    update.operation = Operation::Update;
    update.old_object = Some(pod(json!({"team": "a"})));
    assert_eq!(rules(&update), ["in-a", "in-b"]);
}

#[test]
fn every_parameter_must_agree() {
    let document = policy(json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{
            "expression": "size(object.spec.containers) <= int(params.data.max)",
            "messageExpression": "'more than ' + params.data.max",
        }],
    }));
    let referring = |reference: Value| [binding("b", json!({"paramRef": reference}))];
    let said = |reference: Value| -> Vec<(Status, String)> {
        let all = responses(&document, &referring(reference), &create(json!({})));
        all.into_iter().map(|each| (each.status, each.message)).collect()
    };
    let deny = |mut reference: Value| {
        reference["parameterNotFoundAction"] = "Deny".into();
        reference
    };
    let passed = (Status::Pass, "rule b passed".to_owned());
    let refused = || vec![(Status::Fail, "more than 0".to_owned())];
    assert_eq!(said(deny(json!({"name": "large"}))), [passed]);
    assert_eq!(said(deny(json!({"name": "small"}))), refused());
    let selected = json!({"selector": {"matchLabels": {"limit": "a"}}});
    assert_eq!(said(deny(selected)), refused(), "one of two refuses");
    // Where the namespace is not said it is that of the object.
    assert_eq!(said(deny(json!({"name": "other", "namespace": "team-b"}))), refused());
    assert_eq!(said(deny(json!({"name": "other"})))[0].0, Status::Error);
    let allowed = json!({"name": "other", "parameterNotFoundAction": "Allow"});
    assert_eq!(said(allowed)[0].0, Status::Skip);
    // A policy with parameters and a binding without them: `params` is null.
    let null = policy(json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "params == null"}],
    }));
    assert_eq!(judge(&null, &[binding("b", json!({}))], &create(json!({})))[0].1, Status::Pass);
}

#[test]
fn conditions_know_parameters_and_one_that_does_not_hold_ends_it() {
    let document = policy(json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [
            {"name": "unknown", "expression": "object.spec.nowhere == 'x'"},
            {"name": "large", "expression": "params.data.max == '9'"},
        ],
        "validations": [{"expression": "false"}],
    }));
    let status = |name: &str| {
        let reference = json!({"name": name, "parameterNotFoundAction": "Deny"});
        judge(&document, &[binding("b", json!({"paramRef": reference}))], &create(json!({})))[0].1
    };
    assert_eq!(status("small"), Status::Skip, "a condition that is false outweighs a fault");
    assert_eq!(status("large"), Status::Error);
}

#[test]
fn a_fault_is_passed_over_where_the_policy_says_so() {
    let document = |failure_policy: &str| {
        policy(json!({
            "failurePolicy": failure_policy,
            "validations": [
                {"expression": "object.spec.nowhere == 'x'"},
                {"expression": "false", "message": "never"},
            ],
        }))
    };
    let first = |failure_policy: &str| {
        let mut all = responses(&document(failure_policy), &[], &create(json!({})));
        all.remove(0)
    };
    let strict = first("Fail");
    assert_eq!((strict.status, strict.failure_policy), (Status::Error, FailurePolicy::Fail));
    assert!(strict.refuses());
    let lenient = first("Ignore");
    assert_eq!((lenient.status, &*lenient.message), (Status::Fail, "never"));
}

#[test]
fn variables_are_for_demands_and_not_for_conditions() {
    let spec = json!({
        "variables": [{"name": "images", "expression": "object.spec.containers.map(c, c.image)"}],
        "validations": [{"expression": "variables.images == ['ghcr.io/a/b:1']"}],
    });
    let document = policy(spec);
    assert_eq!(judge(&document, &[], &create(json!({})))[0].1, Status::Pass);
    let mut wrong = document;
    wrong["spec"]["matchConditions"] =
        json!([{"name": "c", "expression": "variables.images == []"}]);
    let error = parse_admission_policy(&wrong, &[]).unwrap_err();
    assert_eq!(error.path, "spec.matchConditions[0].expression");
}

#[test]
fn such_policies_are_not_asked_about_themselves() {
    let everything = policy(json!({
        "matchConstraints": {"resourceRules": [{
            "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"],
        }]},
        "validations": [{"expression": "false"}],
    }));
    assert!(judge(&everything, &[], &Request::create(everything.clone())).is_empty());
    assert!(!judge(&everything, &[], &create(json!({}))).is_empty());
}

#[test]
fn a_mutating_policy_is_bound_by_its_own_kind_of_binding() {
    let mut document = policy(json!({"mutations": [{
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: {'made': 'here'}}}",
        },
    }]}));
    document["kind"] = "MutatingAdmissionPolicy".into();
    document["spec"].as_object_mut().unwrap().remove("validations");
    assert!(!binding("b", json!({})).binds(&document));
    let mut bound = binding_document("b", json!({}));
    bound["kind"] = "MutatingAdmissionPolicyBinding".into();
    assert!(PolicyBinding::parse(&bound).is_err(), "it has no actions");
    bound["spec"].as_object_mut().unwrap().remove("validationActions");
    let bound = PolicyBinding::parse(&bound).unwrap();
    assert!(bound.binds(&document));
    let set = PolicySet::compile(vec![parsed(&document, &[bound])]).0;
    let Evaluation::Done(mutation) = set.mutate(&create(json!({})), &offline()) else {
        panic!("needs something")
    };
    assert_eq!(mutation.responses[0].rule.as_ref(), "b");
    assert_eq!(mutation.object.unwrap()["metadata"]["labels"], json!({"made": "here"}));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let policies = [
        json!({"validations": []}),
        json!({"validations": [{"expression": "size(object.spec)"}]}),
        json!({"validations": [{"expression": "object.spec.hostNetwork"}]}),
        json!({"validations": [{"expression": "1 +"}]}),
        json!({"validations": [{"expresion": "true"}]}),
        json!({"failurePolicy": "Deny"}),
        json!({"matchConstraints": {"resourceRules": []}}),
        json!({"validations": [{"expression": "params.data.max == '1'"}]}),
        json!({"background": true}),
    ];
    let bindings = [
        json!({"policyName": ""}),
        json!({"validationActions": []}),
        json!({"validationActions": ["Block"]}),
        json!({"validationActions": ["Deny", "Warn"]}),
        json!({"paramRef": {}}),
        json!({"paramRef": {"name": "a", "selector": {}}}),
        json!({"paramRef": {"name": "a", "parameterNotFoundAction": "Fail"}}),
        json!({"matchResources": {"resources": []}}),
    ];
    let of_policies = policies.into_iter().map(|spec| {
        let error = parse_admission_policy(&policy(spec.clone()), &[]).unwrap_err();
        format!("{spec}\n  {error}")
    });
    let of_bindings = bindings.into_iter().map(|spec| {
        let error = PolicyBinding::parse(&binding_document("b", spec.clone())).unwrap_err();
        format!("{spec}\n  {error}")
    });
    let all: Vec<String> = of_policies.chain(of_bindings).collect();
    insta::assert_snapshot!(all.join("\n"));
}
