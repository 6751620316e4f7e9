//! Reading of DeletingPolicy and NamespacedDeletingPolicy documents (`policies.kyverno.io`): a cleanup
//! whose conditions are CEL.

use proofstream_cel::Program;
use serde_json::Value;

use super::cel_kinds::{self, Head, Resources};
use super::expressions::{
    OnFault, Precondition, Shared, declarations_of_policies, preconditions, variables,
};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::response::Status;

const CLUSTER_WIDE: &str = "DeletingPolicy";
const NAMESPACED: &str = "NamespacedDeletingPolicy";

/// A policy that deletes what its expressions hold for.
pub(crate) struct Deleting<'v> {
    pub(crate) name: &'v str,
    pub(crate) namespace: Option<String>,
    pub(crate) spec: Fields<'v>,
    pub(crate) about: Resources,
    pub(crate) demand: Demand,
}

/// What holds for an object that goes.
#[derive(Debug)]
pub(crate) struct Demand {
    /// Values of `variables.…`; each may use those before it.
    variables: Vec<Program>,
    pub(crate) conditions: Vec<Precondition>,
}

impl Demand {
    pub(crate) fn shared(&self) -> Shared<'_> {
        // INVARIANT: what cannot be judged is kept.
        let on_fault =
            OnFault { demand: Status::Error, precondition: Status::Error, goes_on: false };
        Shared { variables: &self.variables, on_fault, template: None }
    }
}

/// Whether a document is of one of these kinds.
pub(crate) fn is_policy(document: &Value) -> bool {
    cel_kinds::is_of(document, &[CLUSTER_WIDE, NAMESPACED])
}

/// Reads one; its schedule and what becomes of owned objects are read as those of any cleanup policy.
pub(crate) fn read(document: &Value) -> Result<Deleting<'_>, ParseError> {
    let head = Head::read(document, NAMESPACED)?;
    let known =
        ["schedule", "matchConstraints", "conditions", "variables", "deletionPropagationPolicy"];
    // What is not known might have spared something.
    let spec = Fields::new(head.spec, "spec", &known)?;
    let mut declared = declarations_of_policies(head.namespace.is_some());
    let variables = variables(&spec, &mut declared)?;
    let conditions = preconditions(&spec, "conditions", &declared)?;
    let mut about = cel_kinds::constraints(&spec)?;
    // Nothing is asked of an API server: what is there is looked at, whatever the rules say of operations.
    for filter in about.matched.iter_mut().chain(&mut about.excluded) {
        filter.operations.clear();
    }
    let namespace = head.namespace.as_deref().map(str::to_owned);
    Ok(Deleting {
        name: head.name,
        namespace,
        spec,
        about,
        demand: Demand { variables, conditions },
    })
}
