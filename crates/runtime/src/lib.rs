//! The loop: observe, judge, record

pub mod background;
pub mod projection;
