//! MutatingPolicy and NamespacedMutatingPolicy: apply configurations, operations, derived rules.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, Mutation, PolicySet, Request, Status, is_policy, parse,
};
use serde_json::{Value, json};

fn policy(spec: Value) -> Value {
    let mut document = json!({
        "apiVersion": "policies.kyverno.io/v1", "kind": "MutatingPolicy",
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": {"resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
            "operations": ["CREATE", "UPDATE"],
        }]}},
    });
    for (key, value) in spec.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    document
}

fn applies(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

fn operates(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "team-a", "labels": {"app": "web"}},
        "spec": {"containers": [
            {"name": "a", "image": "x:1", "command": ["sleep"]}, {"name": "b", "image": "y"},
        ]},
    })
}

fn mutate(document: &Value, object: Value) -> Mutation {
    assert!(is_policy(document));
    let set = PolicySet::compile(vec![parse(document).unwrap()]).0;
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let environment = Environment { offline: true, ..Environment::at(now) };
    match set.mutate(&Request::create(object), &environment) {
        Evaluation::Done(mutation) => mutation,
        Evaluation::Needs(lookups) => panic!("needs {lookups:?}"),
    }
}

fn changed(document: &Value, object: Value) -> Value {
    let mutation = mutate(document, object);
    mutation.object.unwrap_or_else(|| panic!("{:?}", mutation.responses))
}

/// What the one rule that matched said.
fn said(document: &Value) -> (Status, String) {
    let mut mutation = mutate(document, pod());
    assert!(mutation.object.is_none() && mutation.responses.len() == 1);
    let response = mutation.responses.remove(0);
    (response.status, response.message)
}

const HARDEN: &str = "Object{metadata: Object.metadata{labels: Object.metadata.labels{by: object.kind}}, \
     spec: Object.spec{containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, \
     securityContext: Object.spec.containers.securityContext{privileged: false}})}}";

#[test]
fn configurations_are_merged_and_each_mutation_sees_what_the_one_before_left() {
    let document = policy(json!({"mutations": [
        applies(HARDEN),
        operates("[JSONPatch{op: 'test', path: '/metadata/labels/by', value: 'Pod'}, \
            JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), \
            value: string(object.spec.containers.all(c, !c.securityContext.privileged))}]"),
    ]}));
    let object = changed(&document, pod());
    assert_eq!(object["metadata"]["labels"], json!({"app": "web", "by": "Pod", "a/b": "true"}));
    assert_eq!(
        object["spec"]["containers"][0],
        json!({"name": "a", "image": "x:1", "command": ["sleep"],
            "securityContext": {"privileged": false}})
    );
}

#[test]
fn a_failed_test_leaves_the_object_and_a_strict_operation_is_an_error() {
    let with = |expression: &str| policy(json!({"mutations": [operates(expression)]}));
    let (status, _) = said(&with(
        "[JSONPatch{op: 'remove', path: '/spec'}, JSONPatch{op: 'test', path: '/kind', value: 'x'}]",
    ));
    assert_eq!(status, Status::Pass);
    let (status, message) = said(&with("[JSONPatch{op: 'remove', path: '/spec/volumes'}]"));
    assert_eq!(status, Status::Error);
    assert!(message.contains("`/spec/volumes` is not in the object"), "{message}");
    let (status, _) = said(&with("[JSONPatch{op: 'add', path: '/spec/a/b', value: 1}]"));
    assert_eq!(status, Status::Error);
    // No operations change nothing.
    assert_eq!(said(&with("[]")).0, Status::Pass);
}

#[test]
fn what_cannot_be_applied_is_an_error_with_its_place() {
    for (expression, words) in [
        ("Object{spec: Object.spec{hostpid: true}}", ".spec.hostpid: field not declared"),
        ("Object{spec: Object.wrong{hostPID: true}}", "unexpected type name `Object.wrong`"),
        ("Object{spec: Object.spec{nodeSelector: Object.spec.nodeSelector{a: 'b'}}}", "atomic"),
        ("Object{metadata: object.metadata.nothing}", "mutations[0]: expression `Object{"),
    ] {
        let (status, message) = said(&policy(json!({"mutations": [applies(expression)]})));
        assert_eq!(status, Status::Error, "{expression}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn conditions_and_variables_are_those_of_the_policy() {
    let spec = |name: &str| {
        json!({
            "variables": [{"name": "app", "expression": "object.metadata.labels.app"}],
            "matchConditions": [{"name": "c", "expression": format!("variables.app == '{name}'")}],
            "mutations": [applies(
                "Object{metadata: Object.metadata{annotations: \
                 Object.metadata.annotations{?app: optional.of(variables.app), ?no: optional.none()}}}"
            )],
        })
    };
    let object = changed(&policy(spec("web")), pod());
    assert_eq!(object["metadata"]["annotations"], json!({"app": "web"}));
    assert_eq!(said(&policy(spec("api"))).0, Status::Skip);
}

#[test]
fn controllers_are_changed_in_their_templates() {
    let pod = pod();
    let template = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"template": template},
    });
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "d"},
        "spec": {"jobTemplate": {"spec": {"template": template}}},
    });
    let document = policy(json!({"mutations": [
        applies(HARDEN),
        operates("[JSONPatch{op: 'add', path: '/spec/hostPID', value: false}]"),
    ]}));
    let mutation = mutate(&document, deployment);
    assert_eq!(&*mutation.responses[0].rule, "autogen-p");
    for (object, place) in [
        (mutation.object.unwrap(), "/spec/template"),
        (changed(&document, cron_job), "/spec/jobTemplate/spec/template"),
    ] {
        let template = object.pointer(place).unwrap();
        let context = &template["spec"]["containers"][1]["securityContext"];
        assert_eq!(*context, json!({"privileged": false}));
        assert_eq!(template["metadata"]["labels"]["by"], object["kind"]);
        assert_eq!(template["spec"]["hostPID"], json!(false));
        assert_eq!(object["metadata"], json!({"name": "d"}));
    }
    let none = json!({"autogen": {"podControllers": {"controllers": []}},
        "mutations": [applies(HARDEN)]});
    assert_eq!(parse(&policy(none)).unwrap().rule_names().count(), 1);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let wrong = |spec: Value| parse(&policy(spec)).unwrap_err().to_string();
    for (spec, words) in [
        (json!({}), "`spec.mutations`: needs at least one mutation"),
        (json!({"mutations": [{"patchType": "jsonPatch"}]}), "did you mean `JSONPatch`"),
        (json!({"mutations": [{"patchType": "JSONPatch"}]}), "`spec.mutations[0].jsonPatch`"),
        (json!({"mutations": [applies("{'a': 1}")]}), "must be of type `Object`"),
        (json!({"mutations": [operates("[1]")]}), "must be of type `list(JSONPatch)`"),
        (json!({"mutations": [operates("[JSONPatch{oops: 'x'}]")]}), "has no field `oops`"),
        (json!({"mutations": [operates("[JSONPatch{op: 1}]")]}), "must be of type `string`"),
        (json!({"reinvocationPolicy": "Once", "mutations": [operates("[]")]}), "`Never`"),
    ] {
        let message = wrong(spec.clone());
        assert!(message.contains(words), "{spec}: {message}");
    }
}
