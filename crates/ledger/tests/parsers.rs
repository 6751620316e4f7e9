//! Every parser of untrusted bytes on seeds that a fixed generator damages: none may panic, hang or
//! grow, and what one accepts must be exactly what the writer would have written.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what went wrong by panicking"
)]

#[allow(dead_code, reason = "shared with the verifier's tests, which use all of it")]
#[path = "verify/fixture.rs"]
mod fixture;

use fixture::{Memory, Plan, Random, export_signer, log_signer};
use proofstream_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use proofstream_ledger::manifest::Manifest;
use proofstream_ledger::note::{Note, VerifierKey};
use proofstream_ledger::proof::RecordProof;
use proofstream_ledger::record::{Envelope, Parts, compose};
use proofstream_ledger::segment::{self, MAX_FRAME, Segment};
use proofstream_ledger::tile;
use proofstream_ledger::time::Time;
use proofstream_ledger::tree::{Tree, leaf_hash};
use proofstream_ledger::verify::{Options, verify_bundle, verify_ledger};

/// The sorts of damage that parsers stumble over.
trait Damage {
    fn below(&mut self, bound: usize) -> usize;
    fn damage(&mut self, seed: &[u8]) -> Vec<u8>;
}

impl Damage for Random {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    /// One to three changes.
    fn damage(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(8) {
                0 if !bytes.is_empty() => {
                    let at = at.min(bytes.len() - 1);
                    bytes[at] ^= 1 << self.below(8);
                }
                1 => bytes.truncate(at),
                2 => bytes.insert(at, self.next().to_le_bytes()[0]),
                3 if at < bytes.len() => {
                    bytes.remove(at);
                }
                4 => {
                    let extreme = [[0; 4], [0xff; 4], [0, 0, 0, 0x80], [1, 0, 0, 0]][self.below(4)];
                    let end = (at + 4).min(bytes.len());
                    bytes.splice(at..end, extreme);
                }
                5 => {
                    let end = (at + self.below(40)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                6 => {
                    let token: &[u8] = [
                        &b"\""[..],
                        b"{",
                        b"}",
                        b"[",
                        b"\n",
                        b"\\u0000",
                        b"-",
                        b"9999999999999999999",
                    ][self.below(8)];
                    bytes.splice(at..at, token.iter().copied());
                }
                _ => {
                    let other = self.below(bytes.len() + 1);
                    let (low, high) = (at.min(other), at.max(other));
                    bytes.drain(low..high.min(low + 16));
                }
            }
        }
        bytes
    }
}

/// Hands damaged seeds to a parser, and the undamaged ones first; says how many it accepted.
fn try_parser(name: &str, rounds: usize, seeds: &[Vec<u8>], accepts: impl Fn(&[u8]) -> bool) {
    let mut random = Random(name.bytes().map(u64::from).sum());
    for seed in seeds {
        assert!(accepts(seed), "{name}: the seed itself is refused");
    }
    let mut refused = 0;
    for round in 0..rounds {
        let bytes = random.damage(&seeds[round % seeds.len()]);
        refused += usize::from(!accepts(&bytes));
    }
    assert!(refused > rounds / 2, "{name}: only {refused} of {rounds} refused");
}

#[test]
fn keys_notes_and_checkpoints() {
    let made = Plan::usual().build();
    let key = log_signer(0).verifier().to_string();
    try_parser("verifier key", 20_000, &[key.into_bytes()], |bytes| {
        let Ok(line) = std::str::from_utf8(bytes) else { return false };
        VerifierKey::parse(line).is_ok_and(|key| {
            assert_eq!(key.to_string(), line);
            true
        })
    });
    let checkpoints = [made.files.0["checkpoint"].clone(), made.files.0["keys/5"].clone()];
    let key = log_signer(1).verifier().clone();
    try_parser("checkpoint", 20_000, &checkpoints, |bytes| {
        let Ok(note) = Note::parse(bytes) else { return false };
        let Ok(signed) = SignedCheckpoint::parse(bytes) else { return false };
        if note.text.lines().count() == 3 {
            assert_eq!(signed.checkpoint().text(), note.text);
        }
        Checkpoint::parse_text(&note.text).unwrap();
        signed.verify(&key).is_ok()
    });
    try_parser("time", 50_000, &[b"2026-09-21T14:13:20.000100Z".to_vec()], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let _ = Time::parse_rfc3339(text);
        Time::parse(text).is_some_and(|time| {
            assert_eq!(time.to_string(), text);
            true
        })
    });
}

#[test]
fn manifests_records_and_tiles() {
    let made = Plan::usual().build();
    let manifests: Vec<_> = made.manifests.iter().map(|one| one.to_canonical().unwrap()).collect();
    try_parser("manifest", 20_000, &manifests, |bytes| {
        Manifest::parse(bytes).is_ok_and(|manifest| {
            assert_eq!(manifest.to_canonical().unwrap(), bytes);
            assert_eq!(segment::parse_path(&manifest.segment), Some(manifest.first));
            true
        })
    });
    let lines: Vec<_> = made.lines.concat();
    try_parser("record", 40_000, &lines, |bytes| {
        Envelope::parse(bytes).is_ok_and(|envelope| {
            let controls: Vec<_> = envelope.controls.iter().map(ToString::to_string).collect();
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
            assert_eq!(again.unwrap(), bytes);
            true
        })
    });
    let bundle = made.files.0["tile/entries/000.p/9"].clone();
    try_parser("entry bundle", 20_000, &[bundle], |bytes| {
        tile::decode_entries(bytes).is_ok_and(|entries| {
            assert_eq!(tile::encode_entries(entries.iter().copied()).unwrap(), bytes);
            entries.len() == 9
        })
    });
    try_parser("tile path", 50_000, &[b"tile/0/x001/x234/067.p/8".to_vec()], |bytes| {
        std::str::from_utf8(bytes).is_ok_and(|path| {
            let _ = segment::parse_path(path);
            tile::parse_path(path).is_some()
        })
    });
}

#[test]
fn segments_and_their_seek_tables() {
    let lines: Vec<_> = (0..600).map(|number| format!("{{\"number\":{number}}}")).collect();
    let whole = segment::encode(&lines).unwrap();
    let one = segment::encode(&lines[..1]).unwrap();
    let accepts = |bytes: &[u8]| {
        let Ok(segment) = Segment::open(bytes) else { return false };
        let mut bounded = true;
        let mut kept = 0;
        for frame in 0..segment.frame_count() {
            let Ok(frame) = segment.frame(frame) else { return false };
            bounded &= frame.len() <= MAX_FRAME;
            kept += frame.split(|byte| *byte == b'\n').count() - 1;
        }
        assert!(bounded);
        kept == 1 || kept == 600
    };
    try_parser("segment", 4_000, &[whole.clone(), one.clone()], accepts);
    // Damage in the seek table alone, where the sizes stand.
    let mut random = Random(7);
    for _ in 0..20_000 {
        let table = random.damage(&whole[whole.len() - 41..]);
        let mut bytes = whole[..whole.len() - 41].to_vec();
        bytes.extend(&table);
        if table != whole[whole.len() - 41..] && Segment::open(&bytes).is_ok() {
            let read = Segment::open(&bytes).unwrap().lines();
            assert!(read.is_err() || bytes == whole, "a changed seek table reads the same");
        }
    }
}

#[test]
fn a_bomb_or_a_second_frame_is_refused() {
    let bomb = zstd::bulk::compress(&vec![b'\n'; 300 << 20], 1).unwrap();
    let twice =
        [zstd::bulk::compress(b"a\n", 1).unwrap(), zstd::bulk::compress(b"b\n", 1).unwrap()]
            .concat();
    for (data, claimed) in [(&bomb, 1u32 << 20), (&bomb, u32::MAX), (&twice, 4)] {
        let mut bytes = data.clone();
        bytes.extend(0x184D_2A5Eu32.to_le_bytes());
        bytes.extend(17u32.to_le_bytes());
        bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(claimed.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.push(0);
        bytes.extend(0x8F92_EAB1u32.to_le_bytes());
        assert!(Segment::open(&bytes).and_then(|segment| segment.lines()).is_err());
    }
}

#[test]
fn proofs_and_whole_bundles() {
    let made = Plan::usual().build();
    let inner: Tree = made.lines[1].iter().map(|line| leaf_hash(line)).collect();
    let proof = RecordProof {
        line: made.lines[1][2].clone(),
        index: 2,
        inner: inner.inclusion_proof(2).unwrap(),
        segment: 1,
        manifest: made.manifests[1].clone(),
        outer: made.tree.inclusion_proof(1).unwrap(),
    };
    let checkpoint = SignedCheckpoint::parse(&made.files.0["checkpoint"]).unwrap();
    try_parser("record proof", 10_000, &[proof.to_json().unwrap()], |bytes| {
        RecordProof::parse(bytes).is_ok_and(|proof| proof.verify(checkpoint.checkpoint()).is_ok())
    });

    let claims = "{\"claims\":[{\"from\":\"2026-01-01T00:00:00Z\",\"kind\":\"decision\",\"text\":\"t\",\
                  \"value\":8,\"where\":{\"body.user\":\"alice\"}}],\"v\":1}";
    let bundle = made.bundle(0, &["decision", "event"], claims);
    let paths: Vec<_> = bundle.0.keys().cloned().collect();
    let mut random = Random(99);
    for round in 0..600 {
        let path = &paths[round % paths.len()];
        let mut changed = bundle.clone();
        let bytes = random.damage(&bundle.0[path]);
        let same = bytes == bundle.0[path] || path == "manifest.dsse.json";
        changed.0.insert(path.clone(), bytes);
        let report = verify_bundle(&changed, &Options::default()).unwrap();
        assert!(same || !report.holds(), "{path} changed and nobody saw");
        // Signed again, so that nothing but the parser itself stands before the damage.
        if path != "manifest.json" && path != "manifest.dsse.json" {
            changed.sign(&export_signer());
            verify_bundle(&changed, &Options::default()).unwrap();
        }
    }
}

#[test]
fn whole_ledgers() {
    let files: Memory = Plan::usual().build().files;
    let paths: Vec<_> = files.0.keys().cloned().collect();
    let mut random = Random(5);
    for round in 0..600 {
        let path = &paths[round % paths.len()];
        let mut changed = files.clone();
        let bytes = random.damage(&files.0[path]);
        let same = bytes == files.0[path];
        changed.0.insert(path.clone(), bytes);
        let report = verify_ledger(&changed, &Options::default()).unwrap();
        assert!(same || !report.holds(), "{path} changed and nobody saw");
    }
}
