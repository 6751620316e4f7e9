//! Documents that are refused, and how that is said.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use proofstream_policy::{PolicyException, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

fn policy() -> Value {
    json!({
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "p"},
        "spec": {"rules": [{
            "name": "r",
            "match": {"any": [{"resources": {"kinds": ["Pod"], "operations": ["CREATE"]}}]},
            "context": [{"name": "c", "variable": {"jmesPath": "request.object"}}],
            "preconditions": {"all": [{"key": "a", "operator": "Equals", "value": "a"}]},
            "validate": {
                "message": "m",
                "deny": {"conditions": {"any": [
                    {"key": "{{ request.object.spec }}", "operator": "GreaterThan", "value": 1},
                ]}},
            },
        }]},
    })
}

fn broken(pointer: &str, value: Value) -> String {
    let mut document = policy();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[key] = value;
    parse(&document).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    assert!(parse(&policy()).is_ok());
    let rule = "/spec/rules/0";
    let at = |rest: &str| format!("{rule}{rest}");
    let condition = at("/validate/deny/conditions/any/0");
    let said = [
        broken(&format!("{condition}/operator"), json!("GreaterThn")),
        broken(&format!("{condition}/key"), json!("{{ request.object. }}")),
        broken(&format!("{condition}/key"), json!("{{ lenght(request.object) }}")),
        broken(&format!("{condition}/keys"), json!(1)),
        broken(&at("/validate/denny"), json!({})),
        broken(&at("/validate/pattern"), json!({"a": 1})),
        broken(&at("/validate"), json!({"message": "m"})),
        broken(&at("/match"), json!({"any": [{"resources": {"kind": ["Pod"]}}]})),
        broken(
            &at("/match"),
            json!({"any": [{"resources": {"kinds": ["Pod"], "operations": ["CREAT"]}}]}),
        ),
        broken(&at("/match"), json!({"any": [{"resources": {}}]})),
        broken(&at("/match"), json!({})),
        broken(&at("/match"), json!({"any": [{"subjects": [{"kind": "Person", "name": "x"}]}]})),
        broken(&at("/match"), json!({"any": [{"resources": {"kinds": ["a/b/c/d/e"]}}]})),
        broken(
            &at("/match"),
            json!({"any": [{"resources": {"kinds": ["Pod"], "selector": {"matchExpressions": [{"key": "a", "operator": "Exist"}]}}}]}),
        ),
        broken(&at("/context"), json!([{"name": "c"}])),
        broken(&at("/context"), json!([{"name": "c", "variable": {}}])),
        broken(&at("/name"), json!("")),
        broken(&at("/mutate"), json!({})),
        broken("/spec/validationFailureAction", json!("Enforced")),
        broken("/spec/webhookTimeoutSeconds", json!(60)),
        broken("/spec/rules", json!([])),
        broken("/spec/rule", json!([])),
        broken("/kind", json!("ClusterPolice")),
        broken("/metadata/name", json!(3)),
        parse(&json!([])).unwrap_err().to_string(),
        PolicyException::parse(&json!({
            "apiVersion": "kyverno.io/v2", "kind": "PolicyException", "metadata": {"name": "e"},
            "spec": {"match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "exceptions": []},
        }))
        .unwrap_err()
        .to_string(),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

/// JSON made of the words of policies, so that much of it is nearly one.
fn nearly_a_policy() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "Pod",
        "*",
        "CREATE",
        "{{ element.a || 'x' }}",
        "{{",
        "$(./../a)",
        "Equals",
        "AnyIn",
        "a/b/c",
        "request.object.spec.containers",
        "request.object",
        "<10 | >=20",
        "X(a)",
        "",
        "Enforce",
    ]);
    let keys = prop::sample::select(vec![
        "any",
        "all",
        "resources",
        "kinds",
        "deny",
        "conditions",
        "key",
        "operator",
        "value",
        "foreach",
        "list",
        "pattern",
        "anyPattern",
        "context",
        "name",
        "variable",
        "jmesPath",
        "spec",
        "(a)",
        "X(a)",
        "message",
        "preconditions",
        "namespaces",
        "selector",
        "matchLabels",
    ]);
    let leaf = prop_oneof![
        words.prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map(keys.clone(), inner, 0..4).prop_map(|members| {
                Value::Object(
                    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_makes_the_parser_panic(
        matched in nearly_a_policy(),
        validate in nearly_a_policy(),
        preconditions in nearly_a_policy(),
    ) {
        let mut document = policy();
        document["spec"]["rules"][0]["validate"] = validate;
        let _ = parse(&document);
        document["spec"]["rules"][0]["preconditions"] = preconditions;
        document["spec"]["rules"][0]["match"] = matched;
        let _ = parse(&document);
    }
}
