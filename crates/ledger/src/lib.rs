//! The tamper-evident ledger: write-ahead log, segments, Merkle trees, checkpoints, proofs,
//! verification. Bytes only: it knows records by their envelope and nothing of what they mean.

pub mod bundle;
pub mod checkpoint;
pub mod manifest;
pub mod note;
pub mod proof;
pub mod reader;
pub mod record;
pub mod segment;
pub mod storage;
pub mod tile;
pub mod time;
pub mod tree;
pub mod verify;
mod wal;
pub mod writer;
