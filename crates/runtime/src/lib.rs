//! The loop: observe, judge, record

pub mod ingest;
pub mod projection;
