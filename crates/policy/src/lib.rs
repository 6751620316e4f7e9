//! Admission policies: parse, compile once, evaluate; pure.
//!
//! The way through the crate: [`parse`] turns a document into a [`Policy`] (or a [`ParseError`] that
//! names the field), [`PolicySet::compile`] makes a set that is cheap to evaluate, and
//! [`PolicySet::evaluate`] judges one [`Request`] in an [`Environment`], after [`PolicySet::mutate`] has
//! changed its object; [`PolicySet::generate`] says what is to be made of it, and [`CleanupPolicy`] what
//! is to be deleted. Nothing here reads a clock, a file or a network: what a policy must look up comes
//! back as [`Evaluation::Needs`].

mod api_path;
mod assertion;
mod cleanup;
mod condition;
mod context;
mod defaulting;
mod deprecated;
mod duration;
mod environment;
mod error;
mod evaluate;
mod exception;
mod fields;
mod generation;
mod global;
mod image;
mod inventory;
mod jmespath;
mod kinds;
mod mutation;
mod ownership;
mod patch;
mod pattern;
pub mod pod_security;
mod policy;
mod references;
mod request;
mod response;
mod review;
mod scope;
mod selection;
mod set;
mod spelling;
mod template;
mod trace;
mod wildcard;

pub use cleanup::{Choice, CleanupPolicy, Propagation, Schedule, TTL_LABEL, expires_at};
pub use defaulting::default_object;
pub use deprecated::{Deprecation, deprecations};
pub use environment::{Answer, Environment, Lookup, Trigger};
pub use error::ParseError;
pub use exception::PolicyException;
pub use generation::{Generated, Generation, GenerationRule};
pub use global::{GlobalEntry, GlobalSource};
pub use inventory::Inventory;
pub use jmespath::query;
pub use mutation::{Mutation, TargetMutation};
pub use policy::{
    ConstraintTemplate, MatchCondition, Policy, PolicyBinding, TypeWarning, derived_rules,
    is_admission_policy, is_constraint, is_policy, is_template, parse, parse_admission_policy,
    type_warnings, unknown_settings,
};
pub use request::{GroupVersionKind, GroupVersionResource, Operation, Request, UserInfo};
pub use response::{Evaluation, FailurePolicy, Mode, ResourceName, RuleKind, RuleResponse, Status};
pub use review::{Review, ReviewError};
pub use set::{
    Duplicate, ExistingRule, Explanation, KnownKinds, MatchesNothing, Phase, PolicySet, ScopeRule,
    WebhookScope,
};
pub use trace::{Step, StepOutcome};
