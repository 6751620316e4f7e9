//! The rotated files beside an audit log, oldest first.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::id::Head;

/// More files than this beside a log are not looked at: something else is wrong there.
const MOST: usize = 4096;

/// A file that rotation left.
#[derive(Debug, Clone)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    /// The name without `.gz`, which stays when the file is compressed.
    pub(super) name: String,
    pub(super) compressed: bool,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// None for empty files, and for compressed ones that cannot be read.
    pub(super) head: Option<Head>,
    /// When the file was rotated or last written, in microseconds since 1970.
    pub(super) until: i64,
}

/// The files that rotation of `live` left in its folder, oldest first.
pub(super) fn rotated(live: &Path) -> io::Result<Vec<Rotated>> {
    let folder = live.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        if is_rotated(live, &path)
            && let Some(file) = look(path)?
        {
            files.push(file);
            if files.len() > MOST {
                return Err(io::Error::other(format!("more than {MOST} rotated files")));
            }
        }
    }
    let plain: std::collections::HashSet<String> =
        files.iter().filter(|file| !file.compressed).map(|file| file.name.clone()).collect();
    // While a file is being compressed both are there.
    files.retain(|file| !file.compressed || !plain.contains(&file.name));
    files.sort_by(|left, right| {
        left.until.cmp(&right.until).then_with(|| left.name.cmp(&right.name))
    });
    Ok(files)
}

/// None where the file went in the meantime.
fn look(path: PathBuf) -> io::Result<Option<Rotated>> {
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let text = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let text = text.unwrap_or_default();
    let plain = text.strip_suffix(".gz");
    let compressed = plain.is_some();
    let head = if compressed { Head::unpacked(&file) } else { Head::read(&file)? };
    let written = metadata.mtime().saturating_mul(1_000_000) + metadata.mtime_nsec() / 1000;
    let name = plain.unwrap_or(&text).to_owned();
    let until = stamp(&name).map_or(written, |stamped| {
        // The name has milliseconds; the last write, if it is in the same one, is more exact.
        if stamped.abs_diff(written) < 1000 { written } else { stamped }
    });
    let (device, inode) = (metadata.dev(), metadata.ino());
    Ok(Some(Rotated { path, name, compressed, device, inode, head, until }))
}

/// `audit-TIME.log` as the API server names it, `audit.log.1` and `audit.log-20261124` as others
/// do, each perhaps with `.gz`; not `audit-webhook.log`.
fn is_rotated(live: &Path, path: &Path) -> bool {
    let text =
        |part: Option<&std::ffi::OsStr>| part.map(|text| text.to_string_lossy().into_owned());
    let (Some(live_name), Some(name)) = (text(live.file_name()), text(path.file_name())) else {
        return false;
    };
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let numbered = |rest: &str| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    if let Some(rest) = name.strip_prefix(live_name.as_str()) {
        return rest.strip_prefix(['.', '-']).is_some_and(numbered);
    }
    let stem = text(live.file_stem()).unwrap_or_default();
    let extension = text(live.extension()).map(|word| format!(".{word}")).unwrap_or_default();
    name.strip_prefix(stem.as_str())
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(extension.as_str()))
        .is_some_and(|time| parse_stamp(time).is_some())
}

/// The time in a name that the API server gave, in microseconds since 1970.
fn stamp(name: &str) -> Option<i64> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    // `YYYY-MM-DDTHH-MM-SS.mmm` is 23 bytes.
    let start = stem.len().checked_sub(23)?;
    parse_stamp(stem.get(start..)?)
}

/// `2026-11-24T12-00-00.000`, UTC.
fn parse_stamp(text: &str) -> Option<i64> {
    if text.len() != 23 {
        return None;
    }
    let (date, clock) = text.split_once('T')?;
    let time = format!("{date}T{}Z", clock.replace('-', ":"));
    time.parse::<proofstream_model::Timestamp>().ok().map(proofstream_model::Timestamp::micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_are_told_from_other_logs() {
        let live = Path::new("/var/log/audit.log");
        for name in [
            "audit-2026-11-24T12-00-00.000.log",
            "audit-2026-11-24T12-00-00.000.log.gz",
            "audit.log.1",
            "audit.log-20261124",
            "audit.log.2.gz",
        ] {
            assert!(is_rotated(live, &Path::new("/var/log").join(name)), "{name}");
        }
        for name in ["audit.log", "audit-webhook.log", "audit-2.log", "audit.log.bak", "audit.logs"]
        {
            assert!(!is_rotated(live, &Path::new("/var/log").join(name)), "{name}");
        }
    }

    #[test]
    fn order_is_by_time_of_rotation() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["audit-2026-11-24T12-00-00.002.log", "audit-2026-11-24T12-00-00.001.log"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::write(folder.path().join("audit.log.1"), "newest by its last write").unwrap();
        let found = rotated(&folder.path().join("audit.log")).unwrap();
        let names: Vec<_> = found.iter().map(|file| file.name.as_str()).collect();
        // Whichever way the machine's clock stands to the names, the two stamped ones keep order.
        let stamped: Vec<_> = names.iter().filter(|name| name.contains('T')).collect();
        assert_eq!(
            stamped,
            [&"audit-2026-11-24T12-00-00.001.log", &"audit-2026-11-24T12-00-00.002.log"]
        );
        assert_eq!(names.len(), 3);
    }
}
