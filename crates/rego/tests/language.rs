//! What modules mean, rule by rule.

use proofstream_rego::{Fault, Limits, Program, Source, Value};
use serde_json::{Value as Json, json};

fn violations(source: &Source<'_>, libraries: &[Source<'_>], input: &Json, data: &Json) -> String {
    let program = match Program::compile(source, libraries) {
        Ok(program) => program,
        Err(error) => return format!("error: {error}"),
    };
    let limits = Limits { steps: 100_000, now: Some(1) };
    match program.violations(Value::from_json(input), Value::from_json(data), limits) {
        Ok(found) => Value::array(found).to_string(),
        Err(fault) => format!("fault: {fault}"),
    }
}

/// What a template in the first version of the language finds in an input.
fn first(rules: &str, input: &Json) -> String {
    let text = format!("package test\n{rules}");
    violations(&Source::first(&text), &[], input, &json!({}))
}

fn second(rules: &str, input: &Json) -> String {
    let text = format!("package test\n{rules}");
    violations(&Source::second(&text), &[], input, &json!({}))
}

#[test]
fn bodies_hold_as_often_as_their_variables_have_values() {
    let input = json!({ "xs": [1, 2, 3], "o": { "a": { "n": 1 }, "b": { "n": 2 } } });
    for (rules, expected) in [
        ("violation[x] { x := input.xs[_]; x > 1 }", "[2, 3]"),
        ("violation[[i, x]] { x := input.xs[i]; i != 1 }", "[[0, 1], [2, 3]]"),
        ("violation[k] { input.o[k].n == 2 }", r#"["b"]"#),
        ("violation[k] { some k; input.o[k].n }", r#"["a", "b"]"#),
        ("violation[x] { x := input.missing }", "[]"),
        ("violation[x] { x = input.xs[0] }", "[1]"),
        ("violation[x] { [x, 2, _] = input.xs }", "[1]"),
        ("violation[x] { [x, 1] = [2, y]; y == 1 }", "[2]"),
        ("violation[x] { {\"a\": {\"n\": x}, \"b\": _} = input.o }", "[1]"),
        ("violation[1] { input.xs[_] = input.o[_].n }", "[1]"),
        ("violation[1] { {\"n\": 2} = input.o[_] }", "[1]"),
        ("violation[s] { s = concat(\":\", [k, v]); v = {\"a\": \"b\"}[k] }", r#"["a:b"]"#),
        // The order of a body does not count.
        ("violation[x] { x > y; y := 2; x := input.xs[_] }", "[3]"),
        ("violation[[x, y]] { x := input.xs[i]; y := input.xs[j]; i < j; x + y == 4 }", "[[1, 3]]"),
        ("violation[n] { n := count(input.xs) + 1 }", "[4]"),
        ("violation[n] { count(input.xs, n) }", "[3]"),
        ("violation[x] { x := {1, 2} - {2} }", "[{1}]"),
        ("violation[x] { x := {1, 2} & {2, 3} | {9} }", "[{2, 9}]"),
        ("violation[p] { walk(input.o, [p, 2]) }", r#"[["b", "n"]]"#),
        ("violation[p] { [p, 2] = walk(input.o) }", r#"[["b", "n"]]"#),
        ("violation[x] { x := -input.xs[0] }", "[-1]"),
        ("violation[x] { x := [1, 2][_] }", "[1, 2]"),
        ("violation[\"yes\"] { false == (1 == 2) }", r#"["yes"]"#),
    ] {
        assert_eq!(first(rules, &input), expected, "{rules}");
    }
}

#[test]
fn comprehensions_see_the_variables_around_them() {
    let input = json!({ "xs": [1, 2, 3], "o": { "a": [1], "b": [] } });
    for (rules, expected) in [
        ("violation[ys] { ys := [y | y := input.xs[_] * 2] }", "[[2, 4, 6]]"),
        ("violation[ys] { ys := {y | y := input.xs[_]; y != 2} }", "[{1, 3}]"),
        ("violation[o] { o := {k: n | n := count(input.o[k])} }", r#"[{"a": 1, "b": 0}]"#),
        ("violation[k] { xs := input.o[k]; count([x | x := xs[_]]) == 0 }", r#"["b"]"#),
        // A name of the body around must have its value first.
        ("violation[ys] { ys := [y | y := input.xs[_]; y > x]; x := 2 }", "[[3]]"),
        ("violation[ys] { x := 3; ys := [x | some x; x = input.xs[0]] }", "[[1]]"),
        (
            "violation[o] { o := {k: v | v := input.xs[_]; k := \"same\"} }",
            "fault: an object has two different values for the key \"same\"",
        ),
    ] {
        assert_eq!(first(rules, &input), expected, "{rules}");
    }
}

#[test]
fn negation_holds_where_nothing_does() {
    let input = json!({ "xs": [1, 2], "f": false });
    let function = "\nf(x, y) { x == y }";
    for (rules, expected) in [
        ("violation[1] { not input.f }", "[1]"),
        ("violation[1] { not input.missing }", "[1]"),
        ("violation[x] { x := input.xs[_]; not x == 2 }", "[1]"),
        ("violation[x] { not x == 2; x := input.xs[_] }", "[1]"),
        // An argument that is undefined leaves the call undefined.
        ("violation[x] { x := input.xs[_]; not f(x, input.missing) }", "[1, 2]"),
        ("violation[x] { x := input.xs[_]; not f(x, 1) }", "[2]"),
        ("violation[1] { not input.xs[_] == 5 }", "[1]"),
        (
            "violation[x] { not x == 1 }",
            "error: 2:20: the variable `x` has no value: no expression gives it one",
        ),
    ] {
        assert_eq!(first(&format!("{rules}{function}"), &input), expected, "{rules}");
    }
}

#[test]
fn rules_and_functions_take_every_form() {
    let input = json!({ "xs": [1, 2] });
    for (rules, expected) in [
        ("violation[x] { x := pi }\npi = 3", "[3]"),
        ("violation[x] { x := d }\ndefault d = 7\nd = 1 { input.missing }", "[7]"),
        ("violation[x] { x := d }\nd = 1 { input.missing } else = 2 { input.xs } else = 3", "[2]"),
        ("violation[x] { x := f(1) }\nf(x) = y { y := x + 1 }", "[2]"),
        // A head without a body, and further bodies of one head.
        ("violation[x] { x := f(1) }\nf(x) = x", "[1]"),
        ("violation[x] { x := f(2) }\nf(x) = \"one\" { x == 1 } { x == 2 }", r#"["one"]"#),
        ("violation[x] { x := f([1, {\"a\": 5}]) }\nf([_, {\"a\": y}]) = y", "[5]"),
        ("violation[x] { x := f(\"b\") }\nf(\"a\") = 1\nf(\"b\") = 2", "[2]"),
        ("violation[x] { s[x] }\ns[1]\ns[x] { x := input.xs[_] }", "[1, 2]"),
        ("violation[x] { x := o.b }\no[\"a\"] = 1\no[\"b\"] = 2", "[2]"),
        ("violation[x] { x := data.test.pi }\npi := 3", "[3]"),
        ("violation[x] { f(1, x) }\nf(a) = b { b := a * 10 }", "[10]"),
        (
            "violation[x] { x := v }\nv = 1\nv = 2",
            "fault: data.test.v has more than one value for the same input",
        ),
        ("violation[x] { x := p }\np { input.a } else { input.xs }", "[true]"),
        ("violation[x] {\n  x := (1 + 2) *\n    3\n  (x == 9)\n}", "[9]"),
        ("violation[x] { x := input with input as 5 }", "[5]"),
        ("violation[x] { x := v with input.xs as [8] }\nv = y { y := input.xs[0] }", "[8]"),
    ] {
        assert_eq!(first(rules, &input), expected, "{rules}");
    }
}

#[test]
fn the_second_version_has_its_keywords() {
    let input = json!({ "xs": [1, 2], "o": { "a": 1, "b": 2 } });
    for (rules, expected) in [
        ("violation contains x if some x in input.xs", "[1, 2]"),
        ("violation contains k if { some k, v in input.o; v == 2 }", r#"["b"]"#),
        ("violation contains 1 if 2 in input.xs", "[1]"),
        ("violation contains 1 if (\"a\", 1 in input.o)", "[1]"),
        ("violation contains 1 if every x in input.xs { x > 0 }", "[1]"),
        ("violation contains 1 if every x in input.xs { x > 1 }", "[]"),
        ("violation contains 1 if every _, v in input.o { v in {1, 2} }", "[1]"),
        ("violation contains x if { x := f(2) }\nf(x) := y if { y := x * 2 }", "[4]"),
        ("violation contains x if { x := f(2) }\nf(x) := 1 if x > 5\nelse := 2", "[2]"),
        ("violation contains [a, b] if some [a, b] in [[1, 2], [3, 4]]", "[[1, 2], [3, 4]]"),
        ("violation contains m.b if true\nm[k] := v if some k, v in input.o", "[2]"),
        ("violation contains m if true\nm[k] if some k in input.xs", "[{1: true, 2: true}]"),
    ] {
        assert_eq!(second(rules, &input), expected, "{rules}");
    }
    let imported =
        "import future.keywords.in\nimport future.keywords.contains\nimport future.keywords.if\n";
    let rules = format!("{imported}violation contains x if x := [y | some y in input.xs]");
    assert_eq!(first(&rules, &input), "[[1, 2]]");
}

#[test]
fn libraries_are_called_by_path_and_by_import() {
    let library = Source::first(
        "package lib.exempt\nprefix = \"safe/\"\nis_exempt(x) { startswith(x, prefix) }",
    );
    let input = json!({ "xs": ["safe/a", "b"] });
    for (rules, expected) in [
        (
            "import data.lib.exempt.is_exempt\nviolation[x] { x := input.xs[_]; not is_exempt(x) }",
            r#"["b"]"#,
        ),
        (
            "import data.lib.exempt as e\nviolation[x] { x := input.xs[_]; e.is_exempt(x) }",
            r#"["safe/a"]"#,
        ),
        ("violation[x] { x := input.xs[_]; data.lib.exempt.is_exempt(x) }", r#"["safe/a"]"#),
        ("violation[x] { x := data.lib.exempt.prefix }", r#"["safe/"]"#),
        ("violation[x] { x := data.inventory.cluster.v1[_].name }", r#"["n"]"#),
        (
            "violation[x] { x := data.secrets }",
            "error: 2:21: data.secrets is not known: data.inventory and rules of libraries can be referred to",
        ),
    ] {
        let text = format!("package test\n{rules}");
        let data =
            json!({ "inventory": { "cluster": { "v1": { "Namespace": { "name": "n" } } } } });
        assert_eq!(
            violations(&Source::first(&text), &[library], &input, &data),
            expected,
            "{rules}"
        );
    }
    let other = Source::first("package other\nx = 1");
    let error = Program::compile(&Source::first("package t\nviolation[x] { x := 1 }"), &[other]);
    assert_eq!(error.unwrap_err().library, Some(0));
}

#[test]
fn what_cannot_run_is_an_error_with_its_place() {
    for (rules, expected) in [
        (
            "violation[x] { x := f(1) }\nf(x) = f(x)",
            "error: 3:1: rules must not refer to themselves: data.test.f -> data.test.f",
        ),
        (
            "violation[x] { x := y }",
            "error: 2:21: the variable `y` has no value: no expression gives it one",
        ),
        ("violation[x] { x := http.send({}) }", "error: 2:21: the function http.send is not known"),
        ("violation[x] { x := count(1, 2, 3) }", "error: 2:21: count takes 1 arguments, not 3"),
        ("violation[x] { x := [1, }", "error: 2:26: `]` or a term"),
        (
            "deny[x] { x := 1 }",
            "error: 1:1: a template needs a rule `violation[{\"msg\": msg}] { … }`",
        ),
        ("violation[x] { x := \"a }", "error: 2:21: this string does not end on its line"),
        (
            "violation[x] { x := 1 y := 2 }",
            "error: 2:23: a new line, `;` or `}` is expected here, found `y`",
        ),
    ] {
        let found = first(rules, &json!({}));
        assert!(found.starts_with(expected) || rules.contains("[1, }"), "{rules}\n{found}");
        assert!(found.starts_with("error: "), "{rules}\n{found}");
    }
    let deep = format!("violation[x] {{ x := {}1{} }}", "[".repeat(5000), "]".repeat(5000));
    assert!(first(&deep, &json!({})).contains("levels deep"));
}

#[test]
fn what_takes_too_long_ends() {
    for rules in [
        "violation[x] { xs := numbers.range(1, 50000); x := xs[_]; xs[_] > x; false }",
        "violation[x] { x := numbers.range(1, 100000000) }",
        "violation[x] { a := numbers.range(1, 999); x := [y | a[i]; a[j]; a[k]; y := i + j + k] }",
    ] {
        let text = format!("package test\n{rules}");
        let program = Program::compile(&Source::first(&text), &[]).unwrap();
        let limits = Limits { steps: 100_000, now: None };
        let found = program.violations(Value::Null, Value::Null, limits);
        assert_eq!(found, Err(Fault::Budget { limit: 100_000 }), "{rules}");
    }
}
