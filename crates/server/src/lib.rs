//! Admission webhook, HTTP API and page, and the composition of all parts (`up`).

pub mod admission;
mod answer;
pub mod audit_webhook;
pub mod certificates;
pub mod emergency;
pub mod listener;
mod private_file;
pub mod routes;
pub mod up;
pub mod web;
