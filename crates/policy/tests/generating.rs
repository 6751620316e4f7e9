//! GeneratingPolicy: what its expressions make.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use jiff::Timestamp;
use proofstream_policy::{
    Answer, Environment, Evaluation, Generation, Lookup, PolicySet, Request, Status, parse,
};
use serde_json::{Value, json};

fn policy(kind: &str, expressions: &[&str], more: &Value) -> Value {
    let generate: Vec<Value> =
        expressions.iter().map(|expression| json!({ "expression": expression })).collect();
    let mut spec = json!({
        "matchConstraints": { "resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["namespaces", "configmaps"],
        }] },
        "variables": [{ "name": "here", "expression": "object.metadata.name" }],
        "generate": generate,
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "apiVersion": "policies.kyverno.io/v1", "kind": kind,
        "metadata": { "name": "makes", "namespace": "home" }, "spec": spec,
    })
}

fn namespace() -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } })
}

fn make(policy: &Value, object: Value, answers: &[(Lookup, Answer)]) -> Generation {
    let (set, _) = PolicySet::compile(vec![parse(policy).unwrap()]);
    let mut environment = Environment::at(Timestamp::UNIX_EPOCH);
    environment.answers.extend(answers.iter().cloned());
    environment.offline = answers.is_empty();
    match set.generate(&Request::create(object), &environment) {
        Evaluation::Done(generation) => generation,
        Evaluation::Needs(lookups) => unreachable!("{lookups:?}"),
    }
}

const QUOTA: &str = "generator.Apply(variables.here, [{
    'apiVersion': dyn('v1'), 'kind': dyn('ResourceQuota'),
    'metadata': dyn({'name': 'quota'}), 'spec': dyn({'hard': {'pods': '10'}}),
}])";

#[test]
fn objects_are_made_in_the_namespace_that_is_named() {
    let generation = make(&policy("GeneratingPolicy", &[QUOTA], &json!({})), namespace(), &[]);
    assert_eq!(generation.responses[0].status, Status::Pass);
    let made = &generation.objects[0];
    assert_eq!((made.name.namespace.as_deref(), made.name.name.as_str()), (Some("shop"), "quota"));
    assert_eq!(made.object["spec"], json!({ "hard": { "pods": "10" } }));
    assert!(made.object["metadata"]["labels"].is_object(), "it says who made it");
    assert!(!made.synchronize);
    let evaluation = json!({ "evaluation": { "synchronize": { "enabled": true } } });
    let generation = make(&policy("GeneratingPolicy", &[QUOTA], &evaluation), namespace(), &[]);
    assert!(generation.objects[0].synchronize);
}

#[test]
fn conditions_and_faults_make_nothing() {
    let never =
        json!({ "matchConditions": [{ "name": "never", "expression": "variables.here == 'x'" }] });
    let generation = make(&policy("GeneratingPolicy", &[QUOTA], &never), namespace(), &[]);
    assert_eq!((generation.responses[0].status, generation.objects.len()), (Status::Skip, 0));
    for (expression, message) in [
        ("generator.Apply('', [object.metadata.missing])", "no such key"),
        ("generator.Apply('', [{'kind': dyn('X')}])", "no `apiVersion`"),
    ] {
        let document = policy("GeneratingPolicy", &[expression], &json!({}));
        let generation = make(&document, namespace(), &[]);
        let response = &generation.responses[0];
        assert_eq!((response.status, generation.objects.len()), (Status::Error, 0));
        assert!(response.message.contains(message), "{}", response.message);
    }
}

#[test]
fn what_the_cluster_has_is_copied_without_its_life_there() {
    let copies =
        "generator.Apply(variables.here, [resource.Get('v1', 'secrets', 'vault', 'pull')])";
    let document = policy("GeneratingPolicy", &[copies], &json!({}));
    let url_path = "/api/v1/namespaces/vault/secrets/pull".to_owned();
    let lookup = Lookup::ApiCall { method: "GET".to_owned(), url_path, body: None };
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "data": { "a": "Yg==" },
        "metadata": { "name": "pull", "namespace": "vault", "uid": "u", "resourceVersion": "5" },
    });
    let generation = make(&document, namespace(), &[(lookup, Ok(secret))]);
    let made = &generation.objects[0];
    assert_eq!(made.object["metadata"]["namespace"], "shop");
    assert_eq!(made.object["metadata"].get("resourceVersion"), None);
    assert_eq!(made.source.as_ref().unwrap().namespace.as_deref(), Some("vault"));
}

#[test]
fn a_policy_of_a_namespace_makes_nothing_outside_of_it() {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x", "namespace": "home" },
    });
    let outside = QUOTA.replace("variables.here", "'elsewhere'");
    let document = policy("NamespacedGeneratingPolicy", &[&outside], &json!({}));
    let generation = make(&document, object.clone(), &[]);
    assert_eq!((generation.responses[0].status, generation.objects.len()), (Status::Error, 0));
    let inside = QUOTA.replace("variables.here", "'home'");
    let document = policy("NamespacedGeneratingPolicy", &[&inside], &json!({}));
    assert_eq!(make(&document, object, &[]).objects.len(), 1);
}

#[test]
fn only_such_policies_know_the_generator() {
    let document = json!({
        "apiVersion": "policies.kyverno.io/v1", "kind": "ValidatingPolicy",
        "metadata": { "name": "p" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
            }] },
            "validations": [{ "expression": "generator.Apply('', [])" }],
        },
    });
    assert!(parse(&document).is_err());
}
