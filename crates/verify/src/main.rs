//! `proofstream-verify BUNDLE|LEDGER_DIR [--key FILE]`.

fn main() {}
