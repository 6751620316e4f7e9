//! The loop: observe, judge, record

pub mod projection;
