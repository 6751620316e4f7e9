//! Structures that expressions make by name.

use serde_json::json;

use crate::table::{compile_error, evaluate, fault, holds};

#[test]
fn messages_are_made_of_their_fields() {
    assert_eq!(
        evaluate("Object{spec: Object.spec{replicas: object.whole, paused: object.yes}}"),
        Ok(json!({"spec": {"replicas": 3, "paused": true}}))
    );
    assert_eq!(
        evaluate("Object{a: object.list.map(i, Object.a{i: i}), b: {'c': Object.b.c{}}}"),
        Ok(json!({"a": [{"i": 1}, {"i": 2}], "b": {"c": {}}}))
    );
    assert_eq!(evaluate("Object{?a: object.?whole, ?b: object.?missing}"), Ok(json!({"a": 3})));
}

#[test]
fn messages_are_values() {
    holds(&[
        "Object{a: 1} == Object{a: 1}",
        "Object{a: 1} != Object{a: 2}",
        "Object{a: 1} != Object{b: 1}",
        "Object{a: 1}.a == 1",
        "has(Object{a: 1}.a) && !has(Object{a: 1}.b)",
        "Object{a: 1}.?b.orValue(2) == 2",
        "[Point{x: 1}, Point{x: 2}].map(p, p.x) == [1, 2]",
        "(object.yes ? Point{x: 1} : null).x == 1",
        "dyn(Object{}) != dyn(Object.a{})",
    ]);
    fault(&[("Object{a: 1}.b == 1", "no such key"), ("Point{x: dyn('a')}.y", "no such key")]);
}

#[test]
fn what_is_not_declared_cannot_be_made() {
    compile_error(&[
        ("Nothing{}", "values of type `Nothing` cannot be made here"),
        ("Point.x{}", "values of type `Point.x` cannot be made here"),
        ("Point{y: 1}", "`Point` has no field `y`"),
        ("Point{x: 'a'}", "must be of type `int`, not `string`"),
        ("Point{x: 1, x: 2}", "stands twice"),
        ("Object{?a: 1}", "needs an optional value"),
        ("object.yes ? Object{} : Object.a{}", "must be of type `Object`, not `Object.a`"),
        ("Object{a 1}", "expected `:`"),
    ]);
}
