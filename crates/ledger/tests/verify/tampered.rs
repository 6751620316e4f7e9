//! Bytes changed by someone without a key. Every one must be found and named.
//!
//! The verdict depends on every byte of both conformance vectors but one stretch: the value of
//! `keyid` in `manifest.dsse.json`, a hint that DSSE does not sign.

use super::fixture::{Memory, Plan, Random, conformance};
use super::outcome::{accepts, bundle, ledger, rejects};
use proofstream_ledger::verify::{Options, Report};

/// The stretch of a file on which no verdict depends.
fn ignored(path: &str, bytes: &[u8]) -> std::ops::Range<usize> {
    let marker = b"\"keyid\":\"";
    if path != "manifest.dsse.json" {
        return 0..0;
    }
    let start =
        bytes.windows(marker.len()).position(|window| window == marker).unwrap() + marker.len();
    let length = bytes[start..].iter().position(|byte| *byte == b'"').unwrap();
    start..start + length
}

/// Changes `count` bytes of each file, one at a time, and expects each to be found and named.
fn flip(
    files: &Memory,
    verify: fn(&Memory, &Options) -> Report,
    count: impl Fn(&str) -> usize,
) -> usize {
    let mut random = Random(42);
    let mut tried = 0;
    for (path, bytes) in &files.0 {
        let skip = ignored(path, bytes);
        for _ in 0..count(path) {
            if bytes.is_empty() {
                continue;
            }
            let place = usize::try_from(random.next() % bytes.len() as u64).unwrap();
            let change = u8::try_from(random.next() % 255 + 1).unwrap();
            if skip.contains(&place) {
                continue;
            }
            let mut changed = files.clone();
            changed.0.get_mut(path).unwrap()[place] ^= change;
            let report = verify(&changed, &Options::default());
            assert!(
                !report.holds(),
                "byte {place} of {path} changed by {change:#x} and nobody saw"
            );
            rejects(&report, path);
            tried += 1;
        }
    }
    tried
}

#[test]
fn every_byte_of_another_programs_ledger_counts() {
    let Some(folder) = conformance() else { return };
    let files = Memory::load(&folder.join("valid"));
    let tried = flip(&files, ledger, |path| match path {
        "checkpoint" | "log.pub" => 40,
        // Some of the three hundred: the rest is no different.
        path if path.starts_with("segments/") => {
            usize::from(path.contains("4.jsonl") || path.contains("9.jsonl"))
        }
        _ => 25,
    });
    assert!(tried > 250, "{tried}");
}

#[test]
fn every_byte_of_another_programs_bundle_counts() {
    let Some(folder) = conformance() else { return };
    let files = Memory::load(&folder.join("bundle"));
    let tried = flip(&files, bundle, |path| if path.starts_with("manifest") { 60 } else { 25 });
    assert!(tried > 300, "{tried}");
    // The one stretch that does not.
    let mut changed = files;
    let range = ignored("manifest.dsse.json", &changed.0["manifest.dsse.json"]);
    changed.0.get_mut("manifest.dsse.json").unwrap()[range.start] = b'E';
    accepts(&bundle(&changed, &Options::default()));
}

#[test]
fn every_byte_of_our_own_ledger_counts() {
    let made = Plan::usual().build();
    assert!(flip(&made.files, ledger, |_| 25) > 300);
    let exported = made.bundle(0, &["decision"], "{\"claims\":[],\"v\":1}");
    assert!(flip(&exported, bundle, |_| 15) > 100);
}

#[test]
fn every_file_of_a_ledger_counts_and_no_other_does() {
    let made = Plan::usual().build();
    for path in made.files.0.keys() {
        let mut less = made.files.clone();
        less.0.remove(path);
        let report = ledger(&less, &Options::default());
        if path.starts_with("witnessed/") {
            accepts(&report);
        } else if path.starts_with("keys/") {
            rejects(&report, "log.pub");
        } else {
            rejects(&report, path);
            let mut cut = made.files.clone();
            let bytes = cut.0.get_mut(path).unwrap();
            bytes.truncate(bytes.len() / 2);
            rejects(&ledger(&cut, &Options::default()), path);
        }
    }
    // A stale partial tile and a stray file are nobody's business.
    let mut more = made.files.clone();
    more.0.insert("tile/0/000.p/3".into(), vec![0; 96]);
    more.0.insert("wal/0".into(), vec![1]);
    accepts(&ledger(&more, &Options::default()));
    // Witnessed beyond the end: somebody cut the log short.
    more.0.insert("witnessed/12".into(), made.files.0["checkpoint"].clone());
    rejects(&ledger(&more, &Options::default()), "witnessed/12");
}

#[test]
fn partial_tiles_may_go_once_the_full_ones_exist() {
    let mut made = Plan::usual().build();
    let hashes = made.files.0.remove("tile/0/000.p/9").unwrap();
    let mut full = hashes;
    full.resize(8192, 7);
    made.files.0.insert("tile/0/000".into(), full);
    accepts(&ledger(&made.files, &Options::default()));
    made.files.0.get_mut("tile/0/000").unwrap()[32 * 8] ^= 1;
    rejects(&ledger(&made.files, &Options::default()), "tile/0/000");
}

#[test]
fn every_file_of_a_bundle_counts_and_so_does_any_other() {
    let made = Plan::usual().build().bundle(0, &["decision"], "{\"claims\":[],\"v\":1}");
    for path in made.0.keys() {
        let mut less = made.clone();
        less.0.remove(path);
        rejects(&bundle(&less, &Options::default()), path);
    }
    let mut more = made.clone();
    more.0.insert("tables/extra.csv".into(), b"a,b\n".to_vec());
    rejects(&bundle(&more, &Options::default()), "tables/extra.csv");
}

#[test]
fn swapped_records_and_segments_are_found() {
    let made = Plan::usual().build();
    let exported = made.bundle(0, &["decision"], "{\"claims\":[],\"v\":1}");
    let mut lines: Vec<_> =
        exported.text("records/decision.jsonl").lines().map(str::to_owned).collect();
    lines.swap(0, 1);
    let mut swapped = exported.clone();
    swapped.0.insert("records/decision.jsonl".into(), (lines.join("\n") + "\n").into_bytes());
    rejects(&bundle(&swapped, &Options::default()), "records/decision.jsonl");

    let (first, second) = (&made.manifests[2].segment, &made.manifests[3].segment);
    let mut swapped = made.files.clone();
    let bytes = swapped.0.insert(first.clone(), made.files.0[second].clone()).unwrap();
    swapped.0.insert(second.clone(), bytes);
    let report = ledger(&swapped, &Options::default());
    rejects(&report, first);
    rejects(&report, second);
}
