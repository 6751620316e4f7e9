//! Apply configurations are merged as an API server merges them.

#![cfg(test)]

use proofstream_schema::{ApplyError, AtomicLists, Schemas, apply};
use serde_json::{Value, json};

fn pod(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
}

fn merged_by(lists: AtomicLists, live: &Value, configuration: &Value) -> Result<Value, ApplyError> {
    let shape = Schemas::built_in().of_kind("v1", "Pod");
    assert!(shape.is_some());
    apply(shape, &pod(live), &json!({"spec": configuration}), lists)
        .map(|object| object["spec"].clone())
}

fn merged(live: &Value, configuration: &Value) -> Result<Value, ApplyError> {
    merged_by(AtomicLists::Replaced, live, configuration)
}

#[test]
fn structures_are_merged_and_lists_with_keys_element_by_element() {
    let live = json!({
        "hostPID": true,
        "containers": [
            {"name": "a", "image": "x", "ports": [{"containerPort": 80, "name": "web"}]},
            {"name": "b", "image": "y"},
        ],
    });
    let configuration = json!({
        "hostPID": false,
        "containers": [
            {"name": "b", "image": "z", "securityContext": {"privileged": false}},
            {"name": "a", "ports": [
                {"containerPort": 80, "protocol": "TCP", "hostPort": 8080},
                {"containerPort": 80, "protocol": "UDP"},
            ]},
            {"name": "c"},
        ],
    });
    assert_eq!(
        merged(&live, &configuration).unwrap(),
        json!({
            "hostPID": false,
            "containers": [
                {"name": "b", "image": "z", "securityContext": {"privileged": false}},
                {"name": "a", "image": "x", "ports": [
                    // A protocol that is not written is TCP.
                    {"containerPort": 80, "name": "web", "protocol": "TCP", "hostPort": 8080},
                    {"containerPort": 80, "protocol": "UDP"},
                ]},
                {"name": "c"},
            ],
        })
    );
}

#[test]
fn elements_of_the_object_alone_stay_where_they_stood() {
    let names = |names: &[&str]| -> Value {
        let items: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({ "containers": items })
    };
    for (live, configuration, wanted) in [
        (&["a", "b", "c"][..], &["c"][..], &["a", "b", "c"][..]),
        (&["a", "b", "c"], &["n"], &["a", "b", "c", "n"]),
        (&["a", "b"], &["n", "a"], &["n", "a", "b"]),
        (&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]),
        (&[], &["n"], &["n"]),
    ] {
        let found = merged(&names(live), &names(configuration)).unwrap();
        assert_eq!(found, names(wanted), "{live:?} and {configuration:?}");
    }
}

#[test]
fn what_is_one_value_is_replaced_or_refused() {
    let live = json!({"containers": [{"name": "a", "command": ["x"]}]});
    let command = json!({"containers": [{"name": "a", "command": ["y"]}]});
    assert_eq!(merged(&live, &command).unwrap(), command);
    let refused = merged_by(AtomicLists::Refused, &live, &command).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "may not mutate atomic arrays, maps or structs: .spec.containers[0].command"
    );
    let refused = merged(&live, &json!({"nodeSelector": {"a": "b"}})).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "may not mutate atomic arrays, maps or structs: .spec.nodeSelector"
    );
}

#[test]
fn what_does_not_fit_the_type_is_named() {
    let wrong = |configuration: Value| merged(&json!({}), &configuration).unwrap_err().to_string();
    assert_eq!(wrong(json!({"hostpid": true})), ".spec.hostpid: field not declared in schema");
    assert_eq!(wrong(json!({"hostPID": "yes"})), ".spec.hostPID: expected boolean, got string");
    assert_eq!(
        wrong(json!({"containers": [{"name": "a"}, {"name": "a"}]})),
        ".spec.containers[1]: an element stands twice"
    );
}

#[test]
fn without_a_type_structures_are_merged_and_lists_replaced() {
    let live = json!({"spec": {"a": {"b": 1}, "list": [1]}});
    let configuration = json!({"spec": {"a": {"c": 2}, "list": [2]}});
    let found = apply(None, &live, &configuration, AtomicLists::Replaced).unwrap();
    assert_eq!(found, json!({"spec": {"a": {"b": 1, "c": 2}, "list": [2]}}));
}

#[test]
fn custom_resources_bring_their_types() {
    let document = json!({"components": {"schemas": {"dev.example.v1.Widget": {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"parts": {
            "type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["id"],
            "items": {"type": "object", "properties": {
                "id": {"type": "string"}, "size": {"type": "integer"},
            }},
        }}}},
        "x-kubernetes-group-version-kind":
            [{"group": "example.dev", "version": "v1", "kind": "Widget"}],
    }}}});
    let schemas = Schemas::read([&document]);
    let shape = schemas.of_kind("example.dev/v1", "Widget").unwrap();
    let live = json!({"spec": {"parts": [{"id": "a", "size": 1}, {"id": "b"}]}});
    let configuration = json!({"spec": {"parts": [{"id": "b", "size": 2}]}});
    let found = apply(Some(shape), &live, &configuration, AtomicLists::Refused).unwrap();
    assert_eq!(found, json!({"spec": {"parts": [{"id": "a", "size": 1}, {"id": "b", "size": 2}]}}));
    let keyless = json!({"spec": {"parts": [{"size": 2}]}});
    let refused = apply(Some(shape), &live, &keyless, AtomicLists::Refused).unwrap_err();
    assert_eq!(refused.to_string(), ".spec.parts[0]: an element omits key field `id`");
}
