//! Runs the policy library that stands beside the project (`../shared/conformance`) and holds the
//! result against `docs/unsupported.md`, which may only shrink.
//!
//! `PROOFSTREAM_CONFORMANCE` names another place; where there is none, the test says so and passes.
//! With `UPDATE_UNSUPPORTED=1` the list is written anew, if it has become shorter.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proofstream_cli::offline::expectation::{self, Expectation, Report};

/// Expectations that do not hold: by category, then by test, then by rule, how many.
type Open = BTreeMap<String, BTreeMap<String, BTreeMap<String, usize>>>;

const INTRODUCTION: &str = "\
# What does not hold yet

The expectations of the public policy library (`../shared/conformance/kyverno-policies`) that
`proofstream policy test` does not hold, by what they need: test, rule, and how many. The list may
only shrink: `crates/cli/tests/conformance.rs` fails if one that is not listed stops holding, and if
a listed one holds now (then run it with `UPDATE_UNSUPPORTED=1`).
";

fn workspace() -> PathBuf {
    std::path::absolute("../..").unwrap()
}

fn library() -> Option<PathBuf> {
    let root = std::env::var_os("PROOFSTREAM_CONFORMANCE")
        .map_or_else(|| workspace().join("../shared/conformance"), PathBuf::from);
    Some(root.join("kyverno-policies")).filter(|path| path.is_dir())
}

fn category(each: &Expectation) -> String {
    match &each.unsupported {
        Some(what) => format!("not run: {what}"),
        None => "does not hold".to_owned(),
    }
}

/// A test's folder below the library, as in `other/require-x`.
fn test_name(each: &Expectation, library: &Path) -> String {
    let file = Path::new(&each.file).strip_prefix(library).unwrap();
    let folder = file.parent().unwrap();
    let folder = if folder.ends_with(".kyverno-test") { folder.parent().unwrap() } else { folder };
    folder.display().to_string()
}

fn open(report: &Report, library: &Path) -> Open {
    let mut open = Open::new();
    for each in report.expectations.iter().filter(|each| !each.holds) {
        let rule = if each.rule.is_empty() { each.policy.clone() } else { each.rule.clone() };
        let tests = open.entry(category(each)).or_default();
        *tests.entry(test_name(each, library)).or_default().entry(rule).or_default() += 1;
    }
    open
}

fn total(open: &Open) -> usize {
    open.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values).sum()
}

fn write(open: &Open) -> String {
    let mut text = INTRODUCTION.to_owned();
    for (category, tests) in open {
        let count: usize = tests.values().flat_map(BTreeMap::values).sum();
        write!(text, "\n## {category} ({count})\n\n").unwrap();
        for (test, rules) in tests {
            let rules: Vec<_> =
                rules.iter().map(|(rule, count)| format!("`{rule}` {count}")).collect();
            writeln!(text, "- {test}: {}", rules.join(", ")).unwrap();
        }
    }
    text
}

fn read(text: &str) -> Open {
    let mut open = Open::new();
    let mut category = String::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.rsplit_once(" (").unwrap().0.clone_into(&mut category);
        } else if let Some(item) = line.strip_prefix("- ") {
            let (name, rules) = item.split_once(": ").unwrap();
            let rules = rules.split(", `").map(|rule| {
                let (rule, count) = rule.trim_start_matches('`').rsplit_once("` ").unwrap();
                (rule.to_owned(), count.parse().unwrap())
            });
            let tests = open.entry(category.clone()).or_default();
            tests.insert(name.to_owned(), rules.collect());
        }
    }
    open
}

/// How many are open for each (test, rule), whatever the category.
fn by_rule(open: &Open) -> BTreeMap<(&str, &str), usize> {
    let mut counts = BTreeMap::new();
    for (test, rules) in open.values().flatten() {
        for (rule, count) in rules {
            *counts.entry((test.as_str(), rule.as_str())).or_default() += count;
        }
    }
    counts
}

#[test]
fn the_public_library_holds_but_for_what_is_listed() {
    let Some(library) = library() else {
        println!("SKIPPED: no ../shared/conformance/kyverno-policies; set PROOFSTREAM_CONFORMANCE");
        return;
    };
    let now = Timestamp::now();
    let report = expectation::run(std::slice::from_ref(&library), now, &mut || {}).unwrap();
    let summary = report.summary;
    println!(
        "conformance: {} files, {} expectations, {} hold, {} do not, {} not run",
        summary.files, summary.total, summary.hold, summary.fail, summary.unsupported
    );
    assert!(summary.total > 500, "the library is not there: {summary:?}");

    let path = workspace().join("docs/unsupported.md");
    let listed = read(&std::fs::read_to_string(&path).unwrap_or_default());
    let found = open(&report, &library);
    let is_first = listed.is_empty() && std::env::var_os("UPDATE_UNSUPPORTED").is_some();
    let before = by_rule(&listed);
    let after = by_rule(&found);
    let worse: Vec<_> = after
        .iter()
        .filter(|(key, count)| before.get(*key).is_none_or(|listed| listed < *count))
        .collect();
    assert!(is_first || worse.is_empty(), "these stopped holding: {worse:#?}");
    let text = write(&found);
    if std::env::var_os("UPDATE_UNSUPPORTED").is_some() {
        assert!(is_first || total(&found) <= total(&listed), "the list may only shrink");
        std::fs::write(&path, text).unwrap();
        return;
    }
    let better: Vec<_> = before
        .iter()
        .filter(|(key, count)| after.get(*key).is_none_or(|found| found < *count))
        .collect();
    assert!(better.is_empty(), "these hold now, run with UPDATE_UNSUPPORTED=1: {better:#?}");
    assert_eq!(read(&text), listed, "the categories changed, run with UPDATE_UNSUPPORTED=1");
}

#[test]
fn the_list_reads_back_as_it_was_written() {
    let rules = BTreeMap::from([("a-b, c (d)".to_owned(), 2), ("x".to_owned(), 1)]);
    let tests = BTreeMap::from([("other/test".to_owned(), rules)]);
    let open = Open::from([("not run: kind (x)".to_owned(), tests)]);
    assert_eq!(read(&write(&open)), open);
}
