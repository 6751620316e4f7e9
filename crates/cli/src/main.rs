//! The `proofstream` command.

fn main() {}
