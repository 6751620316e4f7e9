//! `proofstream audit-policy` as an operator meets it: the real binary.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use proofstream_catalog::Catalog;
use serde_json::Value;

const ARTICLE: &str = "../../examples/article/audit-policy.yaml";

fn run(arguments: &[&str], input: &str) -> (String, String, i32) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_proofstream"))
        .arg("audit-policy")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

fn shown(arguments: &[&str], input: &str) -> String {
    let (out, error, code) = run(arguments, input);
    format!("{out}{error}exit {code}\n")
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn the_article_s_policy_is_linted_with_places_reasons_and_corrections() {
    assert_snapshot!(shown(&["lint", ARTICLE], ""));
    let (out, _, code) = run(&["lint", ARTICLE, "--output", "json"], "");
    let report: Value = serde_json::from_str(&out).unwrap();
    let numbers: Vec<i64> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["number"].as_i64())
        .collect();
    assert_eq!((numbers, code), (vec![1, 3, 4, 5, 7, 8, 9, 10, 13, 14], 1));
}

/// What comes out is a policy without findings, and lints so.
#[test]
fn the_corrected_policy_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let (corrected, error, code) = run(&["lint", ARTICLE, "--corrected"], "");
    assert_eq!((error.as_str(), code), ("", 0));
    let file = write(folder.path(), "corrected.yaml", &corrected);
    let (out, error, code) = run(&["lint", &file, "--output", "json"], "");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((report["findings"].to_string(), error.as_str(), code), ("[]".to_owned(), "", 0));
}

#[test]
fn the_recommended_policy_and_flags_have_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let (recommended, _, _) = run(&["recommend"], "");
    let flags = recommended.lines().filter_map(|line| line.strip_prefix("#   --"));
    let flags = flags.fold(String::new(), |text, flag| format!("{text}--{flag}\n"));
    let file = write(folder.path(), "policy.yaml", &recommended);
    let flags = write(folder.path(), "flags", &flags);
    assert_eq!(shown(&["lint", &file, "--flags", &flags], ""), "0 findings\nexit 0\n");
}

#[test]
fn a_request_is_answered_with_the_rule_and_the_reason() {
    let exec = ["simulate", ARTICLE, "--verb", "get", "--resource", "pods/exec", "-n", "payments"];
    assert_snapshot!(shown(&exec, ""));
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/ledger/roles/x?dryRun=All";
    let address =
        ["simulate", ARTICLE, "--verb", "PUT", "--path", path, "--user", "alice", "-o", "json"];
    assert_snapshot!(shown(&address, ""));
    assert_snapshot!(shown(&["simulate", ARTICLE, "--verb", "get"], ""));
}

#[test]
fn many_requests_are_answered_in_their_order_and_bad_lines_lose_no_others() {
    let requests = r#"{"verb":"create","resource":"secrets","namespace":"payments","user":"alice","groups":["dev"]}
{"verb":"get","path":"/healthz"}

{"verb":"get","resource":"pods","namespace":null,"extra":1}
{"verb":"get"
{"resource":"pods"}
{"verb":"get","path":"healthz"}
{"verb":"delete","resource":"deployments","group":"apps","namespace":"web","name":"x"}
"#;
    assert_snapshot!(shown(&["simulate", ARTICLE, "--requests", "-"], requests));
}

#[test]
fn bad_files_are_refused_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let bad = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: metadata\n- level: None\n  nonResourceURLs: [x]\n";
    let file = write(folder.path(), "bad.yaml", bad);
    let empty = write(folder.path(), "empty.yaml", "# nothing\n");
    let misspelt = write(
        folder.path(),
        "misspelt.yaml",
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  verb: [get]\n",
    );
    let flow = write(
        folder.path(),
        "flow.yaml",
        "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None}]}",
    );
    let mut said = String::new();
    for arguments in [
        vec!["lint", &file],
        vec!["lint", &empty],
        vec!["lint", "nowhere.yaml"],
        vec!["lint", &flow],
        vec!["simulate", &misspelt, "--verb", "list", "--resource", "pods"],
        vec!["lint", ARTICLE, "--flags", &empty],
    ] {
        said.push_str(&shown(&arguments, ""));
    }
    assert_snapshot!(said.replace(&folder.path().display().to_string(), "FOLDER"));
}

/// Every requirement that a check names is one of the catalog's.
#[test]
fn requirements_of_checks_are_in_the_catalog() {
    let catalog = Catalog::embedded().unwrap();
    let ids: BTreeSet<&str> =
        proofstream_audit::CHECKS.iter().flat_map(|check| check.requirements).copied().collect();
    for id in ids {
        let (framework, requirement) = id.split_once('/').unwrap();
        let framework = catalog.framework(framework).unwrap();
        assert!(framework.requirement(requirement).is_some(), "{id}");
    }
}
