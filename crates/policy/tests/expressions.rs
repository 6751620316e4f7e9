//! `validate.cel` and `celPreconditions`: bindings, messages, faults, parameters, derived rules.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, Lookup, Operation, PolicySet, Request, RuleResponse, Status, UserInfo,
    parse,
};
use serde_json::{Value, json};

fn policy(kind: &str, cel: Value, preconditions: Value) -> Value {
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
        "spec": {"validationFailureAction": "Enforce", "rules": [{
            "name": "r",
            "match": {"any": [{"resources": {"kinds": [kind]}}]},
            "celPreconditions": preconditions,
            "validate": {"cel": cel},
        }]},
    })
}

fn expression(expression: &str) -> Value {
    policy("Thing", json!({"expressions": [{"expression": expression}]}), json!([]))
}

fn thing() -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "t", "namespace": "team-a"},
        "spec": {"replicas": 3, "image": "nginx"},
    })
}

fn pod_spec() -> Value {
    json!({"containers": [{"name": "c", "image": "nginx"}], "hostNetwork": true})
}

fn environment() -> Environment {
    Environment { offline: true, ..Environment::at(Timestamp::UNIX_EPOCH) }
}

fn responses(document: &Value, request: &Request, environment: &Environment) -> Vec<RuleResponse> {
    let set = PolicySet::compile(vec![parse(document).unwrap()]).0;
    match set.evaluate(request, environment) {
        Evaluation::Done(responses) => responses,
        Evaluation::Needs(lookups) => panic!("needs {lookups:?}"),
    }
}

fn judge_in(document: &Value, request: &Request, environment: &Environment) -> (Status, String) {
    let mut all = responses(document, request, environment);
    assert_eq!(all.len(), 1);
    let response = all.pop().unwrap();
    (response.status, response.message)
}

fn judge(document: &Value, request: &Request) -> (Status, String) {
    judge_in(document, request, &environment())
}

#[test]
fn names_are_bound() {
    let mut request = Request::create(thing());
    request.uid = "u".to_owned();
    request.operation = Operation::Update;
    request.old_object = Some(json!({"spec": {"replicas": 1}}));
    request.namespace_labels = Some(BTreeMap::from([("env".to_owned(), "prod".to_owned())]));
    request.user = Some(UserInfo {
        username: "ada".to_owned(),
        groups: vec!["devs".to_owned()],
        ..UserInfo::default()
    });
    for holds in [
        "object.spec.replicas == 3 && oldObject.spec.replicas == 1",
        "request.operation == 'UPDATE' && request.namespace == 'team-a' && request.name == 't'",
        "request.kind.kind == 'Thing' && request.kind.group == 'example.com'",
        "request.userInfo.username == 'ada' && 'devs' in request.userInfo.groups",
        "!has(request.subResource) && !has(request.roles)",
        "namespaceObject.metadata.name == 'team-a' && namespaceObject.metadata.labels.env == 'prod'",
    ] {
        assert_eq!(judge(&expression(holds), &request).0, Status::Pass, "{holds}");
    }
    request.operation = Operation::Delete;
    request.object = None;
    let deleted = expression("object == null && oldObject.spec.replicas == 1");
    assert_eq!(judge(&deleted, &request).0, Status::Pass);
}

#[test]
fn messages_follow_the_field() {
    let request = Request::create(thing());
    let with = |entry: Value, of_rule: Value| {
        let mut document = policy("Thing", json!({"expressions": [entry]}), json!([]));
        document["spec"]["rules"][0]["validate"]["message"] = of_rule;
        judge(&document, &request)
    };
    let said = |entry: Value, of_rule: Value| with(entry, of_rule).1;
    assert_eq!(said(json!({"expression": " false "}), Value::Null), "failed expression: false");
    assert_eq!(said(json!({"expression": "false"}), json!("of the rule")), "of the rule");
    let own = json!({"expression": "false", "message": "own"});
    assert_eq!(said(own, json!("of the rule")), "own");
    for (made, expected) in [
        ("'has ' + string(object.spec.replicas)", "has 3"),
        ("object.spec.missing", "own"),
        ("'two\\nlines'", "own"),
        ("' '", "own"),
    ] {
        let entry = json!({"expression": "false", "message": "own", "messageExpression": made});
        assert_eq!(said(entry, Value::Null), expected, "{made}");
    }
}

#[test]
fn the_first_demand_that_does_not_hold_is_told() {
    let cel = json!({"expressions": [
        {"expression": "true"},
        {"expression": "object.spec.replicas > 5", "message": "too few"},
        {"expression": "false", "message": "never told"},
    ]});
    let (status, message) = judge(&policy("Thing", cel, json!([])), &Request::create(thing()));
    assert_eq!((status, message.as_str()), (Status::Fail, "too few"));
}

#[test]
fn a_demand_without_value_does_not_hold() {
    let request = Request::create(thing());
    for (written, words) in [
        ("object.spec.missing == 1", "no such key: missing"),
        ("object.spec.image", "type `string`"),
        ("lists.range(10000).all(a, lists.range(10000).all(b, a + b >= 0))", "costs more"),
        ("authorizer.group('').resource('pods').check('create').allowed()", "API server"),
        ("authorizer.requestResource.check('create').allowed()", "API server"),
    ] {
        let (status, message) = judge(&expression(written), &request);
        assert_eq!(status, Status::Fail, "{written}");
        assert!(message.contains(words) && message.contains(written), "{message}");
    }
}

#[test]
fn variables_are_made_once_and_when_asked_for() {
    let cel = json!({
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "twice", "expression": "variables.replicas * 2"},
            {"name": "broken", "expression": "object.spec.missing"},
        ],
        "expressions": [
            {"expression": "variables.twice == 6 && has(variables.twice)"},
            {"expression": "variables.twice == 6 || variables.broken"},
        ],
    });
    let request = Request::create(thing());
    assert_eq!(judge(&policy("Thing", cel, json!([])), &request).0, Status::Pass);
}

#[test]
fn preconditions_choose() {
    let request = Request::create(thing());
    let cel = || json!({"expressions": [{"expression": "false"}]});
    let conditions = |list: &[&str]| {
        let named = list.iter().enumerate();
        named.map(|(at, text)| json!({"name": format!("c{at}"), "expression": text})).collect()
    };
    let status = |list: &[&str]| judge(&policy("Thing", cel(), conditions(list)), &request);
    assert_eq!(status(&["true"]).0, Status::Fail);
    assert_eq!(status(&["true", "object.spec.replicas > 5"]).0, Status::Skip);
    // What is false decides, whatever cannot be evaluated.
    assert_eq!(status(&["object.spec.missing == 1", "false"]).0, Status::Skip);
    let (failed, message) = status(&["object.spec.missing == 1"]);
    assert_eq!(failed, Status::Fail);
    assert!(message.contains("`c0`") && message.contains("no such key"), "{message}");
}

#[test]
fn parameters_are_looked_up() {
    let cel = |reference: Value| {
        json!({
            "paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"},
            "paramRef": reference,
            "expressions": [{"expression": "object.spec.replicas <= params.max"}],
        })
    };
    let named =
        policy("Thing", cel(json!({"name": "a", "parameterNotFoundAction": "Deny"})), json!([]));
    let request = Request::create(thing());
    let set = PolicySet::compile(vec![parse(&named).unwrap()]).0;
    let Evaluation::Needs(needs) = set.evaluate(&request, &Environment::at(Timestamp::UNIX_EPOCH))
    else {
        panic!("nothing is needed")
    };
    let lookup = Lookup::Parameters {
        api_version: "example.com/v1".to_owned(),
        kind: "Limit".to_owned(),
        namespace: Some("team-a".to_owned()),
        name: Some("a".to_owned()),
    };
    assert_eq!(needs.as_slice(), std::slice::from_ref(&lookup));
    let mut answered = Environment::at(Timestamp::UNIX_EPOCH);
    answered.answers.insert(lookup, Ok(json!([{"max": 2}])));
    assert_eq!(judge_in(&named, &request, &answered).0, Status::Fail);

    let limit = |name: &str, namespace: &str, tier: &str, max: u32| {
        json!({
            "apiVersion": "example.com/v1", "kind": "Limit", "max": max,
            "metadata": {"name": name, "namespace": namespace, "labels": {"tier": tier}},
        })
    };
    let all = json!([
        limit("a", "team-a", "x", 3),
        limit("b", "team-a", "y", 2),
        limit("c", "other", "x", 1)
    ]);
    let environment = Environment { parameters: Some(all), ..environment() };
    let status = |reference: Value| {
        judge_in(&policy("Thing", cel(reference), json!([])), &request, &environment)
    };
    assert_eq!(status(json!({"name": "a"})).0, Status::Pass);
    assert_eq!(status(json!({"name": "b"})).0, Status::Fail);
    assert_eq!(status(json!({"name": "c", "namespace": "other"})).0, Status::Fail);
    assert_eq!(status(json!({"name": "c"})).0, Status::Error);
    assert_eq!(status(json!({"selector": {"matchLabels": {"tier": "x"}}})).0, Status::Pass);
    assert_eq!(status(json!({"selector": {}})).0, Status::Fail);
    let none = json!({"selector": {"matchLabels": {"tier": "z"}}});
    assert_eq!(status(none.clone()).0, Status::Pass);
    let mut required = none;
    required["parameterNotFoundAction"] = json!("Deny");
    assert_eq!(status(required).0, Status::Error);
}

#[test]
fn rules_for_pods_are_carried_over_to_controllers() {
    let cel = json!({
        "variables": [{"name": "all", "expression": "object.spec.containers"}],
        "expressions": [{
            "expression": "object.spec.?hostNetwork.orValue(false) == false && variables.all.size() > 0 \
                           && object.metadata.namespace == 'team-a' && object.metadata.labels.a == 'b'",
        }],
    });
    let document =
        policy("Pod", cel, json!([{"name": "c", "expression": "has(object.spec.containers)"}]));
    let mut spec = pod_spec();
    spec["hostNetwork"] = json!(false);
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": spec});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "team-a"},
        "spec": {"template": template},
    });
    let all = responses(&document, &Request::create(deployment), &environment());
    assert_eq!((&*all[0].rule, all[0].status), ("autogen-r", Status::Pass), "{}", all[0].message);
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "d", "namespace": "team-a"},
        "spec": {"jobTemplate": {"spec": {"template": {"metadata": {"labels": {"a": "c"}}, "spec": pod_spec()}}}},
    });
    let all = responses(&document, &Request::create(cron_job), &environment());
    assert_eq!((&*all[0].rule, all[0].status), ("autogen-cronjob-r", Status::Fail));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let refused = |cel: Value| parse(&policy("Thing", cel, json!([]))).unwrap_err().to_string();
    let one = |text: &str| json!({"expressions": [{"expression": text}]});
    for (cel, words) in [
        (one("objekt.spec"), "spec.rules[0].validate.cel.expressions[0].expression"),
        (one("1 +"), "at 1:4 of `1 +`"),
        (one("object.spec.replicas + 1 == 'a'"), "`==` cannot take"),
        (one("'a'"), "must be of type `bool`, not `string`"),
        (one("params.max > 1"), "undeclared reference to `params`"),
        (one("variables.a"), "undeclared reference"),
        (json!({"expressions": []}), "needs at least one expression"),
        (json!({"expressions": [{"expression": "true", "mesage": "x"}]}), "did you mean `message`"),
        (
            json!({"expressions": [{"expression": "true", "messageExpression": "1"}]}),
            "`string`, not `int`",
        ),
        (
            json!({"expressions": [{"expression": "true"}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}),
            "paramRef",
        ),
        (
            json!({"expressions": [{"expression": "true"}], "auditAnnotations": [{"key": "a", "valueExpression": "1"}]}),
            "`string`, not `int`",
        ),
        (
            json!({"variables": [{"name": "a", "expression": "b"}], "expressions": [{"expression": "true"}]}),
            "variables[0].expression",
        ),
    ] {
        let found = refused(cel);
        assert!(found.contains(words), "`{found}` lacks `{words}`");
    }
    let mut document = expression("true");
    document["spec"]["webhookConfiguration"] =
        json!({"matchConditions": [{"name": "a", "expression": "request.usr =="}]});
    let found = parse(&document).unwrap_err().to_string();
    assert!(found.contains("spec.webhookConfiguration.matchConditions[0].expression"), "{found}");
    document["spec"]["webhookConfiguration"]["matchConditions"][0]["expression"] =
        json!("!('system:nodes' in request.userInfo.groups)");
    assert!(parse(&document).is_ok());
}
