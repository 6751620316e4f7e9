//! Files of one JSON value a line, read line by line.

use std::io::{self, BufRead as _, BufReader, Read as _};

use super::{Report, VerifyError};
use crate::storage::Storage;

/// The longest line of such a file: a manifest of 64 KiB with its proof is far below.
const MAX_LINE: u64 = 1024 * 1024;

/// Hands each line (without its `\n`) with its number from 1 to `visit`. Returns how many there
/// were, or `None` where the file is not there. A line that is too long, or a last one without its
/// newline, is a failure and ends the reading.
pub(crate) fn for_each_line(
    storage: &dyn Storage,
    path: &str,
    report: &mut Report,
    mut visit: impl FnMut(&mut Report, u64, &[u8]) -> Result<(), VerifyError>,
) -> Result<Option<u64>, VerifyError> {
    let Some(file) = report.open(storage, path)? else { return Ok(None) };
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let unreadable = |source: io::Error| VerifyError::Unreadable { path: path.to_owned(), source };
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let length =
            reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
        if length == 0 {
            return Ok(Some(number));
        }
        number += 1;
        if line.pop() != Some(b'\n') {
            report.fail(path, format!("line {number} is longer than 1 MiB or has no newline"));
            return Ok(Some(number));
        }
        visit(report, number, &line)?;
    }
}
