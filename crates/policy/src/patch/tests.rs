//! Patches on small objects, and what must hold for all.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn merged(patch: &Value, object: &Value) -> Result<Option<Value>, String> {
    let mut object = Cow::Borrowed(object);
    match merge_strategic(patch, &mut object) {
        Ok(Merged::Applied) => Ok(Some(object.into_owned())),
        Ok(Merged::Unmet(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn pod(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

/// The spec of a pod as a patch of it leaves it.
fn spec(patch: &Value, before: &Value) -> Value {
    let made = merged(&json!({"spec": patch}), &pod(before)).unwrap();
    made.map_or(Value::Null, |mut made| made["spec"].take())
}

#[test]
fn members_merge_and_null_deletes() {
    let before = json!({"a": {"b": 1, "c": {"d": 2}}, "e": [1, 2], "f": "x"});
    let patch = json!({"a": {"b": null, "c": {"g": null, "h": 3}}, "e": [9], "i": {"j": null}});
    let expected = json!({"a": {"c": {"d": 2, "h": 3}}, "e": [9], "f": "x", "i": {}});
    assert_eq!(spec(&patch, &before), expected);
    let said = merged(&json!({"spec": {"a": [1]}}), &pod(&before)).unwrap_err();
    assert_eq!(said, "`spec.a`: the patch has array where the object has object");
    let said = merged(&json!({"spec": {"e": {"x": 1}}}), &pod(&before)).unwrap_err();
    assert_eq!(said, "`spec.e`: the patch has object where the object has array");
}

#[test]
fn elements_of_keyed_lists_merge_and_those_of_the_patch_come_first() {
    let before = json!({"containers": [
        {"name": "a", "image": "a:1", "ports": [{"containerPort": 80, "protocol": "UDP"},
            {"containerPort": 80}], "args": ["x"]},
        {"name": "b", "image": "b:1"},
    ], "tolerations": [{"key": "t"}], "volumes": [{"name": "v", "emptyDir": {}}]});
    let patch = json!({
        "containers": [
            {"name": "new", "image": "n"},
            {"name": "b", "image": "b:2"},
            {"name": "a", "args": ["y"], "ports": [
                {"containerPort": 80, "protocol": "TCP", "name": "web"}]},
        ],
        "tolerations": [{"key": "u"}],
        "volumes": [{"name": "w", "configMap": {"name": "c"}}],
    });
    insta::assert_json_snapshot!(spec(&patch, &before));
}

#[test]
fn directives_delete_and_replace() {
    let before = json!({"containers": [{"name": "a", "image": "x"}, {"name": "b"}],
        "securityContext": {"runAsUser": 1}});
    let cases = [
        (json!({"containers": [{"name": "a", "$patch": "delete"}]}), json!([{"name": "b"}])),
        (json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}), json!([{"name": "c"}])),
        (
            json!({"containers": [{"name": "a", "$patch": "replace", "args": ["z"]}]}),
            json!([{"name": "a", "args": ["z"]}, {"name": "b"}]),
        ),
        (json!({"containers": [{"$patch": "delete"}]}), Value::Null),
    ];
    for (patch, expected) in cases {
        assert_eq!(spec(&patch, &before)["containers"], expected, "{patch}");
    }
    let patch = json!({"securityContext": {"$patch": "replace", "runAsGroup": 2}});
    assert_eq!(spec(&patch, &before)["securityContext"], json!({"runAsGroup": 2}));
    for (patch, said) in [
        (
            json!({"securityContext": {"$patch": "drop"}}),
            "`spec.securityContext`: `$patch` is \"drop\", not merge, replace or delete",
        ),
        (
            json!({"$setElementOrder/containers": []}),
            "`spec`: `$setElementOrder/containers` is no directive; only `$patch` is",
        ),
        (
            json!({"containers": [{"image": "y"}]}),
            "`spec.containers[0]`: has no `name`, by which the elements of this list are told",
        ),
    ] {
        assert_eq!(merged(&json!({"spec": patch}), &pod(&before)).unwrap_err(), said);
    }
}

#[test]
fn lists_of_unknown_kinds_are_replaced() {
    let object = json!({"apiVersion": "example.org/v1", "kind": "Thing",
        "metadata": {"finalizers": ["a"]}, "spec": {"containers": [{"name": "a"}]}});
    let patch = json!({"metadata": {"finalizers": ["b"]}, "spec": {"containers": [{"name": "b"}]}});
    let made = merged(&patch, &object).unwrap().unwrap();
    assert_eq!(made["metadata"]["finalizers"], json!(["b"]));
    assert_eq!(made["spec"]["containers"], json!([{"name": "b"}]));
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"finalizers": ["a"]}});
    let made = merged(&json!({"metadata": {"finalizers": ["b", "a"]}}), &object).unwrap().unwrap();
    assert_eq!(made["metadata"]["finalizers"], json!(["b", "a"]));
}

#[test]
fn anchors_are_worked_out_before_the_merge() {
    let before = json!({
        "containers": [
            {"name": "a", "image": "reg/a:latest", "imagePullPolicy": "Never"},
            {"name": "b", "image": "reg/b:1"},
            {"name": "c", "image": "reg/c:latest"},
        ],
        "volumes": [{"name": "h", "hostPath": {"path": "/data"}}],
        "hostNetwork": true,
        "securityContext": {"fsGroup": 1},
    });
    let pull = |policy: &str| json!({"(image)": "*:latest", policy: "Always"});
    let cases = [
        // An element stands for every one that meets its conditions.
        ("conditional element", json!({"containers": [pull("imagePullPolicy")]})),
        ("added where absent", json!({"containers": [pull("+(imagePullPolicy)")]})),
        ("a condition outside of lists", json!({"(hostNetwork)": true, "x": 1})),
        ("one that does not hold", json!({"(hostNetwork)": false, "x": 1})),
        ("one that is absent", json!({"(hostPID)": true, "x": 1})),
        ("global in a list", json!({"volumes": [{"<(hostPath)": {"path": "*"}}], "x": 1})),
        ("global that none meets", json!({"volumes": [{"<(emptyDir)": {}}], "x": 1})),
        (
            "a condition that adds",
            json!({"(securityContext)": {"+(runAsNonRoot)": true, "+(fsGroup)": 2}}),
        ),
        ("one that is absent and would add", json!({"(affinity)": {"+(nodeAffinity)": {}}})),
        (
            "nested additions",
            json!({"+(affinity)": {"+(nodeAffinity)": {"a": 1}}, "+(hostNetwork)": false}),
        ),
        (
            "a condition on an object is not merged",
            json!({"(volumes)": [{"(hostPath)": {"path": "/d*"}}], "x": 1}),
        ),
        ("nothing left", json!({"containers": [{"(image)": "*"}], "+(hostNetwork)": 1})),
    ];
    let made: Vec<_> =
        cases.iter().map(|(name, patch)| json!({*name: spec(patch, &before)})).collect();
    insta::assert_json_snapshot!(made);
}

#[test]
fn anchors_without_meaning_are_refused() {
    let said = check_strategic(&json!({"spec": {"=(a)": 1}}), "patch").unwrap_err().to_string();
    assert_eq!(
        said,
        "`patch.spec.=(a)`: anchor `=(a)` means nothing in a patch; `(key)`, `<(key)` and `+(key)` do"
    );
    assert!(check_strategic(&json!({"+(a)": [{"X(b)": 1}]}), "patch").is_err());
    assert!(check_strategic(&json!([]), "patch").is_err());
    assert!(merged(&json!({"^(a)": 1}), &pod(&json!({}))).is_err());
}

fn patched(operations: &str, object: &Value) -> Result<Value, String> {
    let operations = read_operations(operations, "patch").map_err(|error| error.to_string())?;
    let mut object = Cow::Borrowed(object);
    apply_operations::<PatchError>(&operations, &mut object, Manner::Lenient, &|_| Ok(()))
        .map(|()| object.into_owned())
        .map_err(|error| error.to_string())
}

#[test]
fn operations_are_lenient_as_in_the_field() {
    let object = json!({"list": [1, 2, 3], "map": {"a": 1, "b/c": 2}, "null": null});
    for (operations, expected) in [
        ("- {op: add, path: /list/-1, value: 4}", json!({"list": [1, 2, 3, 4]})),
        ("- {op: add, path: /list/-2, value: 4}", json!({"list": [1, 2, 4, 3]})),
        ("- {op: add, path: /list/-, value: 4}", json!({"list": [1, 2, 3, 4]})),
        ("- {op: remove, path: /list/-1}", json!({"list": [1, 2]})),
        ("- {op: remove, path: /list/7}", json!({})),
        ("- {op: remove, path: /nowhere/at/all}", json!({})),
        ("- {op: replace, path: /list/-3, value: 0}", json!({"list": [0, 2, 3]})),
        ("- {op: add, path: /new/deep/-, value: 1}", json!({"new": {"deep": [1]}})),
        ("- {op: add, path: /new/-1/x/-1, value: 1}", json!({"new": [{"x": [1]}]})),
        ("- {op: add, path: /new/2, value: 1}", json!({"new": [null, null, 1]})),
        ("- {op: add, path: /null/x, value: 1}", json!({"null": {"x": 1}})),
        ("- {op: add, path: /map/b~1c, value: 3}", json!({"map": {"a": 1, "b/c": 3}})),
        (
            "- {op: move, from: /map/a, path: /list/0}",
            json!({"list": [1, 1, 2, 3], "map": {"b/c": 2}}),
        ),
        ("- {op: copy, from: /map/a, path: /x}", json!({"x": 1})),
        ("- {op: test, path: /list/0, value: 1.0}", json!({})),
        ("- {op: test, path: /nowhere}", json!({})),
        ("[{\"op\": \"add\", \"path\": \"/x\", \"value\": null}]", json!({"x": null})),
    ] {
        let mut wanted = object.clone();
        for (key, value) in expected.as_object().unwrap() {
            wanted[key] = value.clone();
        }
        assert_eq!(patched(operations, &object), Ok(wanted), "{operations}");
    }
}

#[test]
fn operations_that_cannot_be_are_named() {
    let object = json!({"list": [1], "text": "x"});
    let said: Vec<String> = [
        "- {op: replace, path: /nowhere, value: 1}",
        "- {op: add, path: /list/5, value: 1}",
        "- {op: add, path: /list/x, value: 1}",
        "- {op: add, path: /list/-/x, value: 1}",
        "- {op: add, path: /text/x, value: 1}",
        "- {op: add, path: /list/100000/x, value: 1}",
        "- {op: test, path: /text, value: y}",
        "- {op: move, from: /nowhere, path: /x}",
        "- {op: move, from: /list, path: /list/0}",
        "- {op: add, path: '', value: 1}",
        "- {op: remove, path: ''}",
        "- {op: ad, path: /x, value: 1}",
        "- {op: add, path: x, value: 1}",
        "- {op: add, path: /x}",
        "- {op: copy, path: /x}",
        "- {op: add, path: /x, value: 1, when: now}",
        "op: add",
        "- [",
    ]
    .into_iter()
    .map(|operations| patched(operations, &object).unwrap_err())
    .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_patch_cannot_nest_without_end() {
    let mut object = Cow::Owned(json!({"a": {}}));
    let nesting = r#"[{"op": "copy", "from": "/a", "path": "/a/b/b/b/b/b/b/b/b"}]"#;
    let nesting = read_operations(&nesting.replace("/a/b/b/b/b/b/b/b/b", "/a/b"), "patch").unwrap();
    let ended = (0..1_000).find_map(|_| {
        apply_operations::<PatchError>(&nesting, &mut object, Manner::Lenient, &|_| Ok(())).err()
    });
    // Every copy is a level deeper than what it copies.
    assert!(ended.is_none() || ended.unwrap().to_string().contains("nested deeper"));
    assert!(depth(&object) <= MAX_DEPTH + 2);
}

/// JSON with the words of pods, so that lists meet their keys.
fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "name",
        "containers",
        "spec",
        "metadata",
        "image",
        "(name)",
        "+(image)",
        "<(name)",
        "$patch",
        "finalizers",
        "ports",
        "containerPort",
        "env",
        "x",
    ]);
    let leaf = prop_oneof![
        prop::sample::select(vec!["a", "b", "*", "delete", "replace", ""]).prop_map(Value::from),
        (0..3).prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(keys.clone(), inner, 0..4).prop_map(|members| {
                Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

/// Whether a value is free of anchors and directives.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.iter().all(|(key, member)| !key.contains(['(', '$']) && is_plain(member))
        }
        Value::Array(items) => items.iter().all(is_plain),
        _ => true,
    }
}

proptest! {
    #[test]
    fn merging_twice_is_merging_once(patch in any_json(), object in any_json()) {
        prop_assume!(is_plain(&patch));
        let patch = json!({"spec": patch});
        let once = merged(&patch, &pod(&object));
        if let Ok(Some(once)) = once {
            prop_assert_eq!(merged(&patch, &once), Ok(Some(once.clone())));
        }
    }

    #[test]
    fn no_patch_makes_the_merge_panic(patch in any_json(), object in any_json()) {
        let _ = check_strategic(&patch, "patch");
        let _ = merged(&patch, &object);
        let _ = merged(&json!({"spec": patch}), &pod(&object));
    }

    #[test]
    fn what_is_added_can_be_removed(object in any_json(), value in any_json(), at in 0..4usize) {
        let object = json!({"x": object});
        let text = |op: &str, path: &str| {
            json!([{"op": op, "path": path, "value": value}]).to_string()
        };
        let made = patched(&text("add", "/y"), &object).unwrap();
        prop_assert_eq!(&made["y"], &value);
        prop_assert_eq!(patched(&text("remove", "/y"), &made), Ok(object.clone()));
        let list = json!({"list": vec![Value::from(1); at]});
        let path = format!("/list/{at}");
        let made = patched(&text("add", &path), &list).unwrap();
        prop_assert_eq!(patched(&text("remove", &path), &made), Ok(list));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-\\[\\]{}:, opathvaluefrmd/0-9\"~\n&*]{0,120}") {
        let _ = patched(&text, &json!({"a": [1, {"b": 2}]}));
    }
}
