//! The policies in `policies/`: their own tests hold, and no hole is found that they claim to close.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

fn run(arguments: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofstream"));
    command.arg("policy").args(arguments).args(["--output", "json"]).current_dir(folder());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), document.unwrap_or(Value::String(told)))
}

#[test]
fn every_policy_has_tests_that_hold_a_claim_and_its_limits() {
    let (code, report) = run(&["test", "."]);
    let broken: Vec<&Value> = report["expectations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|each| each["holds"] != true)
        .collect();
    assert_eq!((code, broken), (0, Vec::new()));
    let tested: BTreeSet<String> = report["expectations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| each["test"].as_str().unwrap().to_owned())
        .collect();
    let overview = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let folders = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    for path in folders.filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(tested.contains(&name), "{name} has no test");
        assert!(overview.contains(&format!("[{name}]({name}/README.md)")), "{name} is not listed");
        let readme = std::fs::read_to_string(path.join("README.md")).unwrap();
        for part in ["Control: ", "Requirements: ", "## What it does not close\n\n- "] {
            assert!(readme.contains(part), "{name}/README.md says nothing of {part}");
        }
    }
}

#[test]
fn no_hole_is_found_in_them() {
    let regulated = ["--label", "proofstream.dev/regulated=true", "--namespaces", "payments"];
    for control in ["workload-hardened", "pod-security-restricted", "secrets-not-in-env"] {
        let mut arguments = vec!["holes", control, control];
        // A folder is called as its control is: the second is meant as a path.
        let path = format!("./{control}");
        arguments[2] = &path;
        arguments.extend(regulated);
        let (code, report) = run(&arguments);
        let holes: Vec<(&Value, &Value)> = report["holes"]
            .as_array()
            .unwrap_or_else(|| panic!("{control}: {report}"))
            .iter()
            .map(|hole| (&hole["breach"], &hole["place"]))
            .collect();
        assert_eq!((code, holes), (0, Vec::new()), "{control}");
        assert_eq!(report["refusedWithoutBreach"].as_array().map(Vec::len), Some(0), "{control}");
        assert!(report["summary"]["tried"].as_u64().unwrap() > 10, "{control}: {report}");
    }
}

#[test]
fn without_the_label_they_are_about_nothing() {
    let (code, report) = run(&["holes", "secrets-not-in-env", "./secrets-not-in-env"]);
    assert_eq!(code, 1, "{report}");
}
