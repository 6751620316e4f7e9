//! Admission policies: parse, compile once, evaluate; pure.
//!
//! The way through the crate: [`parse`] turns a document into a [`Policy`] (or a [`ParseError`] that
//! names the field), [`PolicySet::compile`] makes a set that is cheap to evaluate, and
//! [`PolicySet::evaluate`] judges one [`Request`] in an [`Environment`]. Nothing here reads a clock, a
//! file or a network: what a policy must look up comes back as [`Evaluation::Needs`].

mod environment;
mod error;
mod request;
mod response;

pub use environment::{Answer, Environment, Lookup, Trigger};
pub use error::ParseError;
pub use request::{GroupVersionKind, GroupVersionResource, Operation, Request, UserInfo};
pub use response::{Evaluation, FailurePolicy, Mode, ResourceName, RuleKind, RuleResponse, Status};
