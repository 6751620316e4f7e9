//! What anchors decide, and that no pattern panics.

#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "the tables are long and their values made in place"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// `pass`, `skip: …`, `fail at …: …` or `error: …`.
fn judge(pattern: Value, value: Value) -> String {
    match Pattern::compile(&pattern, "pattern").unwrap().judge(&value) {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Skip { reason } => format!("skip: {reason}"),
        Verdict::Fail { path, reason } => format!("fail at {path}: {reason}"),
        Verdict::Error { reason } => format!("error: {reason}"),
    }
}

#[test]
fn anchors_decide_what_is_judged() {
    let cases = [
        ("plain", json!({"a": 1}), json!({"a": 1})),
        ("plain differs", json!({"a": 1}), json!({"a": 2})),
        ("plain is missing", json!({"a": {"b": 1}}), json!({})),
        ("star", json!({"a": "*"}), json!({"a": {}})),
        ("star is missing", json!({"a": "*"}), json!({"a": null})),
        ("condition holds", json!({"(a)": 1, "b": 1}), json!({"a": 1, "b": 1})),
        ("condition holds, rest differs", json!({"(a)": 1, "b": 1}), json!({"a": 1, "b": 2})),
        ("condition does not hold", json!({"(a)": 1, "b": 1}), json!({"a": 2, "b": 2})),
        ("condition is missing", json!({"(a)": 1, "b": 1}), json!({"b": 2})),
        ("global holds", json!({"<(a)": 1, "b": 1}), json!({"a": 1, "b": 2})),
        ("global does not hold", json!({"<(a)": 1, "b": 1}), json!({"a": 2, "b": 2})),
        ("global is missing", json!({"<(a)": 1, "b": 1}), json!({"b": 2})),
        ("equality is missing", json!({"=(a)": 1}), json!({})),
        ("equality differs", json!({"=(a)": 1}), json!({"a": 2})),
        ("equality is null", json!({"=(a)": 1}), json!({"a": null})),
        ("negation is missing", json!({"X(a)": "null"}), json!({})),
        ("negation is there", json!({"X(a)": "null"}), json!({"a": null})),
        ("existence", json!({"^(a)": [{"n": 1}]}), json!({"a": [{"n": 2}, {"n": 1}]})),
        ("existence fails", json!({"^(a)": [{"n": 1}]}), json!({"a": [{"n": 2}]})),
        ("existence is missing", json!({"^(a)": [{"n": 1}]}), json!({})),
        (
            "elements that a condition skips",
            json!({"c": [{"(n)": "a*", "v": 1}]}),
            json!({"c": [{"n": "b", "v": 2}, {"n": "ab", "v": 1}]}),
        ),
        (
            "an element that a condition picks differs",
            json!({"c": [{"(n)": "a*", "v": 1}]}),
            json!({"c": [{"n": "b", "v": 2}, {"n": "ab", "v": 2}]}),
        ),
        (
            "all elements are skipped",
            json!({"c": [{"(n)": "a*", "v": 1}]}),
            json!({"c": [{"n": "b", "v": 2}]}),
        ),
        (
            "a condition's key is nowhere and something else differs",
            json!({"x": 1, "c": [{"(n)": "a*", "v": 1}]}),
            json!({"c": [{"v": 2}], "x": 2}),
        ),
        ("an empty list", json!({"c": [{"v": 1}]}), json!({"c": []})),
        ("scalars in a list", json!({"c": ["a | b"]}), json!({"c": ["a", "b"]})),
        ("a scalar in a list differs", json!({"c": ["a"]}), json!({"c": ["a", "b"]})),
        ("a scalar pattern on a list", json!({"c": "?*"}), json!({"c": ["a", ""]})),
        ("an object is wanted", json!({"c": {"v": 1}}), json!({"c": [1]})),
        (
            "a glob over labels",
            json!({"metadata": {"labels": {"app.io/*": "x"}}}),
            json!({"metadata": {"labels": {"app.io/name": "x"}}}),
        ),
        (
            "a glob over labels differs",
            json!({"metadata": {"labels": {"app.io/*": "x"}}}),
            json!({"metadata": {"labels": {"app.io/name": "y"}}}),
        ),
        ("a glob elsewhere is a key", json!({"spec": {"a*": "x"}}), json!({"spec": {"ab": "x"}})),
        (
            "an anchored glob over annotations",
            json!({"metadata": {"=(annotations)": {"=(seccomp/*)": "runtime/*"}}}),
            json!({"metadata": {"annotations": {"seccomp/pod": "unconfined"}}}),
        ),
    ];
    let said: Vec<String> = cases
        .into_iter()
        .map(|(what, pattern, value)| format!("{what}: {}", judge(pattern, value)))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn hostile_patterns_are_refused() {
    let mut deep = json!("x");
    for _ in 0..100 {
        deep = json!({"a": deep});
    }
    assert!(Pattern::compile(&deep, "pattern").is_err());
    let many: serde_json::Map<String, Value> =
        (0..200).map(|number| (format!("(k{number})"), json!("x"))).collect();
    assert!(Pattern::compile(&Value::Object(many), "pattern").is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5i64..50).prop_map(Value::from),
        "[ab*?!<>=|&0-9-]{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[=^X<(]{0,2}[abc]\\)?", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics(pattern in any_json(), value in any_json()) {
        if let Ok(pattern) = Pattern::compile(&pattern, "pattern") {
            let first = format!("{:?}", pattern.judge(&value));
            prop_assert_eq!(first, format!("{:?}", pattern.judge(&value)));
        }
    }
}
