//! Faults of a catalog name their file and line.

use proofstream_catalog::{Catalog, CatalogFile};

const FRAMEWORK: &str = "\
id: f-1
title: F
prefixes: [F]
bare: false
requirements:
  - {id: \"1.1\", kind: requirement}
  - {id: \"1.2\", kind: requirement}
  - {id: \"1.10\", kind: requirement}
";

fn control(id: &str, rest: &str) -> (String, String) {
    let text = format!(
        "id: {id}\ntitle: T\nclaim: C\nscope: cluster\nshown_by: policies\nseverity: low\nfreshness: 1h\nrecords: [block]\n{rest}"
    );
    (format!("c/controls/{id}.yaml"), text)
}

const MAPPINGS: &str = "\
framework: f-1
mappings:
  - requirement: \"1.1\"
    controls:
      - {control: a, part: p}
      - {control: b, part: p}
";

fn load(changes: &[(String, String)]) -> Result<Catalog, String> {
    let mut files = vec![
        ("c/frameworks/f-1.yaml".to_owned(), FRAMEWORK.to_owned()),
        ("c/mappings/f-1.yaml".to_owned(), MAPPINGS.to_owned()),
        control("a", ""),
        control("b", "rests_on: [a]\n"),
    ];
    for (path, text) in changes {
        files.retain(|(known, _)| known != path);
        files.push((path.clone(), text.clone()));
    }
    Catalog::load(
        files.into_iter().map(|(path, text)| CatalogFile { path, bytes: text.into_bytes() }),
    )
    .map_err(|error| error.to_string())
}

fn framework(from: &str, to: &str) -> (String, String) {
    assert!(FRAMEWORK.contains(from));
    ("c/frameworks/f-1.yaml".to_owned(), FRAMEWORK.replace(from, to))
}

fn mappings(from: &str, to: &str) -> (String, String) {
    assert!(MAPPINGS.contains(from));
    ("c/mappings/f-1.yaml".to_owned(), MAPPINGS.replace(from, to))
}

#[test]
fn the_small_catalog_is_good() {
    load(&[]).unwrap();
}

#[test]
fn each_fault_is_found_where_it_stands() {
    let cases: Vec<((String, String), &str)> = vec![
        (framework("\"1.2\"", "\"1.1\""), "c/frameworks/f-1.yaml:7: `1.1` stands here twice"),
        (framework("\"1.10\"", "\"1.0\""), "c/frameworks/f-1.yaml:8: `1.0` is not sorted in"),
        (
            framework("id: f-1", "id: f-2"),
            "c/frameworks/f-1.yaml:1: `f-2` stands in a file called `f-1.yaml`",
        ),
        (
            framework("bare: false", "bares: false"),
            "c/frameworks/f-1.yaml:4: unknown field `bares`",
        ),
        (mappings("\"1.1\"", "\"1.3\""), "c/mappings/f-1.yaml:3: `f-1` has no id `1.3`"),
        (mappings("control: b", "control: z"), "c/mappings/f-1.yaml:6: unknown control `z`"),
        (
            mappings("control: b", "control: a"),
            "c/mappings/f-1.yaml:6: `a` is not sorted in, or doubled, under `1.1`",
        ),
        (
            mappings("      - {control: b, part: p}\n", ""),
            "c/controls/b.yaml:1: no requirement is mapped to `b`",
        ),
        (control("b", "rests_on: [c]\n"), "c/controls/b.yaml:9: unknown control `c`"),
        (control("a", "rests_on: [b]\n"), "c/controls/a.yaml:9: `a` rests on itself"),
        (
            control("a", "policies: [py, px]\n"),
            "c/controls/a.yaml:9: `px` is not sorted into `policies`",
        ),
        (control("a", "enforcers: [falco]\n"), "c/controls/a.yaml:9: `falco` is not an enforcer"),
        (
            (
                "c/aliases.yaml".to_owned(),
                "aliases:\n  - alias: X\n    requirement: f-1/9\n    note: because\n".to_owned(),
            ),
            "c/aliases.yaml:3: unknown requirement `f-1/9`",
        ),
        (("c/other.yaml".to_owned(), "a: b\n".to_owned()), "c/other.yaml:1: not a catalog file"),
        (("c/controls/a.yaml".to_owned(), "id: [\n".to_owned()), "c/controls/a.yaml:"),
    ];
    for (change, expected) in cases {
        let error = load(std::slice::from_ref(&change)).unwrap_err();
        assert!(
            error.lines().any(|line| line.starts_with(expected)),
            "expected {expected}, got {error}"
        );
    }
}
