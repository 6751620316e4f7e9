//! What the API server itself wrote, to hold the ledger against.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use proofstream_model::{Block, EventBody};
use serde_json::Value;

use crate::records::Ledger;

/// The log's files, the oldest first and the one that is written to last.
pub(crate) fn files(log: &Path) -> Result<Vec<PathBuf>> {
    let folder = log.parent().context("no folder")?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("audit-") && path.extension().is_some_and(|kind| kind == "log") {
            files.push(path);
        }
    }
    files.sort();
    files.push(log.to_owned());
    Ok(files)
}

/// Audit ids of the requests, dry runs apart, that our webhook refused, in the log's order.
pub(crate) fn refusals(log: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files(log)? {
        let text = std::fs::read_to_string(&file)?;
        for line in text.lines().filter(|line| line.contains("is refused by policy")) {
            let event: Value = serde_json::from_str(line)?;
            let dry = event["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun="));
            if event["stage"] == "ResponseComplete" && !dry {
                found.push(event["auditID"].as_str().context("no audit id")?.to_owned());
            }
        }
    }
    Ok(found)
}

/// Checks that the ledger has each refusal of the log as one block, and no other block.
pub(crate) fn check_blocks(ledger: &Ledger, log: &Path) -> Result<usize> {
    let mut expected = refusals(log)?;
    let blocks = ledger.of::<Block>()?;
    let mut found: Vec<String> =
        blocks.into_iter().map(|(_, block)| block.event.audit_id).collect();
    expected.sort();
    found.sort();
    ensure!(found == expected, "blocks {found:#?}, refusals {expected:#?}");
    Ok(found.len())
}

/// Checks that the ledger's events are the log from its first byte on, no line missing and none
/// twice; gives how many there are. What came after the last one is not in the ledger yet.
pub(crate) fn check_events(ledger: &Ledger, log: &Path) -> Result<usize> {
    let mut read: BTreeMap<String, u64> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let events = ledger.of::<EventBody>()?;
    for (record, event) in &events {
        let place = event.place.as_ref().context("an event of no place")?;
        let end = read.entry(place.file.clone()).or_insert_with(|| {
            order.push(place.file.clone());
            0
        });
        ensure!(*end == place.offset, "record {}: expected offset {end}: {place:?}", record.seq);
        *end += place.length;
    }
    let files = files(log)?;
    ensure!(order.len() <= files.len(), "{order:?} are more than {files:?}");
    for (index, (file, path)) in order.iter().zip(&files).enumerate() {
        let size = std::fs::metadata(path)?.len();
        let read = read.get(file).copied().unwrap_or_default();
        let last = index + 1 == order.len();
        ensure!(if last { read <= size } else { read == size }, "{file}: {read} of {size}");
    }
    Ok(events.len())
}
