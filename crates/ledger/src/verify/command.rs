//! The command line of `proofstream-verify`: arguments in, report out, exit code back.
//!
//! Exit codes: 0 it holds, 2 bad usage or input, 3 it could not be read, 4 tampering or
//! inconsistency.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Folder, Options, Report, VerifyError, verify_bundle, verify_ledger};
use crate::checkpoint::SignedCheckpoint;
use crate::note::VerifierKey;
use crate::storage::Storage as _;

/// What `--help` prints.
pub const HELP: &str = "\
Verifies a Proofstream ledger or bundle from its files alone: no server, no network.

Usage: proofstream-verify BUNDLE|LEDGER_DIR [--key FILE]… [--witness FILE]… [--output table|json]

  --key FILE       the log's key (log.pub's line), got from elsewhere than these files
  --witness FILE   a witness's key, or a checkpoint of this log that was kept from earlier
  --output FORMAT  table (default) or json
  --version        print the version

Exit codes: 0 it holds · 2 bad usage or input · 3 could not be read · 4 tampering or inconsistency
";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was checked holds.
    Holds,
    /// The arguments, or a file they name, are not what they should be.
    BadUsage,
    /// The files could not be read.
    Unreadable,
    /// Something does not hold.
    Tampered,
}

impl Outcome {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Holds => 0,
            Self::BadUsage => 2,
            Self::Unreadable => 3,
            Self::Tampered => 4,
        }
    }
}

/// Arguments that make no sense, or a file they name that is no key and no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// No folder, or more than one.
    #[error("expected one BUNDLE or LEDGER_DIR; see --help")]
    Target,
    /// An option that is not known, or has no value.
    #[error("`{0}` is not an option here, or lacks its value; see --help")]
    Option(String),
    /// A key or checkpoint file that cannot be read or is none.
    #[error("`{path}`: {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Default)]
struct Arguments {
    target: Option<PathBuf>,
    options: Options,
    json: bool,
    print: Option<String>,
}

/// Runs the command on `arguments` (without the program's name); data to `stdout`, errors to
/// `stderr`.
///
/// # Errors
/// When one of the two streams cannot be written.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<Outcome> {
    let arguments = match parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            writeln!(stderr, "proofstream-verify: {error}")?;
            return Ok(Outcome::BadUsage);
        }
    };
    if let Some(text) = arguments.print {
        write!(stdout, "{text}")?;
        return Ok(Outcome::Holds);
    }
    let Some(target) = arguments.target else { return Ok(Outcome::BadUsage) };
    match verify_folder(&target, &arguments.options) {
        Ok(report) => {
            print(&report, arguments.json, stdout)?;
            Ok(if report.holds() { Outcome::Holds } else { Outcome::Tampered })
        }
        Err(error) => {
            writeln!(stderr, "proofstream-verify: {error}")?;
            Ok(Outcome::Unreadable)
        }
    }
}

/// Verifies a folder, whichever of the two it is.
///
/// # Errors
/// When it cannot be read, or is neither.
pub fn verify_folder(target: &Path, options: &Options) -> Result<Report, VerifyError> {
    let name = target.display().to_string();
    let unreadable = |path: String| move |source| VerifyError::Unreadable { path, source };
    let folder = Folder::open(target).map_err(unreadable(name.clone()))?;
    let has = |path: &str| match folder.read(path) {
        // What may not be followed is there all the same, and is judged by the verification.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(true),
        other => other.map(|bytes| bytes.is_some()).map_err(unreadable(path.to_owned())),
    };
    if has("manifest.json")? || has("manifest.dsse.json")? || has("manifests.jsonl")? {
        verify_bundle(&folder, options)
    } else if has("log.pub")? || has("checkpoint")? {
        verify_ledger(&folder, options)
    } else {
        Err(VerifyError::Neither(name))
    }
}

fn print(report: &Report, json: bool, stdout: &mut dyn Write) -> io::Result<()> {
    if !json {
        return stdout.write_all(report.to_text().as_bytes());
    }
    let mut value = serde_json::to_value(report).map_err(io::Error::other)?;
    if let Some(members) = value.as_object_mut() {
        members.insert("verdict".to_owned(), report.verdict().into());
    }
    writeln!(stdout, "{value:#}")
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, UsageError> {
    let mut parsed = Arguments::default();
    let mut arguments = arguments.into_iter();
    let mut only_targets = false;
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        if only_targets || !text.starts_with('-') {
            if parsed.target.replace(PathBuf::from(argument)).is_some() {
                return Err(UsageError::Target);
            }
            continue;
        }
        if text == "--" {
            only_targets = true;
            continue;
        }
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text.as_str(), None),
        };
        match name {
            "--help" | "-h" => parsed.print = Some(HELP.to_owned()),
            "--version" | "-V" => {
                parsed.print = Some(format!("proofstream-verify {}\n", env!("CARGO_PKG_VERSION")));
            }
            "--key" | "--witness" | "--output" => {
                let value = inline
                    .or_else(|| arguments.next())
                    .ok_or_else(|| UsageError::Option(text.clone()))?;
                option(&mut parsed, name, &value)?;
            }
            _ => return Err(UsageError::Option(text)),
        }
    }
    if parsed.target.is_none() && parsed.print.is_none() {
        return Err(UsageError::Target);
    }
    Ok(parsed)
}

fn option(parsed: &mut Arguments, name: &str, value: &OsString) -> Result<(), UsageError> {
    if name == "--output" {
        parsed.json = match value.to_str() {
            Some("json") => true,
            Some("table") => false,
            _ => return Err(UsageError::Option(format!("--output {}", value.to_string_lossy()))),
        };
        return Ok(());
    }
    let path = value.to_string_lossy().into_owned();
    let wrong = |reason: String| UsageError::File { path: path.clone(), reason };
    let bytes = fs::read(value).map_err(|error| wrong(error.to_string()))?;
    if name == "--witness" && bytes.windows(2).any(|pair| pair == b"\n\n") {
        let signed = SignedCheckpoint::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
        parsed.options.checkpoints.push((path, signed));
        return Ok(());
    }
    let keys = std::str::from_utf8(&bytes).map_err(|_| wrong("not UTF-8".to_owned())).and_then(
        |text| VerifierKey::parse_lines(text).map_err(|error| wrong(error.to_string())),
    )?;
    if keys.is_empty() {
        return Err(wrong("holds no key".to_owned()));
    }
    if name == "--key" {
        parsed.options.keys.extend(keys);
    } else {
        parsed.options.witnesses.extend(keys);
    }
    Ok(())
}
