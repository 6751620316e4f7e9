//! Audit policies of the API server (`audit.k8s.io/v1`): at which level a request is logged and by which
//! rule, and what a policy misses that an auditor will ask for.
//!
//! The first rule that matches decides, and what no rule matches is not logged. [`AuditPolicy::judge`] says so
//! for one request, as the API server does; [`lint`] asks the policy about the requests that matter, instead of
//! reading its text, and gives a correction with each finding. Pure: no file, no clock.
//!
//! Specification: <https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/> and
//! <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>.

mod address;
mod ask;
mod flags;
mod lint;

mod parse;
mod policy;
mod request;
mod resources;

pub use ask::{Ask, AskError};
pub use flags::{Flags, FlagsError};
pub use lint::{CHECKS, Check, Finding, Fix, Report, Severity, corrected, lint, recommended};

pub use parse::{PolicyError, Problem, check_text};
pub use policy::{AuditPolicy, GroupResources, Judgement, Level, Rule, Stage};
pub use request::{Request, ResourceTarget, Target, User};
pub use resources::{KnownResource, Scope, known_resources};
