//! Gatekeeper's templates, constraints and Suites as a user meets them: the real binary.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gatekeeper");
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofstream"));
    command.args(["policy"]).args(arguments).current_dir(folder).output().unwrap()
}

/// What is written, and with which exit code.
fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    format!("{}{}exit {code}\n", text(&output.stdout), text(&output.stderr))
}

#[test]
fn suites_are_run_strictly() {
    assert_snapshot!(told(&run(&["test", ".", "--all"])));
    let json = run(&["test", "suite.yaml", "--output", "json"]);
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(document["summary"]["hold"], document["summary"]["total"]);
    assert_eq!(document["expectations"][1]["case"], "one is missing and one is wrong");
}

#[test]
fn constraints_are_judged_and_look_at_the_other_resources() {
    let resources = ["--resource", "pod-bad.yaml", "--resource", "namespace-payments.yaml"];
    let mut labels = vec!["apply", "labels-template.yaml", "labels-constraint.yaml", "--all"];
    labels.extend(resources);
    assert_snapshot!("apply_labels", told(&run(&labels)));
    let hosts = [
        "apply",
        "hosts-template.yaml",
        "hosts-constraint.yaml",
        "--resource",
        "ingress-shop.yaml",
        "--resource",
        "ingress-copy.yaml",
    ];
    assert_snapshot!("apply_hosts", told(&run(&hosts)));
}

#[test]
fn what_cannot_be_used_says_why() {
    let apply = |files: &[&str]| {
        let mut arguments = vec!["apply"];
        arguments.extend(files);
        arguments.extend(["--resource", "pod-bad.yaml"]);
        told(&run(&arguments))
    };
    assert_snapshot!("recursion", apply(&["recursive-template.yaml", "turns-constraint.yaml"]));
    assert_snapshot!("no_template", apply(&["labels-constraint.yaml"]));
    assert_snapshot!(
        "no_constraint",
        apply(&["labels-template.yaml", "hosts-template.yaml", "hosts-constraint.yaml"])
    );
    assert_snapshot!(
        "parameters",
        apply(&["labels-template.yaml", "labels-wrong-parameters.yaml"])
    );
    // The labels of its namespace are not known: that is no pass.
    assert_snapshot!("labels", apply(&["registry-template.yaml", "registry-constraint.yaml"]));
}
