//! Readers of the cluster and of its audit trail.

pub mod audit;
pub mod cluster;
