//! Admission webhook, HTTP API and page.

pub mod web;
