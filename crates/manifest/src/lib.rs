//! Kubernetes manifests: YAML and JSON documents with their places in the file.
//!
//! YAML is read the way the API's own clients read it, through sigs.k8s.io/yaml: the words `yes`,
//! `no`, `on`, `off`, `y` and `n` are booleans, `0644` is 420, `1.0` is the integer 1, dates stay
//! text, and `<<` merges. One thing is stricter on purpose: a key that stands twice in a mapping is
//! an error here, where those clients silently keep the last.
//!
//! [`read`] splits its input at document boundaries as it arrives and holds one document at a
//! time, so memory does not grow with the number of documents. Every input is bounded, see [`Limits`].

mod document;
mod error;
mod json;
mod limits;
mod locate;
mod scalar;
mod stream;
mod yaml;

pub use document::Document;
pub use error::ManifestError;
pub use limits::Limits;
pub use locate::{Place, locate};
pub use stream::{Documents, documents, read};
