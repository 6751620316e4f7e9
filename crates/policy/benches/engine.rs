//! What the engine costs: one pod against the article's two policies, compiling, a large set, CEL,
//! constraints, mutation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up must stop"
)]

use std::path::Path;

use divan::{Bencher, black_box};
use jiff::Timestamp;
use proofstream_policy::{
    ConstraintTemplate, Environment, Evaluation, Policy, PolicySet, Request, parse,
};
use serde_json::{Value, json};

fn main() {
    divan::main();
}

fn article(name: &str) -> Value {
    let path = Path::new("tests/article").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

fn article_policies() -> Vec<Value> {
    vec![article("require-hardened-securitycontext.yaml"), article("disallow-secret-env-vars.yaml")]
}

fn policies(documents: &[Value]) -> Vec<Policy> {
    documents.iter().map(|document| parse(document).unwrap()).collect()
}

fn pod(namespace: &str) -> Request {
    let container = |name: &str| {
        json!({
            "name": name,
            "image": "registry.example/app:1",
            "env": [{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "securityContext": {
                "privileged": false,
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
        })
    };
    Request::create(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "good", "namespace": namespace, "labels": {"app": "x"}},
        "spec": {"securityContext": {"runAsNonRoot": true}, "containers": [container("main"), container("side")]},
    }))
}

fn run(set: &PolicySet, request: &Request, environment: &Environment) -> usize {
    match set.evaluate(black_box(request), environment) {
        Evaluation::Done(responses) => responses.len(),
        Evaluation::Needs(_) => 0,
    }
}

#[divan::bench]
fn two_policies_one_pod(bencher: Bencher) {
    let (set, _) = PolicySet::compile(policies(&article_policies()));
    let request = pod("payments");
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    assert_eq!(run(&set, &request, &environment), 2);
    bencher.bench_local(|| run(&set, &request, &environment));
}

#[divan::bench]
fn two_policies_one_refused_pod(bencher: Bencher) {
    let (set, _) = PolicySet::compile(policies(&article_policies()));
    let mut request = pod("payments");
    if let Some(object) = &mut request.object {
        object["spec"]["containers"][1]["securityContext"]["privileged"] = json!(true);
    }
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    bencher.bench_local(|| run(&set, &request, &environment));
}

/// A hundred policies: half like the one, half like the other of the article's.
fn hundred() -> Vec<Value> {
    let article = article_policies();
    (0..100)
        .map(|number| {
            let mut document = article[number % 2].clone();
            document["metadata"]["name"] = json!(format!("policy-{number}"));
            document
        })
        .collect()
}

#[divan::bench]
fn compile_100_policies(bencher: Bencher) {
    let documents = hundred();
    bencher.bench_local(|| PolicySet::compile(policies(black_box(&documents))));
}

#[divan::bench]
fn one_pod_100_policies(bencher: Bencher) {
    let (set, _) = PolicySet::compile(policies(&hundred()));
    let request = pod("payments");
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    assert_eq!(run(&set, &request, &environment), 100);
    bencher.bench_local(|| run(&set, &request, &environment));
}

/// So many policies, of which ten match a pod in `payments`.
/// A hundred ValidatingPolicies of two expressions each that all match.
fn hundred_in_cel() -> PolicySet {
    let policy = |number: usize| {
        json!({
            "apiVersion": "policies.kyverno.io/v1",
            "kind": "ValidatingPolicy",
            "metadata": { "name": format!("policy-{number}") },
            "spec": {
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["pods"],
                }] },
                "variables": [{
                    "name": "containers",
                    "expression": "object.spec.containers + object.spec.?initContainers.orValue([])",
                }],
                "validations": [
                    { "expression": "variables.containers.all(c, c.?securityContext.?privileged.orValue(false) == false)" },
                    { "expression": format!("!('policy-{number}' in object.metadata.labels)") },
                ],
            },
        })
    };
    PolicySet::compile((0..100).map(|number| parse(&policy(number)).unwrap()).collect()).0
}

#[divan::bench]
fn one_pod_100_cel_policies(bencher: Bencher) {
    let set = hundred_in_cel();
    let request = pod("payments");
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    assert_eq!(run(&set, &request, &environment), 100);
    bencher.bench(|| run(&set, &request, &environment));
}

/// Gatekeeper's way: nineteen constraints, one pod.
fn constraints() -> PolicySet {
    let read = |name: &str| {
        let path = Path::new("../cli/benches/gatekeeper").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let documents = text.split("---\n").map(|one| serde_yaml_ng::from_str(one).unwrap());
        documents.collect::<Vec<Value>>()
    };
    let templates: Vec<ConstraintTemplate> =
        read("templates.yaml").iter().map(|one| ConstraintTemplate::parse(one).unwrap()).collect();
    let constraint = |document: &Value| {
        let template = templates.iter().find(|own| document["kind"] == own.kind()).unwrap();
        template.constraint(document).unwrap()
    };
    PolicySet::compile(read("constraints.yaml").iter().map(constraint).collect()).0
}

#[divan::bench]
fn one_pod_19_constraints(bencher: Bencher) {
    let set = constraints();
    let request = pod("payments");
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    assert_eq!(run(&set, &request, &environment), 19);
    bencher.bench(|| run(&set, &request, &environment));
}

fn ten_match(total: usize) -> PolicySet {
    let article = article("require-hardened-securitycontext.yaml");
    let documents: Vec<Value> = (0..total)
        .map(|number| {
            let mut document = article.clone();
            document["metadata"]["name"] = json!(format!("policy-{number:04}"));
            let resources = &mut document["spec"]["rules"][0]["match"]["any"][0]["resources"];
            match number % 3 {
                _ if number < 10 => resources["namespaces"] = json!(["payments"]),
                0 => resources["namespaces"] = json!([format!("team-{number}")]),
                1 => resources["namespaces"] = json!([format!("team-{number}-*")]),
                _ => resources["kinds"] = json!(["Service"]),
            }
            document
        })
        .collect();
    PolicySet::compile(policies(&documents)).0
}

#[divan::bench(args = [10, 1_000])]
fn ten_of_many_match(bencher: Bencher, total: usize) {
    let set = ten_match(total);
    let request = pod("payments");
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    assert_eq!(run(&set, &request, &environment), 10);
    bencher.bench_local(|| run(&set, &request, &environment));
}

/// A policy that fills in what containers lack, as libraries of policies do: a loop, a merge, a patch.
fn filling(number: usize) -> Value {
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
        "metadata": {"name": format!("fill-{number}")},
        "spec": {"rules": [
            {
                "name": "requests",
                "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "mutate": {"foreach": [{
                    "list": "request.object.spec.containers",
                    "patchStrategicMerge": {"spec": {"containers": [{
                        "(name)": "{{ element.name }}",
                        "resources": {"requests": {"+(memory)": "100Mi", "+(cpu)": "100m"}},
                    }]}},
                }]},
            },
            {
                "name": "label",
                "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "mutate": {"patchStrategicMerge": {
                    "metadata": {"labels": {format!("+(label-{number})"): "yes"}},
                }},
            },
            {
                "name": "first",
                "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "mutate": {"patchesJson6902":
                    format!("- {{op: add, path: /metadata/annotations/a-{number}, value: x}}")},
            },
        ]},
    })
}

#[divan::bench(args = [1, 20])]
fn mutate_one_pod(bencher: Bencher, policies_of_three_rules: usize) {
    let documents: Vec<Value> = (0..policies_of_three_rules).map(filling).collect();
    let (set, _) = PolicySet::compile(policies(&documents));
    let request = pod("payments");
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    let mutate = || match set.mutate(black_box(&request), &environment) {
        Evaluation::Done(mutation) => mutation,
        Evaluation::Needs(_) => panic!("nothing is looked up"),
    };
    let object = mutate().object.unwrap();
    assert_eq!(object["spec"]["containers"][1]["resources"]["requests"]["cpu"], "100m");
    bencher.bench_local(|| mutate().patch(request.object.as_ref().unwrap()).len());
}
