//! Bundles of synthetic ledgers, made by the real writer and held against the real verifier.

mod basics;
mod claims;
mod ledger;
mod story;
mod words;
