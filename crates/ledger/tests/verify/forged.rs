//! Forgeries by someone who holds the keys and signs again: what hashes alone would not show.

use super::fixture::{Memory, Plan, blob, export_signer, log_signer};
use super::outcome::{accepts, bundle, earlier, ledger, rejects};
use proofstream_ledger::note::Signer;
use proofstream_ledger::time::Time;
use proofstream_ledger::tree::Hash;
use proofstream_ledger::verify::Options;

const NO_CLAIMS: &str = "{\"claims\":[],\"v\":1}";

fn verdict(plan: &Plan) -> proofstream_ledger::verify::Report {
    ledger(&plan.build().files, &Options::default())
}

#[test]
fn sources_have_no_holes() {
    let mut plan = Plan::usual();
    plan.segments[3][2].source_seq += 1;
    rejects(&verdict(&plan), "seq 20");
    let mut plan = Plan::usual();
    plan.segments[6].iter_mut().for_each(|draft| draft.epoch += u64::from(draft.epoch == 2));
    rejects(&verdict(&plan), "goes from epoch 1 to 3");
    let mut plan = Plan::usual();
    plan.segments[1][0].source_seq = 4;
    rejects(&verdict(&plan), "begins with source_seq 4");
    let mut plan = Plan::usual();
    plan.segments[6].retain(|draft| draft.kind != "gap");
    let report = verdict(&plan);
    accepts(&report);
    assert_eq!(report.notes, ["epoch 2 of source `admission/0` has no gap record"]);
    let mut plan = Plan::usual();
    plan.segments[0][1].body = "{\"source\":\"other\",\"state\":\"enrolled\"}".into();
    assert_eq!(verdict(&plan).notes, ["source `admission/0` has records and no record enrols it"]);
}

#[test]
fn records_are_canonical_typed_and_dense() {
    let changes: &[(&str, &str, &str)] = &[
        ("\"seq\":8,", "\"seq\":9,", "stands where seq 8 belongs"),
        ("\"v\":1}", "\"v\":2}", "version"),
        ("\"cluster\":", "\"cluster\": ", "not canonical"),
        ("\"kind\":\"decision\",", "", "another shape"),
        ("\"controls\":[\"a\",\"b\"]", "\"controls\":[\"b\",\"a\"]", "not sorted"),
        ("\"source_epoch\":1", "\"source_epoch\":\"1\"", "another shape"),
        (".000000Z", ".000Z", "not a time"),
        (",\"v\":1}", ",\"v\":1,\"w\":1}", "another shape"),
    ];
    for (from, to, about) in changes {
        let made = Plan::usual().build_with(
            |seq, line| {
                if seq == 8 {
                    let text = String::from_utf8(line.clone()).unwrap();
                    assert!(text.contains(from), "{from}");
                    *line = text.replacen(from, to, 1).into_bytes();
                }
            },
            |_| {},
        );
        let report = ledger(&made.files, &Options::default());
        rejects(&report, about);
        rejects(&report, if about.contains("stands") { "seq 9" } else { "seq 8" });
    }
}

#[test]
fn manifests_say_what_the_records_are() {
    type Change = fn(&mut proofstream_ledger::manifest::Manifest);
    let changes: &[(Change, &str)] = &[
        (|manifest| manifest.size += 1, "is not the file"),
        (|manifest| manifest.root = Hash::of(b""), "count and root"),
        (|manifest| manifest.sha256 = Hash::of(b""), "is not the file"),
        (
            |manifest| manifest.time_to = Time::from_unix_microseconds(1_800_000_000_000_000),
            "times",
        ),
        (|manifest| manifest.time_from = manifest.time_to, "times"),
        (|manifest| manifest.kinds = [("event".to_owned(), manifest.count)].into(), "kinds"),
        (|manifest| manifest.kinds = [("event".to_owned(), 1)].into(), "add up"),
        (|manifest| manifest.segment = manifest.segment.replace("/2026/", "/2025/"), "path"),
        (|manifest| manifest.first += 1, "path"),
    ];
    for (change, about) in changes {
        let made = Plan::usual().build_with(
            |_, _| {},
            |manifest| {
                if manifest.first == 12 {
                    change(manifest);
                }
            },
        );
        let report = ledger(&made.files, &Options::default());
        rejects(&report, about);
        rejects(&report, "tile/entries/000.p/9 entry 2");
    }
}

#[test]
fn blobs_are_there_or_erased() {
    let mut plan = Plan::usual();
    plan.segments[0][5].body =
        plan.segments[0][5].body.replace("\"reason\":\"retention\"", "\"reason\":\"\"");
    rejects(&verdict(&plan), "seq 5");
    let mut plan = Plan::usual();
    let (_, erased) = blob(b"forgotten");
    plan.segments[0][5].body = "{\"actor\":\"a\",\"blobs\":[],\"reason\":\"r\"}".into();
    let report = verdict(&plan);
    rejects(&report, &erased[9..73]);
    rejects(&report, "seq 4 refers to it");
    let mut plan = Plan::usual();
    plan.segments[0][3].body = plan.segments[0][3].body.replace("\"size\":8", "\"size\":9");
    rejects(&verdict(&plan), "seq 3");
    let mut plan = Plan::usual();
    plan.segments[1][1].body = "{\"raw_b64\":\"AB==\"}".into();
    rejects(&verdict(&plan), "seq 7");
}

#[test]
fn a_segment_may_go_only_by_an_erasure_record() {
    let made = Plan::usual().build();
    let path = made.manifests[1].segment.clone();
    let mut plan = Plan::usual();
    let gap = plan.segments[6].iter_mut().find(|draft| draft.kind == "gap").unwrap();
    gap.kind = "erasure".into();
    gap.body = format!("{{\"actor\":\"a\",\"reason\":\"age\",\"segments\":[\"{path}\"]}}");
    let mut made = plan.build();
    made.files.0.remove(&path).unwrap();
    let report = ledger(&made.files, &Options::default());
    accepts(&report);
    assert!(report.unchecked.iter().any(|text| text.starts_with(&path)), "{}", report.to_text());
    let other = made.manifests[2].segment.clone();
    made.files.0.remove(&other).unwrap();
    rejects(&ledger(&made.files, &Options::default()), &other);
}

#[test]
fn keys_hand_over_in_the_open() {
    let made = Plan::usual().build();
    let mut files = made.files.clone();
    // Signed by the new key alone, by the old key alone, or under a root of another tree.
    files.0.insert("keys/5".into(), made.checkpoint(5, &[&log_signer(1)]));
    rejects(&ledger(&files, &Options::default()), "keys/5");
    files.0.insert("keys/5".into(), made.checkpoint(5, &[&log_signer(0)]));
    rejects(&ledger(&files, &Options::default()), "keys/5");
    files = made.files.clone();
    files.0.insert("checkpoint".into(), made.checkpoint(9, &[&log_signer(0)]));
    rejects(&ledger(&files, &Options::default()), "checkpoint");
    // A key that no record names.
    let mut plan = Plan::usual();
    plan.segments[4].retain(|draft| draft.kind != "key");
    rejects(&verdict(&plan), "keys/5");
    // A record that names a key which never took over.
    let mut plan = Plan::usual();
    plan.key_change = None;
    plan.witnessed.clear();
    rejects(&verdict(&plan), "names a new key of the log");
    // The name is bound to the first key.
    let stranger = Signer::new(log_signer(0).verifier().name(), &[33; 32]).unwrap();
    files = made.files.clone();
    files.0.insert(
        "log.pub".into(),
        format!("{}\n{}\n", stranger.verifier(), log_signer(1).verifier()).into(),
    );
    rejects(&ledger(&files, &Options::default()), "log.pub");
}

#[test]
fn a_rewritten_history_is_a_fork_to_who_kept_a_checkpoint() {
    let mut plan = Plan::usual();
    let kept = plan.build().checkpoint(3, &[&log_signer(0)]);
    plan.segments[1][0].body = "{\"decision\":\"allow\"}".into();
    let made = plan.build();
    accepts(&ledger(&made.files, &Options::default()));
    rejects(&ledger(&made.files, &earlier("kept", &kept)), "kept");
    let exported = made.bundle(0, &["decision"], NO_CLAIMS);
    rejects(&bundle(&exported, &earlier("kept", &kept)), "kept");
    // A log cut back to before what was kept.
    let mut short = Plan::usual();
    short.segments.truncate(2);
    (short.key_change, short.witnessed) = (None, Vec::new());
    rejects(&ledger(&short.build().files, &earlier("kept", &kept)), "segments were taken away");
    let long = Plan::usual().build();
    let mut unsealed = Memory::default();
    unsealed.0.insert("log.pub".into(), format!("{}\n", log_signer(0).verifier()).into());
    accepts(&ledger(&unsealed, &Options::default()));
    rejects(
        &ledger(&unsealed, &earlier("kept", &long.checkpoint(3, &[&log_signer(0)]))),
        "checkpoint",
    );
}

#[test]
fn a_bundle_signed_again_still_has_to_be_whole() {
    let made = Plan::usual().build();
    let exported = made.bundle(0, &["decision"], NO_CLAIMS);
    accepts(&bundle(&exported, &Options::default()));
    let first = exported.text("records/decision.jsonl").lines().next().unwrap().to_owned() + "\n";
    let proofs = exported.text("proofs.jsonl");
    let proof = proofs.lines().find(|line| line.ends_with("\"seq\":6}")).unwrap().to_owned() + "\n";

    let mut files = exported.clone();
    files.edit("records/decision.jsonl", &first, "");
    files.edit("proofs.jsonl", &proof, "");
    rejects(&bundle(&files, &Options::default()), "records/decision.jsonl");
    files.edit("README.md", "What", "A SELECTION of what");
    let report = bundle(&files, &Options::default());
    accepts(&report);
    assert!(
        report.unchecked.iter().any(|text| text.contains("SELECTION of 23 out of 24")),
        "{}",
        report.to_text()
    );

    let mut files = exported.clone();
    files.edit("proofs.jsonl", &proof, "");
    rejects(&bundle(&files, &Options::default()), "seq 6");
    let mut files = exported.clone();
    files.edit("records/decision.jsonl", "\"deny\"", "\"allow\"");
    rejects(&bundle(&files, &Options::default()), "seq 6");
    let mut files = exported.clone();
    files.edit("records/decision.jsonl", &first, &first.repeat(2));
    rejects(&bundle(&files, &Options::default()), "twice");
    for kind in ["gap", "key", "source", "erasure"] {
        let mut files = exported.clone();
        files.0.remove(&format!("records/{kind}.jsonl")).unwrap();
        files.sign(&export_signer());
        rejects(&bundle(&files, &Options::default()), &format!("records/{kind}.jsonl"));
    }
    let mut files = exported.clone();
    let manifest = exported.text("manifests.jsonl").lines().nth(4).unwrap().to_owned() + "\n";
    files.edit("manifests.jsonl", &manifest, "");
    rejects(&bundle(&files, &Options::default()), "manifests.jsonl");
    let mut files = exported.clone();
    files.edit("consistency.jsonl", "[\"", "[\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"");
    rejects(&bundle(&files, &Options::default()), "consistency.jsonl line 1");
    let mut files = exported;
    files.0.insert("blobs/00/00".into(), b"x".to_vec());
    files.sign(&export_signer());
    rejects(&bundle(&files, &Options::default()), "blobs/00/00");
}

#[test]
fn a_claim_is_recounted() {
    let made = Plan::usual().build();
    let claim = |kind: &str, conditions: &str, value: u64| {
        let claims = format!(
            "{{\"claims\":[{{\"kind\":\"{kind}\",\"text\":\"t\",\"value\":{value},\"where\":{conditions}}}],\"v\":1}}"
        );
        bundle(&made.bundle(0, &["decision"], &claims), &Options::default())
    };
    accepts(&claim("decision", "{\"body.user\":\"alice\",\"controls\":\"a\"}", 8));
    rejects(&claim("decision", "{\"body.user\":\"alice\"}", 9), "claims.json");
    rejects(&claim("event", "{}", 0), "not exported");
    accepts(&claim("probe", "{}", 0));
    rejects(&claim("decision", "{\"body.user\":\"alice\",\"body.user\":\"bob\"}", 8), "twice");
    accepts(&claim("decision", "{\"body.nothing\":null}", 0));
    accepts(&claim("decision", "{\"seq\":6}", 1));
}

#[test]
fn only_the_export_key_signs_a_bundle() {
    let exported = Plan::usual().build().bundle(0, &["decision"], NO_CLAIMS);
    for (signer, about) in [
        (Signer::new("export", &[10; 32]).unwrap(), "no signature holds"),
        (log_signer(0), "a key of the log"),
        (log_signer(1), "a key of the log"),
    ] {
        let mut files = exported.clone();
        files.sign(&signer);
        let report = bundle(&files, &Options::default());
        rejects(&report, about);
        rejects(&report, "manifest.dsse.json");
    }
    let mut files = exported.clone();
    let listed = files.text("manifest.json");
    let escaped = listed.replace("\"path\":\"README.md\"", "\"path\":\"../README.md\"");
    files.0.insert("manifest.json".into(), escaped.into_bytes());
    rejects(&bundle(&files, &Options::default()), "../README.md");
}
