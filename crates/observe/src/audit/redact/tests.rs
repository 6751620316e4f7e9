//! No secret stays, and nothing else goes.

use super::*;
use proptest::prelude::*;

const LIMIT: usize = 60_000;

fn redact(json: &str) -> Redacted {
    let parsed = Event::parse(json.as_bytes()).unwrap();
    event(json.as_bytes(), &parsed, LIMIT).unwrap()
}

fn with(resource: &str, bodies: &str) -> String {
    format!(
        r#"{{"auditID":"a","stage":"ResponseComplete","verb":"create","objectRef":{{{resource}}},{bodies}}}"#
    )
}

fn whole(redacted: &Redacted) -> &str {
    std::str::from_utf8(redacted.whole.as_deref().unwrap()).unwrap()
}

const SECRETS: &str = r#""resource":"secrets","apiVersion":"v1""#;

#[test]
fn an_event_without_bodies_keeps_its_exact_bytes() {
    let text = r#"{"auditID":"a", "stage":"ResponseComplete","verb":"get","x":1.50}"#;
    let redacted = redact(text);
    assert_eq!(redacted.line, text.as_bytes());
    assert_eq!((redacted.whole, redacted.removed), (None, Vec::new()));
}

#[test]
fn bodies_without_secrets_are_kept_exactly_beside_the_line() {
    let text = with(
        r#""resource":"pods""#,
        r#""requestObject":{"kind":"Pod", "spec":{"data":"stays","x":1.50}}"#,
    );
    let redacted = redact(&text);
    assert_eq!(whole(&redacted), text);
    assert!(redacted.removed.is_empty());
    assert!(!String::from_utf8(redacted.line).unwrap().contains("requestObject"));
}

#[test]
fn a_secret_loses_its_data_and_its_copies() {
    let text = with(
        SECRETS,
        r#""requestObject":{"kind":"Secret","metadata":{"name":"s","annotations":{"note":"kept","kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"p\":\"aHVudGVyMg==\"}}","kapp.k14s.io/original":"{\"stringData\":{\"p\":\"hunter2\"}}"},"managedFields":[{"f":"hunter2"}]},"data":{"p":"aHVudGVyMg=="},"stringData":{"p":"hunter2"}},"responseObject":{"kind":"Secret","data":{"p":"aHVudGVyMg=="}}"#,
    );
    let redacted = redact(&text);
    assert!(!whole(&redacted).contains("hunter2") && !whole(&redacted).contains("aHVudGVyMg"));
    assert!(whole(&redacted).contains("kept"));
    assert_eq!(
        redacted.removed,
        [
            "requestObject.data",
            "requestObject.metadata.annotations[kapp.k14s.io/original]",
            "requestObject.metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]",
            "requestObject.metadata.managedFields",
            "requestObject.stringData",
            "responseObject.data",
        ]
    );
}

#[test]
fn patches_lists_tables_and_lies_about_the_kind_give_nothing_away() {
    for (resource, bodies) in [
        (SECRETS, r#""requestObject":{"data":{"p":"hunter2"}}"#),
        (SECRETS, r#""requestObject":{"kind":"Status","data":{"p":"hunter2"}}"#),
        (SECRETS, r#""requestObject":[{"op":"replace","path":"/data/p","value":"hunter2"}]"#),
        (SECRETS, r#""requestObject":["hunter2"]"#),
        (SECRETS, r#""requestObject":"data: {p: hunter2}""#),
        (SECRETS, r#""responseObject":{"kind":"SecretList","items":[{"data":{"p":"hunter2"}}]}"#),
        (SECRETS, r#""responseObject":{"kind":"X","items":[{"data":{"p":"hunter2"}}]}"#),
        (
            SECRETS,
            r#""responseObject":{"kind":"Table","rows":[{"object":{"kind":"Secret","data":{"p":"hunter2"}}}]}"#,
        ),
        (
            SECRETS,
            r#""responseObject":{"kind":"Table","rows":[{"object":{"kind":"PartialObjectMetadata","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"kind\":\"Secret\",\"data\":{\"p\":\"hunter2\"}}"}}}}]}"#,
        ),
        (
            r#""resource":"serviceaccounts","subresource":"token""#,
            r#""responseObject":{"kind":"TokenRequest","status":{"token":"hunter2"}}"#,
        ),
        (
            r#""apiGroup":"authentication.k8s.io","resource":"tokenreviews""#,
            r#""requestObject":{"spec":{"token":"hunter2"}},"responseObject":{"kind":"TokenReview","spec":{"token":"hunter2"}}"#,
        ),
        (
            r#""apiGroup":"work.example","resource":"manifestworks""#,
            r#""requestObject":{"spec":{"manifests":[{"kind":"Secret","stringData":{"p":"hunter2"}}]}}"#,
        ),
    ] {
        let redacted = redact(&with(resource, bodies));
        assert!(!whole(&redacted).contains("hunter2"), "{bodies}");
        assert!(!redacted.removed.is_empty(), "{bodies}");
        assert!(!String::from_utf8_lossy(&redacted.line).contains("hunter2"), "{bodies}");
    }
}

#[test]
fn a_large_event_is_kept_apart_and_its_line_is_short() {
    let text = format!(
        r#"{{"auditID":"a","stage":"ResponseComplete","verb":"get","requestURI":"/{}","annotations":{{"x":"y"}}}}"#,
        "é".repeat(50_000)
    );
    let redacted = redact(&text);
    assert_eq!(whole(&redacted), text);
    assert!(redacted.line.len() < 2000);
    assert_eq!(&*Event::parse(&redacted.line).unwrap().audit_id, "a");
}

#[test]
fn a_torn_line_is_cut_before_a_body() {
    let redacted = torn(br#"{"auditID":"a","requestObject":{"data":{"p":"hunter2"#, LIMIT);
    assert_eq!(redacted.line, br#"{"auditID":"a",""#);
    assert_eq!(redacted.removed, ["requestObject…"]);
    let redacted = torn(&[0xff; 10], LIMIT);
    assert_eq!((redacted.line, redacted.whole), (vec![0xff; 10], None));
    let redacted = torn(&vec![b'"'; 40_000], LIMIT);
    assert_eq!((redacted.line.len(), redacted.whole.map(|whole| whole.len())), (0, Some(40_000)));
}

/// Creates, an apply, patches, a server-side apply, lists, a table, a token request, deletes: see
/// fixtures/README.md.
#[test]
fn real_events_lose_every_secret() {
    let real = include_str!("../../../fixtures/secrets.jsonl");
    for line in real.lines() {
        assert!(line.contains("hunter2") || line.contains("aHVudGVyMg"), "{line}");
        let redacted = redact(line);
        for secret in ["hunter2", "aHVudGVyMg"] {
            assert!(!whole(&redacted).contains(secret), "{}", whole(&redacted));
            assert!(!String::from_utf8_lossy(&redacted.line).contains(secret));
        }
        assert!(!redacted.removed.is_empty());
    }
}

/// Any JSON with the word `hunter2` as text here and there.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        Just(Value::from("hunter2")),
        "[a-z]{0,4}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let names = prop_oneof![Just("data"), Just("kind"), Just("metadata"), Just("spec")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.prop_map(str::to_owned), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_secret_ever_keeps_data(data in json(), at in 0..4_usize) {
        let secret = serde_json::json!({"kind": "Secret", "metadata": {}, "data": data});
        let body = match at {
            0 => secret,
            1 => serde_json::json!([secret]),
            2 => serde_json::json!({"kind": "List", "items": [secret]}),
            _ => serde_json::json!({"spec": {"template": secret}}),
        };
        let text = with(r#""resource":"things""#, &format!(r#""requestObject":{body}"#));
        let redacted = redact(&text);
        prop_assert!(!whole(&redacted).contains("hunter2"));
        prop_assert_eq!(redacted.removed.len(), 1);
    }

    #[test]
    fn escaped_length_is_what_the_writer_writes(text in "\\PC*|[\\x00-\\x20\"\\\\]*") {
        let mut out = String::new();
        proofstream_canonical::write_string(&mut out, &text);
        prop_assert_eq!(out.len(), escaped_length(text.as_bytes()) + 2);
    }
}
