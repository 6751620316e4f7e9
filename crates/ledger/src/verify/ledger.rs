//! Verifies a ledger's folder: every byte from the records up to the signed checkpoint.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::Receiver;

use super::ahead::{self, Fetched, Unpacked};
use super::anchors::Anchors;
use super::content::Content;
use super::keys::KeyChain;
use super::records::Order;
use super::tiles::TileCheck;
use super::{Grade, Options, Report, VerifyError};
use crate::checkpoint::SignedCheckpoint;
use crate::manifest::{Manifest, ManifestError};
use crate::record::Envelope;
use crate::storage::Storage;
use crate::tile::{FULL, decode_entries, entries_path};
use crate::time::Time;
use crate::tree::{Frontier, leaf_hash};

/// Verifies the ledger in `storage`, a few segments in memory at a time: one is checked while the next is read.
///
/// # Errors
/// When a file is there and the machine cannot read it; what does not hold is in the report.
pub fn verify_ledger(storage: &dyn Storage, options: &Options) -> Result<Report, VerifyError> {
    let mut report = Report::new();
    let Some(chain) = KeyChain::read(storage, &mut report)? else { return Ok(report) };
    let authenticated = chain.authenticated(options, &mut report);
    let Some(signed) = published(storage, options, &mut report)? else { return Ok(report) };
    report.size = Some(signed.checkpoint().size);
    if chain.check_signed("checkpoint", &signed, &mut report) {
        report.checked("checkpoint's signature and origin", 1);
    }
    let anchors = Anchors::collect(storage, &chain, &signed, options, &mut report)?;
    let mut check = LedgerCheck {
        storage,
        chain: &chain,
        anchors,
        order: Order::default(),
        content: Content::of_ledger(storage),
        tiles: TileCheck::new(storage),
        tree: Frontier::new(),
        next_seq: Some(0),
        absent: Vec::new(),
        segment_of_key: Vec::new(),
        segments: 0,
    };
    check.walk(&signed, &mut report)?;
    let anchored = check.finish(&signed, &mut report)?;
    report.grade = match anchored {
        Some(size) => Grade::Anchored { size },
        None if authenticated => Grade::Authenticated,
        None => Grade::SelfConsistent,
    };
    report.unchecked("what is not sealed yet: the write-ahead log is the writer's own");
    report.unchecked("files that no manifest, record or checkpoint names");
    report
        .unchecked("whether events of an audit file follow each other without a hole in the file");
    Ok(report)
}

/// Reads the checkpoint. Where nothing at all is sealed yet there is none to read.
fn published(
    storage: &dyn Storage,
    options: &Options,
    report: &mut Report,
) -> Result<Option<SignedCheckpoint>, VerifyError> {
    let Some(bytes) = report.read(storage, "checkpoint")? else {
        let sealed = ["segments/", "tile/", "witnessed/", "keys/"];
        let mut nothing = options.checkpoints.is_empty();
        for prefix in sealed {
            nothing &= report.list(storage, prefix)?.is_empty();
        }
        if nothing {
            report.size = Some(0);
            report.note("nothing is sealed yet: there is no checkpoint and no segment");
        } else {
            report.fail("checkpoint", "missing");
        }
        return Ok(None);
    };
    match SignedCheckpoint::parse(&bytes) {
        Ok(signed) => Ok(Some(signed)),
        Err(error) => {
            report.fail("checkpoint", error);
            Ok(None)
        }
    }
}

struct LedgerCheck<'a> {
    storage: &'a dyn Storage,
    chain: &'a KeyChain,
    anchors: Anchors<'a>,
    order: Order,
    content: Content<'a>,
    tiles: TileCheck<'a>,
    tree: Frontier,
    /// The next segment's first `seq`; `None` after a manifest that could not be read.
    next_seq: Option<u64>,
    /// Segments whose file is not there; an erasure record may name each.
    absent: Vec<String>,
    /// For each `key` record, the segment it stands in.
    segment_of_key: Vec<u64>,
    segments: u64,
}

impl LedgerCheck<'_> {
    fn walk(&mut self, signed: &SignedCheckpoint, report: &mut Report) -> Result<(), VerifyError> {
        let size = signed.checkpoint().size;
        for bundle in 0..size.div_ceil(FULL) {
            let width = (size - bundle * FULL).min(FULL);
            let Some((path, bytes)) = self.entries(bundle, width, report)? else { return Ok(()) };
            let entries = match decode_entries(&bytes) {
                Ok(entries) => entries,
                Err(error) => {
                    report.fail(path, error);
                    return Ok(());
                }
            };
            let exact = path == entries_path(bundle, width);
            if (exact && entries.len() as u64 != width) || (entries.len() as u64) < width {
                report.fail(path, format!("holds {} entries, not {width}", entries.len()));
                return Ok(());
            }
            let manifests: Vec<_> = entries.iter().map(|entry| Manifest::parse(entry)).collect();
            let paths = manifests.iter().flatten().map(|manifest| manifest.segment.as_str());
            let (sender, segments) = ahead::channel();
            let storage = self.storage;
            // INVARIANT: the thread ends when `segments` is dropped, which the inner function does.
            std::thread::scope(|scope| {
                scope.spawn(move || ahead::fetch(storage, paths, &sender));
                let entries = entries.iter().zip(&manifests);
                self.bundle(&path, (bundle * FULL..size).zip(entries), segments, report)
            })?;
        }
        self.anchors_at(report)
    }

    /// The entries of one bundle, with their segments as they come.
    fn bundle<'e>(
        &mut self,
        path: &str,
        entries: impl Iterator<Item = (u64, (&'e &'e [u8], &'e Result<Manifest, ManifestError>))>,
        segments: Receiver<Fetched>,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        for (index, (entry, manifest)) in entries {
            self.anchors_at(report)?;
            let leaf = leaf_hash(entry);
            self.tree.append(leaf);
            self.tiles.append(leaf, report)?;
            let place = format!("{path} entry {index}");
            match manifest {
                Ok(manifest) => {
                    let fetched =
                        segments.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
                    self.entry(index, &place, manifest, fetched, report)?;
                }
                Err(error) => {
                    report.fail(place, error);
                    self.next_seq = None;
                    self.order.lost_segment();
                }
            }
        }
        drop(segments);
        Ok(())
    }

    /// An entry bundle; a partial one that is gone is taken from the full one.
    fn entries(
        &self,
        bundle: u64,
        width: u64,
        report: &mut Report,
    ) -> Result<Option<(String, Vec<u8>)>, VerifyError> {
        for path in [entries_path(bundle, width), entries_path(bundle, FULL)] {
            if let Some(bytes) = report.read(self.storage, &path)? {
                return Ok(Some((path, bytes)));
            }
        }
        report.fail(entries_path(bundle, width), "missing");
        Ok(None)
    }

    fn anchors_at(&mut self, report: &mut Report) -> Result<(), VerifyError> {
        if self.anchors.next_size() == Some(self.tree.size()) {
            self.anchors.reached(self.tree.size(), self.tree.root(), report)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        index: u64,
        place: &str,
        manifest: &Manifest,
        fetched: Fetched,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        if self.next_seq.is_some_and(|next| next != manifest.first) {
            report.fail(
                place,
                format!(
                    "its segment begins with seq {}, not with the one after the last",
                    manifest.first
                ),
            );
        }
        self.next_seq = Some(manifest.end());
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => report.refuse(&manifest.segment, error).map(|()| None)?,
        };
        let Some(segment) = fetched else {
            self.absent.push(manifest.segment.clone());
            self.order.lost_segment();
            return Ok(());
        };
        self.segments += 1;
        if segment.size != manifest.size || segment.sha256 != manifest.sha256 {
            report.fail(
                manifest.segment.as_str(),
                format!("is not the file of {} bytes that {place} names", manifest.size),
            );
        }
        self.segment(index, place, manifest, segment, report)
    }

    /// Checks a segment's records against its manifest.
    fn segment(
        &mut self,
        index: u64,
        place: &str,
        manifest: &Manifest,
        segment: Unpacked,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let mut summary = Summary::default();
        for (seq, line) in (manifest.first..).zip(segment.lines()) {
            self.record(index, seq, line, &mut summary, report)?;
        }
        let Unpacked { tree, broken, .. } = segment;
        if let Some(error) = broken {
            report.fail(manifest.segment.as_str(), error);
            self.order.lost_segment();
            return Ok(());
        }
        if tree.size() != manifest.count || tree.root() != manifest.root {
            report.fail(
                manifest.segment.as_str(),
                format!("its records are not those whose count and root {place} names"),
            );
        }
        if summary.kinds != manifest.kinds
            || summary.times != Some((manifest.time_from, manifest.time_to))
        {
            report.fail(
                place,
                format!("its kinds or times are not those of the records in {}", manifest.segment),
            );
        }
        Ok(())
    }

    fn record(
        &mut self,
        segment: u64,
        expected_seq: u64,
        line: &[u8],
        summary: &mut Summary,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let envelope = match Envelope::parse(line) {
            Ok(envelope) => envelope,
            Err(error) => {
                report.fail(format!("seq {expected_seq}"), error);
                self.order.lost_segment();
                return Ok(());
            }
        };
        summary.add(&envelope);
        let keys = self.content.keys().len();
        let body = self.content.record(&envelope, report)?;
        if self.content.keys().len() > keys {
            self.segment_of_key.push(segment);
        }
        self.order.record(expected_seq, &envelope, body.as_ref(), report);
        Ok(())
    }

    fn finish(
        self,
        signed: &SignedCheckpoint,
        report: &mut Report,
    ) -> Result<Option<u64>, VerifyError> {
        let checkpoint = signed.checkpoint();
        let whole = self.tree.size() == checkpoint.size;
        if whole && self.tree.root() != checkpoint.root {
            report.fail(
                "checkpoint",
                "its root is not that of the entries in tile/entries: one of both was changed",
            );
        }
        report.checked("segments against their manifests: hash, records, kinds, times", {
            self.segments
        });
        self.tiles.finish(report)?;
        self.order.finish(report);
        for path in &self.absent {
            if self.content.erased_segment(path) {
                report.unchecked(format!("{path}: gone, and an erasure record names it"));
            } else {
                report.fail(path.as_str(), "missing, and no erasure record names it");
            }
        }
        // Records that are gone may have named keys, so what they cannot show is not held against
        // the log.
        if self.absent.is_empty() && whole {
            let keys = self.content.keys().iter().zip(self.segment_of_key.iter().copied());
            let named: Vec<_> = keys
                .map(|(key, segment)| (key.seq, key.purpose.as_str(), key.public_key, segment))
                .collect();
            check_key_records(self.chain, &named, report);
        }
        self.content.finish(report);
        Ok(self.anchors.finish(report))
    }
}

/// Each key after the first is named by a `key` record before it took over, and each log key that a
/// record names took over.
fn check_key_records(chain: &KeyChain, named: &[(u64, &str, [u8; 32], u64)], report: &mut Report) {
    for (key, change) in chain.successors() {
        let by_record = named.iter().any(|(_, purpose, public_key, segment)| {
            *purpose != "export" && public_key == key.public_key() && *segment < change
        });
        if !by_record {
            report.fail(format!("keys/{change}"), "no earlier key record names the new key");
        }
    }
    for (seq, purpose, public_key, _) in named {
        let of_log = chain.keys().iter().any(|key| key.public_key() == public_key);
        if *purpose == "log" && !of_log {
            report.fail(
                format!("seq {seq}"),
                "names a new key of the log, which log.pub and keys/ do not show",
            );
        }
        if *purpose == "export" && of_log {
            report.fail(format!("seq {seq}"), "names a key of the log as an export key");
        }
    }
}

/// What a manifest says about its segment's records, as the records have it.
#[derive(Default)]
struct Summary {
    kinds: BTreeMap<String, u64>,
    times: Option<(Time, Time)>,
}

impl Summary {
    fn add(&mut self, envelope: &Envelope<'_>) {
        if let Some(count) = self.kinds.get_mut(envelope.kind.as_ref()) {
            *count += 1;
        } else {
            self.kinds.insert(envelope.kind.to_string(), 1);
        }
        let time = envelope.time;
        self.times = Some(match self.times {
            Some((from, to)) => (from.min(time), to.max(time)),
            None => (time, time),
        });
    }
}
