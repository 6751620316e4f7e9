//! Types of Kubernetes objects, as an API server publishes them in its OpenAPI documents, and merging by
//! them; pure.
//!
//! [`Schemas::built_in`] knows Kubernetes' own kinds without a cluster; [`Schemas::read`] takes the
//! documents of a live one (`/openapi/v3/…`), those of custom resources included. [`apply`] merges an
//! apply configuration into an object as server-side apply does: structures and maps member by member,
//! lists by their keys where they have some.

mod apply;
mod check;
mod open_api;
mod shape;

pub use apply::{AtomicLists, apply};
pub use check::ApplyError;
pub use shape::{Described, Schemas, Shape};
