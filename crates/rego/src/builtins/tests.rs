//! Each function, with what it makes.

use serde_json::{Value as Json, json};

use super::{Meter, find};
use crate::program::Limits;
use crate::value::Value;

/// What a call makes, as the language writes it.
fn call(name: &str, arguments: &Json) -> String {
    let arguments = Value::from_json(arguments);
    let limits = Limits { steps: 10_000, now: Some(0) };
    let builtin = find(name).unwrap_or_else(|| unreachable!("{name} is not known"));
    let made = builtin.call(arguments.items().unwrap(), &mut Meter::new(limits));
    match made {
        Ok(Some(value)) => value.to_string(),
        Ok(None) => "undefined".to_owned(),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn texts_are_made_as_go_makes_them() {
    for (arguments, expected) in [
        (json!(["%v is %d", ["a", 5]]), r#""a is 5""#),
        (json!(["%v %v", [["x"], { "k": 1 }]]), r#""[\"x\"] {\"k\": 1}""#),
        (json!(["%d", ["x"]]), r#""%!d(string=x)""#),
        (json!(["%s", [5]]), r#""%!s(int=5)""#),
        (json!(["%v", []]), r#""%!v(MISSING)""#),
        (json!(["no", ["x", 2]]), r#""no%!(EXTRA string=x, int=2)""#),
        (json!(["%5d|%-5s|%05d", [42, "ab", -7]]), r#""   42|ab   |-0007""#),
        (json!(["%.2f %v", [1.005, 2.5]]), r#""1.00 2.5""#),
        (json!(["%q 100%%", ["a\"b"]]), r#""\"a\\\"b\" 100%""#),
        (json!(["%x", [255]]), r#""ff""#),
        (json!(["%v %t", [true, true]]), r#""true %!t(string=true)""#),
        (json!(["%v", [1e21]]), r#""1e+21""#),
    ] {
        assert_eq!(call("sprintf", &arguments), expected, "{arguments}");
    }
}

#[test]
fn each_function_says_what_it_should() {
    for (name, arguments, expected) in [
        ("count", json!(["häß"]), "3"),
        ("plus", json!([1, 2.5]), "3.5"),
        ("div", json!([1, 2]), "0.5"),
        ("div", json!([1, 0]), "undefined"),
        ("rem", json!([7, 4]), "3"),
        ("to_number", json!(["10.5"]), "10.5"),
        ("to_number", json!(["10x"]), "undefined"),
        ("any", json!([[false, true]]), "true"),
        ("all", json!([[true, 1]]), "false"),
        ("re_match", json!(["^a+$", "aaa"]), "true"),
        ("regex.match", json!(["(", "aaa"]), "undefined"),
        ("glob.match", json!(["*.example.com", ["."], "a.example.com"]), "true"),
        ("glob.match", json!(["*.example.com", ["."], "a.b.example.com"]), "false"),
        ("glob.match", json!(["**.example.com", [], "a.b.example.com"]), "true"),
        ("glob.match", json!(["{a,b}[!x]?", null, "bcd"]), "true"),
        ("indexof", json!(["äbc", "c"]), "2"),
        ("substring", json!(["hello", 1, -1]), r#""ello""#),
        ("trim", json!(["  x ", " "]), r#""x""#),
        ("split", json!(["a/b", "/"]), r#"["a", "b"]"#),
        ("strings.replace_n", json!([{ "<": "&lt;" }, "a<b"]), r#""a&lt;b""#),
        ("object.get", json!([{ "a": { "b": 1 } }, ["a", "b"], 0]), "1"),
        ("object.get", json!([{ "a": null }, "x", "none"]), r#""none""#),
        ("object.remove", json!([{ "a": 1, "b": 2 }, ["a"]]), r#"{"b": 2}"#),
        ("json.filter", json!([{ "a": { "b": 1, "c": 2 } }, ["a/b"]]), r#"{"a": {"b": 1}}"#),
        ("json.remove", json!([{ "a": [1, 2] }, ["a/0"]]), r#"{"a": [2]}"#),
        (
            "object.union",
            json!([{ "a": { "b": 1 } }, { "a": { "c": 2 } }]),
            r#"{"a": {"b": 1, "c": 2}}"#,
        ),
        ("units.parse_bytes", json!(["128Mi"]), "134217728"),
        ("units.parse", json!(["250m"]), "0.25"),
        ("units.parse", json!(["2K"]), "2000"),
        ("semver.compare", json!(["1.2.3", "1.10.0"]), "-1"),
        ("net.cidr_contains", json!(["10.0.0.0/8", "10.2.3.4"]), "true"),
        ("net.cidr_intersects", json!(["10.0.0.0/8", "0.0.0.0/0"]), "true"),
        ("base64.decode", json!(["aGk="]), r#""hi""#),
        ("json.unmarshal", json!(["{\"a\": [1]}"]), r#"{"a": [1]}"#),
        ("time.parse_rfc3339_ns", json!(["1970-01-01T00:00:01Z"]), "1000000000"),
        ("time.parse_duration_ns", json!(["1m30s"]), "90000000000"),
        ("time.date", json!([86_400_000_000_000_i64]), "[1970, 1, 2]"),
        ("numbers.range", json!([3, 1]), "[3, 2, 1]"),
        (
            "numbers.range",
            json!([0, 1_000_000_000_000_i64]),
            "evaluation takes more than 10000 steps",
        ),
        ("format_int", json!([255, 16]), r#""ff""#),
        ("type_name", json!([null]), r#""null""#),
        (
            "crypto.sha256",
            json!([""]),
            r#""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855""#,
        ),
        ("urlquery.decode", json!(["a%20b+c"]), r#""a b c""#),
        ("startswith", json!(["x", 1]), "undefined"),
    ] {
        assert_eq!(call(name, &arguments), expected, "{name} {arguments}");
    }
}
