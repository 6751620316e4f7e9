//! Ledgers and bundles that are right, the grade each verdict has, and how the command says it.

use proofstream_ledger::note::VerifierKey;
use proofstream_ledger::verify::{Grade, Options, Report};

use super::fixture::{Memory, Plan, conformance, log_signer};
use super::outcome::{accepts, bundle, earlier, key, ledger, rejects};

#[test]
fn another_programs_files_hold_with_the_right_grade() {
    let Some(folder) = conformance() else { return };
    let valid = Memory::load(&folder.join("valid"));
    let exported = Memory::load(&folder.join("bundle"));
    let keys = VerifierKey::parse_lines(&valid.text("log.pub")).unwrap();
    let keys = Options { keys, ..Options::default() };
    let kept = earlier("kept", &valid.0["checkpoint"]);
    for (files, verify) in [
        (&valid, ledger as fn(&Memory, &Options) -> Report),
        (&exported, bundle as fn(&Memory, &Options) -> Report),
    ] {
        let alone = verify(files, &Options::default());
        accepts(&alone);
        assert_eq!(alone.grade, Grade::SelfConsistent);
        assert!(alone.verdict().starts_with("SELF-CONSISTENT, NOT AUTHENTICATED"));
        let with_key = verify(files, &keys);
        assert_eq!(with_key.grade, Grade::Authenticated);
        assert!(with_key.verdict().contains("HISTORY NOT ANCHORED"));
        let anchored = verify(files, &kept);
        accepts(&anchored);
        assert_eq!(anchored.grade, Grade::Anchored { size: 300 });
        rejects(&verify(files, &key(0)), "log.pub");
    }
    let alone = ledger(&valid, &Options::default());
    assert!(alone.checked.iter().any(|checked| checked.count == 1506), "{}", alone.to_text());
}

#[test]
fn the_usual_ledger_and_its_bundles_hold() {
    let made = Plan::usual().build();
    let report = ledger(&made.files, &Options::default());
    accepts(&report);
    assert_eq!(report.notes, Vec::<String>::new());
    for position in [0, 1] {
        assert_eq!(ledger(&made.files, &key(position)).grade, Grade::Authenticated);
    }
    let claims = "{\"claims\":[\
        {\"kind\":\"decision\",\"text\":\"alice\",\"value\":8,\"where\":{\"body.user\":\"alice\",\"controls\":\"b\"}},\
        {\"kind\":\"event\",\"text\":\"bob\",\"value\":16,\"where\":{\"event.user.username\":\"bob\"}},\
        {\"from\":\"1970-01-01T00:00:00Z\",\"kind\":\"event\",\"text\":\"none\",\"to\":\"2000-01-01T00:00:00+01:00\",\"value\":0,\"where\":{}}\
        ],\"v\":1}";
    let whole = made.bundle(0, &["decision", "event"], claims);
    let report = bundle(&whole, &key(1));
    accepts(&report);
    assert_eq!(report.grade, Grade::Authenticated);
}

#[test]
fn anchors_are_compared_where_they_can_be() {
    let made = Plan::usual().build();
    let old = made.checkpoint(2, &[&log_signer(0)]);
    let kept = ledger(&made.files, &earlier("kept", &old));
    accepts(&kept);
    assert_eq!(kept.grade, Grade::Anchored { size: 2 });
    assert!(kept.verdict().contains("ANCHORED at segment 2 of 9"));

    let claims = "{\"claims\":[],\"v\":1}";
    let whole = made.bundle(0, &["decision"], claims);
    assert_eq!(bundle(&whole, &earlier("kept", &old)).grade, Grade::Anchored { size: 2 });
    // A later range without its key record says what it cannot check.
    let late = made.bundle(4, &["decision"], claims);
    rejects(&bundle(&late, &Options::default()), "manifest.dsse.json");
    let exported = made.checkpoint(3, &[&log_signer(0)]);
    let report = bundle(&with_export_key(&made, late.clone()), &earlier("kept", &exported));
    accepts(&report);
    assert_eq!(report.grade, Grade::Anchored { size: 3 });
    let report = bundle(&with_export_key(&made, late), &earlier("kept", &old));
    accepts(&report);
    assert_eq!(report.grade, Grade::SelfConsistent);
    assert!(report.unchecked.iter().any(|text| text.starts_with("kept:")), "{}", report.to_text());
}

/// Adds the stand-alone proof of the key record to a bundle whose range does not hold it.
fn with_export_key(made: &super::fixture::Ledger, mut files: Memory) -> Memory {
    use proofstream_ledger::proof::RecordProof;
    use proofstream_ledger::tree::{Tree, leaf_hash};
    let inner: Tree = made.lines[0].iter().map(|line| leaf_hash(line)).collect();
    let proof = RecordProof {
        line: made.lines[0][0].clone(),
        index: 0,
        inner: inner.inclusion_proof(0).unwrap(),
        segment: 0,
        manifest: made.manifests[0].clone(),
        outer: made.tree.inclusion_proof(0).unwrap(),
    };
    let json = proof.to_json().unwrap();
    assert_eq!(RecordProof::parse(&json).unwrap(), proof);
    files.0.insert("export-key.json".into(), json);
    files.sign(&super::fixture::export_signer());
    files
}

#[test]
fn a_witness_anchors_and_its_bad_cosignature_is_found() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ed25519_dalek::{Signer as _, SigningKey};
    let mut made = Plan::usual().build();
    let secret = SigningKey::from_bytes(&[77; 32]);
    let public = *secret.verifying_key().as_bytes();
    let id = |name: &str| {
        let text = [name.as_bytes(), b"\n\x04", &public].concat();
        proofstream_ledger::tree::Hash::of(&text).as_bytes()[..4].to_vec()
    };
    let vkey = format!(
        "witness.example+{}+{}",
        hex::encode(id("witness.example")),
        STANDARD.encode([&[4][..], &public].concat())
    );
    let witness = VerifierKey::parse(&vkey).unwrap();
    assert_eq!(witness.to_string(), vkey);
    let options = Options { witnesses: vec![witness], ..Options::default() };
    let without = ledger(&made.files, &options);
    assert_eq!(without.grade, Grade::SelfConsistent);
    assert!(without.unchecked.iter().any(|text| text.starts_with("witnesses")));

    let note = made.files.text("witnessed/4");
    let text = note.split_inclusive("\n\n").next().unwrap().strip_suffix('\n').unwrap().to_owned();
    let message = format!("cosignature/v1\ntime 1790000000\n{text}");
    let mut blob = id("witness.example");
    blob.extend(1_790_000_000u64.to_be_bytes());
    blob.extend(secret.sign(message.as_bytes()).to_bytes());
    let mut cosigned =
        note.clone() + &format!("\u{2014} witness.example {}\n", STANDARD.encode(&blob));
    made.files.0.insert("witnessed/4".into(), cosigned.clone().into_bytes());
    let report = ledger(&made.files, &options);
    accepts(&report);
    assert_eq!(report.grade, Grade::Anchored { size: 4 });

    blob[4 + 7] ^= 1;
    cosigned = note + &format!("\u{2014} witness.example {}\n", STANDARD.encode(&blob));
    made.files.0.insert("witnessed/4".into(), cosigned.into_bytes());
    rejects(&ledger(&made.files, &options), "witnessed/4");
    // Nobody who does not know the witness depends on it.
    accepts(&ledger(&made.files, &Options::default()));
}

#[test]
fn the_command_says_it_by_exit_code_and_first_line() {
    use proofstream_ledger::verify::command::{Outcome, run};
    let made = Plan::usual().build();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("ledger");
    made.files.save(&target);
    let path = |name: &str| target.join(name).into_os_string();
    let call = |arguments: Vec<std::ffi::OsString>| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let outcome = run(arguments, &mut out, &mut err).unwrap();
        (outcome, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let (outcome, out, _) = call(vec![target.clone().into()]);
    assert_eq!((outcome, outcome.code()), (Outcome::Holds, 0));
    assert!(out.starts_with("SELF-CONSISTENT, NOT AUTHENTICATED"), "{out}");
    let (_, out, _) = call(vec!["--key".into(), path("log.pub"), target.clone().into()]);
    assert!(out.lines().next().unwrap().contains("HISTORY NOT ANCHORED"), "{out}");
    let (_, out, _) = call(vec![
        target.clone().into(),
        "--witness".into(),
        path("checkpoint"),
        "--output=json".into(),
    ]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["grade"]["anchored"]["size"], 9);

    for arguments in [
        vec![],
        vec!["--nonsense".into()],
        vec![target.clone().into(), "--key".into()],
        vec![target.clone().into(), "--key".into(), path("checkpoint")],
    ] {
        let (outcome, out, err) = call(arguments);
        assert_eq!((outcome.code(), out.as_str()), (2, ""), "{err}");
        assert!(err.starts_with("proofstream-verify: "));
    }
    for nowhere in [folder.path().join("nowhere"), folder.path().to_owned()] {
        assert_eq!(call(vec![nowhere.into()]).0.code(), 3);
    }
    std::fs::remove_file(path("tile/0/000.p/9")).unwrap();
    let (outcome, out, _) = call(vec![target.clone().into()]);
    assert_eq!(outcome.code(), 4);
    assert!(
        out.starts_with(
            "TAMPERING OR INCONSISTENCY FOUND: 1 failure\n\nfailed:\n  tile/0/000.p/9: missing"
        ),
        "{out}"
    );
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_in_a_bundle_is_refused() {
    use proofstream_ledger::verify::command::verify_folder;
    let made = Plan::usual().build().bundle(0, &["decision"], "{\"claims\":[],\"v\":1}");
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("bundle");
    made.save(&target);
    accepts(&verify_folder(&target, &Options::default()).unwrap());
    let readme = target.join("README.md");
    std::fs::rename(&readme, folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &readme).unwrap();
    let report = verify_folder(&target, &Options::default()).unwrap();
    rejects(&report, "README.md");
    assert!(report.to_text().contains("is a symbolic link"));
}
