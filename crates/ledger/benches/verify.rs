//! How fast a ledger verifies (records a second), and how fast trees hash.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what went wrong by panicking"
)]

#[allow(dead_code, reason = "shared with the verifier's tests, which use all of it")]
#[path = "../tests/verify/fixture.rs"]
mod fixture;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use fixture::{Draft, Memory, Plan};
use proofstream_ledger::record::Envelope;
use proofstream_ledger::segment::Segment;
use proofstream_ledger::tree::{Frontier, Hash, leaf_hash, node_hash};
use proofstream_ledger::verify::{Options, verify_bundle, verify_ledger};

fn main() {
    divan::main();
}

/// Segments of 2,000 audit events of about 1.1 KB, as ten seconds of a busy cluster would be.
fn busy(segments: u64) -> Memory {
    let segments = drafts(segments);
    Plan { segments, blobs: Vec::new(), key_change: None, witnessed: Vec::new() }.build().files
}

fn drafts(segments: u64) -> Vec<Vec<Draft>> {
    let draft = |number: u64| {
        let raw = format!(
            "{{\\\"kind\\\":\\\"Event\\\",\\\"auditID\\\":\\\"{number:032}\\\",\\\"userAgent\\\":\\\"{}\\\"}}",
            "kube-controller-manager/v1.37.2 ".repeat(24)
        );
        Draft {
            kind: "event".into(),
            source: "audit-file/a".into(),
            epoch: 1,
            source_seq: number,
            controls: Vec::new(),
            body: format!("{{\"raw\":\"{raw}\"}}"),
            time: 1_790_000_000_000_000 + i64::try_from(number).unwrap(),
        }
    };
    (0..segments)
        .map(|segment| (segment * 2_000..(segment + 1) * 2_000).map(draft).collect())
        .collect()
}

#[divan::bench(sample_count = 10)]
fn verify_a_ledger_of_100000_records(bencher: Bencher) {
    let files = busy(50);
    let bytes = 100_000 * first_line().len();
    bencher.counter(BytesCount::new(bytes)).bench(|| {
        let report = verify_ledger(&files, &Options::default()).unwrap();
        assert!(report.holds());
        report
    });
}

#[divan::bench(sample_count = 10)]
fn verify_a_bundle_of_100000_records(bencher: Bencher) {
    let mut plan = Plan::usual();
    // The record that names the export key, and fifty busy segments.
    plan.segments.truncate(1);
    plan.segments.extend(drafts(50));
    (plan.key_change, plan.witnessed) = (None, Vec::new());
    let files = plan.build().bundle(0, &["event", "session"], "{\"claims\":[],\"v\":1}");
    bencher.counter(ItemsCount::new(100_000u64)).bench(|| {
        let report = verify_bundle(&files, &Options::default()).unwrap();
        assert!(report.holds(), "{}", report.to_text());
        report
    });
}

#[divan::bench]
fn verify_20000_records(bencher: Bencher) {
    let files = busy(10);
    bencher.counter(ItemsCount::new(20_000u64)).bench(|| {
        let report = verify_ledger(&files, &Options::default()).unwrap();
        assert!(report.holds());
        report
    });
}

#[divan::bench]
fn decompress_2000_records(bencher: Bencher) {
    let files = busy(1);
    let (_, bytes) = files.0.iter().find(|(path, _)| path.starts_with("segments/")).unwrap();
    bencher
        .counter(ItemsCount::new(2_000u64))
        .bench(|| Segment::open(bytes).unwrap().lines().unwrap());
}

#[divan::bench]
fn parse_a_record(bencher: Bencher) {
    let line = first_line();
    bencher.counter(BytesCount::of_slice(&line)).bench(|| Envelope::parse(&line).unwrap().seq);
}

#[divan::bench]
fn check_a_record_canonical(bencher: Bencher) {
    let line = first_line();
    bencher
        .counter(BytesCount::of_slice(&line))
        .bench(|| proofstream_canonical::check_record_line(&line));
}

#[divan::bench]
fn hash_a_record(bencher: Bencher) {
    let line = first_line();
    bencher.counter(BytesCount::of_slice(&line)).bench(|| leaf_hash(&line));
}

#[divan::bench]
fn hash_a_node(bencher: Bencher) {
    let (left, right) = (Hash::of(b"left"), Hash::of(b"right"));
    bencher.bench(|| node_hash(&left, &right));
}

#[divan::bench]
fn grow_a_tree_by_1000(bencher: Bencher) {
    let leaf = leaf_hash(b"leaf");
    bencher.counter(ItemsCount::new(1_000u64)).bench(|| {
        let mut tree = Frontier::new();
        (0..1_000).for_each(|_| tree.append(leaf));
        tree.root()
    });
}

fn first_line() -> Vec<u8> {
    let files = busy(1);
    let (_, bytes) = files.0.iter().find(|(path, _)| path.starts_with("segments/")).unwrap();
    Segment::open(bytes).unwrap().record(0).unwrap()
}
