//! The loop: observe, judge, record.

pub mod admission;
pub mod background;
pub mod cleanup;
pub mod clock;
pub mod enforcers;
pub mod existing;
pub mod generation;
pub mod globals;
pub mod hands;
pub mod heartbeat;
pub mod ingest;
pub mod inventory;
pub mod metrics;
pub mod policies;
pub mod projection;
pub mod reach;
pub mod recorder;
pub mod reports;
pub mod requests;
mod waiting;
pub mod webhooks;
