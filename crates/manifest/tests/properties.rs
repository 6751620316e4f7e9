//! What holds for any input: JSON reads the same as YAML, and no bytes make the reader panic.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::fmt::Write as _;

use proofstream_manifest::documents;
use proptest::prelude::*;
use serde_json::{Map, Value};

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~äß\n\t\"\\\\]{0,12}".prop_map(Value::from),
        prop_oneof!["yes", "0644", "1e3", "~", "null", "<<", "- a", "a: b", "#", "---", "|", "é"]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z~<0-9 .:/-]{0,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Writes a value as block YAML with every text quoted as JSON quotes it.
fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                write!(out, "\n{pad}-").unwrap();
                block(item, indent + 1, out);
            }
        }
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                write!(out, "\n{pad}{}:", Value::from(key.as_str())).unwrap();
                block(item, indent + 1, out);
            }
        }
        other => write!(out, " {other}").unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_and_yaml_read_the_same(value in json()) {
        let mut text = String::from("---");
        block(&Value::from(vec![value.clone()]), 0, &mut text);
        let found: Vec<_> = documents(text.as_bytes(), "x").map(|each| each.unwrap().value).collect();
        prop_assert_eq!(found, vec![Value::from(vec![value.clone()])], "{}", text);
        let wrapped = Value::from(vec![value]);
        for text in [wrapped.to_string(), serde_json::to_string_pretty(&wrapped).unwrap()] {
            let found: Vec<_> = documents(text.as_bytes(), "x").map(|each| each.unwrap().value).collect();
            prop_assert_eq!(found, vec![wrapped.clone()], "{}", text);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for _ in documents(&bytes, "x") {}
    }

    #[test]
    fn any_text_of_yaml_signs_is_read_or_refused(
        parts in prop::collection::vec(
            prop_oneof![
                Just("\n"), Just("  "), Just("- "), Just(": "), Just("? "), Just("{"), Just("}"),
                Just("["), Just("]"), Just(","), Just("&a "), Just("*a"), Just("<<"), Just("|"),
                Just(">-"), Just("\""), Just("'"), Just("!!str "), Just("!x "), Just("---\n"),
                Just("...\n"), Just("%YAML 1.1\n"), Just("\t"), Just("#"), Just("~"), Just("a"),
                Just("0x"), Just("1e"), Just("\u{FEFF}"), Just("\r\n"), Just("é"),
            ],
            0..40,
        )
    ) {
        let text = parts.concat();
        for each in documents(text.as_bytes(), "x").flatten() {
            prop_assert!(each.line <= text.lines().count().max(1) as u64);
        }
    }
}
