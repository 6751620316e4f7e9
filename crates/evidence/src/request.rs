//! What is asked of an export, checked against the catalog.

use proofstream_catalog::{Catalog, Framework};
use proofstream_model::{ControlId, Timestamp};

use crate::ExportError;

/// Rows of a sample for each population, at most.
const MAX_SAMPLE: u32 = 1_000;

/// A sample that anyone can draw again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Rows of each population.
    pub size: u32,
    /// What the draw depends on, beside the records' numbers.
    pub seed: String,
}

/// What an export is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// The framework, such as `soc2-2017`.
    pub framework: String,
    /// Controls to narrow to; empty for all of the framework.
    pub controls: Vec<String>,
    /// From when (inclusive), by the time of recording.
    pub from: Timestamp,
    /// Until when (exclusive).
    pub to: Timestamp,
    /// Who asked.
    pub requested_by: String,
    /// When the bundle is made.
    pub extracted: Timestamp,
    /// A sample to draw from the populations.
    pub sample: Option<Sample>,
}

/// A request whose names the catalog knows.
pub(crate) struct Question<'a> {
    pub(crate) request: &'a ExportRequest,
    pub(crate) catalog: &'a Catalog,
    pub(crate) framework: &'a Framework,
    /// Sorted; empty for all.
    pub(crate) controls: Vec<ControlId>,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        request: &'a ExportRequest,
        catalog: &'a Catalog,
    ) -> Result<Self, ExportError> {
        let framework = catalog.framework(&request.framework)?;
        if request.from >= request.to {
            return Err(ExportError::Period { from: request.from, to: request.to });
        }
        if let Some(sample) = &request.sample
            && !(1..=MAX_SAMPLE).contains(&sample.size)
        {
            return Err(ExportError::SampleSize(sample.size));
        }
        let mut controls = Vec::new();
        for name in &request.controls {
            let control = catalog.control(name)?;
            let of_framework = catalog
                .requirements_of(&control.id)
                .any(|mapping| mapping.requirement.framework() == framework.id());
            if !of_framework {
                return Err(ExportError::Unmapped {
                    control: name.clone(),
                    framework: framework.id().to_owned(),
                });
            }
            controls.push(control.id.clone());
        }
        controls.sort();
        controls.dedup();
        Ok(Self { request, catalog, framework, controls })
    }

    /// Whether the bundle holds less than every record of a kind.
    pub(crate) fn is_selection(&self) -> bool {
        !self.controls.is_empty()
    }

    /// Whether the framework's statement is about this control.
    pub(crate) fn asks_for(&self, control: &ControlId) -> bool {
        let of_framework = || {
            self.catalog
                .requirements_of(control)
                .any(|mapping| mapping.requirement.framework() == self.framework.id())
        };
        if self.controls.is_empty() { of_framework() } else { self.controls.contains(control) }
    }

    /// Until when something can be said: the period's end, or now where that comes first.
    pub(crate) fn until(&self) -> Timestamp {
        self.request.to.min(self.request.extracted)
    }

    /// Whether a time lies in the period.
    pub(crate) fn covers(&self, time: Timestamp) -> bool {
        self.request.from <= time && time < self.request.to
    }
}
