//! The write side of the ledger: what it promises, under every single fault and any crash.

mod basics;
mod disk;
mod faults;
mod harness;
mod kill;
mod properties;
