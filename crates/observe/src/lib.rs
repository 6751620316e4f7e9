//! Readers of the cluster and of its audit trail

pub mod cluster;
pub mod audit;
