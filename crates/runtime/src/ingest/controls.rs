//! What the policies named in the API server's answers stand for.

use std::collections::BTreeMap;
use std::sync::Arc;

use proofstream_model::{ControlRef, Enforcer};

use super::PolicyControls;
use crate::policies::{ControlResolver, PolicyStore};

/// Asks the policies in force first, whose annotations are known, then the catalog by name; what the
/// catalog says of the enforcer as such (Pod Security's levels have no annotations) comes on top.
pub struct StoreControls {
    store: Arc<PolicyStore>,
    catalog: Arc<dyn ControlResolver>,
}

// === impl StoreControls ===

impl StoreControls {
    /// Over the policies of `store` and the names in `catalog`.
    pub fn new(store: Arc<PolicyStore>, catalog: Arc<dyn ControlResolver>) -> Self {
        Self { store, catalog }
    }

    fn in_force(&self, policy: &str) -> Option<ControlRef> {
        let policies = self.store.current();
        let info = policies.all.infos.iter().find(|info| info.name == policy)?;
        Some(info.controls.clone())
    }
}

impl PolicyControls for StoreControls {
    fn controls(&self, enforcer: Enforcer, policy: &str) -> ControlRef {
        // Kyverno's policies are read by us, too, whoever enforces them.
        let in_force = matches!(enforcer, Enforcer::Proofstream | Enforcer::Kyverno)
            .then(|| self.in_force(policy))
            .flatten();
        let mut all = in_force.unwrap_or_else(|| self.catalog.controls(policy, &BTreeMap::new()));
        let of_enforcer = self.catalog.of_enforcer(enforcer);
        all.controls.extend(of_enforcer.controls);
        all.controls.sort();
        all.controls.dedup();
        all.requirements.extend(of_enforcer.requirements);
        all.requirements.sort();
        all.requirements.dedup();
        all
    }
}
