//! The loop: observe, judge, record.

pub mod background;
pub mod admission;
pub mod clock;
pub mod enforcers;
pub mod policies;
pub mod projection;
pub mod recorder;
pub mod webhooks;
