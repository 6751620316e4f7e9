//! Calls the verifier and says what a test expects of its report.

use proofstream_ledger::checkpoint::SignedCheckpoint;
use proofstream_ledger::verify::{Options, Report, verify_bundle, verify_ledger};

use super::fixture::{Memory, log_signer};

pub(crate) fn ledger(files: &Memory, options: &Options) -> Report {
    verify_ledger(files, options).unwrap()
}

pub(crate) fn bundle(files: &Memory, options: &Options) -> Report {
    verify_bundle(files, options).unwrap()
}

/// Asserts a failure that speaks of `about`.
#[track_caller]
pub(crate) fn rejects(report: &Report, about: &str) {
    assert!(!report.holds(), "accepted, though something is wrong with {about}");
    let named = report
        .failures
        .iter()
        .any(|failure| failure.place.contains(about) || failure.message.contains(about));
    assert!(named, "no failure names {about}: {:#?}", report.failures);
}

#[track_caller]
pub(crate) fn accepts(report: &Report) {
    assert!(report.holds(), "{}", report.to_text());
}

pub(crate) fn key(position: u8) -> Options {
    Options { keys: vec![log_signer(position).verifier().clone()], ..Options::default() }
}

pub(crate) fn earlier(name: &str, bytes: &[u8]) -> Options {
    let signed = SignedCheckpoint::parse(bytes).unwrap();
    Options { checkpoints: vec![(name.to_owned(), signed)], ..Options::default() }
}
