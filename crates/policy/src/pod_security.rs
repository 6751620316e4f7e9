//! The Pod Security Standards: every check of `baseline` and `restricted`, in each version.
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>
//!
//! The way through: [`pod_of`] finds the pod in an object, [`Pod::read`] reads of it what the checks
//! look at, [`evaluate`] says what it breaks.

mod baseline;
mod checks;
mod exclusion;
mod pod;
mod restricted;
mod violation;

use std::fmt;
use std::str::FromStr;

pub(crate) use exclusion::{Exclusion, exclude, violations};
pub use pod::{Pod, Template, Unreadable, pod_of};
pub use violation::{Field, Violation};

/// How strict the checks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing is checked.
    Privileged,
    /// Known ways to more privileges are closed.
    Baseline,
    /// Pods are hardened; all of baseline is checked too.
    Restricted,
}

/// A version of the standards, as in `v1.30`; the checks are those of that release of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `v1.` and this number.
    Minor(u32),
    /// The newest that is known.
    Latest,
}

/// Text that names neither a level nor a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownStandard {
    /// Not a level.
    #[error("`{0}` is not one of `privileged`, `baseline`, `restricted`")]
    Level(String),
    /// Not a version.
    #[error("`{0}` is not `latest` or a version such as `v1.30`")]
    Version(String),
}

impl FromStr for Level {
    type Err = UnknownStandard;

    fn from_str(text: &str) -> Result<Self, UnknownStandard> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            other => Err(UnknownStandard::Level(other.to_owned())),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

impl FromStr for Version {
    type Err = UnknownStandard;

    fn from_str(text: &str) -> Result<Self, UnknownStandard> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        text.strip_prefix("v1.")
            .filter(|minor| *minor == "0" || !minor.starts_with(['0', '+']))
            .and_then(|minor| minor.parse().ok())
            .map(Self::Minor)
            .ok_or_else(|| UnknownStandard::Version(text.to_owned()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => formatter.write_str("latest"),
            Self::Minor(minor) => write!(formatter, "v1.{minor}"),
        }
    }
}

/// What a pod breaks, in the order in which the API server says it (checks of `baseline` first, each
/// level by the checks' names); nothing where it may run. Where a check of
/// `restricted` says more than one of `baseline`, only the former speaks.
pub fn evaluate(level: Level, version: Version, pod: &Pod<'_>) -> Vec<Violation> {
    checks::run(level, version, pod, checks::Overlap::Overridden)
}

/// Names of the checks of a level in a version, in their order.
pub fn checks(level: Level, version: Version) -> impl Iterator<Item = &'static str> {
    checks::names(level, version, checks::Overlap::Overridden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_versions_are_read_as_written() {
        for text in ["privileged", "baseline", "restricted"] {
            assert_eq!(text.parse::<Level>().unwrap().to_string(), text);
        }
        for text in ["latest", "v1.0", "v1.30"] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        }
        for text in ["", "1.30", "v1", "v1.", "v1.030", "v1.+3", "v2.0", "v1.-1", "Latest"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        assert!("Restricted".parse::<Level>().is_err());
        assert!(Version::Minor(99) < Version::Latest);
    }
}
