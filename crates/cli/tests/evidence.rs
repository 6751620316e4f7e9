//! `proofstream control` and `proofstream export`, as a user meets them.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proofstream_cli::{Console, ExitCode, run};
use proofstream_ledger::storage::Directory;
use proofstream_ledger::verify::{Folder, Options, verify_bundle};
use proofstream_ledger::writer::{Draft, Loss, Start, Writer, WriterOptions};

/// A stream that can be read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Exit code, standard output, standard error.
fn proofstream(arguments: &[&str]) -> (u8, String, String) {
    let (out, error) = (Shared::default(), Shared::default());
    let mut console = Console::new(Box::new(out.clone()), Box::new(error.clone()));
    let arguments = std::iter::once("proofstream").chain(arguments.iter().copied());
    let code: ExitCode = run(arguments.map(OsString::from), &mut console);
    (code.number(), out.text(), error.text())
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A data folder whose ledger holds one block.
fn data() -> Outcome<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let writer = open(folder.path())?;
    let source = writer.source("audit-file/a", Start::Resume)?;
    let body = serde_json::json!({
        "enforcer": "proofstream", "policies": ["require-hardened-securitycontext"],
        "requirements": ["soc2-2017/CC6.1"], "rules": [],
    });
    let draft = Draft {
        kind: "block".to_owned(),
        controls: vec!["workload-hardened".to_owned()],
        body: body.to_string().into_bytes(),
    };
    source.append(vec![draft])?.wait(Duration::from_secs(20)).ok_or("not durable")??;
    writer.close()?;
    Ok(folder)
}

fn open(data: &Path) -> Outcome<Writer> {
    let options = WriterOptions::new(
        "6b1d5b7e-0000-4000-8000-000000000001",
        Arc::new(Directory::private(data.join("private"))),
        Arc::new(Directory::private(data.join("guard"))),
    );
    Ok(Writer::open(Arc::new(Directory::new(data.join("ledger"))), options)?.0)
}

fn export<'a>(data: &'a str, out: &'a str) -> Vec<&'a str> {
    vec![
        "export",
        "--framework",
        "soc2-2017",
        "--from",
        "2020-01-01T00:00:00Z",
        "--to",
        "2120-01-01T00:00:00+02:00",
        "--data",
        data,
        "--out",
        out,
    ]
}

#[test]
fn a_data_folder_is_exported_verified_and_exported_again() {
    let folder = data().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (code, out, error) = proofstream(&export(&path(""), &path("one")));
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("CC6.1      blocked 1 times"), "{out}");
    let report =
        verify_bundle(&Folder::open(&folder.path().join("one")).unwrap(), &Options::default());
    assert!(report.unwrap().holds());
    // The first export is a record, and the second one is held against it.
    let (code, _, error) = proofstream(&export(&path(""), &path("two")));
    assert_eq!(code, 0, "{error}");
    let consistency = std::fs::read_to_string(folder.path().join("two/consistency.jsonl")).unwrap();
    assert_eq!(consistency.lines().count(), 1);
    let exports = std::fs::read_to_string(folder.path().join("two/records/export.jsonl")).unwrap();
    assert_eq!(exports.lines().count(), 1);
}

#[test]
fn what_cannot_be_exported_is_told_and_leaves_nothing_behind() {
    let folder = data().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (data, out) = (path(""), path("out"));
    let with = |change: &dyn Fn(&mut Vec<&str>)| {
        let mut arguments = export(&data, &out);
        change(&mut arguments);
        let (code, _, error) = proofstream(&arguments);
        assert!(!folder.path().join("out").exists());
        (code, error)
    };
    let (code, error) = with(&|arguments| arguments[2] = "soc2");
    assert_eq!(code, 2);
    assert!(error.contains("unknown framework `soc2` (did you mean `soc2-2017`?)"), "{error}");
    let (code, error) = with(&|arguments| arguments[4] = "2026-07-01T00:00:00");
    assert_eq!(code, 2);
    assert!(error.contains("is not an RFC 3339 time with a zone"), "{error}");
    let (code, error) = with(&|arguments| arguments[4] = "2130-01-01T00:00:00Z");
    assert_eq!(code, 2);
    assert!(error.contains("the period is empty"), "{error}");
    let (code, error) = with(&|arguments| arguments.extend(["--control", "nothing"]));
    assert_eq!(code, 2);
    assert!(error.contains("unknown control `nothing`"), "{error}");
    let (code, error) = with(&|arguments| arguments.extend(["--sample", "3"]));
    assert_eq!(code, 2);
    assert!(error.contains("--seed"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let nowhere = empty.path().display().to_string();
    let (code, _, error) = proofstream(&export(&nowhere, &out));
    assert_eq!(code, 2);
    assert!(error.contains("there is no ledger in"), "{error}");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn a_ledger_that_a_server_holds_is_left_alone() {
    let folder = data().unwrap();
    let writer = open(folder.path()).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (code, _, error) = proofstream(&export(&path(""), &path("out")));
    assert_eq!(code, 3);
    assert!(error.contains("a server is running on this folder"), "{error}");
    drop(writer);
}

#[test]
fn a_full_folder_is_not_written_to() {
    let folder = data().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (code, _, error) = proofstream(&export(&path(""), &path("ledger")));
    assert_eq!(code, 2);
    assert!(error.contains("is not empty"), "{error}");
}

#[test]
fn the_controls_are_listed_and_shown() {
    let (code, out, _) = proofstream(&["control", "list", "--framework", "soc2-2017"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("list", out);
    let (code, out, _) = proofstream(&["control", "show", "workload-hardened"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("show", out);
    let (_, out, _) = proofstream(&["control", "show", "workload-hardened", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["id"], "workload-hardened");
    let (code, _, error) = proofstream(&["control", "show", "CIS-5.7"]);
    assert_eq!(code, 2);
    assert!(error.contains("cis-k8s-1.12/5.4.1, carried by: secrets-not-in-env"), "{error}");
}

#[test]
fn a_broken_catalog_is_told_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("frameworks")).unwrap();
    let file = folder.path().join("frameworks/f-1.yaml");
    std::fs::write(&file, "id: f-1\ntitle: F\nprefixes: [F]\nbare: false\nrequirements: 3\n")
        .unwrap();
    let catalog = folder.path().display().to_string();
    let (code, _, error) = proofstream(&["control", "list", "--catalog", &catalog]);
    assert_eq!(code, 2);
    assert!(error.contains("frameworks/f-1.yaml:"), "{error}");
}

#[test]
fn a_ledger_says_what_it_covers_and_shows_a_record_with_its_proof() {
    let folder = data().unwrap();
    let data = folder.path().display().to_string();
    let writer = open(folder.path()).unwrap();
    let source = writer.source("audit-file/a", Start::Resume).unwrap();
    let time = |text: &str| proofstream_ledger::time::Time::parse_rfc3339(text).unwrap();
    let (from, to) = (time("2020-01-01T00:00:00Z"), time("2120-01-01T00:00:00Z"));
    let cause = "silent: nothing came".to_owned();
    source.report_gap(Loss { count: None, from, to, cause }).unwrap();
    writer.close().unwrap();

    let (code, out, error) = proofstream(&["ledger", "status", "--data", &data]);
    assert_eq!((code, error.as_str()), (1, ""), "{out}");
    assert!(out.contains("audit-file/a  1 record,") && out.contains("SILENT"), "{out}");
    assert!(out.contains("without a gap"), "{out}");
    assert!(out.contains("(number unknown): silent: nothing came"), "{out}");
    let (_, out, _) = proofstream(&["ledger", "status", "--data", &data, "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    let sources = status["sources"].as_array().unwrap();
    let file = sources.iter().find(|source| source["source"] == "audit-file/a").unwrap();
    assert_eq!(file["gaps"][0]["cause"], "silent: nothing came");

    let show = |id: &str| proofstream(&["record", "show", id, "--data", &data, "--output", "json"]);
    let records = status["records"].as_u64().unwrap();
    for seq in 0..records {
        let (code, out, error) = show(&seq.to_string());
        assert_eq!((code, error.as_str()), (0, ""));
        let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(shown["record"]["seq"], seq);
        let place = format!("{}:{}", shown["segment"].as_str().unwrap(), shown["line"]);
        assert_eq!(show(&place), (0, out, String::new()));
    }
    let (code, out, _) = proofstream(&["record", "show", "0", "--data", &data]);
    assert!(code == 0 && out.contains("proven  line 1 of segments/"), "{out}");
    let (code, _, error) = show(&records.to_string());
    assert!(code == 2 && error.contains("is not among"), "{error}");
    assert_eq!(show("nonsense").0, 2);
    let (code, _, error) = proofstream(&["ledger", "status", "--data", &format!("{data}/nowhere")]);
    assert!(code == 2 && error.contains("no sealed ledger"), "{error}");

    // A byte of a segment changed: not what was signed.
    let segments = folder.path().join("ledger/segments");
    let mut pending = vec![segments];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    assert_eq!(show("0").0, 4);
}
