//! Admission webhook, HTTP API and page.

pub mod admission;
pub mod certificates;
pub mod listener;
mod private_file;
pub mod web;
