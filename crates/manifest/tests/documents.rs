//! Documents as users write them, their places, and what is said of broken ones.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::fmt::Write as _;

use proofstream_manifest::{Document, Limits, ManifestError, documents, locate, read};
use serde_json::{Value, json};

fn all(text: &str) -> Vec<Result<Document, ManifestError>> {
    documents(text.as_bytes(), "pods.yaml").collect()
}

fn values(text: &str) -> Vec<Value> {
    all(text).into_iter().map(|each| each.unwrap().value).collect()
}

fn errors(text: &str) -> String {
    let mut out = String::new();
    for error in all(text).into_iter().filter_map(Result::err) {
        writeln!(out, "{error}\n  help: {}", error.help).unwrap();
    }
    out
}

#[test]
fn splits_documents_and_passes_over_empty_ones() {
    let text =
        "# a comment\n---\n---\na: 1\n--- # why\nnull\n---\nb: 2\n...\n---\n{c: 3}\n--- {d: 4}\n";
    let found = all(text);
    let places: Vec<_> = found
        .iter()
        .map(|each| each.as_ref().unwrap())
        .map(|each| (each.index, each.line, each.value.to_string()))
        .collect();
    let expected = [
        (0, 4, r#"{"a":1}"#.to_owned()),
        (1, 8, r#"{"b":2}"#.to_owned()),
        (2, 11, r#"{"c":3}"#.to_owned()),
        (3, 12, r#"{"d":4}"#.to_owned()),
    ];
    assert_eq!(places, expected);
}

#[test]
fn reads_windows_files_and_byte_order_marks() {
    assert_eq!(
        values("\u{FEFF}---\r\na: 1\r\nb: |\r\n  x\r\n  y\r\n---\r\nc: on\r\n"),
        [json!({"a": 1, "b": "x\ny\n"}), json!({"c": true})]
    );
    assert_eq!(values("%YAML 1.1\n---\na: 1\n...\n%YAML 1.1\n---\nb: 1\n").len(), 2);
}

#[test]
fn takes_lists_apart_and_says_where_items_stand() {
    let text =
        "apiVersion: v1\nkind: List\nitems:\n- kind: Pod\n  metadata: {name: a}\n-\n  kind: Pod\n";
    let found: Vec<_> = all(text).into_iter().map(Result::unwrap).collect();
    assert_eq!(found.iter().map(|each| each.line).collect::<Vec<_>>(), [4, 7]);
    assert_eq!(found.iter().map(|each| each.item).collect::<Vec<_>>(), [Some(0), Some(1)]);
    let typed = r#"{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a"}}]}"#;
    assert_eq!(
        values(typed),
        [json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})]
    );
}

#[test]
fn reads_json_also_several_in_a_row() {
    let found: Vec<_> =
        all("{\"a\": 1.0}\n{\"a\": 2}\n\n [3]").into_iter().map(Result::unwrap).collect();
    let lines: Vec<_> = found.iter().map(|each| (each.line, each.value.clone())).collect();
    assert_eq!(lines, [(1, json!({"a": 1.0})), (2, json!({"a": 2})), (4, json!([3]))]);
}

#[test]
fn merges_as_the_clients_of_the_api_do() {
    let text = "a: 1\nb: &x {a: 2, c: 3}\nd:\n  a: 9\n  <<: *x\ne:\n  <<: *x\n  a: 9\nf:\n  <<: [{a: 5}, *x]\n";
    // A key below `<<` overrides; a key above it is overridden; the first of several sources wins.
    let value = &values(text)[0];
    assert_eq!(value["d"], json!({"a": 2, "c": 3}));
    assert_eq!(value["e"], json!({"a": 9, "c": 3}));
    assert_eq!(value["f"], json!({"a": 5, "c": 3}));
    assert!(errors("<<: {a: 1}\nb: 1\nb: 2\n").contains("stands twice"));
}

#[test]
fn an_error_leaves_the_other_documents_readable() {
    let found = all("a: 1\n---\nb: [\n---\nc: 3\n");
    assert_eq!(found.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn says_what_is_wrong_and_where() {
    let cases = [
        "a: 1\n---\nspec:\n  a: 1\n  b: 2\n  a: 3\n",
        "spec:\n\tcontainers: []\n",
        "a: b: c\n",
        "a: [1, 2\n",
        "a: \"open\nb: 1\n",
        "a: @x\n",
        "a: *missing\n",
        "a: {{ .Values.name }}\n",
        "? [a]\n: b\n",
        "~: b\n",
        "a: .inf\n",
        "a: !!int x\n",
        "a: &a [*a]\n",
        "x:\n  <<: 3\n",
        "a: 1\n b: 2\n",
        "key\nb: 1\n",
        "{\"a\": 1, \"a\": 2}",
        "{\"a\": 1,, }",
        "y: 1\non: 2\n",
    ];
    let mut out = String::new();
    for case in cases {
        writeln!(out, "{case:?}\n{}", errors(case)).unwrap();
    }
    insta::assert_snapshot!(out);
}

#[test]
fn refuses_text_that_is_not_utf8() {
    let found: Vec<_> = documents(b"a: 1\nb: x\xFF\n", "x.yaml").collect();
    assert_eq!(found[0].as_ref().unwrap_err().to_string(), "x.yaml:2:5: the text is not UTF-8");
    let found: Vec<_> = documents(b"\xFF\xFEa\0", "x.yaml").collect();
    assert_eq!(found[0].as_ref().unwrap_err().to_string(), "x.yaml:1:1: the text is UTF-16");
}

#[test]
fn bounds_aliases_depth_and_size() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", vec![below; 10].join(", ")).unwrap();
    }
    assert!(errors(&bomb).contains("repeat too much"), "{}", errors(&bomb));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    assert!(errors(&long).contains("repeat too much"));
    for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        assert!(errors(&deep).contains("nested too deeply"), "{}", &errors(&deep));
    }
    let fine = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(values(&format!("a: {fine}")).len(), 1);
    let limits = Limits { document_bytes: 1 << 20, ..Limits::default() };
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let mut found = read(endless, "-").with_limits(limits);
    let error = found.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "-:1:1: the document is larger than 1 MiB");
    assert!(found.next().is_none());
}

#[test]
fn says_when_the_input_cannot_be_read() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let mut found = read(std::io::BufReader::new(Broken), "x.yaml");
    let error = found.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "x.yaml: cannot be read: the disk is gone");
    assert!(found.next().is_none());
}

#[test]
fn finds_the_place_of_a_field() {
    let text = "# top\na: 1\n---\nkind: X\nmetadata:\n  annotations:\n    a.b/c: x\nspec:\n  rules:\n  - name: one\n  - name: two\n    validate:\n      deny: {conditions: [1, 2]}\n";
    let document = all(text).remove(1).unwrap();
    let place = |path: &str| {
        let place = locate(text.as_bytes(), &document, path).unwrap();
        (place.line, place.column)
    };
    assert_eq!(place("spec.rules[1].validate.deny.conditions[1]"), (13, 30));
    assert_eq!(place("spec.rules[1].validate.nothing.here"), (12, 5));
    assert_eq!(place("metadata.annotations.a.b/c"), (7, 5));
    assert_eq!(place("spec.rules[1].name"), (11, 5));
    assert_eq!(place("nowhere"), (4, 1));
    let list = "kind: List\nitems:\n- kind: A\n- kind: B\n  spec: {x: 1}\n";
    let item = all(list).remove(1).unwrap();
    let place = locate(list.as_bytes(), &item, "spec.x").unwrap();
    assert_eq!((place.line, place.column), (5, 10));
}

#[test]
fn gives_documents_before_the_input_ends() {
    /// An input without end, which fails the test if it is read far ahead of what is asked for.
    struct Endless(usize);
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let text = b"---\nkind: Pod\n";
            assert!(self.0 < 100_000 * text.len(), "the whole input is read at once");
            let count = buffer.len().min(text.len() * 10) / text.len() * text.len();
            for chunk in buffer[..count].chunks_mut(text.len()) {
                chunk.copy_from_slice(text);
            }
            self.0 += count;
            Ok(count)
        }
    }
    let found = read(std::io::BufReader::new(Endless(0)), "-").take(50_000);
    assert_eq!(
        found.filter(|each| each.as_ref().unwrap().value == json!({"kind": "Pod"})).count(),
        50_000
    );
}
