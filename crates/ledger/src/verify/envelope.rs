//! A bundle's inventory (`manifest.json`) and the DSSE envelope that signs it.
//!
//! <https://github.com/secure-systems-lab/dsse>, <https://in-toto.io/Statement/v1>.

use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Report, VerifyError};
use crate::bundle::{ENVELOPE, INVENTORY, PAYLOAD_TYPE, STATEMENT_TYPE, pre_authentication};
use crate::note::VerifierKey;
use crate::storage::Storage;
use crate::tree::Hash;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inventory {
    v: u64,
    files: Vec<File>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    sha256: String,
    size: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    /// A hint that nobody signs; it is not looked at.
    #[serde(default, rename = "keyid")]
    _keyid: serde::de::IgnoredAny,
    sig: String,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: HashMap<String, String>,
}

/// Checks every file against the inventory, and that the inventory names every file. Gives the
/// inventory's own hash and the paths of the bundle.
pub(crate) fn check_inventory(
    storage: &dyn Storage,
    report: &mut Report,
) -> Result<Option<(Hash, BTreeSet<String>)>, VerifyError> {
    let Some(bytes) = report.require(storage, INVENTORY)? else { return Ok(None) };
    let inventory: Inventory = match serde_json::from_slice(&bytes) {
        Ok(inventory) => inventory,
        Err(error) => {
            report.fail(INVENTORY, format!("has another shape: {error}"));
            return Ok(None);
        }
    };
    if inventory.v != 1 {
        report.fail(INVENTORY, format!("is of version {}, not known here", inventory.v));
        return Ok(None);
    }
    if !inventory.files.is_sorted_by(|left, right| left.path < right.path) {
        report.fail(INVENTORY, "its files are not sorted by path, each once");
    }
    let mut listed = BTreeSet::new();
    for file in inventory.files {
        if !plain_path(&file.path) || file.path == INVENTORY || file.path == ENVELOPE {
            report.fail(INVENTORY, format!("lists `{}`, which it may not", file.path));
            continue;
        }
        check_file(storage, &file, report)?;
        listed.insert(file.path);
    }
    for path in report.list(storage, "")? {
        if path != INVENTORY && path != ENVELOPE && !listed.contains(&path) {
            report.fail(path, format!("is in the bundle and not in {INVENTORY}"));
        }
    }
    report.checked("files by hash and size", listed.len() as u64);
    Ok(Some((Hash::of(&bytes), listed)))
}

fn check_file(storage: &dyn Storage, file: &File, report: &mut Report) -> Result<(), VerifyError> {
    let before = report.failures.len();
    let Some(mut reader) = report.open(storage, &file.path)? else {
        if report.failures.len() == before {
            report.fail(file.path.as_str(), format!("missing, though {INVENTORY} lists it"));
        }
        return Ok(());
    };
    let mut hasher = Sha256::new();
    let mut size: u64 = 0;
    let mut block = vec![0; 64 * 1024];
    loop {
        let length = reader
            .read(&mut block)
            .map_err(|source| VerifyError::Unreadable { path: file.path.clone(), source })?;
        let Some(read) = block.get(..length).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        size += length as u64;
    }
    let digest = Hash::from_bytes(hasher.finalize().into());
    if size != file.size || digest.to_hex() != file.sha256 {
        report.fail(
            file.path.as_str(),
            format!("is not the file of {} bytes that {INVENTORY} lists", file.size),
        );
    }
    Ok(())
}

/// Whether a path stays within the bundle, whatever system it is unpacked on.
fn plain_path(path: &str) -> bool {
    !path.contains(['\\', ':', '\0'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Checks the envelope: a statement about the inventory alone, signed by one of the export keys
/// and never by a key of the log.
pub(crate) fn check_envelope(
    storage: &dyn Storage,
    inventory: &Hash,
    export_keys: &[[u8; 32]],
    log_keys: &[VerifierKey],
    report: &mut Report,
) -> Result<(), VerifyError> {
    let Some(bytes) = report.require(storage, ENVELOPE)? else { return Ok(()) };
    match verify_envelope(&bytes, inventory, export_keys, log_keys) {
        Ok(others) => {
            report.checked("envelope's signature by an export key that a key record names", 1);
            if others > 0 {
                report.unchecked(format!("{others} signatures of the envelope by other keys"));
            }
        }
        Err(reason) => report.fail(ENVELOPE, reason),
    }
    Ok(())
}

/// Gives how many signatures were by other keys.
pub(super) fn verify_envelope(
    bytes: &[u8],
    inventory: &Hash,
    export_keys: &[[u8; 32]],
    log_keys: &[VerifierKey],
) -> Result<usize, String> {
    let envelope: Envelope =
        serde_json::from_slice(bytes).map_err(|error| format!("has another shape: {error}"))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(format!("its payload is `{}`, not {PAYLOAD_TYPE}", envelope.payload_type));
    }
    let decode = |text: &str| {
        STANDARD.decode(text).map_err(|_| "holds base64 that is not canonical".to_owned())
    };
    let payload = decode(&envelope.payload)?;
    let message = pre_authentication(&payload);
    let mut signed = 0;
    let mut others = 0;
    for signature in &envelope.signatures {
        let signature = decode(&signature.sig)?;
        if log_keys.iter().any(|key| key.verifies(&message, &signature)) {
            return Err("is signed by a key of the log, which must not sign bundles".to_owned());
        }
        let by_export_key = export_keys.iter().any(|key| {
            VerifierKey::new("export", key).is_ok_and(|key| key.verifies(&message, &signature))
        });
        if by_export_key { signed += 1 } else { others += 1 }
    }
    if signed == 0 {
        return Err("no signature holds by an export key that a key record here names".to_owned());
    }
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|error| format!("its statement has another shape: {error}"))?;
    if statement.kind != STATEMENT_TYPE {
        return Err(format!("its statement is of type `{}`", statement.kind));
    }
    let [subject] = statement.subject.as_slice() else {
        return Err("its statement does not have one subject alone".to_owned());
    };
    if subject.name != INVENTORY || subject.digest.get("sha256") != Some(&inventory.to_hex()) {
        return Err(format!("its statement is not about this {INVENTORY}"));
    }
    Ok(others)
}
