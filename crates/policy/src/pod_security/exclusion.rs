//! What a rule or an exception lets be: a control, for some images, for some fields and values.

use serde_json::Value;

use super::checks::{CHECKS, Overlap, run};
use super::pod::Pod;
use super::violation::{Field, Violation};
use super::{Level, Version};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::spelling;
use crate::wildcard::Wildcard;

/// Controls that only containers can break.
const OF_CONTAINERS: [&str; 6] = [
    "/proc Mount Type",
    "Capabilities",
    "Host Ports",
    "Host Probes / Lifecycle Hooks",
    "Privilege Escalation",
    "Privileged Containers",
];
/// Controls that only the pod itself can break.
const OF_PODS: [&str; 4] = ["Host Namespaces", "HostPath Volumes", "Sysctls", "Volume Types"];
/// Names that controls had before.
const OLDER_NAMES: [(&str, &str); 1] = [("procMount", "/proc Mount Type")];

/// A control that some pods or containers need not hold.
#[derive(Debug)]
pub(crate) struct Exclusion {
    control: &'static str,
    images: Vec<Wildcard>,
    /// With every index as `*`, as in `spec.containers[*].securityContext.privileged`.
    field: Option<String>,
    values: Vec<Wildcard>,
}

impl Exclusion {
    /// Reads a list of exclusions.
    pub(crate) fn parse_list(fields: &Fields<'_>, name: &str) -> Result<Vec<Self>, ParseError> {
        fields.list(name)?.into_iter().map(|(path, item)| Self::parse(item, &path)).collect()
    }

    fn parse(value: &Value, path: &str) -> Result<Self, ParseError> {
        let fields =
            Fields::new(value, path, &["controlName", "images", "restrictedField", "values"])?;
        let written = fields.required_text("controlName")?;
        let older = OLDER_NAMES.iter().find(|(older, _)| *older == written);
        let name = older.map_or(written, |(_, newer)| *newer);
        let known = CHECKS.iter().map(|check| check.control);
        let control = known.clone().find(|control| *control == name).ok_or_else(|| {
            let hint = spelling::hint(name, known);
            fields.error("controlName", format!("unknown control `{name}`{hint}"))
        })?;
        let globs = |texts: Vec<&str>| texts.into_iter().map(Wildcard::new).collect::<Vec<_>>();
        let images = globs(fields.texts("images")?);
        let values = globs(fields.texts("values")?);
        let field = fields.text("restrictedField")?.filter(|text| !text.is_empty());
        if images.is_empty() && OF_CONTAINERS.contains(&control) {
            let message = format!("`{control}` is about containers: say for which `images`");
            return Err(fields.error("images", message));
        }
        if !images.is_empty() && OF_PODS.contains(&control) {
            let message = format!("`{control}` is about pods, which have no images");
            return Err(fields.error("images", message));
        }
        match (field, values.is_empty()) {
            (Some(_), true) => Err(fields.error("values", "is required with `restrictedField`")),
            (None, false) => Err(fields.error("restrictedField", "is required with `values`")),
            _ => Ok(Self { control, images, field: field.map(str::to_owned), values }),
        }
    }

    /// Takes from a pod's violations what is excluded.
    ///
    /// As in the field, what is excluded is found by judging again: without images the pod by itself,
    /// with a container that says nothing; with images the containers of those images by themselves.
    /// Each field that breaks the control there, and is named, is taken away once.
    fn apply(&self, level: Level, version: Version, pod: &Pod<'_>, broken: &mut Vec<Violation>) {
        let excused = if self.images.is_empty() {
            pod.without_containers()
        } else {
            pod.containers_alone(|container| {
                let image = container.image.unwrap_or_default();
                self.images.iter().any(|glob| glob.matches(image))
            })
        };
        let by_container = !self.images.is_empty();
        for found in run(level, version, &excused, Overlap::Kept) {
            if found.control != self.control {
                continue;
            }
            let Some(there) = broken.iter_mut().find(|each| each.check == found.check) else {
                continue;
            };
            let before = there.fields.len();
            for field in found.fields.iter().filter(|field| self.names(field)) {
                let same = |other: &Field| {
                    other.pattern() == field.pattern()
                        && (!by_container || other.container == field.container)
                };
                if let Some(place) = there.fields.iter().position(same) {
                    there.fields.remove(place);
                }
            }
            if there.fields.len() < before {
                // The sentence named what is excused now, so the fields that are left speak.
                let left: Vec<&str> = there.fields.iter().map(|field| &*field.path).collect();
                there.detail = left.join(", ");
            }
        }
        broken.retain(|violation| !violation.fields.is_empty());
    }

    fn names(&self, field: &Field) -> bool {
        let Some(named) = &self.field else { return true };
        let pattern = field.pattern();
        // An annotation's path goes on with its key.
        let fits = pattern == *named
            || pattern
                .strip_prefix(named.as_str())
                .is_some_and(|rest| named == "metadata.annotations" && rest.starts_with('['));
        fits && field
            .values
            .iter()
            .all(|value| value.is_empty() || self.values.iter().any(|glob| glob.matches(value)))
    }
}

/// What a pod breaks in the sense of a policy's rule: every check speaks for itself.
pub(crate) fn violations(level: Level, version: Version, pod: &Pod<'_>) -> Vec<Violation> {
    run(level, version, pod, Overlap::Kept)
}

/// Takes from violations what is excluded.
pub(crate) fn exclude(
    exclusions: &[Exclusion],
    level: Level,
    version: Version,
    pod: &Pod<'_>,
    broken: &mut Vec<Violation>,
) {
    for exclusion in exclusions {
        if broken.is_empty() {
            return;
        }
        exclusion.apply(level, version, pod, broken);
    }
}
