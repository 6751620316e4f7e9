//! ValidatingPolicy and NamespacedValidatingPolicy: constraints, actions, derived rules, functions,
//! exceptions.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, FailurePolicy, GroupVersionResource, KnownKinds, Lookup, Mode,
    Operation, Phase, Policy, PolicyException, PolicySet, Request, RuleResponse, Status, is_policy,
    parse,
};
use serde_json::{Value, json};

fn policy(spec: Value) -> Value {
    let mut document = json!({
        "apiVersion": "policies.kyverno.io/v1", "kind": "ValidatingPolicy",
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule("", "v1", "pods")]},
            "validations": [{"expression": "true"}],
        },
    });
    for (key, value) in spec.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    document
}

fn rule(group: &str, version: &str, resource: &str) -> Value {
    json!({
        "apiGroups": [group], "apiVersions": [version], "resources": [resource],
        "operations": ["CREATE", "UPDATE"],
    })
}

fn asks(expression: &str) -> Value {
    policy(json!({"validations": [{"expression": expression, "message": "no"}]}))
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "team-a", "labels": {"app": "web"}},
        "spec": {
            "containers": [{"name": "c", "image": "ghcr.io/a/b:1"}],
            "initContainers": [{"name": "i", "image": "busybox"}],
        },
    })
}

fn offline() -> Environment {
    Environment { offline: true, ..Environment::at(Timestamp::from_second(1_700_000_000).unwrap()) }
}

fn parsed(document: &Value) -> Policy {
    assert!(is_policy(document));
    parse(document).unwrap()
}

fn responses(document: &Value, request: &Request, environment: &Environment) -> Vec<RuleResponse> {
    let set = PolicySet::compile(vec![parsed(document)]).0;
    match set.evaluate(request, environment) {
        Evaluation::Done(responses) => responses,
        Evaluation::Needs(lookups) => panic!("needs {lookups:?}"),
    }
}

fn judge(document: &Value, request: &Request) -> Option<(Status, String)> {
    let mut all = responses(document, request, &offline());
    assert!(all.len() <= 1);
    all.pop().map(|response| (response.status, response.message))
}

fn status(document: &Value, request: &Request) -> Option<Status> {
    judge(document, request).map(|(status, _)| status)
}

#[test]
fn constraints_choose_requests() {
    let constrained = |constraints: Value| policy(json!({ "matchConstraints": constraints }));
    let only = |rule: Value| constrained(json!({"resourceRules": [rule]}));
    let mut request = Request::create(pod());
    request.namespace_labels = Some(BTreeMap::from([("env".to_owned(), "prod".to_owned())]));
    let with = |key: &str, value: Value| {
        let mut rule = rule("", "v1", "pods");
        rule[key] = value;
        only(rule)
    };
    let beside = |key: &str, value: Value| {
        let mut constraints = json!({"resourceRules": [rule("", "v1", "pods")]});
        constraints[key] = value;
        constrained(constraints)
    };
    for (document, about) in [
        (only(rule("", "v1", "pods")), true),
        (only(rule("*", "*", "*")), true),
        (only(rule("", "v1", "*/*")), true),
        (only(rule("", "v1", "pods/exec")), false),
        (only(rule("apps", "v1", "pods")), false),
        (only(rule("", "v2", "pods")), false),
        (only(rule("", "v1", "services")), false),
        (with("operations", json!(["DELETE"])), false),
        (with("operations", json!(["*"])), true),
        (with("resourceNames", json!(["p"])), true),
        (with("resourceNames", json!(["q"])), false),
        (with("scope", json!("Namespaced")), true),
        (with("scope", json!("Cluster")), false),
        (beside("objectSelector", json!({"matchLabels": {"app": "web"}})), true),
        (beside("objectSelector", json!({"matchLabels": {"app": "api"}})), false),
        (beside("namespaceSelector", json!({"matchLabels": {"env": "prod"}})), true),
        (beside("namespaceSelector", json!({"matchLabels": {"env": "test"}})), false),
        (beside("namespaceSelector", json!({})), true),
        (beside("excludeResourceRules", json!([rule("", "v1", "pods")])), false),
        (beside("excludeResourceRules", json!([rule("", "v1", "services")])), true),
    ] {
        assert_eq!(status(&document, &request).is_some(), about, "{}", document["spec"]);
    }
    // Live, the resource is known.
    request.subresource = Some("exec".to_owned());
    request.operation = Operation::Connect;
    request.resource = GroupVersionResource {
        group: String::new(),
        version: "v1".to_owned(),
        resource: "pods".to_owned(),
    };
    let mut exec = rule("", "v1", "pods/exec");
    exec["operations"] = json!(["CONNECT"]);
    assert!(status(&only(exec), &request).is_some());
    assert!(status(&only(rule("", "v1", "pods")), &request).is_none());
    // What has no namespace is not narrowed by labels of one.
    let node =
        Request::create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}));
    let selected = constrained(json!({
        "resourceRules": [rule("", "v1", "nodes")],
        "namespaceSelector": {"matchLabels": {"env": "prod"}},
    }));
    assert!(status(&selected, &node).is_some());
    let namespace = |env: &str| {
        Request::create(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"env": env}},
        }))
    };
    let namespaces = constrained(json!({
        "resourceRules": [rule("", "v1", "namespaces")],
        "namespaceSelector": {"matchLabels": {"env": "prod"}},
    }));
    assert!(status(&namespaces, &namespace("prod")).is_some());
    assert!(status(&namespaces, &namespace("test")).is_none());
}

#[test]
fn conditions_and_faults_follow_the_field() {
    let request = Request::create(pod());
    let conditioned = |condition: &str, failure: &str| {
        policy(json!({
            "matchConditions": [{"name": "c", "expression": condition}],
            "failurePolicy": failure,
            "validations": [{"expression": "false"}],
        }))
    };
    for (condition, failure, expected) in [
        ("object.metadata.name == 'p'", "Fail", Status::Fail),
        ("object.metadata.name == 'q'", "Fail", Status::Skip),
        ("object.missing == 'q'", "Fail", Status::Error),
        ("object.missing == 'q'", "Ignore", Status::Skip),
    ] {
        assert_eq!(
            status(&conditioned(condition, failure), &request),
            Some(expected),
            "{condition}"
        );
    }
    assert_eq!(judge(&asks("object.missing == 1"), &request).unwrap().0, Status::Error);
    assert_eq!(judge(&asks("object.missing == 1 || true"), &request).unwrap().0, Status::Pass);
    assert_eq!(judge(&asks("false"), &request).unwrap(), (Status::Fail, "no".to_owned()));
}

#[test]
fn actions_and_settings() {
    let of = |spec: Value| {
        let document = policy(spec);
        let mut all = responses(&document, &Request::create(pod()), &offline());
        let policy = parsed(&document);
        (
            all.pop().unwrap().mode,
            policy.emits_warnings(),
            policy.is_admission(),
            policy.is_background(),
        )
    };
    assert_eq!(of(json!({})), (Mode::Enforce, false, true, true));
    assert_eq!(of(json!({"validationActions": ["Audit"]})), (Mode::Audit, false, true, true));
    assert_eq!(
        of(json!({"validationActions": ["Deny", "Warn"]})),
        (Mode::Enforce, true, true, true)
    );
    let evaluation = json!({"evaluation": {"background": {"enabled": false}}});
    assert_eq!(of(evaluation), (Mode::Enforce, false, true, false));
    let scope = |spec: Value| {
        let set = PolicySet::compile(vec![parsed(&policy(spec))]).0;
        set.admission_scope(&KnownKinds::default(), Phase::Validate)
    };
    let scopes = scope(json!({
        "failurePolicy": "Ignore",
        "webhookConfiguration": {"timeoutSeconds": 7},
        "autogen": {"podControllers": {"controllers": ["deployments", "cronjobs"]}},
    }));
    assert_eq!(scopes.len(), 1);
    assert_eq!(scopes[0].failure_policy, FailurePolicy::Ignore);
    assert_eq!(scopes[0].timeout_seconds, Some(7));
    let named: Vec<&str> = scopes[0].rules.iter().map(|rule| rule.resource.as_str()).collect();
    assert_eq!(named, ["pods", "deployments", "cronjobs"]);
}

#[test]
fn rules_for_controllers_are_derived() {
    let document = policy(json!({
        "variables": [{"name": "all", "expression": "object.spec.containers"}],
        "validations": [{
            "expression": "variables.all.all(c, c.image.startsWith('ghcr.io/')) \
                           && object.metadata.namespace == 'team-a' && object.metadata.name == 'd' \
                           && object.metadata.labels.app == 'web'",
        }],
    }));
    let template = |image: &str| {
        json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image}]},
        })
    };
    let workload = |api_version: &str, kind: &str, spec: Value| {
        Request::create(json!({
            "apiVersion": api_version, "kind": kind, "spec": spec,
            "metadata": {"name": "d", "namespace": "team-a"},
        }))
    };
    for (image, expected) in [("ghcr.io/a", Status::Pass), ("docker.io/a", Status::Fail)] {
        for (api_version, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "DaemonSet"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "ReplicaSet"),
            ("batch/v1", "Job"),
        ] {
            let request = workload(api_version, kind, json!({"template": template(image)}));
            let found = responses(&document, &request, &offline());
            assert_eq!((&*found[0].rule, found[0].status), ("autogen-p", expected));
        }
        let spec = json!({"jobTemplate": {"spec": {"template": template(image)}}});
        let found = responses(&document, &workload("batch/v1", "CronJob", spec), &offline());
        assert_eq!((&*found[0].rule, found[0].status), ("autogen-cronjob-p", expected));
    }
    let deployment = workload("apps/v1", "Deployment", json!({"template": template("x")}));
    for narrowed in [
        json!({"autogen": {"podControllers": {"controllers": []}}}),
        json!({"autogen": {"podControllers": {"controllers": ["jobs"]}}}),
        json!({"matchConstraints": {"resourceRules": [rule("", "v1", "pods"), rule("", "v1", "services")]}}),
        json!({"matchConstraints": {
            "resourceRules": [rule("", "v1", "pods")], "objectSelector": {"matchLabels": {"a": "b"}},
        }}),
    ] {
        assert_eq!(status(&policy(narrowed.clone()), &deployment), None, "{narrowed}");
    }
}

#[test]
fn functions_of_the_field() {
    let mut request = Request::create(pod());
    request.user = None;
    for holds in [
        "images.containers == ['ghcr.io/a/b:1'] && images.initContainers == ['busybox']",
        "images.ephemeralContainers.size() == 0",
        "image(object.spec.containers[0].image).registry() == 'ghcr.io'",
        "time.now() == timestamp(1700000000)",
        "time.truncate(timestamp('2024-01-01T10:30:00Z'), duration('1h')) == timestamp('2024-01-01T10:00:00Z')",
        "time.toCron(timestamp('2024-01-02T10:30:00Z')) == '30 10 2 1 2'",
        "sha256('a') == 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'",
        "hash.sha1('a') == '86f7e437faa5a7fce15d1ddcb9eaeaea377667b8'",
        "md5('a') == '0cc175b9c0f1b6a831c399e269772661'",
        "json.unmarshal('{\"a\": [1, 2.5, null, true, \"x\"]}').a[1] == 2.5",
        "json.marshal({'a': [1]}) == '{\"a\":[1]}'",
        "yaml.parse('a: [1]').a == [1]",
        "parseServiceAccount('system:serviceaccount:a:b').Namespace == 'a'",
        "user.parseServiceAccount('ada').Name == ''",
        "math.round(3.14159, 2) == 3.14",
        "listObjToMap([{'k': 'a'}], [{'v': 1}], 'k', 'v') == {'a': 1}",
        "exceptions.allowedImages.size() == 0",
    ] {
        assert_eq!(
            judge(&asks(holds), &request),
            Some((Status::Pass, "rule p passed".to_owned())),
            "{holds}"
        );
    }
    for (wrong, words) in [
        ("json.unmarshal('{')== 1", "not JSON"),
        ("yaml.parse('a: [')== 1", "not YAML"),
        ("resource.Get('v1', 'configmaps', '../secrets', 'x').data.a == 'b'", "cannot be part"),
        ("resource.Get('v1', 'configmaps', 'a', 'x?y').data.a == 'b'", "cannot be part"),
        ("resource.Get('v1', 'configmaps', 'a', 'x').data.a == 'b'", "no answer is given"),
        ("globalContext.Get('a', '') == 1", "no answer is given"),
        ("authorizer.group('').resource('pods').check('get').allowed()", "API server"),
    ] {
        let (status, message) = judge(&asks(wrong), &request).unwrap();
        assert_eq!(status, Status::Error, "{wrong}");
        assert!(message.contains(words), "{wrong}: {message}");
    }
    let refused = parse(&asks("resource.Get('v1', 'configmaps', 'x').a")).unwrap_err().to_string();
    assert!(refused.contains("no overload of `resource.Get`"), "{refused}");
}

#[test]
fn lookups_are_asked_for_and_answered() {
    let call = |url_path: &str| Lookup::ApiCall {
        method: "GET".to_owned(),
        url_path: url_path.to_owned(),
        body: None,
    };
    let service = |method: &str, body: Option<&str>| Lookup::Service {
        method: method.to_owned(),
        url: "https://a.b/c".to_owned(),
        body: body.map(str::to_owned),
        ca_bundle: None,
        headers: vec![("x".to_owned(), "y".to_owned())],
    };
    for (expression, lookup, answer) in [
        (
            "resource.Get('v1', 'configmaps', 'a', 'x').data.k == 'v'",
            call("/api/v1/namespaces/a/configmaps/x"),
            json!({"data": {"k": "v"}}),
        ),
        (
            "resource.get('apps/v1', 'deployments', 'a', 'x').data.k == 'v'",
            call("/apis/apps/v1/namespaces/a/deployments/x"),
            json!({"data": {"k": "v"}}),
        ),
        (
            "resource.List('v1', 'namespaces', '').items.size() == 1",
            call("/api/v1/namespaces"),
            json!({"items": [1]}),
        ),
        (
            "resource.List('v1', 'pods', 'a', {'k': 'v', 'l': 'w/x'}).items.size() == 1",
            call("/api/v1/namespaces/a/pods?labelSelector=k%3Dv%2Cl%3Dw%2Fx"),
            json!({"items": [1]}),
        ),
        (
            "resource.Post('authorization.k8s.io/v1', 'subjectaccessreviews', {'a': dyn(1)}).ok",
            Lookup::ApiCall {
                method: "POST".to_owned(),
                url_path: "/apis/authorization.k8s.io/v1/subjectaccessreviews".to_owned(),
                body: Some("{\"a\":1}".to_owned()),
            },
            json!({"ok": true}),
        ),
        ("http.Get('https://a.b/c', {'x': 'y'}).ok", service("GET", None), json!({"ok": true})),
        (
            "http.Post('https://a.b/c', {'a': 1}, {'x': 'y'}).ok",
            service("POST", Some("{\"a\":1}")),
            json!({"ok": true}),
        ),
        (
            "globalContext.Get('entry', 'part').ok",
            Lookup::Global { name: "entry".to_owned(), projection: "part".to_owned() },
            json!({"ok": true}),
        ),
        (
            "image.GetMetadata('nginx').config.User == 'x'",
            Lookup::Image { reference: "nginx".to_owned() },
            json!({"configData": {"User": "x"}}),
        ),
    ] {
        let document = asks(expression);
        let set = PolicySet::compile(vec![parsed(&document)]).0;
        let mut environment = Environment::at(Timestamp::UNIX_EPOCH);
        let request = Request::create(pod());
        let Evaluation::Needs(needs) = set.evaluate(&request, &environment) else {
            panic!("{expression} needs nothing")
        };
        assert_eq!(needs.as_slice(), std::slice::from_ref(&lookup), "{expression}");
        environment.answers.insert(lookup, Ok(answer));
        let found = responses(&document, &request, &environment);
        assert_eq!(found[0].status, Status::Pass, "{expression}: {}", found[0].message);
    }
}

#[test]
fn namespaced_policies_stay_in_their_namespace() {
    let mut document = asks("resource.Get('v1', 'configmaps', 'x').data.k == 'v'");
    document["kind"] = json!("NamespacedValidatingPolicy");
    document["metadata"]["namespace"] = json!("team-a");
    let set = PolicySet::compile(vec![parsed(&document)]).0;
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    let Evaluation::Needs(needs) = set.evaluate(&Request::create(pod()), &environment) else {
        panic!("nothing is needed")
    };
    assert_eq!(needs[0].describe(), "API call `GET /api/v1/namespaces/team-a/configmaps/x`");
    let mut elsewhere = pod();
    elsewhere["metadata"]["namespace"] = json!("team-b");
    assert!(responses(&document, &Request::create(elsewhere), &environment).is_empty());
}

#[test]
fn exceptions_exempt_by_conditions() {
    let exception = |spec: Value| {
        let document = json!({
            "apiVersion": "policies.kyverno.io/v1", "kind": "PolicyException",
            "metadata": {"name": "e", "namespace": "x"}, "spec": spec,
        });
        PolicyException::parse(&document)
    };
    let references = json!([{"name": "p", "kind": "ValidatingPolicy"}]);
    let status = |spec: Value| {
        let exceptions = vec![exception(spec).unwrap()];
        let set = PolicySet::with_exceptions(vec![parsed(&asks("false"))], exceptions).0;
        match set.evaluate(&Request::create(pod()), &offline()) {
            Evaluation::Done(found) => found[0].status,
            Evaluation::Needs(needs) => panic!("needs {needs:?}"),
        }
    };
    let when = |expression: &str| {
        json!({
            "policyRefs": references,
            "matchConditions": [{"name": "c", "expression": expression}],
        })
    };
    assert_eq!(status(when("object.metadata.name == 'p'")), Status::Skip);
    assert_eq!(status(when("object.metadata.name == 'q'")), Status::Fail);
    assert_eq!(status(when("object.missing == 'q'")), Status::Fail);
    assert_eq!(status(json!({"policyRefs": references, "reportResult": "pass"})), Status::Pass);
    let other =
        json!([{"name": "p", "kind": "MutatingPolicy"}, {"name": "q", "kind": "ValidatingPolicy"}]);
    assert_eq!(status(json!({"policyRefs": other})), Status::Fail);
    for (spec, words) in [
        (json!({"policyRefs": []}), "spec.policyRefs"),
        (when("object."), "spec.matchConditions[0].expression"),
        (json!({"policyRefs": references, "images": ["a"]}), "spec.images"),
        (json!({"policyRefs": references, "reportResult": "fine"}), "`fine`"),
    ] {
        let found = exception(spec).unwrap_err().to_string();
        assert!(found.contains(words), "`{found}` lacks `{words}`");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (spec, words) in [
        (json!({"validations": [{"expression": "objekt.a"}]}), "spec.validations[0].expression"),
        (json!({"validations": []}), "spec.validations"),
        (json!({"matchConstraints": {}}), "spec.matchConstraints.resourceRules"),
        (json!({"matchConstraints": null}), "spec.matchConstraints"),
        (json!({"matchConstraints": {"resourceRules": [{"apiGroups": [""]}]}}), "apiVersions"),
        (json!({"validationActions": ["Denny"]}), "did you mean `Deny`"),
        (json!({"failurePolicy": "Maybe"}), "spec.failurePolicy"),
        (json!({"validation": []}), "did you mean `validations`"),
        (
            json!({"variables": [{"name": "a", "expression": "1 +"}]}),
            "spec.variables[0].expression",
        ),
        (json!({"matchConditions": [{"name": "a", "expression": "'a'"}]}), "`bool`, not `string`"),
        (json!({"webhookConfiguration": {"timeoutSeconds": 99}}), "not in 1 to 30"),
        (json!({"evaluation": {"mode": "XML"}}), "spec.evaluation.mode"),
    ] {
        let found = parse(&policy(spec)).unwrap_err().to_string();
        assert!(found.contains(words), "`{found}` lacks `{words}`");
    }
    let payloads = parsed(&policy(json!({"evaluation": {"mode": "JSON"}})));
    assert_eq!(payloads.not_supported().count(), 1);
}

#[test]
fn two_kinds_may_share_a_name() {
    let classic = json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
        "spec": {"rules": [{
            "name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "validate": {"cel": {"expressions": [{"expression": "true"}]}},
        }]},
    });
    let (set, duplicates) = PolicySet::compile(vec![
        parse(&classic).unwrap(),
        parsed(&asks("true")),
        parsed(&asks("true")),
    ]);
    assert_eq!((set.policies().len(), duplicates.len()), (2, 1));
}
