//! Generate rules: what is made of a request, what is copied, what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, Generation, KnownKinds, Lookup, Operation, Phase, PolicySet, Request,
    Status, UserInfo, parse,
};
use serde_json::{Value, json};

fn policy(kinds: Value, generate: Value) -> Value {
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
        "spec": {"rules": [{
            "name": "r",
            "match": {"any": [{"resources": {"kinds": kinds}}]},
            "generate": generate,
        }]},
    })
}

fn compile(document: &Value) -> PolicySet {
    PolicySet::compile(vec![parse(document).unwrap()]).0
}

fn environment() -> Environment {
    Environment::at(Timestamp::UNIX_EPOCH)
}

fn namespace(labels: Value) -> Request {
    Request::create(json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "uid": "u-1", "labels": labels}}))
}

fn generate(document: &Value, request: &Request, environment: &Environment) -> Generation {
    match compile(document).generate(request, environment) {
        Evaluation::Done(generation) => generation,
        Evaluation::Needs(lookups) => panic!("needs {lookups:?}"),
    }
}

fn refused(document: &Value) -> String {
    parse(document).unwrap_err().to_string()
}

fn data() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "name": "default-deny",
        "namespace": "{{ request.object.metadata.name }}", "synchronize": true,
        "data": {"metadata": {"labels": {"team": "{{ request.object.metadata.labels.team }}"}},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "$(./../0)"]}},
    })
}

#[test]
fn data_becomes_a_whole_object() {
    let document = policy(json!(["Namespace"]), data());
    let made = generate(&document, &namespace(json!({"team": "till"})), &environment());
    assert_eq!(made.responses.len(), 1);
    assert_eq!(made.responses[0].status, Status::Pass);
    assert_eq!(made.responses[0].message, "generates NetworkPolicy `shop/default-deny`");
    let object = &made.objects[0];
    assert!(object.synchronize && !object.orphan_on_policy_delete && object.source.is_none());
    assert_eq!(
        object.object,
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "default-deny", "namespace": "shop", "labels": {
                "team": "till",
                "app.kubernetes.io/managed-by": "kyverno",
                "generate.kyverno.io/policy-name": "p",
                "generate.kyverno.io/policy-namespace": "",
                "generate.kyverno.io/rule-name": "r",
                "generate.kyverno.io/trigger-group": "",
                "generate.kyverno.io/trigger-version": "v1",
                "generate.kyverno.io/trigger-kind": "Namespace",
                "generate.kyverno.io/trigger-namespace": "",
                "generate.kyverno.io/trigger-uid": "u-1",
            }},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Ingress"]},
        })
    );
    // A variable that cannot be filled makes nothing.
    let made = generate(&document, &namespace(json!({})), &environment());
    assert_eq!((made.responses[0].status, made.objects.len()), (Status::Error, 0));
    // Judging is not the business of such a rule, and the webhook need not know of it.
    let set = compile(&document);
    let judged = set.evaluate(&namespace(json!({})), &environment());
    assert!(matches!(judged, Evaluation::Done(responses) if responses.is_empty()));
    assert!(set.admission_scope(&KnownKinds::default(), Phase::Validate)[0].rules.is_empty());
    let scope = set.generation_scope(&KnownKinds::default());
    assert_eq!(scope.iter().map(|rule| rule.resource.as_str()).collect::<Vec<_>>(), ["namespaces"]);
}

#[test]
fn preconditions_and_deletions_make_nothing() {
    let mut document = policy(json!(["Namespace"]), data());
    document["spec"]["rules"][0]["preconditions"] = json!({"all": [{
        "key": "{{ request.object.metadata.labels.team || '' }}", "operator": "Equals", "value": "till"}]});
    let made = generate(&document, &namespace(json!({"team": "hall"})), &environment());
    assert_eq!((made.responses[0].status, made.objects.len()), (Status::Skip, 0));
    let mut gone = namespace(json!({"team": "till"}));
    gone.operation = Operation::Delete;
    gone.old_object = gone.object.take();
    assert!(generate(&document, &gone, &environment()).responses.is_empty());
    document["spec"]["rules"][0]["match"]["any"][0]["resources"]["operations"] = json!(["DELETE"]);
    assert_eq!(generate(&document, &gone, &environment()).objects.len(), 1);
}

fn clone() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "name": "pull",
        "namespace": "{{ request.object.metadata.name }}",
        "clone": {"namespace": "vault", "name": "regcred"}})
}

#[test]
fn a_clone_asks_for_its_source_and_takes_no_more_than_its_content() {
    let document = policy(json!(["Namespace"]), clone());
    let request = namespace(json!({}));
    let Evaluation::Needs(needs) = compile(&document).generate(&request, &environment()) else {
        panic!("the source is not asked for");
    };
    let lookup = Lookup::Object {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        namespace: Some("vault".to_owned()),
        name: "regcred".to_owned(),
    };
    assert_eq!(needs, std::slice::from_ref(&lookup));

    let mut environment = environment();
    let source = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "data": {"a": "MQ=="}, "metadata": {"name": "regcred", "namespace": "vault", "uid": "u-2",
        "resourceVersion": "7", "creationTimestamp": "2024-01-01T00:00:00Z", "finalizers": ["x/y"],
        "ownerReferences": [{"name": "o"}], "labels": {"kept": "yes"}}});
    environment.answers.insert(lookup.clone(), Ok(source));
    let made = generate(&document, &request, &environment);
    let object = &made.objects[0];
    assert_eq!(object.object["data"], json!({"a": "MQ=="}));
    let metadata = object.object["metadata"].as_object().unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["labels", "name", "namespace"]);
    assert_eq!(metadata["labels"]["kept"], "yes");
    assert_eq!(metadata["labels"]["generate.kyverno.io/source-name"], "regcred");
    assert_eq!(object.source.as_ref().unwrap().name, "regcred");

    environment.answers.insert(lookup, Err("Secret `vault/regcred` does not exist".to_owned()));
    let made = generate(&document, &request, &environment);
    assert_eq!((made.responses[0].status, made.objects.len()), (Status::Error, 0));
    assert_eq!(made.responses[0].message, "clone source: Secret `vault/regcred` does not exist");
}

#[test]
fn a_clone_list_copies_what_its_selector_takes_under_its_own_name() {
    let document = policy(
        json!(["Namespace"]),
        json!({"namespace": "{{ request.object.metadata.name }}", "cloneList": {
            "namespace": "vault", "kinds": ["v1/Secret", "ConfigMap"],
            "selector": {"matchLabels": {"share": "yes"}}}}),
    );
    let mut environment = environment();
    for (kind, items) in [
        (
            "Secret",
            json!({"items": [{"metadata": {"name": "a", "labels": {"share": "yes"}}},
            {"metadata": {"name": "b"}}]}),
        ),
        ("ConfigMap", json!([{"metadata": {"name": "c", "labels": {"share": "yes"}}}])),
    ] {
        let lookup = Lookup::Objects {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: "vault".to_owned(),
            name: String::new(),
            selector: None,
        };
        environment.answers.insert(lookup, Ok(items));
    }
    let made = generate(&document, &namespace(json!({})), &environment);
    let names: Vec<_> =
        made.objects.iter().map(|made| (&*made.name.kind, &*made.name.name)).collect();
    assert_eq!(names, [("Secret", "a"), ("ConfigMap", "c")]);
    assert!(made.objects.iter().all(|made| made.name.namespace.as_deref() == Some("shop")));
}

#[test]
fn each_element_is_made_on_its_own() {
    let document = policy(
        json!(["ConfigMap"]),
        json!({"synchronize": true, "foreach": [{
            "list": "split(request.object.data.names, ',')",
            "context": [{"name": "size", "variable": {"jmesPath": "length(element)"}}],
            "preconditions": {"all": [{"key": "{{ element }}", "operator": "NotEquals", "value": "skip"}]},
            "apiVersion": "v1", "kind": "ServiceAccount", "name": "{{ element }}", "namespace": "team",
            "data": {"metadata": {"annotations": {"place": "{{ elementIndex }}/{{ size }}"}}},
        }]}),
    );
    let request = Request::create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "m", "namespace": "x"}, "data": {"names": "one,skip,,three"}}));
    let made = generate(&document, &request, &environment());
    let names: Vec<_> = made
        .objects
        .iter()
        .map(|made| (&*made.name.name, &made.object["metadata"]["annotations"]["place"]))
        .collect();
    assert_eq!(names, [("one", &json!("0/3")), ("three", &json!("3/5"))]);
    // The empty name cannot be made; that is said, and the others are made.
    assert_eq!(made.responses[0].status, Status::Error);
    assert!(made.responses[0].message.contains("`name` of the object comes out empty"));
}

#[test]
fn what_rules_made_does_not_start_them() {
    let mut document = policy(
        json!(["Secret"]),
        json!({"apiVersion": "v1", "kind": "Secret", "namespace": "x", "name": "copy-{{ request.object.metadata.name }}", "data": {}}),
    );
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "y"}});
    let first = generate(&document, &Request::create(secret), &environment());
    let mut again = Request::create(first.objects[0].object.clone());
    assert_eq!(generate(&document, &again, &environment()).responses[0].status, Status::Skip);
    // Whoever asks and whatever the rule takes: its own product never starts it.
    again.user = Some(UserInfo::default());
    document["spec"]["rules"][0]["skipBackgroundRequests"] = json!(false);
    assert_eq!(generate(&document, &again, &environment()).responses[0].status, Status::Skip);
    document["spec"]["rules"][0]["name"] = json!("other");
    assert_eq!(generate(&document, &again, &environment()).responses[0].status, Status::Pass);
}

#[test]
fn a_rule_for_some_users_makes_nothing_for_nobody() {
    let mut document = policy(json!(["Namespace"]), data());
    document["spec"]["rules"][0]["match"]["any"][0]["subjects"] =
        json!([{"kind": "User", "name": "ann"}]);
    let mut request = namespace(json!({"team": "till"}));
    let made = generate(&document, &request, &environment());
    assert_eq!((made.responses[0].status, made.objects.len()), (Status::Error, 0));
    request.user = Some(UserInfo { username: "ann".to_owned(), ..UserInfo::default() });
    assert_eq!(generate(&document, &request, &environment()).objects.len(), 1);
    request.user = Some(UserInfo { username: "bob".to_owned(), ..UserInfo::default() });
    assert!(generate(&document, &request, &environment()).responses.is_empty());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let with = |change: fn(&mut Value)| {
        let mut generate = data();
        change(&mut generate);
        policy(json!(["Namespace"]), generate)
    };
    let mut flat = with(|_| {});
    flat["spec"]["rules"][0]["match"] =
        json!({"resources": {"kinds": ["networking.k8s.io/v1/NetworkPolicy"]}});
    let mut confined = policy(json!(["ConfigMap"]), clone());
    confined["kind"] = json!("Policy");
    confined["metadata"]["namespace"] = json!("team");
    let said = [
        refused(&with(|g| g["dat"] = json!({}))),
        refused(&with(|g| g["name"] = json!(""))),
        refused(&with(|g| g["clone"] = json!({"name": "x"}))),
        refused(&with(|g| g["foreach"] = json!([{"list": "request.object"}]))),
        refused(&with(|g| g["data"] = json!({"spec": "{{ request.object. }}"}))),
        refused(&policy(json!(["Namespace"]), json!({"cloneList": {"kinds": ["Widget"]}}))),
        refused(&policy(json!(["Namespace"]), json!({"cloneList": {"kinds": ["v1/"]}}))),
        refused(&policy(json!(["Namespace"]), json!({"cloneList": {"namespace": "x"}}))),
        refused(&flat),
        refused(&confined),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_policy_of_a_namespace_stays_inside_of_it() {
    let mut document = policy(
        json!(["ConfigMap"]),
        json!({"apiVersion": "v1", "kind": "Secret", "name": "n",
            "namespace": "{{ request.object.data.where }}", "data": {}}),
    );
    document["kind"] = json!("Policy");
    document["metadata"]["namespace"] = json!("team");
    let request = |place: &str| {
        Request::create(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "m", "namespace": "team"}, "data": {"where": place}}))
    };
    assert_eq!(generate(&document, &request("team"), &environment()).objects.len(), 1);
    let made = generate(&document, &request("kube-system"), &environment());
    assert_eq!((made.responses[0].status, made.objects.len()), (Status::Error, 0));
}
