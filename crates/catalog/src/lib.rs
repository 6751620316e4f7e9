//! Frameworks, requirements, controls and the mappings between them; pure.
//!
//! The data stands in `catalog/` of the project and is embedded (see [`Catalog::embedded`]); another
//! directory of the same layout can take its place. Everything is checked when it is loaded, and a
//! fault names its file and line.

mod catalog;
mod check;
mod control;
mod distance;
mod embedded;
mod framework;
mod load;
mod place;
mod resolve;

pub use catalog::{Catalog, Mapping, UnknownControl, UnknownFramework};
pub use control::{Control, Planned, Scope, Severity, ShownBy};
pub use framework::{Framework, Requirement, RequirementKind};
pub use load::{CatalogError, CatalogFile, Problem};
pub use resolve::{Annotations, Claim, PolicyClaims, Resolution};
