//! Names of controls and requirements.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A control of the catalog, such as `workload-hardened`: lower-case letters, digits and dashes.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct ControlId(String);

/// One id of one version of one framework, such as `soc2-2017/CC6.1` or `cis-k8s-1.12/5.2.2`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct RequirementId(String);

/// What a policy stands for: controls of the catalog and the requirements they map to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ControlRef {
    /// Controls, sorted.
    pub controls: Vec<ControlId>,
    /// Requirements, sorted.
    pub requirements: Vec<RequirementId>,
}

/// A word that is no name of a control or requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Not a control id.
    #[error("`{0}` is not a control id: use lower-case letters, digits and dashes")]
    Control(String),
    /// Not a requirement id.
    #[error("`{0}` is not a requirement: write FRAMEWORK/ID, such as soc2-2017/CC6.1")]
    Requirement(String),
}

// === impl ControlId ===

impl ControlId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ControlId {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 63 || !text.bytes().all(good) {
            return Err(WordError::Control(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ControlId {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ControlId> for String {
    fn from(id: ControlId) -> Self {
        id.0
    }
}

impl fmt::Display for ControlId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

// === impl RequirementId ===

impl RequirementId {
    /// The whole, `FRAMEWORK/ID`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The framework with its version, such as `soc2-2017`.
    pub fn framework(&self) -> &str {
        self.0.split_once('/').map_or("", |(framework, _)| framework)
    }

    /// The id within the framework, such as `CC6.1`.
    pub fn id(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, id)| id)
    }
}

impl FromStr for RequirementId {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((framework, id))
                if !framework.is_empty() && !id.is_empty() && !id.contains(char::is_whitespace) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(WordError::Requirement(text.to_owned())),
        }
    }
}

impl TryFrom<String> for RequirementId {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RequirementId> for String {
    fn from(id: RequirementId) -> Self {
        id.0
    }
}

impl fmt::Display for RequirementId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_has_a_framework_and_an_id() {
        let requirement: RequirementId = "cis-k8s-1.12/5.2.2".parse().unwrap();
        assert_eq!((requirement.framework(), requirement.id()), ("cis-k8s-1.12", "5.2.2"));
        assert!("CC6.1".parse::<RequirementId>().is_err());
    }

    #[test]
    fn a_control_id_is_a_plain_word() {
        assert!("workload-hardened".parse::<ControlId>().is_ok());
        assert!("Workload hardened".parse::<ControlId>().is_err());
    }
}
