//! Text that nobody would write: modules that are nearly right, and anything at all. Whatever comes, there is
//! an error or a result, within the budget.

use proofstream_rego::{Limits, Program, Source, Value};
use proptest::prelude::*;

/// Pieces of modules, which go together more often than letters do.
const PIECES: [&str; 48] = [
    "violation[x] {",
    "violation contains x if {",
    "}",
    "{",
    "[",
    "]",
    "(",
    ")",
    "x",
    "y",
    "z",
    "_",
    ":=",
    "=",
    "==",
    "!=",
    "<",
    "|",
    "&",
    "+",
    "-",
    "*",
    "/",
    "%",
    ";",
    "\n",
    ",",
    ":",
    ".",
    "not ",
    "some ",
    "every ",
    " in ",
    "with input as ",
    "input",
    "input.xs",
    "input.xs[_]",
    "data.inventory",
    "count(",
    "sprintf(\"%d %v\", ",
    "walk(input, ",
    "numbers.range(1, 9)",
    "\"text\"",
    "5",
    "{1, 2}",
    "f(x)",
    "f(a) = b { b := a }",
    "else = 3",
];

fn run(text: &str) {
    for source in [Source::first(text), Source::second(text)] {
        let Ok(program) = Program::compile(&source, &[]) else { continue };
        let input = serde_json::json!({ "xs": [1, "a", null, { "k": [2, 3] }] });
        let limits = Limits { steps: 20_000, now: Some(0) };
        let _ = program.violations(Value::from_json(&input), Value::Null, limits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn modules_that_are_nearly_right(pieces in proptest::collection::vec(0..PIECES.len(), 1..24)) {
        let mut text = String::from("package p\nimport future.keywords.in\nviolation[x] { x := 1; ");
        for piece in pieces {
            text.push_str(PIECES[piece]);
            text.push(' ');
        }
        run(&text);
        run(&format!("{text} }}"));
    }

    #[test]
    fn anything_at_all(text in "\\PC{0,80}") {
        run(&text);
        run(&format!("package p\nviolation[x] {{ {text} }}"));
    }
}

#[test]
fn what_grows_is_bounded() {
    for body in [
        // Text that doubles again and again.
        "a := \"xxxxxxxxxxxxxxxx\"; b := concat(a, [a, a, a, a]); c := concat(b, [b, b, b, b]); \
         d := concat(c, [c, c, c, c]); e := concat(d, [d, d, d, d]); x := concat(e, [e, e, e, e, e, e])",
        "x := sprintf(\"%999999999d\", [1])",
        "xs := numbers.range(1, 100); x := {[a, b, c] | a := xs[_]; b := xs[_]; c := xs[_]}",
        "x := regex.replace(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", \"(a*)*b\", \"c\")",
        "x := strings.replace_n({\"a\": \"aaaaaaaaaaaaaaaaaaaaaaaa\"}, \"aaaaaaaaaaaaaaaaaaaaaaaaaaaa\")",
        "x := glob.match(\"{{{{{{\", [], \"a\")",
        "x := array.slice([1, 2], -5, 99999999999)",
        "x := substring(\"abc\", 99999999999, -1)",
        "x := bits.lsh(1, 9999)",
        "x := time.add_date(9223372036854775807, 9999999, 9999999, 9999999)",
        "x := units.parse_bytes(\"99999999999999999999999999999999999999Ei\")",
        "x := -9223372036854775808 - 1",
    ] {
        let text = format!("package p\nviolation[x] {{ {body} }}");
        let program = Program::compile(&Source::first(&text), &[]);
        let program = program.unwrap_or_else(|error| unreachable!("{body}: {error}"));
        let limits = Limits { steps: 100_000, now: Some(0) };
        let _ = program.violations(Value::Null, Value::Null, limits);
    }
}

#[test]
fn many_members_end_in_time() {
    let members: Vec<serde_json::Value> = (0..100_000)
        .map(|n| serde_json::json!({ "name": format!("n{n}"), "host": n % 7 }))
        .collect();
    let data = serde_json::json!({ "inventory": { "cluster": members } });
    let text = "package p\nviolation[n] { a := data.inventory.cluster[_]; b := data.inventory.cluster[_]; \
                a.host == b.host; a.name != b.name; n := a.name }";
    let program = Program::compile(&Source::first(text), &[]).unwrap();
    let found = program.violations(Value::Null, Value::from_json(&data), Limits::default());
    assert!(found.is_err(), "ten thousand million pairs are too many");
    let one = "package p\nviolation[a.name] { a := data.inventory.cluster[_]; a.host == 3 }";
    let program = Program::compile(&Source::first(one), &[]).unwrap();
    let found = program.violations(Value::Null, Value::from_json(&data), Limits::default());
    assert_eq!(found.map(|found| found.len()), Ok(14_286));
}
