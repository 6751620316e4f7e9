//! The tamper-evident ledger: write-ahead log, segments, Merkle trees, checkpoints, proofs, verification
