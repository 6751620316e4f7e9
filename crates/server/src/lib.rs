//! Admission webhook, HTTP API and page
