//! Round trips of every format, and the formats against files that another program wrote.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what went wrong by panicking"
)]

use std::fs;
use std::path::PathBuf;

use proofstream_ledger::checkpoint::{self, Checkpoint, SignedCheckpoint};
use proofstream_ledger::manifest::Manifest;
use proofstream_ledger::note::{Signer, VerifierKey};
use proofstream_ledger::record::{Envelope, Parts, compose};
use proofstream_ledger::segment::{self, Builder, Segment};
use proofstream_ledger::tile::{self, TilePath};
use proofstream_ledger::time::Time;
use proofstream_ledger::tree::{
    Frontier, Hash, Nodes, Tree, consistency_proof, inclusion_proof, inclusion_root, leaf_hash,
    node_hash, root, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

/// RFC 6962's definitions, written down as they stand there.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(b""),
        [leaf] => *leaf,
        _ => {
            let mut middle = 1;
            while middle * 2 < leaves.len() {
                middle *= 2;
            }
            node_hash(&naive_root(&leaves[..middle]), &naive_root(&leaves[middle..]))
        }
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|index| leaf_hash(&index.to_be_bytes())).collect()
}

#[test]
fn roots_and_proofs_agree_with_the_definition_for_every_small_tree() {
    let leaves = leaves(70);
    let mut tree = Tree::new();
    let mut frontier = Frontier::new();
    for size in 0..=leaves.len() {
        let expected = naive_root(&leaves[..size]);
        assert_eq!(tree.root(), expected);
        assert_eq!(frontier.root(), expected);
        assert_eq!(Frontier::load(&tree, size as u64).unwrap().root(), expected);
        for (index, leaf) in leaves.iter().enumerate().take(size) {
            let proof = tree.inclusion_proof(index as u64).unwrap();
            verify_inclusion(leaf, index as u64, size as u64, &proof, &expected).unwrap();
            let other = verify_inclusion(
                leaf,
                (index as u64 + 1) % size as u64,
                size as u64,
                &proof,
                &expected,
            );
            assert!(size == 1 || other.is_err());
        }
        for old in 0..=size {
            let proof = consistency_proof(&tree, old as u64, size as u64).unwrap();
            let old_root = naive_root(&leaves[..old]);
            verify_consistency(old as u64, &old_root, size as u64, &expected, &proof).unwrap();
            let wrong = leaf_hash(b"wrong");
            assert!(
                verify_consistency(old as u64, &wrong, size as u64, &expected, &proof).is_err()
            );
        }
        if let Some(leaf) = leaves.get(size) {
            tree.append(*leaf);
            frontier.append(*leaf);
        }
    }
}

proptest! {
    #[test]
    fn a_changed_proof_never_verifies(size in 2usize..300, index in any::<prop::sample::Index>(),
                                      at in any::<prop::sample::Index>(), bit in 0u8..8, byte in 0usize..32) {
        let leaves = leaves(size);
        let tree: Tree = leaves.iter().copied().collect();
        let index = index.index(size);
        let mut proof = inclusion_proof(&tree, index as u64, size as u64).unwrap();
        let position = at.index(proof.len());
        let mut bytes = *proof[position].as_bytes();
        bytes[byte] ^= 1 << bit;
        proof[position] = Hash::from_bytes(bytes);
        prop_assert!(verify_inclusion(&leaves[index], index as u64, size as u64, &proof, &tree.root()).is_err());
        proof.push(leaf_hash(b""));
        prop_assert!(inclusion_root(&leaves[index], index as u64, size as u64, &proof).is_err());
    }

    #[test]
    fn consistency_of_larger_trees(new in 1usize..600, old in any::<prop::sample::Index>()) {
        let leaves = leaves(new);
        let old = old.index(new + 1);
        let tree: Tree = leaves.iter().copied().collect();
        let proof = consistency_proof(&tree, old as u64, new as u64).unwrap();
        let old_root = root(&tree, old as u64).unwrap();
        prop_assert_eq!(old_root, naive_root(&leaves[..old]));
        verify_consistency(old as u64, &old_root, new as u64, &tree.root(), &proof).unwrap();
    }

    #[test]
    fn tile_paths_round_trip(index in 0u64..u64::MAX / 256, width in 1u64..=256, level in 0u32..8) {
        let hashes = tile::Tile { level, index, width };
        prop_assert_eq!(tile::parse_path(&hashes.path()), Some(TilePath::Hashes(hashes)));
        let entries = tile::entries_path(index, width);
        prop_assert_eq!(tile::parse_path(&entries), Some(TilePath::Entries { index, width }));
    }

    #[test]
    fn entry_bundles_round_trip(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..=256)) {
        let bytes = tile::encode_entries(entries.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(tile::decode_entries(&bytes).unwrap(), entries);
    }

    #[test]
    fn times_round_trip(microseconds in -62_167_219_200_000_000i64..=253_402_300_799_999_999) {
        let time = Time::from_unix_microseconds(microseconds);
        prop_assert_eq!(Time::parse(&time.to_string()), Some(time));
        prop_assert_eq!(time.unix_microseconds(), microseconds);
    }

    #[test]
    fn segments_round_trip(count in 1usize..800, seed in any::<u64>()) {
        let lines: Vec<Vec<u8>> = (0..count)
            .map(|index| format!("{{\"n\":{}}}", seed.wrapping_mul(index as u64 + 1) % 9_007_199_254_740_991).into_bytes())
            .collect();
        let bytes = segment::encode(&lines).unwrap();
        let segment = Segment::open(&bytes).unwrap();
        prop_assert_eq!(segment.frame_count(), count.div_ceil(256));
        prop_assert_eq!(&segment.lines().unwrap(), &lines);
        prop_assert_eq!(&segment.record(count as u64 - 1).unwrap(), &lines[count - 1]);
        prop_assert!(segment.record(count as u64).is_err());
    }

    #[test]
    fn records_round_trip(seq in 0u64..=9_007_199_254_740_991, source in "[a-z/\u{e9}\"\\\\\n]{1,20}",
                          mut controls in prop::collection::vec("[a-zü-]{1,12}", 0..4)) {
        controls.sort();
        let parts = Parts {
            body: b"{\"a\":[1,{\"b\":null}]}", cluster: "c", controls: &controls, kind: "event", seq,
            source: &source, source_epoch: 1, source_seq: 0, time: Time::from_unix_microseconds(0),
        };
        let line = compose(&parts).unwrap();
        let envelope = Envelope::parse(&line).unwrap();
        prop_assert_eq!(envelope.seq, seq);
        prop_assert_eq!(envelope.source.as_ref(), source.as_str());
        prop_assert_eq!(&envelope.controls, &controls);
        prop_assert_eq!(envelope.body.as_bytes(), parts.body);
    }
}

#[test]
fn tiles_name_what_growth_needs() {
    let paths =
        |old, new| -> Vec<String> { tile::grown(old, new).iter().map(tile::Tile::path).collect() };
    assert_eq!(paths(0, 1), ["tile/0/000.p/1"]);
    assert_eq!(paths(255, 256), ["tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(paths(256, 300), ["tile/0/001.p/44"]);
    assert_eq!(paths(300, 300), Vec::<String>::new());
    assert_eq!(tile::grown_entries(255, 257), [(0, 256), (1, 1)]);
    assert_eq!(tile::path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(tile::parse_path("tile/0/000.p/256"), None);
    assert_eq!(tile::parse_path("tile/00/000"), None);
}

#[test]
fn times_are_read_strictly_and_rfc3339_generously() {
    assert!(Time::parse("2026-02-29T00:00:00.000000Z").is_none());
    assert!(Time::parse("2026-09-21T14:13:20Z").is_none());
    let time = Time::parse_rfc3339("2026-09-21T16:13:20.5+02:00").unwrap();
    assert_eq!(time.to_string(), "2026-09-21T14:13:20.500000Z");
    assert_eq!(time.date_path(), "2026/09/21");
    assert!(Time::parse_rfc3339("2026-09-21").is_none());
}

#[test]
fn keys_checkpoints_and_notes_round_trip() {
    let probe = Signer::new("probe", &[7; 32]).unwrap();
    let origin = checkpoint::origin("cluster-a", probe.verifier().public_key());
    let signer = Signer::new(&origin, &[7; 32]).unwrap();
    let key = VerifierKey::parse(&signer.verifier().to_string()).unwrap();
    assert_eq!(&key, signer.verifier());
    let checkpoint = Checkpoint { origin, size: 12, root: leaf_hash(b"x") };
    let bytes = checkpoint.sign(&[&signer]).unwrap();
    let note = SignedCheckpoint::parse(&bytes).unwrap();
    assert_eq!(note.verify(&key).unwrap(), &checkpoint);
    let stranger = Signer::new(key.name(), &[8; 32]).unwrap();
    assert!(note.verify(stranger.verifier()).is_err());
    let forged = String::from_utf8(bytes).unwrap().replace("\n12\n", "\n13\n");
    let forged = SignedCheckpoint::parse(forged.as_bytes()).unwrap();
    assert!(forged.verify(&key).unwrap_err().to_string().contains("does not hold"));
}

#[test]
fn a_built_segment_has_the_manifest_of_its_lines() {
    let mut builder = Builder::new(40).unwrap();
    let mut expected = Vec::new();
    for index in 0..300u64 {
        let time =
            Time::from_unix_microseconds(1_790_000_000_000_000 - i64::try_from(index).unwrap());
        let line = compose(&Parts {
            body: b"{}",
            cluster: "c",
            controls: &[],
            kind: if index == 0 { "key" } else { "event" },
            seq: 40 + index,
            source: "ledger",
            source_epoch: 1,
            source_seq: index,
            time,
        })
        .unwrap();
        builder.push(if index == 0 { "key" } else { "event" }, time, &line).unwrap();
        expected.push(leaf_hash(&line));
    }
    let sealed = builder.finish().unwrap();
    let bytes = sealed.manifest.to_canonical().unwrap();
    assert_eq!(Manifest::parse(&bytes).unwrap(), sealed.manifest);
    assert_eq!(sealed.manifest.root, naive_root(&expected));
    assert_eq!(sealed.manifest.kinds["event"], 299);
    assert_eq!(sealed.manifest.sha256, Hash::of(&sealed.bytes));
    assert_eq!(segment::parse_path(&sealed.manifest.segment), Some(40));
    assert_eq!(segment::parse_path("segments/2026/9/21/00000000000000000040.jsonl.zst"), None);
}

#[test]
fn zstd_reads_a_segment_that_is_written_here() {
    let lines: Vec<String> = (0..1000).map(|index| format!("{{\"seq\":{index}}}")).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), segment::encode(&lines).unwrap()).unwrap();
    let output = match std::process::Command::new("zstd").arg("-dc").arg(file.path()).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: no zstd to run here: {error}");
            return;
        }
    };
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), lines.join("\n") + "\n");
}

fn conformance() -> Option<PathBuf> {
    let root = std::env::var_os("PROOFSTREAM_CONFORMANCE")
        .map_or_else(|| PathBuf::from("../../../shared/conformance"), PathBuf::from);
    let folder = root.join("ledger");
    if !folder.is_dir() {
        eprintln!("skipped: no conformance files at {}", folder.display());
        return None;
    }
    Some(folder)
}

#[test]
fn another_programs_ledger_reads_the_same() {
    let Some(folder) = conformance() else { return };
    let valid = folder.join("valid");
    let keys = fs::read_to_string(valid.join("log.pub")).unwrap();
    let key = &VerifierKey::parse_lines(&keys).unwrap()[0];
    let signed = SignedCheckpoint::parse(&fs::read(valid.join("checkpoint")).unwrap()).unwrap();
    let checkpoint = signed.verify(key).unwrap();
    let cluster = "6b1d5b7e-0000-4000-8000-000000000001";
    assert_eq!(checkpoint.origin, checkpoint::origin(cluster, key.public_key()));

    let mut tree = Tree::new();
    for (index, width) in tile::grown_entries(0, checkpoint.size) {
        let bytes = fs::read(valid.join(tile::entries_path(index, width))).unwrap();
        for entry in tile::decode_entries(&bytes).unwrap() {
            let manifest = Manifest::parse(entry).unwrap();
            assert_eq!(manifest.to_canonical().unwrap(), entry);
            tree.append(leaf_hash(entry));
            let file = fs::read(valid.join(&manifest.segment)).unwrap();
            assert_eq!(Hash::of(&file), manifest.sha256);
            let mut inner = Frontier::new();
            for line in Segment::open(&file).unwrap().lines().unwrap() {
                inner.append(leaf_hash(&line));
                let envelope = Envelope::parse(&line).unwrap();
                let controls: Vec<String> =
                    envelope.controls.iter().map(ToString::to_string).collect();
                let again = compose(&Parts {
                    body: envelope.body.as_bytes(),
                    cluster: &envelope.cluster,
                    controls: &controls,
                    kind: &envelope.kind,
                    seq: envelope.seq,
                    source: &envelope.source,
                    source_epoch: envelope.source_epoch,
                    source_seq: envelope.source_seq,
                    time: envelope.time,
                });
                assert_eq!(again.unwrap(), line);
            }
            assert_eq!(inner.root(), manifest.root);
        }
    }
    assert_eq!(tree.root(), checkpoint.root);
    for wanted in tile::grown(0, checkpoint.size) {
        let bytes = fs::read(valid.join(wanted.path())).unwrap();
        assert_eq!(bytes, wanted.bytes(&tree).unwrap());
    }
    assert!(tree.node(0, checkpoint.size).is_err());
}
