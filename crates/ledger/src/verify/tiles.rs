//! Compares the stored tiles with the hashes that the log's entries give.

use super::{Report, VerifyError};
use crate::storage::Storage;
use crate::tile::{FULL, Tile, decode_hashes, subtree};
use crate::tree::Hash;

/// Collects hashes level by level and compares each tile as soon as it is full.
pub(crate) struct TileCheck<'a> {
    storage: &'a dyn Storage,
    levels: Vec<(u64, Vec<Hash>)>,
    compared: u64,
}

impl<'a> TileCheck<'a> {
    pub(crate) fn new(storage: &'a dyn Storage) -> Self {
        Self { storage, levels: Vec::new(), compared: 0 }
    }

    /// Adds the next leaf's hash.
    pub(crate) fn append(&mut self, leaf: Hash, report: &mut Report) -> Result<(), VerifyError> {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push((0, Vec::with_capacity(256)));
            }
            let Some((index, hashes)) = self.levels.get_mut(level) else { return Ok(()) };
            hashes.push(hash);
            if hashes.len() < 256 {
                return Ok(());
            }
            let full = std::mem::take(hashes);
            let tile =
                Tile { level: u32::try_from(level).unwrap_or(7), index: *index, width: FULL };
            *index += 1;
            self.compare(tile, &full, report)?;
            hash = subtree(&full);
        }
        Ok(())
    }

    /// Compares the partial tiles of the final size.
    pub(crate) fn finish(mut self, report: &mut Report) -> Result<(), VerifyError> {
        for (level, (index, hashes)) in std::mem::take(&mut self.levels).into_iter().enumerate() {
            if hashes.is_empty() {
                continue;
            }
            let width = hashes.len() as u64;
            let tile = Tile { level: u32::try_from(level).unwrap_or(7), index, width };
            self.compare(tile, &hashes, report)?;
        }
        report.checked("tiles against the hashes of the entries", self.compared);
        Ok(())
    }

    fn compare(
        &mut self,
        tile: Tile,
        expected: &[Hash],
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let mut path = tile.path();
        let mut bytes = report.read(self.storage, &path)?;
        if bytes.is_none() && tile.width < FULL {
            // A partial tile may go once the full one exists, whose first hashes are the same.
            path = Tile { width: FULL, ..tile }.path();
            bytes = report.read(self.storage, &path)?;
        }
        let Some(bytes) = bytes else {
            report.fail(tile.path(), "missing");
            return Ok(());
        };
        self.compared += 1;
        let stored = match decode_hashes(&bytes) {
            Ok(stored) => stored,
            Err(error) => {
                report.fail(path, error);
                return Ok(());
            }
        };
        let whole = path != tile.path() || stored.len() == expected.len();
        let differs = expected
            .iter()
            .enumerate()
            .find(|(index, hash)| stored.get(*index) != Some(*hash))
            .map(|(index, _)| index);
        if let Some(index) = differs {
            report.fail(
                path,
                format!("its hash {index} is not the one that the entries below it give"),
            );
        } else if !whole {
            report.fail(path, format!("holds {} hashes, not {}", stored.len(), expected.len()));
        }
        Ok(())
    }
}
