//! The reader: every record is found, proven by a proof that stands alone, and damage is named.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what went wrong by panicking"
)]

#[allow(dead_code, reason = "shared with the verifier's tests, which use all of it")]
#[path = "verify/fixture.rs"]
mod fixture;

use std::sync::Arc;

use fixture::{Memory, Plan, blob, conformance, log_signer};
use proofstream_ledger::proof::RecordProof;
use proofstream_ledger::reader::{ReadError, Reader};
use proofstream_ledger::tree::{Hash, verify_consistency};

fn open(files: &Memory) -> Reader {
    Reader::open(Arc::new(files.clone())).unwrap().unwrap()
}

/// Proves every `step`th record from its own JSON, with nothing but the checkpoint.
fn prove(reader: &Reader, step: usize) {
    let checkpoint = reader.checkpoint().checkpoint();
    for seq in (0..reader.record_count().unwrap()).step_by(step) {
        let proof = reader.prove(seq).unwrap();
        assert_eq!(reader.record(seq).unwrap(), proof.line);
        let json = proof.to_json().unwrap();
        let read = RecordProof::parse(&json).unwrap();
        assert_eq!(read.verify(checkpoint).unwrap().seq, seq);
        let mut other = read.clone();
        let last = other.line.len() - 9;
        other.line[last] ^= 1;
        assert!(other.verify(checkpoint).is_err());
        let mut elsewhere = read;
        elsewhere.segment = (elsewhere.segment + 1) % checkpoint.size;
        assert!(elsewhere.verify(checkpoint).is_err());
    }
}

#[test]
fn every_record_is_found_and_proven() {
    let made = Plan::usual().build();
    let reader = open(&made.files);
    assert_eq!(reader.size(), 9);
    prove(&reader, 1);
    for (index, lines) in made.lines.iter().enumerate() {
        assert_eq!(&reader.lines(index as u64).unwrap(), lines);
    }
    let (_, reference) = blob(b"recorded");
    let hash = Hash::from_hex(&reference[9..73]).unwrap();
    assert_eq!(reader.blob(&hash).unwrap().unwrap(), b"recorded");
    assert_eq!(reader.blob(&Hash::of(b"")).unwrap(), None);
    let count = reader.record_count().unwrap();
    assert!(matches!(reader.record(count), Err(ReadError::NoRecord { .. })));
    assert!(matches!(reader.manifest(9), Err(ReadError::NoSegment { .. })));
}

#[test]
fn every_earlier_size_is_proven_consistent() {
    let made = Plan::usual().build();
    let reader = open(&made.files);
    for new in 0..=9 {
        for old in 0..=new {
            let proof = reader.consistency(old, new).unwrap();
            let root = |size| proofstream_ledger::tree::root(&made.tree, size).unwrap();
            verify_consistency(old, &root(old), new, &root(new), &proof).unwrap();
        }
    }
    assert!(reader.consistency(3, 10).is_err());
}

#[test]
fn damage_is_named() {
    let made = Plan::usual().build();
    let segment = made.manifests[3].segment.clone();
    for (path, about) in [
        (segment.as_str(), segment.as_str()),
        ("tile/0/000.p/9", "segment `3`"),
        ("tile/entries/000.p/9", "tile/entries/000.p/9"),
    ] {
        let mut files = made.files.clone();
        let bytes = files.0.get_mut(path).unwrap();
        let end = bytes.len() - 3;
        bytes[end] ^= 1;
        let error = open(&files).prove(made.manifests[3].first).unwrap_err().to_string();
        assert!(error.contains(about), "{path}: {error}");
        files.0.remove(path);
        let error = open(&files).prove(made.manifests[3].first).unwrap_err().to_string();
        assert!(error.contains(path), "{path}: {error}");
    }
    let mut files = made.files.clone();
    files.0.insert("checkpoint".into(), made.checkpoint(9, &[&log_signer(0)]));
    assert!(Reader::open(Arc::new(files.clone())).is_err());
    files.0.remove("checkpoint");
    assert!(Reader::open(Arc::new(files)).unwrap().is_none());
}

#[test]
fn another_programs_records_are_proven() {
    let Some(folder) = conformance() else { return };
    let reader = open(&Memory::load(&folder.join("valid")));
    assert_eq!(reader.record_count().unwrap(), 1506);
    prove(&reader, 13);
    let checkpoint = reader.checkpoint().checkpoint().clone();
    let proof = reader.consistency(256, 300).unwrap();
    assert!(!proof.is_empty() && checkpoint.size == 300);
}
