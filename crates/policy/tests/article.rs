//! The article's two policies, as they stand, on pods that show what each does and does not refuse.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use std::path::Path;

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, Operation, PolicySet, Request, RuleResponse, Status, default_object,
    parse,
};
use serde_json::{Value, json};

const HARDENED: &str = "require-hardened-securitycontext";
const SECRETS: &str = "disallow-secret-env-vars";

fn set() -> PolicySet {
    let folder = Path::new("tests/article");
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        parse(&serde_yaml_ng::from_str(&text).unwrap()).unwrap()
    };
    let (set, duplicates) = PolicySet::compile(vec![read(HARDENED), read(SECRETS)]);
    assert_eq!(duplicates, []);
    set
}

fn evaluate(request: &Request) -> Vec<RuleResponse> {
    match set().evaluate(request, &Environment::at(Timestamp::UNIX_EPOCH)) {
        Evaluation::Done(responses) => responses,
        Evaluation::Needs(lookups) => panic!("needs {lookups:?}"),
    }
}

fn status(responses: &[RuleResponse], policy: &str) -> Option<Status> {
    responses.iter().find(|response| &*response.policy == policy).map(|response| response.status)
}

/// A pod that both policies let through.
fn hardened() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "good", "namespace": "payments"},
        "spec": {
            "securityContext": {"runAsNonRoot": true},
            "containers": [{
                "name": "main",
                "image": "registry.example/app:1",
                "securityContext": {
                    "privileged": false,
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}

/// The good pod with one place changed; null removes it.
fn with(pointer: &str, value: Value) -> Value {
    let mut pod = hardened();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = pod.pointer_mut(parent).unwrap();
    if value.is_null() {
        parent.as_object_mut().unwrap().remove(key);
    } else {
        parent[key] = value;
    }
    pod
}

#[test]
fn the_security_context_policy_refuses_what_it_says() {
    let context = "/spec/containers/0/securityContext";
    let at = |key: &str| format!("{context}/{key}");
    let path = |key: &str| format!("spec.containers[0].securityContext.{key}");
    for (pod, failing) in [
        (hardened(), None),
        (with(&at("privileged"), json!(true)), Some(path("privileged"))),
        // The pattern is a string, and matches the boolean and the string alike.
        (with(&at("privileged"), json!("false")), None),
        // Left out, it is not `false`.
        (with(&at("privileged"), Value::Null), Some(path("privileged"))),
        (
            with(&at("allowPrivilegeEscalation"), json!(true)),
            Some(path("allowPrivilegeEscalation")),
        ),
        (with(&at("readOnlyRootFilesystem"), json!(false)), Some(path("readOnlyRootFilesystem"))),
        (
            with(&at("capabilities"), json!({"drop": ["NET_RAW"]})),
            Some(path("capabilities.drop[0]")),
        ),
        (with(&at("capabilities"), Value::Null), Some(path("capabilities"))),
        (with(context, Value::Null), Some("spec.containers[0].securityContext".to_owned())),
        (
            with("/spec/securityContext", json!({"runAsNonRoot": false})),
            Some("spec.securityContext.runAsNonRoot".to_owned()),
        ),
        (
            with("/spec/securityContext", json!({})),
            Some("spec.securityContext.runAsNonRoot".to_owned()),
        ),
    ] {
        let responses = evaluate(&Request::create(pod.clone()));
        let said = responses.iter().find(|response| &*response.policy == HARDENED).unwrap();
        let expected = if failing.is_some() { Status::Fail } else { Status::Pass };
        assert_eq!(said.status, expected, "{pod}");
        assert_eq!(said.path, failing, "{pod}");
        assert_eq!(said.refuses(), failing.is_some());
    }
}

#[test]
fn the_security_context_policy_has_these_holes() {
    let container = "/spec/containers/0/securityContext";
    let root = json!({
        "privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
        "runAsNonRoot": false, "runAsUser": 0,
    });
    for pod in [
        with("/spec/securityContext", Value::Null),
        with(container, root),
        with(
            "/spec/initContainers",
            json!([{"name": "i", "securityContext": {"privileged": true}}]),
        ),
        with(
            "/spec/ephemeralContainers",
            json!([{"name": "e", "securityContext": {"privileged": true}}]),
        ),
        with("/spec/hostNetwork", json!(true)),
        with("/spec/hostPID", json!(true)),
        with("/spec/volumes", json!([{"name": "h", "hostPath": {"path": "/"}}])),
    ] {
        let responses = evaluate(&Request::create(pod.clone()));
        assert_eq!(status(&responses, HARDENED), Some(Status::Pass), "{pod}");
    }
}

#[test]
fn a_pod_without_a_security_context_passes_offline_but_not_once_defaulted() {
    let mut pod = with("/spec/securityContext", Value::Null);
    assert_eq!(status(&evaluate(&Request::create(pod.clone())), HARDENED), Some(Status::Pass));
    default_object(&mut pod);
    assert_eq!(status(&evaluate(&Request::create(pod)), HARDENED), Some(Status::Fail));
}

#[test]
fn the_secrets_policy_refuses_secret_keys_in_env_and_has_these_holes() {
    let secret = json!([{"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    let plain = json!([{"name": "P", "value": "hunter2"}]);
    let env = "/spec/containers/0/env";
    for (pod, expected) in [
        (hardened(), Status::Pass),
        (with(env, plain), Status::Pass),
        (with(env, secret.clone()), Status::Fail),
        (with(env, json!([])), Status::Pass),
        (with("/spec/containers/0/envFrom", json!([{"secretRef": {"name": "s"}}])), Status::Pass),
        (with("/spec/initContainers", json!([{"name": "i", "env": secret}])), Status::Pass),
        (with("/spec/ephemeralContainers", json!([{"name": "e", "env": secret}])), Status::Pass),
    ] {
        let responses = evaluate(&Request::create(pod.clone()));
        assert_eq!(status(&responses, SECRETS), Some(expected), "{pod}");
    }
}

#[test]
fn namespaces_decide_which_policies_are_asked() {
    for (namespace, policies) in [
        ("payments", &[SECRETS, HARDENED][..]),
        ("ledger", &[SECRETS, HARDENED]),
        ("prod-eu", &[HARDENED]),
        ("prod-", &[HARDENED]),
        ("prod", &[]),
        ("default", &[]),
    ] {
        let responses = evaluate(&Request::create(with("/metadata/namespace", json!(namespace))));
        let asked: Vec<&str> = responses.iter().map(|response| &*response.policy).collect();
        assert_eq!(asked, policies, "{namespace}");
    }
}

#[test]
fn controllers_are_judged_by_derived_rules() {
    let pod = with(
        "/spec/containers/0/env",
        json!([{"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
    );
    let template = json!({"metadata": {}, "spec": pod["spec"]});
    let object = |kind: &str, spec: Value| json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x", "namespace": "payments"}, "spec": spec});
    let job = json!({"jobTemplate": {"spec": {"template": template}}});
    for (object, rule) in [
        (object("Deployment", json!({"template": template})), "autogen-no-secretkeyref-in-env"),
        (object("CronJob", job), "autogen-cronjob-no-secretkeyref-in-env"),
    ] {
        let responses = evaluate(&Request::create(object));
        let said = responses.iter().find(|response| &*response.policy == SECRETS).unwrap();
        assert_eq!((&*said.rule, said.status), (rule, Status::Fail));
        assert_eq!(status(&responses, HARDENED), Some(Status::Pass));
    }
}

#[test]
fn messages_are_for_people() {
    let mut pod = with("/spec/containers/0/securityContext/privileged", json!(true));
    pod["spec"]["containers"][0]["env"] = json!([{"name": "P", "valueFrom": {"secretKeyRef": {}}}]);
    let messages: Vec<String> =
        evaluate(&Request::create(pod)).into_iter().map(|response| response.message).collect();
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn what_was_broken_before_an_update_is_skipped() {
    let broken = with("/spec/containers/0/securityContext/privileged", json!(true));
    let mut update = Request::create(broken.clone());
    update.operation = Operation::Update;
    update.old_object = Some(broken.clone());
    assert_eq!(status(&evaluate(&update), HARDENED), Some(Status::Skip));
    update.old_object = Some(hardened());
    assert_eq!(status(&evaluate(&update), HARDENED), Some(Status::Fail));
}

#[test]
fn a_deletion_meets_no_pattern() {
    let mut deletion = Request::create(hardened());
    deletion.operation = Operation::Delete;
    deletion.old_object = deletion.object.take();
    let responses = evaluate(&deletion);
    assert_eq!(status(&responses, HARDENED), None);
    assert_eq!(status(&responses, SECRETS), Some(Status::Pass));
}
