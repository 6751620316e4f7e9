//! Admission policies: parse, compile once, evaluate; pure.
//!
//! The way through the crate: [`parse`] turns a document into a [`Policy`] (or a [`ParseError`] that
//! names the field), [`PolicySet::compile`] makes a set that is cheap to evaluate, and
//! [`PolicySet::evaluate`] judges one [`Request`] in an [`Environment`]; [`PolicySet::generate`] says
//! what is to be made of it, and [`CleanupPolicy`] what is to be deleted. Nothing here reads a clock, a
//! file or a network: what a policy must look up comes back as [`Evaluation::Needs`].

mod cleanup;
mod condition;
mod context;
mod defaulting;
mod duration;
mod environment;
mod error;
mod evaluate;
mod exception;
mod fields;
mod generation;
mod image;
mod jmespath;
mod kinds;
mod ownership;
mod pattern;
mod policy;
mod quantity;
mod references;
mod request;
mod response;
mod scope;
mod selection;
mod set;
mod spelling;
mod template;
mod wildcard;

pub use cleanup::{Choice, CleanupPolicy, Propagation, Schedule, TTL_LABEL, expires_at};
pub use defaulting::default_object;
pub use environment::{Answer, Environment, Lookup, Trigger};
pub use error::ParseError;
pub use exception::PolicyException;
pub use generation::{Generated, Generation, GenerationRule};
pub use policy::{MatchCondition, Policy, is_policy, parse};
pub use request::{GroupVersionKind, GroupVersionResource, Operation, Request, UserInfo};
pub use response::{Evaluation, FailurePolicy, Mode, ResourceName, RuleKind, RuleResponse, Status};
pub use set::{Duplicate, KnownKinds, MatchesNothing, PolicySet, ScopeRule, WebhookScope};
