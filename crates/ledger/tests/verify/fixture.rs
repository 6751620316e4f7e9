//! A ledger and a bundle in memory, made with the formats' own writers, so that tests can change
//! one thing, sign it again as a forger with the key would, and see what the verifier says.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use proofstream_ledger::bundle;
use proofstream_ledger::checkpoint::{self, Checkpoint};
use proofstream_ledger::manifest::Manifest;
use proofstream_ledger::note::Signer;
use proofstream_ledger::record::{Envelope, Parts, compose};
use proofstream_ledger::segment::Builder;
use proofstream_ledger::storage::{AppendFile, Storage};
use proofstream_ledger::tile::{encode_entries, entries_path, grown, grown_entries};
use proofstream_ledger::time::Time;
use proofstream_ledger::tree::{Hash, Tree, consistency_proof, leaf_hash};

pub(crate) const CLUSTER: &str = "11111111-2222-4333-8444-555555555555";

/// A store that tests read, tamper with, and hand to the verifier.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Memory {
    pub(crate) fn load(root: &Path) -> Self {
        fn walk(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), &format!("{name}/"), files);
                } else {
                    files.insert(name, std::fs::read(entry.path()).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(root, "", &mut files);
        Self(files)
    }

    pub(crate) fn save(&self, root: &Path) {
        for (path, bytes) in &self.0 {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.0[path].clone()).unwrap()
    }
}

impl Storage for Memory {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(path).cloned())
    }
    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        Ok(self.0.keys().filter(|path| path.starts_with(prefix)).cloned().collect())
    }
    fn write_new(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn replace(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn open_append(&self, _: &str) -> io::Result<Box<dyn AppendFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn lock(&self, _: &str) -> io::Result<Box<dyn Send>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A record before it has its line.
#[derive(Clone)]
pub(crate) struct Draft {
    pub kind: String,
    pub source: String,
    pub epoch: u64,
    pub source_seq: u64,
    pub controls: Vec<String>,
    pub body: String,
    pub time: i64,
}

/// Records grouped into segments, and everything around them.
#[derive(Clone)]
pub(crate) struct Plan {
    pub segments: Vec<Vec<Draft>>,
    pub blobs: Vec<Vec<u8>>,
    /// The size at which the second key takes over.
    pub key_change: Option<u64>,
    pub witnessed: Vec<u64>,
}

pub(crate) fn log_signer(position: u8) -> Signer {
    let first = Signer::new("x", &[1; 32]).unwrap();
    let origin = checkpoint::origin(CLUSTER, first.verifier().public_key());
    Signer::new(&origin, &[1 + position; 32]).unwrap()
}

pub(crate) fn export_signer() -> Signer {
    Signer::new("export", &[9; 32]).unwrap()
}

pub(crate) fn blob(payload: &[u8]) -> (Vec<u8>, String) {
    let bytes = [&[5; 32], payload].concat();
    let reference = format!(
        "{{\"blob\":\"{}\",\"media\":\"text/plain\",\"size\":{}}}",
        Hash::of(&bytes).to_hex(),
        payload.len()
    );
    (bytes, reference)
}

impl Plan {
    /// Nine segments: keys, sources, decisions, events, blobs, an erasure, a new epoch with its
    /// gap, a change of the log's key at size 5.
    pub(crate) fn usual() -> Self {
        let mut plan = Self {
            segments: vec![Vec::new()],
            blobs: Vec::new(),
            key_change: Some(5),
            witnessed: vec![4, 7],
        };
        let key = |purpose: &str, signer: &Signer| {
            let key = Hash::from_bytes(*signer.verifier().public_key()).to_base64();
            format!("{{\"public_key\":\"{key}\",\"use\":\"{purpose}\"}}")
        };
        let (there, reference) = blob(b"recorded");
        let (_, erased) = blob(b"forgotten");
        let erased_hex = erased.get(9..73).unwrap().to_owned();
        plan.blobs.push(there);
        plan.push("key", "ledger", 1, &key("export", &export_signer()));
        plan.push("source", "ledger", 1, "{\"source\":\"admission/0\",\"state\":\"enrolled\"}");
        plan.push("source", "ledger", 1, "{\"source\":\"audit-file/a\",\"state\":\"enrolled\"}");
        plan.push("session", "ledger", 1, &format!("{{\"recording\":{reference}}}"));
        plan.push("session", "ledger", 1, &format!("{{\"recording\":{erased}}}"));
        let erasure =
            format!("{{\"actor\":\"a\",\"blobs\":[\"{erased_hex}\"],\"reason\":\"retention\"}}");
        plan.push("erasure", "ledger", 1, &erasure);
        for segment in 1..9 {
            plan.segments.push(Vec::new());
            let epoch = 1 + u64::from(segment > 5);
            if segment == 4 {
                plan.push("key", "ledger", 1, &key("log", &log_signer(1)));
            }
            if segment == 6 {
                let gap = "{\"after\":11,\"cause\":\"restart\",\"count\":null,\"epoch\":2,\
                           \"from\":\"\",\"source\":\"admission/0\",\"to\":\"\"}";
                plan.push("gap", "ledger", 1, gap);
            }
            for number in 0..3 {
                let user = if number == 0 { "alice" } else { "bob" };
                let body = format!("{{\"decision\":\"deny\",\"user\":\"{user}\"}}");
                plan.push("decision", "admission/0", epoch, &body);
                let raw = format!("{{\\\"user\\\":{{\\\"username\\\":\\\"{user}\\\"}}}}");
                plan.push("event", "audit-file/a", 1, &format!("{{\"raw\":\"{raw}\"}}"));
            }
        }
        plan
    }

    fn push(&mut self, kind: &str, source: &str, epoch: u64, body: &str) {
        let all = || self.segments.iter().flatten();
        let same = all().filter(|draft| draft.source == source && draft.epoch == epoch);
        let source_seq = same.count() as u64;
        let time = 1_790_000_000_000_000 + i64::try_from(all().count()).unwrap() * 1_000_000;
        let controls = if kind == "decision" { vec!["a".into(), "b".into()] } else { Vec::new() };
        let draft = Draft {
            kind: kind.into(),
            source: source.into(),
            epoch,
            source_seq,
            controls,
            body: body.into(),
            time,
        };
        self.segments.last_mut().unwrap().push(draft);
    }

    pub(crate) fn build(&self) -> Ledger {
        self.build_with(|_, _| {}, |_| {})
    }

    /// Builds it, with a hand in each line and each manifest before they are hashed.
    pub(crate) fn build_with(
        &self,
        mut line_hook: impl FnMut(u64, &mut Vec<u8>),
        mut manifest_hook: impl FnMut(&mut Manifest),
    ) -> Ledger {
        let mut files = BTreeMap::new();
        let mut ledger = Ledger {
            lines: Vec::new(),
            manifests: Vec::new(),
            tree: Tree::new(),
            files: Memory::default(),
        };
        let mut entries = Vec::new();
        let mut seq = 0;
        for drafts in &self.segments {
            let mut builder = Builder::new(seq).unwrap();
            let mut lines = Vec::new();
            for draft in drafts {
                let time = Time::from_unix_microseconds(draft.time);
                let mut line = compose(&Parts {
                    body: draft.body.as_bytes(),
                    cluster: CLUSTER,
                    controls: &draft.controls,
                    kind: &draft.kind,
                    seq,
                    source: &draft.source,
                    source_epoch: draft.epoch,
                    source_seq: draft.source_seq,
                    time,
                })
                .unwrap();
                line_hook(seq, &mut line);
                builder.push(&draft.kind, time, &line).unwrap();
                lines.push(line);
                seq += 1;
            }
            let mut sealed = builder.finish().unwrap();
            manifest_hook(&mut sealed.manifest);
            files.insert(sealed.manifest.segment.clone(), sealed.bytes);
            let entry = sealed.manifest.to_canonical().unwrap();
            ledger.tree.append(leaf_hash(&entry));
            entries.push(entry);
            ledger.manifests.push(sealed.manifest);
            ledger.lines.push(lines);
        }
        let size = ledger.tree.size();
        for tile in grown(0, size) {
            files.insert(tile.path(), tile.bytes(&ledger.tree).unwrap());
        }
        for (index, width) in grown_entries(0, size) {
            let bundle = encode_entries(entries.iter().map(Vec::as_slice)).unwrap();
            files.insert(entries_path(index, width), bundle);
        }
        for bytes in &self.blobs {
            let hex = Hash::of(bytes).to_hex();
            files.insert(format!("blobs/{}/{hex}", &hex[..2]), bytes.clone());
        }
        ledger.files = Memory(files);
        let mut keys = format!("{}\n", log_signer(0).verifier());
        if let Some(change) = self.key_change {
            keys.push_str(&log_signer(1).verifier().to_string());
            keys.push('\n');
            let both = ledger.checkpoint(change, &[&log_signer(0), &log_signer(1)]);
            ledger.files.0.insert(format!("keys/{change}"), both);
        }
        ledger.files.0.insert("log.pub".into(), keys.into_bytes());
        for witnessed in &self.witnessed {
            let signer = log_signer(u8::from(self.key_change.is_some_and(|at| at < *witnessed)));
            let note = ledger.checkpoint(*witnessed, &[&signer]);
            ledger.files.0.insert(format!("witnessed/{witnessed}"), note);
        }
        let signer = log_signer(u8::from(self.key_change.is_some()));
        let note = ledger.checkpoint(size, &[&signer]);
        ledger.files.0.insert("checkpoint".into(), note);
        ledger
    }
}

/// A built ledger with what it was built from.
pub(crate) struct Ledger {
    pub lines: Vec<Vec<Vec<u8>>>,
    pub manifests: Vec<Manifest>,
    pub tree: Tree,
    pub files: Memory,
}

impl Ledger {
    pub(crate) fn checkpoint(&self, size: u64, signers: &[&Signer]) -> Vec<u8> {
        let root = proofstream_ledger::tree::root(&self.tree, size).unwrap();
        let origin = log_signer(0).verifier().name().to_owned();
        Checkpoint { origin, size, root }.sign(signers).unwrap()
    }

    /// A bundle of segments `from..` with the given kinds and claims, whole unless told otherwise.
    pub(crate) fn bundle(&self, from: usize, kinds: &[&str], claims: &str) -> Memory {
        let mut files = BTreeMap::new();
        let size = self.tree.size();
        for path in ["checkpoint", "log.pub", "keys/5", "witnessed/7"] {
            if let Some(bytes) = self.files.0.get(path) {
                files.insert(path.to_owned(), bytes.clone());
            }
        }
        files.insert("README.md".into(), b"What this is.\n".to_vec());
        files.insert("claims.json".into(), claims.as_bytes().to_vec());
        let proof = consistency_proof(&self.tree, 3, size).unwrap();
        let earlier = String::from_utf8(self.checkpoint(3, &[&log_signer(0)])).unwrap();
        let line = bundle::consistency_line(&earlier, &proof).unwrap();
        files.insert("consistency.jsonl".into(), line);
        let (mut manifests, mut proofs) = (Vec::new(), Vec::new());
        for (index, lines) in self.lines.iter().enumerate().skip(from) {
            let position = index as u64;
            let outer = self.tree.inclusion_proof(position).unwrap();
            manifests
                .extend(bundle::manifest_line(position, &self.manifests[index], &outer).unwrap());
            let inner: Tree = lines.iter().map(|line| leaf_hash(line)).collect();
            for (place, line) in lines.iter().enumerate() {
                let envelope = Envelope::parse(line).unwrap();
                let kind = envelope.kind.as_ref();
                if !kinds.contains(&kind) && !bundle::ALWAYS.contains(&kind) {
                    continue;
                }
                let file: &mut Vec<u8> = files.entry(format!("records/{kind}.jsonl")).or_default();
                file.extend_from_slice(line);
                file.push(b'\n');
                let path = inner.inclusion_proof(place as u64).unwrap();
                proofs.extend(
                    bundle::proof_line(envelope.seq, position, place as u64, &path).unwrap(),
                );
            }
        }
        files.insert("manifests.jsonl".into(), manifests);
        files.insert("proofs.jsonl".into(), proofs);
        let mut memory = Memory(files);
        memory.sign(&export_signer());
        memory
    }
}

impl Memory {
    /// Lists and signs a bundle again, as whoever holds the export key can.
    pub(crate) fn sign(&mut self, signer: &Signer) {
        self.0.remove(bundle::INVENTORY);
        self.0.remove(bundle::ENVELOPE);
        let list = self
            .0
            .iter()
            .map(|(path, bytes)| (path.clone(), (Hash::of(bytes), bytes.len() as u64)))
            .collect();
        let inventory = bundle::inventory(&list).unwrap();
        let envelope = bundle::envelope(&inventory, signer).unwrap();
        self.0.insert(bundle::INVENTORY.into(), inventory);
        self.0.insert(bundle::ENVELOPE.into(), envelope);
    }

    /// Replaces text in a file and signs the bundle again.
    pub(crate) fn edit(&mut self, path: &str, from: &str, to: &str) {
        let text = self.text(path);
        assert!(text.contains(from), "{path} does not hold {from}");
        self.0.insert(path.into(), text.replacen(from, to, 1).into_bytes());
        self.sign(&export_signer());
    }
}

/// A small generator with a fixed seed (`SplitMix64`), so that a failure can be had again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The independent program's files, or `None` (said aloud) where they are not.
pub(crate) fn conformance() -> Option<PathBuf> {
    let root = std::env::var_os("PROOFSTREAM_CONFORMANCE")
        .map_or_else(|| PathBuf::from("../../../shared/conformance"), PathBuf::from);
    let folder = root.join("ledger");
    if !folder.is_dir() {
        eprintln!("skipped: no conformance files at {}", folder.display());
        return None;
    }
    Some(folder)
}
