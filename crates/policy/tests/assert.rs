//! `validate.assert` as a rule.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by panicking"
)]

use jiff::Timestamp;
use proofstream_policy::{Environment, Evaluation, Operation, PolicySet, Request, Status, parse};
use serde_json::{Value, json};

fn judge(rule: &Value, request: &Request) -> Vec<(String, Status, Option<String>)> {
    let policy = json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
        "spec": {"rules": [rule]},
    });
    let (set, _) = PolicySet::compile(vec![parse(&policy).unwrap()]);
    match set.evaluate(request, &Environment::at(Timestamp::UNIX_EPOCH)) {
        Evaluation::Done(responses) => responses
            .into_iter()
            .map(|each| (each.rule.to_string(), each.status, each.path))
            .collect(),
        Evaluation::Needs(needs) => panic!("{needs:?}"),
    }
}

fn rule(assert: &Value) -> Value {
    json!({
        "name": "check",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "context": [{"name": "limit", "variable": {"value": 2}}],
        "validate": {"message": "not like this", "assert": assert},
    })
}

fn pod(containers: usize) -> Value {
    let containers: Vec<Value> =
        (0..containers).map(|place| json!({"name": format!("c{place}")})).collect();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}})
}

#[test]
fn pods_are_held_against_the_tree_and_the_policy_s_context() {
    let limited = rule(&json!({"object": {"spec": {"(length(containers) <= $limit)": true}}}));
    let said = judge(&limited, &Request::create(pod(2)));
    assert_eq!(said, [("check".to_owned(), Status::Pass, None)]);
    let said = judge(&limited, &Request::create(pod(3)));
    assert_eq!(said.first().unwrap().1, Status::Fail);
    assert_eq!(said.first().unwrap().2.as_deref(), Some("spec.length(containers) <= $limit"));
    let broken = rule(&json!({"object": {"spec": {"containers": "none"}}}));
    assert_eq!(judge(&broken, &Request::create(pod(1))).first().unwrap().1, Status::Error);
}

#[test]
fn controllers_are_held_against_the_tree_of_their_template() {
    let named = rule(&json!({"object": {"spec": {"~.containers": {"name": "c0"}}}}));
    let template = |containers: usize| json!({"spec": pod(containers)["spec"]});
    let deployment = |containers: usize| {
        Request::create(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d"}, "spec": {"template": template(containers)}}))
    };
    assert_eq!(judge(&named, &deployment(1)), [("autogen-check".to_owned(), Status::Pass, None)]);
    let path = Some("spec.template.spec.containers[1].name".to_owned());
    assert_eq!(judge(&named, &deployment(2)), [("autogen-check".to_owned(), Status::Fail, path)]);
    let cron = Request::create(json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": {"template": template(1)}}}}));
    assert_eq!(judge(&named, &cron), [("autogen-cronjob-check".to_owned(), Status::Pass, None)]);
}

#[test]
fn a_deletion_is_judged_by_trees_that_are_about_it() {
    let mut request = Request::create(pod(1));
    request.operation = Operation::Delete;
    request.old_object = request.object.take();
    assert_eq!(judge(&rule(&json!({"object": {"spec": {}}})), &request), []);
    let kept = rule(&json!({"(operation != 'DELETE' || oldObject.metadata.name != 'p')": true}));
    assert_eq!(judge(&kept, &request).first().unwrap().1, Status::Fail);
}
