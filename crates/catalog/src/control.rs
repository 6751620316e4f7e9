//! A control: a claim, and what stands for it.

use proofstream_model::ControlId;
use serde::{Deserialize, Serialize};

/// Where a control's claim holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// In the namespaces that the operator names as regulated.
    Regulated,
    /// In the whole cluster.
    Cluster,
}

/// By which records a control is shown to have operated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShownBy {
    /// `policy` records: a policy that stands for it was in force.
    Policies,
    /// Refusals by another enforcer, whose settings are not observed.
    Enforcer,
    /// Enrolled audit sources and their gaps.
    Trail,
    /// The ledger's own proofs.
    Seal,
    /// `scan` records that follow each other within its freshness.
    Scans,
    /// No record of this version shows it.
    Nothing,
}

/// How much it matters that the claim is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// To be mended in time.
    Medium,
    /// To be mended soon.
    High,
    /// To be mended at once.
    Critical,
}

/// A check or probe that the control names and this version does not run. Its verdict is always
/// `not-evaluated`, for the reason given here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// The check's or probe's name.
    pub name: String,
    /// Why it is not evaluated.
    #[serde(
        rename(deserialize = "not_yet", serialize = "not_evaluated_because"),
        alias = "not_evaluated_because"
    )]
    pub reason: String,
}

/// One control of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Control {
    /// Its name.
    pub id: ControlId,
    /// A few words.
    pub title: String,
    /// What it claims, one sentence.
    pub claim: String,
    /// Where the claim holds.
    pub scope: Scope,
    /// By which records it is shown to have operated.
    pub shown_by: ShownBy,
    /// How much a break matters.
    pub severity: Severity,
    /// Maximum age of its evidence in seconds; older is not-evaluated, never a pass.
    pub freshness_seconds: u64,
    /// Kinds of ledger records that are evidence for it, sorted.
    pub records: Vec<String>,
    /// Admission policies by name, sorted.
    pub policies: Vec<String>,
    /// Other enforcers whose refusals stand for it, such as `pod-security`, sorted.
    pub enforcers: Vec<String>,
    /// Controls without which its evidence is not complete, sorted.
    pub rests_on: Vec<ControlId>,
    /// Checks that are not running yet.
    pub checks: Vec<Planned>,
    /// Probes that are not running yet.
    pub probes: Vec<Planned>,
    /// What it does not cover, sentences.
    pub limits: Vec<String>,
}

/// Reads `30s`, `10m`, `24h` or `7d` into seconds.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let scale = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freshness_is_a_number_and_a_unit() {
        assert_eq!(seconds("10m"), Some(600));
        assert_eq!(seconds("24h"), Some(86_400));
        for bad in ["", "h", "10", "1.5h", "0m", "10 m", "é"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
