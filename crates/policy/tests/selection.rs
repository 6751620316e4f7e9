//! `match` and `exclude`: which requests rules are about, in tables.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by panicking"
)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, GroupVersionResource, Operation, PolicySet, Request, UserInfo, parse,
};
use serde_json::{Value, json};

/// Whether a rule with such a `match` and `exclude` says something of a request.
fn speaks(matched: &Value, exclude: &Value, request: &Request) -> bool {
    let mut rule = json!({
        "name": "r",
        "match": matched,
        "validate": {"deny": {"conditions": {"any": [
            {"key": "a", "operator": "Equals", "value": "b"},
        ]}}},
    });
    if !exclude.is_null() {
        rule["exclude"] = exclude.clone();
    }
    let policy = json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
        "metadata": {"name": "p",
            "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
        "spec": {"rules": [rule]},
    });
    let (set, _) =
        PolicySet::compile(vec![parse(&policy).unwrap_or_else(|e| panic!("{e}: {policy}"))]);
    match set.evaluate(request, &Environment::at(Timestamp::UNIX_EPOCH)) {
        Evaluation::Done(responses) => !responses.is_empty(),
        Evaluation::Needs(needs) => panic!("{needs:?}"),
    }
}

fn resources(filter: &Value) -> Value {
    json!({"any": [{"resources": filter}]})
}

fn deployment() -> Request {
    let mut request = Request::create(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web-1", "namespace": "shop-eu",
            "labels": {"app": "web", "team.io/owner": "blue"},
            "annotations": {"acme.io/tier": "front", "other": "x"},
        },
    }));
    request.namespace_labels = Some(BTreeMap::from([("env".to_owned(), "prod".to_owned())]));
    request
}

fn pod(subresource: &str, kind: &str) -> Request {
    let mut request = Request::create(json!({
        "apiVersion": "v1", "kind": kind, "metadata": {"name": "p", "namespace": "n"},
    }));
    request.resource = GroupVersionResource {
        group: String::new(),
        version: "v1".to_owned(),
        resource: "pods".to_owned(),
    };
    request.subresource = Some(subresource.to_owned()).filter(|text| !text.is_empty());
    request
}

#[test]
fn kinds_are_matched_by_group_version_kind_and_subresource() {
    let deployment = deployment();
    let status = pod("status", "Pod");
    let exec = pod("exec", "PodExecOptions");
    let ephemeral = pod("ephemeralcontainers", "Pod");
    let plain = pod("", "Pod");
    for (kind, request, expected) in [
        ("Deployment", &deployment, true),
        ("deployment", &deployment, false),
        ("apps/v1/Deployment", &deployment, true),
        ("apps/*/Deployment", &deployment, true),
        ("*/v1/Deployment", &deployment, true),
        ("*/Deployment", &deployment, true),
        ("apps/v1beta1/Deployment", &deployment, false),
        ("extensions/v1/Deployment", &deployment, false),
        ("v1/Deployment", &deployment, true),
        ("Dep*", &deployment, true),
        ("?eployment", &deployment, true),
        ("*", &deployment, true),
        ("*/*", &deployment, true),
        ("Deployment/scale", &deployment, false),
        ("Pod", &plain, true),
        ("Pod", &status, false),
        ("Pod", &exec, false),
        ("Pod", &ephemeral, true),
        ("Pod/status", &status, true),
        ("Pod.status", &status, true),
        ("*/Pod.status", &status, true),
        ("v1/Pod/status", &status, true),
        ("Pod/exec", &exec, true),
        ("*/exec", &exec, true),
        ("*/*", &exec, true),
        ("*", &exec, false),
        ("Pod/*", &exec, true),
        ("Pod/*", &plain, true),
        ("Pod/status", &plain, false),
    ] {
        let matched = resources(&json!({"kinds": [kind]}));
        assert_eq!(speaks(&matched, &Value::Null, request), expected, "{kind}: {request:?}");
    }
}

#[test]
fn all_that_a_filter_names_must_fit() {
    let request = deployment();
    for (filter, expected) in [
        (json!({"name": "web-*"}), true),
        (json!({"name": "api"}), false),
        (json!({"names": ["api", "web-?"]}), true),
        (json!({"names": ["api", "web"]}), false),
        (json!({"namespaces": ["shop-*"]}), true),
        (json!({"namespaces": ["kube-system", "shop-??"]}), true),
        (json!({"namespaces": ["shop"]}), false),
        (json!({"annotations": {"acme.io/tier": "front"}}), true),
        (json!({"annotations": {"acme.io/*": "f*"}}), true),
        (json!({"annotations": {"acme.io/*": "x"}}), false),
        (json!({"annotations": {"acme.io/tier": "front", "missing": "*"}}), false),
        (json!({"selector": {"matchLabels": {"app": "web"}}}), true),
        (json!({"selector": {"matchLabels": {"app": "w?b"}}}), true),
        (json!({"selector": {"matchLabels": {"team.io/*": "*"}}}), true),
        (json!({"selector": {"matchLabels": {"team.io/*": "red"}}}), false),
        (
            json!({"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}}),
            true,
        ),
        (
            json!({"selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}}),
            false,
        ),
        (
            json!({"selector": {"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}}),
            true,
        ),
        (json!({"selector": {}}), true),
        (json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}}), true),
        (
            json!({"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "In", "values": ["dev"]}]}}),
            false,
        ),
        (json!({"operations": ["CREATE"]}), true),
        (json!({"operations": ["DELETE", "UPDATE"]}), false),
    ] {
        let mut whole = filter.clone();
        whole["kinds"] = json!(["Deployment"]);
        assert_eq!(speaks(&resources(&whole), &Value::Null, &request), expected, "{filter}");
        // The deprecated form has one filter without a list.
        let older = json!({"resources": whole});
        assert_eq!(speaks(&older, &Value::Null, &request), expected, "{filter}");
        // What a filter of `exclude` fits is left out.
        let excluded = !speaks(&resources(&json!({"kinds": ["*"]})), &resources(&filter), &request);
        assert_eq!(excluded, expected, "exclude {filter}");
    }
}

#[test]
fn namespaces_are_known_by_their_own_name_and_are_in_none() {
    let namespace = Request::create(json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop-eu", "labels": {"env": "prod"}},
    }));
    for (filter, expected) in [
        (json!({"kinds": ["Namespace"], "namespaces": ["shop-*"]}), true),
        (json!({"kinds": ["Namespace"], "namespaces": ["api"]}), false),
        (json!({"kinds": ["Namespace"], "selector": {"matchLabels": {"env": "prod"}}}), true),
        (
            json!({"kinds": ["Namespace"], "namespaceSelector": {"matchLabels": {"env": "prod"}}}),
            false,
        ),
    ] {
        assert_eq!(speaks(&resources(&filter), &Value::Null, &namespace), expected, "{filter}");
    }
}

#[test]
fn a_generated_name_stands_for_a_missing_one() {
    let request = Request::create(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "job-"},
    }));
    assert!(speaks(
        &resources(&json!({"kinds": ["Pod"], "names": ["job-*"]})),
        &Value::Null,
        &request
    ));
}

#[test]
fn users_are_matched_by_subjects_roles_and_cluster_roles() {
    let account = UserInfo {
        username: "system:serviceaccount:ci:deployer".to_owned(),
        groups: vec!["system:serviceaccounts".to_owned(), "devs".to_owned()],
        roles: vec!["ci:editor".to_owned()],
        cluster_roles: vec!["view".to_owned()],
        ..UserInfo::default()
    };
    let subject = |kind: &str, name: &str| json!({"subjects": [{"kind": kind, "name": name}]});
    let service = |namespace: &str, name: &str| json!({"subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}]});
    for (users, expected) in [
        (subject("User", "system:serviceaccount:ci:*"), true),
        (subject("User", "alice"), false),
        (subject("Group", "dev?"), true),
        (subject("Group", "ops"), false),
        (service("ci", "deployer"), true),
        (service("ci", "*"), true),
        (service("*", "deployer"), true),
        (service("cd", "deployer"), false),
        (json!({"roles": ["ci:editor"]}), true),
        (json!({"roles": ["ci:viewer"]}), false),
        (json!({"clusterRoles": ["admin", "view"]}), true),
        (json!({"clusterRoles": ["admin"]}), false),
        (json!({"clusterRoles": ["view"], "roles": ["ci:viewer"]}), false),
        (json!({"clusterRoles": ["view"], "subjects": [{"kind": "Group", "name": "devs"}]}), true),
    ] {
        let mut known = deployment();
        known.user = Some(account.clone());
        let unknown = deployment();
        let mut filter = users.clone();
        filter["resources"] = json!({"kinds": ["Deployment"]});
        let matched = json!({"any": [filter]});
        assert_eq!(speaks(&matched, &Value::Null, &known), expected, "match {users}");
        // Where nobody knows who asks, users do not narrow a match, and exclude nothing.
        assert!(speaks(&matched, &Value::Null, &unknown), "match {users}");
        let everything = resources(&json!({"kinds": ["*"]}));
        let excluding = json!({"any": [users]});
        assert_eq!(!speaks(&everything, &excluding, &known), expected, "exclude {users}");
        assert!(speaks(&everything, &excluding, &unknown), "exclude {users}");
        // A filter on users alone says nothing where nobody is known.
        assert_eq!(speaks(&excluding, &Value::Null, &known), expected, "alone {users}");
        assert!(!speaks(&excluding, &Value::Null, &unknown), "alone {users}");
        // The deprecated form.
        let mut older = users.clone();
        older["resources"] = json!({"kinds": ["Deployment"]});
        assert_eq!(speaks(&older, &Value::Null, &known), expected, "older {users}");
    }
}

#[test]
fn any_needs_one_filter_and_all_needs_each() {
    let request = deployment();
    let kind = |kind: &str| json!({"resources": {"kinds": [kind]}});
    let name = |name: &str| json!({"resources": {"names": [name]}});
    for (matched, exclude, expected) in [
        (json!({"any": [kind("Pod"), kind("Deployment")]}), Value::Null, true),
        (json!({"all": [kind("Deployment"), name("web-*")]}), Value::Null, true),
        (json!({"all": [kind("Deployment"), name("api")]}), Value::Null, false),
        (json!({"any": [kind("*")]}), json!({"any": [kind("Pod"), name("web-1")]}), false),
        (json!({"any": [kind("*")]}), json!({"all": [kind("Pod"), name("web-1")]}), true),
        (json!({"any": [kind("*")]}), json!({"all": [kind("Deployment"), name("web-1")]}), false),
        (
            json!({"any": [kind("*")]}),
            json!({"resources": {"kinds": ["Deployment"], "names": ["api"]}}),
            true,
        ),
        (json!({"any": [kind("*")]}), json!({}), true),
    ] {
        assert_eq!(speaks(&matched, &exclude, &request), expected, "{matched} {exclude}");
    }
}

#[test]
fn operations_are_those_of_the_request() {
    let mut request = deployment();
    request.operation = Operation::Update;
    request.old_object.clone_from(&request.object);
    let matched =
        |operations: Value| resources(&json!({"kinds": ["Deployment"], "operations": operations}));
    assert!(speaks(&matched(json!(["UPDATE"])), &Value::Null, &request));
    assert!(!speaks(&matched(json!(["CREATE", "DELETE"])), &Value::Null, &request));
}
