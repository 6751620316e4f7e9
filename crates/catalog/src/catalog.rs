//! The loaded catalog and its look-ups.

use std::collections::BTreeMap;

use proofstream_model::{ControlId, ControlRef, RequirementId};

use crate::distance::nearest;
use crate::framework::is_below;
use crate::{CatalogError, CatalogFile, Control, Framework, Requirement, embedded, load};

/// What of a requirement one control carries.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mapping {
    /// The requirement.
    pub requirement: RequirementId,
    /// The control.
    pub control: ControlId,
    /// The part that the control carries, a few words.
    pub part: String,
}

/// A spelling that stands for a requirement under another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) written: String,
    pub(crate) requirement: RequirementId,
    pub(crate) note: String,
}

/// Frameworks, controls and mappings, checked against each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    pub(crate) frameworks: Vec<Framework>,
    pub(crate) controls: BTreeMap<ControlId, Control>,
    /// In the order of frameworks, requirements and controls.
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) aliases: Vec<Alias>,
}

/// A framework that the catalog does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown framework `{written}`{}; known: {}", offer(suggestion.as_deref()), known.join(", "))]
pub struct UnknownFramework {
    written: String,
    suggestion: Option<String>,
    known: Vec<String>,
}

/// A control that the catalog does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown control `{written}`{}; known: {}", offer(suggestion.as_deref()), known.join(", "))]
pub struct UnknownControl {
    written: String,
    suggestion: Option<String>,
    known: Vec<String>,
}

fn offer(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |word| format!(" (did you mean `{word}`?)"))
}

// === impl Catalog ===

impl Catalog {
    /// Loads and checks the files of a catalog directory: `aliases.yaml`, `controls/ID.yaml`,
    /// `frameworks/ID.yaml`, `mappings/ID.yaml`. Every fault found is in the error.
    pub fn load(files: impl IntoIterator<Item = CatalogFile>) -> Result<Self, CatalogError> {
        load::load(files)
    }

    /// The catalog that the program carries.
    pub fn embedded() -> Result<Self, CatalogError> {
        load::load(embedded::files())
    }

    /// Every framework, sorted by id.
    pub fn frameworks(&self) -> &[Framework] {
        &self.frameworks
    }

    /// The framework called `id`.
    pub fn framework(&self, id: &str) -> Result<&Framework, UnknownFramework> {
        self.frameworks.iter().find(|framework| framework.id == id).ok_or_else(|| {
            let known = || self.frameworks.iter().map(|framework| framework.id.as_str());
            UnknownFramework {
                written: id.to_owned(),
                suggestion: nearest(id, known()).map(str::to_owned),
                known: known().map(str::to_owned).collect(),
            }
        })
    }

    /// Every control, sorted by id.
    pub fn controls(&self) -> impl Iterator<Item = &Control> {
        self.controls.values()
    }

    /// The control called `id`.
    pub fn control(&self, id: &str) -> Result<&Control, UnknownControl> {
        let found = id.parse::<ControlId>().ok().and_then(|id| self.controls.get(&id));
        found.ok_or_else(|| {
            let known = || self.controls.keys().map(ControlId::as_str);
            UnknownControl {
                written: id.to_owned(),
                suggestion: nearest(id, known()).map(str::to_owned),
                known: known().map(str::to_owned).collect(),
            }
        })
    }

    /// The entry of a requirement.
    pub fn requirement(&self, id: &RequirementId) -> Option<&Requirement> {
        let framework = self.framework(id.framework()).ok()?;
        framework.requirements.iter().find(|entry| entry.id == *id)
    }

    /// Mappings of one requirement, sorted by control.
    pub fn mappings_of<'a>(&'a self, id: &'a RequirementId) -> impl Iterator<Item = &'a Mapping> {
        self.mappings.iter().filter(move |mapping| mapping.requirement == *id)
    }

    /// Mappings of one control, in the order of frameworks and requirements.
    pub fn requirements_of<'a>(
        &'a self,
        control: &'a ControlId,
    ) -> impl Iterator<Item = &'a Mapping> {
        self.mappings.iter().filter(move |mapping| mapping.control == *control)
    }

    /// Requirements of a framework to which something is mapped, in the framework's order.
    pub fn mapped_requirements(&self, framework: &str) -> Vec<&Requirement> {
        let mapped = |id: &RequirementId| self.mappings_of(id).next().is_some();
        self.framework(framework).map_or_else(
            |_| Vec::new(),
            |framework| framework.requirements.iter().filter(|entry| mapped(&entry.id)).collect(),
        )
    }

    /// Controls that an admission policy of this name stands for.
    pub fn controls_naming<'a>(&'a self, policy: &'a str) -> impl Iterator<Item = &'a Control> {
        self.controls().filter(move |control| control.policies.iter().any(|name| name == policy))
    }

    /// What refusals of another enforcer (`pod-security`, …) are evidence for.
    pub fn controls_for_enforcer(&self, enforcer: &str) -> ControlRef {
        let named = |control: &&Control| control.enforcers.iter().any(|name| name == enforcer);
        self.control_ref(self.controls().filter(named).map(|control| control.id.clone()).collect())
    }

    /// The controls with every requirement that they map to.
    pub(crate) fn control_ref(&self, mut controls: Vec<ControlId>) -> ControlRef {
        controls.sort();
        controls.dedup();
        let mut requirements: Vec<RequirementId> = controls
            .iter()
            .flat_map(|control| self.requirements_of(control))
            .map(|mapping| mapping.requirement.clone())
            .collect();
        requirements.sort();
        requirements.dedup();
        ControlRef { controls, requirements }
    }

    /// Mapped ids that stand below a group, in the framework's order.
    pub(crate) fn mapped_below(&self, group: &RequirementId) -> Vec<&RequirementId> {
        let mut ids: Vec<&RequirementId> = self
            .mappings
            .iter()
            .map(|mapping| &mapping.requirement)
            .filter(|id| id.framework() == group.framework() && is_below(id.id(), group.id()))
            .collect();
        ids.dedup();
        ids
    }
}
