//! RFC 8785's published vectors, and properties of the writer and the check against each other.

use proofstream_canonical::{
    MAX_DEPTH, MAX_RECORD_LINE, check_json, check_record_line, to_string, to_vec, value_to_vec,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Appendix B: the bits of a double and how ECMAScript writes it.
const NUMBERS: &[(u64, &str)] = &[
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

#[test]
fn numbers_of_appendix_b() {
    for (bits, text) in NUMBERS {
        assert_eq!(to_string(&f64::from_bits(*bits)).unwrap(), *text, "{bits:016x}");
    }
}

#[test]
fn the_example_of_section_3_2_2() {
    let value = json!({
        "numbers": [f64::from_bits(0x41b3_de43_5555_5555), 1e30, 4.50, 2e-3, 1e-27],
        "string": "\u{20ac}$\u{f}\u{a}A'\u{42}\u{22}\u{5c}\\\"/",
        "literals": [null, true, false],
    });
    assert_eq!(
        to_string(&value).unwrap(),
        "{\"literals\":[null,true,false],\
         \"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
         \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
}

#[test]
fn keys_order_by_utf16_as_in_section_3_2_3() {
    let value = json!({
        "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
        "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control",
        "\u{f6}": "Latin Small Letter O With Diaeresis",
    });
    let text = to_string(&value).unwrap();
    let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
    let places: Vec<_> = order.iter().map(|word| text.find(word).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(text.starts_with("{\"\\r\":"));
}

#[test]
fn an_integer_that_no_double_holds_is_refused() {
    assert_eq!(to_string(&(1u64 << 60)).unwrap(), "1152921504606847000");
    assert!(
        to_string(&((1u64 << 60) + 1)).unwrap_err().to_string().contains("1152921504606846977")
    );
    assert!(to_string(&u64::MAX).is_err());
    assert_eq!(to_string(&9_007_199_254_740_991u64).unwrap(), "9007199254740991");
}

#[test]
fn what_a_record_line_may_not_be() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "not an object"),
        (b"[]", "not an object"),
        (b"{} ", "bytes after"),
        (b"{ }", "expected a key"),
        (b"{\"a\": 1}", "white space"),
        (b"{\"a\":1 }", "expected `,` or `}`"),
        (b"{\"b\":1,\"a\":2}", "not in order"),
        (b"{\"a\":1,\"a\":2}", "the same key twice"),
        (b"{\"\\n\":1,\"\\t\":2}", "not in order"),
        (b"{\"\xc3\xa9\":1}", "not ASCII"),
        (b"{\"a\":1.5}", "not an integer"),
        (b"{\"a\":1e3}", "not an integer"),
        (b"{\"a\":01}", "leading zero"),
        (b"{\"a\":-0}", "negative zero"),
        (b"{\"a\":-}", "not a number"),
        (b"{\"a\":9007199254740992}", "beyond"),
        (b"{\"a\":-9007199254740992}", "beyond"),
        (b"{\"a\":99999999999999999999999999}", "beyond"),
        (b"{\"a\":\"\\u0041\"}", "an escape"),
        (b"{\"a\":\"\\u001F\"}", "an escape"),
        (b"{\"a\":\"\\u000a\"}", "an escape"),
        (b"{\"a\":\"\\ud800\"}", "an escape"),
        (b"{\"a\":\"\\/\"}", "an escape"),
        (b"{\"a\":\"\t\"}", "a control character"),
        (b"{\"a\":\"\xed\xa0\x80\"}", "not UTF-8"),
        (b"{\"a\":\"x", "ends inside"),
        (b"{\"a\":tru}", "not a JSON value"),
        (b"{\"a\":[1,]}", "not a JSON value"),
    ];
    for (line, reason) in cases {
        let error = check_record_line(line).unwrap_err();
        assert!(error.to_string().contains(reason), "{:?}: {error}", String::from_utf8_lossy(line));
    }
    let good = "{\"\\t\":-9007199254740991,\"\\n\":0,\"\\u000b\":[],\"a\\\"\":{},\"b\":\"\u{7f}é\u{1f600}\\u001f\"}";
    check_record_line(good.as_bytes()).unwrap();
}

#[test]
fn length_and_depth_are_bounded() {
    let line = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
    check_record_line(line(MAX_RECORD_LINE).as_bytes()).unwrap();
    assert!(check_record_line(line(MAX_RECORD_LINE + 1).as_bytes()).is_err());
    check_json(line(MAX_RECORD_LINE + 1).as_bytes()).unwrap();
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    check_json(nested(MAX_DEPTH).as_bytes()).unwrap();
    assert!(serde_json::from_str::<Value>(&nested(MAX_DEPTH)).is_ok());
    assert!(check_json(nested(MAX_DEPTH + 1).as_bytes()).is_err());
    assert!(check_json(nested(100_000).as_bytes()).is_err());
}

fn record_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\u{0}-\u{20}\"\\\\/é€]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[\u{0}-\u{7f}]{0,4}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_canonical_and_reads_back(value in record_values()) {
        let line = to_vec(&json!({ "a": value })).unwrap();
        prop_assert_eq!(check_json(&line), Ok(()));
        let again: Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(value_to_vec(&again).unwrap(), line);
        prop_assert_eq!(again, json!({ "a": value }));
    }

    /// Whatever the check lets through is exactly what the writer would have written.
    #[test]
    fn a_changed_line_passes_only_if_it_is_canonical(value in record_values(), at in any::<prop::sample::Index>(),
                                                     byte in any::<u8>(), insert in any::<bool>()) {
        let mut line = to_vec(&json!({ "a": value, "b": [1, "x"] })).unwrap();
        let place = at.index(line.len());
        if insert { line.insert(place, byte) } else { line[place] = byte }
        if check_json(&line).is_ok() {
            let again: Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(value_to_vec(&again).unwrap(), line);
        }
    }
}
