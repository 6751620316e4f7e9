//! Mutate rules: what they change, what they say, what they cost.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, Lookup, Mutation, Operation, PolicyException, PolicySet, Request,
    RuleKind, Status, parse,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn policy(name: &str, rules: Value) -> Value {
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {"rules": rules},
    })
}

fn rule(name: &str, mutate: Value) -> Value {
    json!({
        "name": name, "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "mutate": mutate,
    })
}

fn merge(patch: Value) -> Value {
    json!({"patchStrategicMerge": patch})
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "team-a", "labels": {"app": "web"}},
        "spec": {"containers": [
            {"name": "one", "image": "nginx", "volumeMounts": [{"name": "v"}, {"name": "w"}]},
            {"name": "two", "image": "ghcr.io/a/b:1"},
        ]},
    })
}

fn environment() -> Environment {
    Environment::at(Timestamp::UNIX_EPOCH)
}

fn compile(documents: &[Value]) -> PolicySet {
    PolicySet::compile(documents.iter().map(|document| parse(document).unwrap()).collect()).0
}

fn done<T>(evaluation: Evaluation<T>) -> T {
    match evaluation {
        Evaluation::Done(done) => done,
        Evaluation::Needs(lookups) => panic!("needs {lookups:?}"),
    }
}

fn mutate(documents: &[Value], object: Value) -> Mutation {
    done(compile(documents).mutate(&Request::create(object), &environment()))
}

/// What one rule makes of the pod: its word, and the object where it changed.
fn one(body: Value) -> (Status, String, Option<Value>) {
    let mut made = mutate(&[policy("p", json!([rule("r", body)]))], pod());
    let response = made.responses.pop().unwrap();
    assert_eq!(response.kind, RuleKind::Mutate);
    (response.status, response.message, made.object)
}

#[test]
fn a_rule_passes_where_it_changes_something_and_skips_where_not() {
    let (status, message, object) =
        one(merge(json!({"metadata": {"labels": {"team": "{{ request.namespace }}"}}})));
    assert_eq!((status, message.as_str()), (Status::Pass, "mutated Pod/p in namespace team-a"));
    assert_eq!(object.unwrap()["metadata"]["labels"], json!({"app": "web", "team": "team-a"}));
    for (body, reason) in [
        (merge(json!({"metadata": {"labels": {"app": "web"}}})), "they change nothing"),
        (merge(json!({"metadata": {"(name)": "q", "x": 1}})), "condition `metadata.name` does not"),
        (merge(json!({"metadata": {"labels": {"+(app)": "x"}}})), "nothing of the patch is left"),
        (
            json!({"patchesJson6902": "[{\"op\": \"remove\", \"path\": \"/spec/x\"}]"}),
            "they change nothing",
        ),
        (
            json!({"foreach": [{"list": "request.object.spec.volumes || `[]`",
                "patchesJson6902": "- {op: remove, path: /x}"}]}),
            "no loop changes anything",
        ),
    ] {
        let (status, message, object) = one(body);
        assert_eq!((status, object), (Status::Skip, None), "{message}");
        assert!(message.contains(reason), "{message}");
    }
    for (body, reason) in [
        (merge(json!({"x": "{{ request.object.missing }}"})), "unknown key `missing`"),
        (merge(json!({"spec": {"containers": "x"}})), "`spec.containers`: the patch has string"),
        (json!({"patchesJson6902": "- {op: replace, path: /x, value: 1}"}), "`/x` is not in"),
        (
            json!({"patchesJson6902": "- {op: test, path: /kind, value: '{{ request.name }}'}"}),
            "test failed",
        ),
        (json!({"patchesJson6902": "{{ request.name }}: x"}), "must be a list of operations"),
        (
            json!({"foreach": [{"list": "request.object.missing",
                "patchesJson6902": "- {op: remove, path: /x}"}]}),
            "foreach[0].list: unknown key `missing`",
        ),
    ] {
        let (status, message, object) = one(body);
        assert_eq!((status, object), (Status::Error, None), "{message}");
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn an_error_refuses_unless_the_policy_says_otherwise() {
    let mut document = policy("p", json!([rule("r", merge(json!({"x": "{{ nothing }}"})))]));
    assert!(mutate(&[document.clone()], pod()).responses[0].refuses());
    document["spec"]["failurePolicy"] = json!("Ignore");
    assert!(!mutate(&[document], pod()).responses[0].refuses());
}

#[test]
fn each_rule_works_on_what_the_one_before_left() {
    let label = |key: &str, value: &str| merge(json!({"metadata": {"labels": {key: value}}}));
    let documents = [
        policy(
            "b",
            json!([
                rule("first", label("x", "{{ request.object.metadata.labels.x }}-b")),
                rule("second", label("y", "{{ request.object.metadata.labels.x }}")),
            ]),
        ),
        policy("a", json!([rule("r", label("x", "a"))])),
        // Matches only what the others have made of the pod.
        policy("c", {
            let mut rule = rule("r", label("x", "c"));
            rule["match"]["any"][0]["resources"]["selector"] = json!({"matchLabels": {"y": "a-b"}});
            json!([rule])
        }),
    ];
    let made = mutate(&documents, pod());
    let said: Vec<_> = made.responses.iter().map(|r| (&*r.policy, &*r.rule, r.status)).collect();
    let pass = Status::Pass;
    assert_eq!(
        said,
        [("a", "r", pass), ("b", "first", pass), ("b", "second", pass), ("c", "r", pass)]
    );
    let object = made.object.clone().unwrap();
    assert_eq!(object["metadata"]["labels"], json!({"app": "web", "x": "c", "y": "a-b"}));

    // The patch for the API server leads from the one object to the other.
    let mut patched = pod();
    json_patch::patch(&mut patched, &made.patch(&pod())).unwrap();
    assert_eq!(patched, object);
    assert!(Mutation::default().patch(&pod()).is_empty());

    // Mutate rules do not judge, and validate rules do not change.
    let set = compile(&documents);
    assert!(done(set.evaluate(&Request::create(pod()), &environment())).is_empty());
}

#[test]
fn only_the_first_rule_that_changes_counts_where_one_is_to_apply() {
    let mut document = policy(
        "p",
        json!([
            rule("none", merge(json!({"metadata": {"labels": {"+(app)": "x"}}}))),
            rule("first", merge(json!({"a": 1}))),
            rule("second", merge(json!({"b": 1}))),
        ]),
    );
    document["spec"]["applyRules"] = json!("One");
    let object = mutate(&[document], pod()).object.unwrap();
    assert_eq!((object.get("a"), object.get("b")), (Some(&json!(1)), None));
}

#[test]
fn loops_see_the_object_as_it_was_when_they_began() {
    let mounts =
        "- {op: remove, path: '/spec/containers/{{elementIndex0}}/volumeMounts/{{elementIndex1}}'}";
    let (status, message, object) = one(json!({"foreach": [
        {
            "list": "request.object.spec.containers",
            "foreach": [{
                "list": "element.volumeMounts || `[]`",
                "order": "Descending",
                "preconditions": {"all": [
                    {"key": "{{ element.name }}", "operator": "AnyIn", "value": ["v", "w"]}]},
                "patchesJson6902": mounts,
            }],
        },
        {
            // What the loop before did is seen here.
            "list": "request.object.spec.containers[?volumeMounts]",
            "context": [{"name": "size", "variable": {"value": "{{ length(element.volumeMounts) }}"}}],
            "patchStrategicMerge": {
                "metadata": {"annotations": {"mounts-{{ element.name }}": "{{ to_string(size) }}"}},
            },
        },
    ]}));
    assert_eq!(status, Status::Pass, "{message}");
    let object = object.unwrap();
    assert_eq!(object["spec"]["containers"][0]["volumeMounts"], json!([]));
    assert_eq!(object["metadata"].get("annotations"), None);
}

#[test]
fn a_merge_in_a_loop_runs_backwards_unless_told() {
    let names = |order: Value| {
        let body = json!({"foreach": [{"list": "request.object.spec.containers", "order": order,
            "patchStrategicMerge": {"spec": {"initContainers": [{"name": "i-{{ element.name }}"}]}}}]});
        let object = one(body).2.unwrap();
        let names = object["spec"]["initContainers"].as_array().unwrap().iter();
        names.map(|each| each["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(Value::Null), ["i-one", "i-two"]);
    assert_eq!(names(json!("Descending")), ["i-one", "i-two"]);
    assert_eq!(names(json!("Ascending")), ["i-two", "i-one"]);
}

#[test]
fn rules_for_pods_are_carried_over_to_controllers() {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"},
        "spec": {"template": {"spec": pod()["spec"]}},
    });
    let loops = json!({"foreach": [{"list": "request.object.spec.containers",
        "patchStrategicMerge": {"spec": {"containers": [
            {"(name)": "{{ element.name }}", "+(imagePullPolicy)": "Always"}]}}}]});
    let document = policy("p", json!([rule("r", loops)]));
    let made = mutate(&[document], deployment.clone());
    assert_eq!(&*made.responses[0].rule, "autogen-r");
    let containers = made.object.unwrap()["spec"]["template"]["spec"]["containers"].take();
    assert!(containers.as_array().unwrap().iter().all(|c| c["imagePullPolicy"] == "Always"));
    // Paths are those of a pod, and targets stay what they are: neither is carried over.
    for body in [
        json!({"patchesJson6902": "- {op: remove, path: /x}"}),
        json!({"foreach": [{"list": "a", "foreach": [
            {"list": "b", "patchesJson6902": "- {op: remove, path: /x}"}]}]}),
        json!({"targets": [{"apiVersion": "v1", "kind": "ConfigMap"}], "patchStrategicMerge": {"a": 1}}),
    ] {
        let document = policy("p", json!([rule("r", body)]));
        assert!(mutate(&[document], deployment.clone()).responses.is_empty());
    }
}

#[test]
fn exceptions_preconditions_and_operations_hold_for_mutation_too() {
    let mut document = policy("p", json!([rule("r", merge(json!({"a": 1})))]));
    let exception = PolicyException::parse(&json!({
        "apiVersion": "kyverno.io/v2", "kind": "PolicyException",
        "metadata": {"name": "e", "namespace": "n"},
        "spec": {"match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "exceptions": [{"policyName": "p", "ruleNames": ["r"]}]},
    }))
    .unwrap();
    let (set, _) = PolicySet::with_exceptions(vec![parse(&document).unwrap()], vec![exception]);
    let made = done(set.mutate(&Request::create(pod()), &environment()));
    assert_eq!((made.responses[0].status, made.object), (Status::Skip, None));

    document["spec"]["rules"][0]["preconditions"] = json!({"all": [{"key": "{{ request.operation }}", "operator": "Equals", "value": "UPDATE"}]});
    assert_eq!(mutate(&[document.clone()], pod()).responses[0].status, Status::Skip);
    let mut update = Request::create(pod());
    update.operation = Operation::Update;
    let set = compile(&[document]);
    assert!(done(set.mutate(&update, &environment())).object.is_some());
    let mut deletion = update;
    deletion.operation = Operation::Delete;
    assert!(done(set.mutate(&deletion, &environment())).responses.is_empty());
}

#[test]
fn lookups_are_asked_for_before_later_rules_run() {
    let mut first =
        rule("first", merge(json!({"metadata": {"labels": {"x": "{{ map.data.x }}"}}})));
    first["context"] = json!([{"name": "map", "configMap": {"name": "m", "namespace": "n"}}]);
    let second = rule(
        "second",
        merge(json!({"metadata": {"labels": {"y": "{{ request.object.metadata.labels.x }}"}}})),
    );
    let set = compile(&[policy("p", json!([first, second]))]);
    let request = Request::create(pod());
    let mut environment = environment();
    let Evaluation::Needs(lookups) = set.mutate(&request, &environment) else { panic!("no needs") };
    assert_eq!(lookups, [Lookup::ConfigMap { namespace: "n".into(), name: "m".into() }]);
    environment.answers.insert(lookups[0].clone(), Ok(json!({"data": {"x": "found"}})));
    let made = done(set.mutate(&request, &environment));
    assert_eq!(made.object.unwrap()["metadata"]["labels"]["y"], "found");
}

#[test]
fn targets_are_asked_for_and_changed() {
    let existing_body = || {
        json!({
            "mutateExistingOnPolicyUpdate": true,
            "targets": [{
                "apiVersion": "v1", "kind": "ConfigMap", "namespace": "{{ request.namespace }}",
                "name": "c-*", "selector": {"matchLabels": {"app": "{{ request.object.metadata.labels.app }}"}},
                "preconditions": {"all": [
                    {"key": "{{ target.data.on || '' }}", "operator": "Equals", "value": "yes"}]},
            }],
            "patchStrategicMerge": {"data": {"by": "{{ request.name }}", "was": "{{ target.metadata.name }}"}},
        })
    };
    let document = policy("p", json!([rule("r", existing_body())]));
    let parsed = parse(&document).unwrap();
    assert!(parsed.mutates_existing() && parsed.mutates_existing_on_update() && !parsed.mutates());
    let set = compile(&[document]);
    let request = Request::create(pod());
    let mut environment = environment();
    // The request's own object stays as it is.
    assert!(done(set.mutate(&request, &environment)).responses.is_empty());
    let Evaluation::Needs(lookups) = set.mutate_existing(&request, &environment) else {
        panic!("no needs")
    };
    let map = |name: &str, on: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "team-a", "labels": {"app": "web"}}, "data": {"on": on}})
    };
    let objects = [map("c-1", "yes"), map("c-2", "no"), map("d", "yes")];
    let selected: Vec<Value> =
        objects.iter().filter(|object| lookups[0].selects(object)).cloned().collect();
    assert_eq!(selected.len(), 2);
    environment.answers.insert(lookups[0].clone(), Ok(Value::Array(selected)));
    let made = done(set.mutate_existing(&request, &environment));
    let said: Vec<_> = made
        .iter()
        .map(|each| (each.response.resource.name.as_str(), each.response.status))
        .collect();
    assert_eq!(said, [("c-1", Status::Pass), ("c-2", Status::Skip)]);
    let data = &made[0].object.as_ref().unwrap()["data"];
    assert_eq!(*data, json!({"by": "p", "on": "yes", "was": "c-1"}));

    // Of a stored object nobody knows who asked for it.
    let mut for_some = policy("p", json!([rule("r", existing_body())]));
    for_some["spec"]["rules"][0]["match"] = json!({"any": [{"resources": {"kinds": ["Pod"]},
        "subjects": [{"kind": "User", "name": "ann"}]}]});
    environment.offline = false;
    let made = done(compile(&[for_some]).mutate_existing(&request, &environment));
    assert_eq!(made[0].response.status, Status::Error);
    assert!(made[0].response.message.contains("names users"), "{}", made[0].response.message);

    environment.answers.insert(lookups[0].clone(), Err("forbidden".to_owned()));
    let made = done(set.mutate_existing(&request, &environment));
    assert_eq!(made[0].response.status, Status::Error);
    assert!(made[0].response.message.contains("forbidden"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let said: Vec<String> = [
        json!({}),
        json!({"patchStrategicMerge": {}, "patchesJson6902": "- {op: remove, path: /x}"}),
        json!({"patchStrategicMerg": {}}),
        json!({"patchStrategicMerge": []}),
        json!({"patchStrategicMerge": {"a": {"^(b)": []}}}),
        json!({"patchStrategicMerge": {"a": "{{ b. }}"}}),
        json!({"patchesJson6902": "- {op: remov, path: /x}"}),
        json!({"patchesJson6902": [{"op": "remove", "path": "/x"}]}),
        json!({"foreach": []}),
        json!({"foreach": [{"list": "a"}]}),
        json!({"foreach": [{"patchStrategicMerge": {}}]}),
        json!({"foreach": [{"list": "a", "order": "Descnding", "patchStrategicMerge": {}}]}),
        json!({"foreach": [{"list": "a", "foreach": [{"list": "b", "patchesJson6902": "- {}"}]}]}),
        json!({"targets": [{"kind": "Pod"}], "patchStrategicMerge": {}}),
        json!({"targets": [{"apiVersion": "v1", "kind": "Pod", "selector": {"matchLabel": {}}}],
            "patchStrategicMerge": {}}),
        json!({"mutateExistingOnPolicyUpdate": "yes", "patchStrategicMerge": {}}),
    ]
    .into_iter()
    .map(|body| parse(&policy("p", json!([rule("r", body)]))).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(said.join("\n"));
}

/// An object of about a megabyte and a half.
fn large() -> Value {
    let mut object = pod();
    let containers: Vec<Value> = (0..2_000)
        .map(|number| json!({"name": format!("c{number}"), "image": "x".repeat(700)}))
        .collect();
    object["spec"]["containers"] = Value::Array(containers);
    object
}

fn timed(body: Value, object: Value) -> (Status, String, Duration) {
    let set = compile(&[policy("p", json!([rule("r", body)]))]);
    let request = Request::create(object);
    let begun = Instant::now();
    let made = done(set.mutate(&request, &environment()));
    (made.responses[0].status, made.responses[0].message.clone(), begun.elapsed())
}

#[test]
fn large_objects_and_hostile_patches_are_bounded() {
    let limit = Duration::from_secs(20);
    let body = json!({"foreach": [{"list": "request.object.spec.containers", "patchesJson6902":
        "- {op: add, path: '/spec/containers/{{elementIndex}}/imagePullPolicy', value: Always}"}]});
    let (status, message, took) = timed(body, large());
    assert_eq!(status, Status::Pass, "{message}");
    assert!(took < limit, "{took:?}");

    // Doubling the object again and again ends with an error.
    let copy = |number| format!("- {{op: copy, from: /spec, path: /spec/x{number}}}\n");
    let operations: String = (0..40).map(copy).collect();
    let (status, message, took) = timed(json!({"patchesJson6902": operations}), pod());
    assert_eq!(status, Status::Error);
    assert!(message.contains("steps") || message.contains("deeper"), "{message}");
    assert!(took < limit, "{took:?}");

    let body = json!({"foreach": [{"list": "range(`0`, `1000`) || [`1`]", "patchesJson6902": "- {op: remove, path: /x}"}]});
    assert!(parse(&policy("p", json!([rule("r", body)]))).is_err());

    let swallowing = json!({"foreach": [{"list": "split('a,b,c,d,e,f,g,h', ',')", "foreach": [
        {"list": "split('a,b,c,d,e,f,g,h', ',')",
         "patchStrategicMerge": {"x-{{ elementIndex0 }}-{{ elementIndex1 }}": "{{ request.object }}"}}]}]});
    let (status, message, took) = timed(swallowing, large());
    assert!(took < limit, "{took:?}");
    assert!(matches!(status, Status::Pass | Status::Error), "{message}");
}

fn nearly_a_mutation() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "request.object.spec.containers",
        "{{ element.name }}",
        "{{ element }}",
        "- {op: add, path: /spec/-1/x, value: '{{ element }}'}",
        "- {op: copy, from: '', path: /x}",
        "Ascending",
        "*",
        "delete",
    ]);
    let keys = prop::sample::select(vec![
        "foreach",
        "list",
        "order",
        "patchStrategicMerge",
        "patchesJson6902",
        "spec",
        "containers",
        "name",
        "(name)",
        "+(x)",
        "<(y)",
        "$patch",
        "targets",
        "context",
        "preconditions",
    ]);
    let leaf = prop_oneof![
        words.prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map(keys.clone(), inner, 0..4).prop_map(|members| {
                Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_mutation_makes_the_engine_panic(body in nearly_a_mutation(), patch in nearly_a_mutation()) {
        let loops = json!({"foreach": [{"list": "request.object.spec.containers",
            "patchStrategicMerge": {"spec": patch.clone()}}]});
        for body in [body, merge(json!({"spec": patch})), loops] {
            if let Ok(parsed) = parse(&policy("p", json!([rule("r", body)]))) {
                let set = PolicySet::compile(vec![parsed]).0;
                let _ = set.mutate(&Request::create(pod()), &environment());
                let _ = set.mutate_existing(&Request::create(pod()), &environment());
            }
        }
    }
}
