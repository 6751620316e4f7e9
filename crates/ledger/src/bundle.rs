//! The files of a bundle that carry its proof: how an exporter writes each line and signs the whole.
//!
//! What goes into a bundle is the exporter's matter; the verifier reads these same shapes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofstream_canonical::CanonicalError;
use serde::Serialize;

use crate::manifest::{Manifest, ManifestError};
use crate::note::Signer;
use crate::proof::encode_hashes;
use crate::tree::Hash;

/// The bundle's list of files.
pub const INVENTORY: &str = "manifest.json";
/// The envelope around the statement that names the list.
pub const ENVELOPE: &str = "manifest.dsse.json";
/// Kinds that every bundle holds whole, whatever else it exports.
pub const ALWAYS: [&str; 5] = ["gap", "key", "source", "export", "erasure"];
/// Where the stand-alone proof of the `key` record goes that names the export key, when the
/// bundle's range does not hold that record ([`crate::proof::RecordProof::to_json`]).
pub const EXPORT_KEY: &str = "export-key.json";
/// What the envelope's payload is.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// What the statement is.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// What the statement says about the list.
pub const PREDICATE_TYPE: &str = "https://proofstream.dev/bundle/v1";

#[derive(Serialize)]
struct ManifestLine<'a> {
    index: u64,
    manifest: &'a serde_json::Value,
    outer: Vec<String>,
}

/// A line of `manifests.jsonl`, with its `\n`.
///
/// # Errors
/// When the manifest cannot be written.
pub fn manifest_line(
    index: u64,
    manifest: &Manifest,
    outer: &[Hash],
) -> Result<Vec<u8>, ManifestError> {
    let manifest = serde_json::from_slice(&manifest.to_canonical()?)?;
    Ok(line(&ManifestLine { index, manifest: &manifest, outer: encode_hashes(outer) })?)
}

#[derive(Serialize)]
struct ProofLine {
    seq: u64,
    segment: u64,
    index: u64,
    inner: Vec<String>,
}

/// A line of `proofs.jsonl`, with its `\n`: record `seq` is record `index` of segment `segment`.
///
/// # Errors
/// When a number is beyond what canonical JSON holds.
pub fn proof_line(
    seq: u64,
    segment: u64,
    index: u64,
    inner: &[Hash],
) -> Result<Vec<u8>, CanonicalError> {
    line(&ProofLine { seq, segment, index, inner: encode_hashes(inner) })
}

#[derive(Serialize)]
struct ConsistencyLine<'a> {
    checkpoint: &'a str,
    proof: Vec<String>,
}

/// A line of `consistency.jsonl`, with its `\n`: an earlier checkpoint's whole note, and the proof
/// from its size to the bundle's checkpoint.
///
/// # Errors
/// Never in practice: notes are text.
pub fn consistency_line(checkpoint: &str, proof: &[Hash]) -> Result<Vec<u8>, CanonicalError> {
    line(&ConsistencyLine { checkpoint, proof: encode_hashes(proof) })
}

#[derive(Serialize)]
struct Inventory {
    v: u64,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    path: String,
    sha256: String,
    size: u64,
}

/// The bytes of `manifest.json` for files by path, each with its hash and size.
///
/// # Errors
/// When a size is beyond what canonical JSON holds.
pub fn inventory(files: &BTreeMap<String, (Hash, u64)>) -> Result<Vec<u8>, CanonicalError> {
    let files = files
        .iter()
        .map(|(path, (hash, size))| File { path: path.clone(), sha256: hash.to_hex(), size: *size })
        .collect();
    proofstream_canonical::to_vec(&Inventory { v: 1, files })
}

/// The bytes of `manifest.dsse.json`: a statement about the inventory alone, signed by the export
/// key. The log's own key must never sign one.
///
/// # Errors
/// Never in practice: all of it is text.
pub fn envelope(inventory: &[u8], signer: &Signer) -> Result<Vec<u8>, CanonicalError> {
    let payload = proofstream_canonical::to_vec(&serde_json::json!({
        "_type": STATEMENT_TYPE,
        "predicate": {},
        "predicateType": PREDICATE_TYPE,
        "subject": [{"digest": {"sha256": Hash::of(inventory).to_hex()}, "name": INVENTORY}],
    }))?;
    let signature = signer.sign_bytes(&pre_authentication(&payload));
    proofstream_canonical::to_vec(&serde_json::json!({
        "payload": STANDARD.encode(&payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": signer.verifier().name(), "sig": STANDARD.encode(signature)}],
    }))
}

/// DSSE's pre-authentication encoding: the bytes that are signed.
pub fn pre_authentication(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn line<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let mut line = proofstream_canonical::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
