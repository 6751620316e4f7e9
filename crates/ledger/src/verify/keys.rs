//! The log's keys: `log.pub`, and the checkpoints at which one key hands over to the next.

use super::{Options, Report, VerifyError};
use crate::checkpoint::{self, SignedCheckpoint};
use crate::note::{Algorithm, VerifierKey};
use crate::storage::Storage;

/// The keys oldest first, with the size of the tree at which each but the first took over.
pub(crate) struct KeyChain {
    keys: Vec<VerifierKey>,
    changes: Vec<u64>,
    handovers: Vec<(String, SignedCheckpoint)>,
}

impl KeyChain {
    /// Reads `log.pub` and `keys/`; `None` (with failures reported) where no chain can be made.
    pub(crate) fn read(
        storage: &dyn Storage,
        report: &mut Report,
    ) -> Result<Option<Self>, VerifyError> {
        let Some(bytes) = report.require(storage, "log.pub")? else { return Ok(None) };
        let keys = match parse_keys(&bytes) {
            Ok(keys) => keys,
            Err(reason) => {
                report.fail("log.pub", reason);
                return Ok(None);
            }
        };
        let mut changes = Vec::new();
        let mut handovers = Vec::new();
        for (size, path) in numbered(report.list(storage, "keys/")?, "keys/", report) {
            let Some(bytes) = report.require(storage, &path)? else { continue };
            match SignedCheckpoint::parse(&bytes) {
                Ok(signed) if signed.checkpoint().size == size => {
                    changes.push(size);
                    handovers.push((path, signed));
                }
                Ok(_) => report.fail(path, "its checkpoint is of another size than its name"),
                Err(error) => report.fail(path, error),
            }
        }
        if keys.len() != changes.len() + 1 {
            report.fail(
                "log.pub",
                format!(
                    "names {} keys, but keys/ shows {} changes of key",
                    keys.len(),
                    changes.len()
                ),
            );
            return Ok(None);
        }
        let chain = Self { keys, changes, handovers };
        for (path, signed) in &chain.handovers {
            chain.check_signed(path, signed, report);
        }
        report.checked("keys in log.pub, each handed over to by the one before", {
            chain.keys.len() as u64
        });
        Ok(Some(chain))
    }

    /// The keys, oldest first.
    pub(crate) fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// The checkpoints at which keys changed, with their files.
    pub(crate) fn handovers(&self) -> &[(String, SignedCheckpoint)] {
        &self.handovers
    }

    /// Key `position` (from 1) with the size at which it took over.
    pub(crate) fn successors(&self) -> impl Iterator<Item = (&VerifierKey, u64)> {
        self.keys.iter().skip(1).zip(self.changes.iter().copied())
    }

    /// Checks a checkpoint's signatures by the key (at a change: both keys) that count at its size.
    pub(crate) fn check_signed(
        &self,
        place: &str,
        signed: &SignedCheckpoint,
        report: &mut Report,
    ) -> bool {
        let size = signed.checkpoint().size;
        let position = self.changes.iter().filter(|change| **change < size).count();
        let needed = if self.changes.get(position) == Some(&size) { 2 } else { 1 };
        let mut holds = true;
        for key in self.keys.iter().skip(position).take(needed) {
            if let Err(error) = signed.verify(key) {
                report.fail(place, error);
                holds = false;
            }
        }
        holds
    }

    /// Whether a key from elsewhere is one of this log's; none of them being so is a failure.
    pub(crate) fn authenticated(&self, options: &Options, report: &mut Report) -> bool {
        let known = self.keys.iter().any(|key| options.keys.contains(key));
        if !known && !options.keys.is_empty() {
            report.fail("log.pub", "none of its keys is one that was given with --key");
        }
        known
    }
}

fn parse_keys(bytes: &[u8]) -> Result<Vec<VerifierKey>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').ok_or("the last line has no newline")?;
    let keys: Vec<VerifierKey> = text
        .split('\n')
        .map(VerifierKey::parse)
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let first = keys.first().ok_or("no key")?;
    let cluster = first
        .name()
        .strip_prefix("proofstream/")
        .and_then(|rest| rest.rsplit_once('/'))
        .map(|(cluster, _)| cluster)
        .ok_or("the name is not proofstream/<cluster>/<8 hex>")?;
    if first.name() != checkpoint::origin(cluster, first.public_key()) {
        return Err("the name does not end in the hash of the first key".to_owned());
    }
    for (index, key) in keys.iter().enumerate() {
        if key.name() != first.name() || key.algorithm() != Algorithm::Ed25519 {
            return Err(format!("key {index} has another name or algorithm than the first"));
        }
        if keys.iter().take(index).any(|earlier| earlier == key) {
            return Err(format!("key {index} stands there twice"));
        }
    }
    Ok(keys)
}

/// The files of a folder whose names are sizes, in order of size; others are mentioned.
pub(crate) fn numbered(
    paths: Vec<String>,
    prefix: &str,
    report: &mut Report,
) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    for path in paths {
        let name = path.strip_prefix(prefix).unwrap_or_default();
        match name.parse::<u64>() {
            Ok(size) if size.to_string() == name => found.push((size, path)),
            _ => report.unchecked(format!("{path}: its name is no size")),
        }
    }
    found.sort_unstable();
    found
}
