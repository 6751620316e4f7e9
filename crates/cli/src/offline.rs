//! Policies judged without a cluster: what `proofstream policy` does, without arguments and output.

pub mod context;
pub mod coverage;
pub mod expectation;
pub mod files;
pub mod judge;
pub mod lint;
pub mod pod_security;
pub mod policies;
pub mod replay;
pub mod report;
pub mod scope;
pub mod stubs;
mod suite;
pub mod test_file;
pub mod values;
