//! `docs/verify/verify_bundle.py`, which shares no code with us, beside the verifier: good bundles, changed
//! ones, and changed ones that were listed and signed again. Both say the same of each.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::fixture::{Memory, Plan, Random, conformance, export_signer};
use super::outcome::{accepts, bundle};
use proofstream_ledger::verify::Options;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verify/verify_bundle.py");
const CASES: usize = 400;

/// Verifies the folders that a file names, one a line, in one process: what it takes is mostly to begin.
const MANY: &str = "
import importlib.util, sys
spec = importlib.util.spec_from_file_location('verify_bundle', sys.argv[1])
script = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(script)
for line in open(sys.argv[2]):
    bundle = script.Bundle(line.rstrip('\\n'))
    bundle.verify()
    print('; '.join(bundle.failures).replace('\\n', ' '))
";

/// A Python that has the library. `make deps` installs Debian's; another one may come first on the path.
fn python() -> &'static str {
    let works = |program: &&&str| {
        let mut command = Command::new(program);
        command.args(["-c", "import cryptography"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"]
        .iter()
        .find(works)
        .ok_or("no python3 with `cryptography`: run `make deps`")
        .unwrap()
}

/// What the script says of each bundle; nothing where all holds.
fn said(folders: &[PathBuf]) -> Vec<String> {
    let mut list = tempfile::NamedTempFile::new().unwrap();
    for folder in folders {
        writeln!(list, "{}", folder.display()).unwrap();
    }
    let mut command = Command::new(python());
    let output = command.args(["-c", MANY, SCRIPT]).arg(list.path()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{}", text(output.stderr));
    let lines: Vec<String> = text(output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), folders.len());
    lines
}

fn usual() -> Memory {
    let claims = "{\"claims\":[{\"kind\":\"decision\",\"text\":\"alice was refused\",\"value\":8,\
         \"where\":{\"body.user\":\"alice\",\"controls\":\"b\"}},{\"from\":\"2020-01-01T00:00:00Z\",\
         \"kind\":\"event\",\"text\":\"bob\",\"to\":\"2120-01-01T01:00:00.5+01:00\",\"value\":16,\
         \"where\":{\"event.user.username\":\"bob\"}}],\"v\":1}";
    Plan::usual().build().bundle(0, &["decision", "event", "session"], claims)
}

fn change_a_line(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> =
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let mut pick = |bound: usize| usize::try_from(random.next() % bound.max(1) as u64).unwrap();
    let (one, other) = (pick(lines.len()), pick(lines.len()));
    match pick(8) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one].clone()),
        2 => lines.swap(one, other),
        3 => lines[one].truncate(other),
        4 => lines.push(b"{}\n".to_vec()),
        5 => {
            let place = pick(lines[one].len());
            lines[one].insert(place, b' ');
        }
        6 => {
            let digits: Vec<usize> =
                (0..lines[one].len()).filter(|place| lines[one][*place].is_ascii_digit()).collect();
            if let Some(place) = digits.get(pick(digits.len())) {
                let digit = (lines[one][*place] - b'0' + 1) % 10;
                lines[one][*place] = b'0' + digit;
            }
        }
        _ => {
            let place = pick(lines[one].len());
            let bit = u8::try_from(pick(8)).unwrap();
            if let Some(byte) = lines[one].get_mut(place) {
                *byte ^= 1 << bit;
            }
        }
    }
    lines.concat()
}

fn save(files: &Memory, root: &Path, number: usize) -> PathBuf {
    let folder = root.join(number.to_string());
    files.save(&folder);
    folder
}

#[test]
fn the_script_accepts_what_is_right() {
    let root = tempfile::tempdir().unwrap();
    let mut folders = vec![save(&usual(), root.path(), 0)];
    // A range that begins later, without the record of the export key's own.
    folders.extend(conformance().map(|folder| folder.join("bundle")));
    let said = said(&folders);
    assert!(said.iter().all(String::is_empty), "{said:?}");
    accepts(&bundle(&usual(), &Options::default()));
}

/// An auditor runs it as its first line says.
#[test]
fn the_script_says_what_it_checked_and_of_what_grade() {
    let root = tempfile::tempdir().unwrap();
    let made = Plan::usual().build();
    let mut files = usual();
    let folder = save(&files, root.path(), 0);
    let earlier = root.path().join("earlier");
    std::fs::write(&earlier, made.checkpoint(3, &[&super::fixture::log_signer(0)])).unwrap();
    let keys = root.path().join("log.pub");
    std::fs::write(&keys, &files.0["log.pub"]).unwrap();
    let run = |folder: &Path, arguments: &[&str]| {
        let output =
            Command::new(python()).arg(SCRIPT).arg(folder).args(arguments).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    };
    let (text, code) = run(&folder, &[]);
    assert!(code == 0 && text.starts_with("SELF-CONSISTENT, NOT AUTHENTICATED\n"), "{text}");
    assert!(text.contains("checked    2 claims by counting again"), "{text}");
    let (text, code) = run(&folder, &["--key", keys.to_str().unwrap()]);
    assert!(code == 0 && text.starts_with("AUTHENTICATED, HISTORY NOT ANCHORED\n"), "{text}");
    let (text, code) = run(&folder, &["--checkpoint", earlier.to_str().unwrap()]);
    assert!(code == 0 && text.starts_with("ANCHORED by a checkpoint of size 3\n"), "{text}");
    files.edit("claims.json", "\"value\":8", "\"value\":9");
    let (text, code) = run(&save(&files, root.path(), 1), &[]);
    let expected =
        "FAILED     claims.json: claim 0 (alice was refused) says 9, the records say 8\n";
    assert_eq!((text.as_str(), code), (expected, 4));
}

/// The commands that `docs/verify.md` gives, run as they stand there: the whole page is one script.
#[test]
fn one_record_is_checked_by_hand_as_the_page_says() {
    let page = include_str!("../../../../docs/verify.md");
    let blocks = page.split("```bash\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: String = std::iter::once("set -euo pipefail\n").chain(blocks).collect();
    let root = tempfile::tempdir().unwrap();
    let made = Plan::usual().build();
    let ledger = save(&made.files, root.path(), 0);
    let bundle = save(&usual(), root.path(), 1);
    let run = |sequence: &str| {
        let mut command = Command::new("bash");
        command.args(["-c", &commands]).current_dir(&bundle).env("LEDGER", &ledger);
        let output = command.env("SEQ", sequence).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (String::from_utf8(output.stdout).unwrap(), error, output.status.success())
    };
    for (sequence, index, segment) in [("0", 0, 0), ("8", 2, 1), ("53", 3, 8)] {
        let (text, error, well) = run(sequence);
        let expected = format!(
            "record {sequence} is record {index} of segment {segment}\nsegment {segment} is in the log of 9 \
             segments\nSignature Verified Successfully\nthe segment's file is the one in the log\nrecord \
             {sequence} is in it, as it is in the bundle\n"
        );
        assert_eq!((text.as_str(), well), (expected.as_str(), true), "{error}");
    }
    let records = bundle.join("records/decision.jsonl");
    let text = std::fs::read_to_string(&records).unwrap();
    std::fs::write(&records, text.replacen("alice", "alicf", 1)).unwrap();
    let (text, _, well) = run("6");
    assert_eq!((text.as_str(), well), ("NOT SO: record 6 is record 0 of segment 1\n", false));
    std::fs::write(bundle.join("checkpoint"), made.checkpoint(9, &[&export_signer()])).unwrap();
    let (text, _, well) = run("8");
    assert!(!well && !text.contains("Successfully"), "{text}");
}

/// Every other case is listed and signed again, as somebody who holds the export key could.
#[test]
fn the_script_and_the_verifier_say_the_same_of_changed_bundles() {
    let root = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let good = usual();
    // Cosignatures are what the script says that it does not look at.
    let paths: Vec<&String> =
        good.0.keys().filter(|path| !path.starts_with("witnessed/")).collect();
    let (mut folders, mut ours) = (Vec::new(), Vec::new());
    for number in 0..CASES {
        let path = paths[usize::try_from(random.next() % paths.len() as u64).unwrap()];
        let mut files = good.clone();
        if number % 40 == 39 {
            files.0.remove(path);
        } else {
            let bytes = change_a_line(&good.0[path], &mut random);
            files.0.insert(path.clone(), bytes);
        }
        if number % 2 == 0 {
            files.sign(&export_signer());
        }
        ours.push((path.clone(), bundle(&files, &Options::default())));
        folders.push(save(&files, root.path(), number));
    }
    let theirs = said(&folders);
    let mut verdicts = BTreeSet::new();
    for (number, ((path, report), said)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(
            report.holds(),
            said.is_empty(),
            "case {number}, {path}: the script says `{said}`, and we say {:?}",
            report.failures
        );
        verdicts.insert(report.holds());
    }
    let rejected = theirs.iter().filter(|said| !said.is_empty()).count();
    assert!(rejected > CASES / 2 && verdicts.len() == 2, "{rejected} of {CASES} rejected");
}
