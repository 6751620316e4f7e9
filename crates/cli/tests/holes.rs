//! `proofstream policy holes` as a user meets it: the real binary on the article's policies.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/article");
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofstream"));
    command.args(["policy", "holes"]).args(arguments).current_dir(folder).output().unwrap()
}

/// What is written, and with which exit code.
fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    format!("{}{}exit {code}\n", text(&output.stdout), text(&output.stderr))
}

const BOTH: [&str; 2] = ["require-hardened-securitycontext.yaml", "disallow-secret-env-vars.yaml"];

#[test]
fn the_articles_policies_have_these_holes() {
    assert_snapshot!("article", told(&run(&BOTH)));
}

#[test]
fn pods_are_written_ready_to_apply() {
    let one = ["workload-hardened", BOTH[0], "--namespaces", "payments", "--output", "yaml"];
    let output = run(&one);
    let text = String::from_utf8(output.stdout).unwrap();
    let first: Vec<&str> = text.split("---\n").skip(1).take(2).collect();
    assert_snapshot!("yaml", first.join("---\n"));
}

#[test]
fn programs_read_the_same() {
    let output = run(&[BOTH[0], BOTH[1], "--output", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let holes = document["holes"].as_array().unwrap();
    assert_eq!(document["summary"]["holes"], holes.len());
    let ephemeral = holes.iter().find(|hole| hole["place"] == "ephemeral container").unwrap();
    assert_eq!(ephemeral["operation"], "UPDATE");
    assert!(ephemeral["before"].is_object());
}

#[test]
fn pod_security_closes_some_of_them() {
    let arguments = ["workload-hardened", BOTH[0], "--pod-security", "restricted"];
    assert_snapshot!("pod_security", told(&run(&arguments)));
}

#[test]
fn what_cannot_be_searched_says_why() {
    assert_snapshot!("unknown", told(&run(&["no-such-control"])));
    assert_snapshot!("audit_only", told(&run(&["--as-enforced", "no-such-file.yaml"])));
}
