//! The loop: observe, judge, record
