//! `proofstream policy replay` as a security engineer meets it: the real binary on a ledger.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "../benches/offline/kept.rs"]
mod kept;

use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use serde_json::Value;

fn replay(data: &Path, arguments: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/article");
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofstream"));
    command.args(["policy", "replay"]).args(arguments).arg("--data").arg(data);
    command.current_dir(folder).output().unwrap()
}

/// What is written, moments left out, and with which exit code.
fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    let all = format!("{}{}exit {code}\n", text(&output.stdout), text(&output.stderr));
    let moment = regex::Regex::new(r"20\d\d-\d\d-\d\dT[0-9:.]+Z").unwrap();
    moment.replace_all(&all, "MOMENT").into_owned()
}

const HARDENED: &str = "require-hardened-securitycontext.yaml";

#[test]
fn who_would_have_been_blocked_is_told() {
    let folder = tempfile::tempdir().unwrap();
    kept::ledger(folder.path(), 30);
    assert_snapshot!("blocked", told(&replay(folder.path(), &[HARDENED, "--since", "1h"])));
    let output = replay(folder.path(), &[HARDENED, "--since", "1h", "--output", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["requests"]["replayed"], 30);
    assert_eq!(document["rules"][0]["wouldBlock"], 10);
    assert_eq!(document["rules"][0]["owners"].as_array().map(Vec::len), Some(10));
    assert_eq!(document["rules"][0]["first"]["subject"], "Pod payments/web-0");
}

#[test]
fn a_period_without_requests_and_a_ledger_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    kept::ledger(folder.path(), 3);
    let until = ["--since", "2020-01-01T00:00:00Z", "--until", "2020-02-01T00:00:00Z"];
    let arguments = [&[HARDENED][..], &until].concat();
    assert_snapshot!("nothing", told(&replay(folder.path(), &arguments)));
    let empty = tempfile::tempdir().unwrap();
    assert_snapshot!("no_ledger", told(&replay(empty.path(), &[HARDENED])));
    assert_snapshot!("no_span", told(&replay(folder.path(), &[HARDENED, "--since", "soon"])));
}
