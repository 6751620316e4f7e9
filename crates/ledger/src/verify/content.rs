//! What records say that a verifier must follow up: blobs, erasures, keys, base64.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use serde_json::Value;

use super::{Report, VerifyError};
use crate::reader::blob_path;
use crate::record::Envelope;
use crate::segment;
use crate::storage::Storage;
use crate::tree::Hash;

/// How many hashes of blobs found good are remembered, so that repeated ones are read once.
const REMEMBERED: usize = 65_536;

/// A public key that a `key` record names.
pub(crate) struct KeyRecord {
    pub(crate) seq: u64,
    /// `export`, `log`…
    pub(crate) purpose: String,
    pub(crate) public_key: [u8; 32],
}

/// What has been gathered from the records so far. Memory grows with absent blobs and erasures
/// only.
pub(crate) struct Content<'a> {
    storage: &'a dyn Storage,
    keys: Vec<KeyRecord>,
    good: HashSet<Hash>,
    absent: HashMap<Hash, u64>,
    erased: HashSet<Hash>,
    erased_segments: HashSet<String>,
    blobs: u64,
    missing_by_design: bool,
    /// Bodies are parsed only where one of these stands in them.
    blob_key: Finder<'static>,
    base64_key: Finder<'static>,
}

impl<'a> Content<'a> {
    /// For a ledger, in which a blob is there or erased.
    pub(crate) fn of_ledger(storage: &'a dyn Storage) -> Self {
        Self::new(storage, false)
    }

    /// For a bundle, which may leave blobs out.
    pub(crate) fn of_bundle(storage: &'a dyn Storage) -> Self {
        Self::new(storage, true)
    }

    fn new(storage: &'a dyn Storage, missing_by_design: bool) -> Self {
        Self {
            storage,
            keys: Vec::new(),
            good: HashSet::new(),
            absent: HashMap::new(),
            erased: HashSet::new(),
            erased_segments: HashSet::new(),
            blobs: 0,
            missing_by_design,
            blob_key: Finder::new("\"blob\":\""),
            base64_key: Finder::new("\"raw_b64\":"),
        }
    }

    /// The keys that records name, in order.
    pub(crate) fn keys(&self) -> &[KeyRecord] {
        &self.keys
    }

    /// Whether an erasure record names this segment.
    pub(crate) fn erased_segment(&self, path: &str) -> bool {
        self.erased_segments.contains(path)
    }

    /// Follows up one record; gives its parsed body where that was needed.
    pub(crate) fn record(
        &mut self,
        envelope: &Envelope<'_>,
        report: &mut Report,
    ) -> Result<Option<Value>, VerifyError> {
        let kind = envelope.kind.as_ref();
        let known = matches!(kind, "erasure" | "key" | "source" | "gap");
        let body = envelope.body;
        let holds = |key: &Finder<'_>| key.find(body.as_bytes()).is_some();
        if !known && !holds(&self.blob_key) && !holds(&self.base64_key) {
            return Ok(None);
        }
        let place = format!("seq {}", envelope.seq);
        let body: Value = match serde_json::from_str(body) {
            Ok(body) => body,
            Err(error) => {
                report.fail(place, format!("its body cannot be read: {error}"));
                return Ok(None);
            }
        };
        match kind {
            "erasure" => self.erasure(&place, &body, report),
            "key" => self.key(envelope.seq, &body, report),
            _ => {}
        }
        if let Some(Value::String(raw)) = body.get("raw_b64")
            && STANDARD.decode(raw).is_err()
        {
            report.fail(place, "its raw_b64 is not canonical base64");
        }
        self.references(envelope.seq, &body, report)?;
        Ok(Some(body))
    }

    /// Settles what could only be judged at the end: absent blobs, erased or missing.
    pub(crate) fn finish(&self, report: &mut Report) {
        report.checked("blobs by their hash", self.blobs);
        let (mut erased, mut elsewhere) = (0, 0);
        let mut missing: Vec<_> = Vec::new();
        for (hash, seq) in &self.absent {
            if self.erased.contains(hash) {
                erased += 1;
            } else if self.missing_by_design {
                elsewhere += 1;
            } else {
                missing.push((*seq, *hash));
            }
        }
        missing.sort_unstable();
        for (seq, hash) in missing {
            report.fail(
                blob_path(&hash),
                format!("missing: seq {seq} refers to it and no erasure record names it"),
            );
        }
        if erased > 0 {
            report.unchecked(format!(
                "{erased} blobs that are gone: an erasure record names each with actor and reason"
            ));
        }
        if elsewhere > 0 {
            report.unchecked(format!("{elsewhere} blobs that records refer to and a bundle omits"));
        }
    }

    fn erasure(&mut self, place: &str, body: &Value, report: &mut Report) {
        let said = |key| body.get(key).is_some_and(|value| !value.is_null() && value != "");
        if !said("actor") || !said("reason") {
            report.fail(place, "an erasure without actor or reason");
            return;
        }
        let Value::Object(members) = body else { return };
        let mut stack: Vec<&Value> = members
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "actor" | "reason"))
            .map(|(_, value)| value)
            .collect();
        while let Some(value) = stack.pop() {
            match value {
                Value::String(text) => {
                    if let Some(hash) = Hash::from_hex(text) {
                        self.erased.insert(hash);
                    } else if segment::parse_path(text).is_some() {
                        self.erased_segments.insert(text.clone());
                    }
                }
                Value::Array(items) => stack.extend(items),
                Value::Object(members) => stack.extend(members.values()),
                _ => {}
            }
        }
    }

    fn key(&mut self, seq: u64, body: &Value, report: &mut Report) {
        let public_key = body
            .get("public_key")
            .and_then(Value::as_str)
            .and_then(Hash::from_base64)
            .map(|bytes| *bytes.as_bytes());
        match public_key {
            Some(public_key) => {
                let purpose = body.get("use").and_then(Value::as_str).unwrap_or_default();
                self.keys.push(KeyRecord { seq, purpose: purpose.to_owned(), public_key });
            }
            None => report
                .fail(format!("seq {seq}"), "its public_key is not canonical base64 of 32 bytes"),
        }
    }

    fn references(
        &mut self,
        seq: u64,
        body: &Value,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let mut stack = vec![body];
        while let Some(value) = stack.pop() {
            match value {
                Value::Object(members) => {
                    let hash = members.get("blob").and_then(Value::as_str);
                    let size = members.get("size").and_then(Value::as_u64);
                    if let (Some(hash), Some(size)) = (hash, size) {
                        match Hash::from_hex(hash) {
                            Some(hash) => self.blob(seq, hash, size, report)?,
                            None => report.fail(
                                format!("seq {seq}"),
                                "refers to a blob by what is not 64 hexadecimal digits",
                            ),
                        }
                    }
                    stack.extend(members.values());
                }
                Value::Array(items) => stack.extend(items),
                _ => {}
            }
        }
        Ok(())
    }

    fn blob(
        &mut self,
        seq: u64,
        hash: Hash,
        size: u64,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        if self.good.contains(&hash) {
            return Ok(());
        }
        let path = blob_path(&hash);
        let Some(bytes) = report.read(self.storage, &path)? else {
            self.absent.entry(hash).or_insert(seq);
            return Ok(());
        };
        self.blobs += 1;
        if Hash::of(&bytes) != hash {
            report.fail(path, format!("is not what its name says; seq {seq} refers to it"));
            return Ok(());
        }
        if size.checked_add(32) != Some(bytes.len() as u64) {
            report.fail(
                format!("seq {seq}"),
                format!("says that {path} holds {size} bytes, but it holds another number"),
            );
        }
        if self.good.len() >= REMEMBERED {
            self.good.clear();
        }
        self.good.insert(hash);
        Ok(())
    }
}
