//! The Pod Security Standards without a policy: each check of a level as a row.

use std::str::FromStr;

use proofstream_model::Subject;
use proofstream_policy::Mode;
use proofstream_policy::pod_security::{self, Level, Pod, UnknownStandard, Version};
use serde_json::Value;

use crate::offline::report::{RuleResult, Word};

/// What the rows name as their policy.
const POLICY: &str = "pod-security";

/// A level, and the version it is held in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standard {
    level: Level,
    version: Version,
}

impl FromStr for Standard {
    type Err = UnknownStandard;

    /// Reads `LEVEL` or `LEVEL:VERSION`.
    fn from_str(text: &str) -> Result<Self, UnknownStandard> {
        let (level, version) = text.split_once(':').unwrap_or((text, "latest"));
        Ok(Self { level: level.parse()?, version: version.parse()? })
    }
}

impl Standard {
    /// What each check says of an object; nothing where it holds no pod.
    pub fn judge(&self, object: &Value) -> Vec<RuleResult> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let kind = text("/kind").unwrap_or_default();
        let Some(template) = pod_security::pod_of(kind, object) else { return Vec::new() };
        let row = |rule: String, result: Word, message: String, path: Option<String>| RuleResult {
            policy: POLICY.to_owned(),
            rule,
            resource: Subject {
                cluster: None,
                api_version: text("/apiVersion").unwrap_or_default().to_owned(),
                kind: kind.to_owned(),
                namespace: text("/metadata/namespace").map(str::to_owned),
                name: text("/metadata/name")
                    .or(text("/metadata/generateName"))
                    .unwrap_or_default()
                    .to_owned(),
                path,
            },
            result,
            message,
            mode: Mode::Enforce,
        };
        let (level, version) = (self.level, self.version);
        let pod = match Pod::read(template.metadata, template.spec) {
            Ok(pod) => pod,
            Err(error) => {
                return vec![row(level.to_string(), Word::Error, error.to_string(), None)];
            }
        };
        let mut broken = pod_security::evaluate(level, version, &pod);
        pod_security::checks(level, version)
            .map(|check| {
                let place = broken.iter().position(|violation| violation.check == check);
                let Some(violation) = place.map(|place| broken.swap_remove(place)) else {
                    let message = format!("{level}:{version} holds");
                    return row(check.to_owned(), Word::Pass, message, None);
                };
                let path = violation.fields.first().map(|field| match template.path {
                    "" => field.path.clone(),
                    prefix => format!("{prefix}.{}", field.path),
                });
                let message = format!("violates {level}:{version}: {}", violation.describe());
                row(check.to_owned(), Word::Fail, message, path)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_check_is_a_row() {
        let standard: Standard = "baseline:v1.30".parse().unwrap();
        let spec = json!({"hostPID": true, "containers": [{"name": "a"}]});
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "n"}, "spec": {"template": {"spec": spec}}});
        let rows = standard.judge(&object);
        let failed: Vec<_> = rows.iter().filter(|row| row.result == Word::Fail).collect();
        assert_eq!((rows.len(), failed.len()), (11, 1));
        assert_eq!(failed[0].rule, "hostNamespaces");
        assert_eq!(failed[0].resource.path.as_deref(), Some("spec.template.spec.hostPID"));
        assert!(standard.judge(&json!({"kind": "Service"})).is_empty());
        let broken = standard.judge(&json!({"kind": "Pod", "spec": {"containers": 1}}));
        assert_eq!(broken.len(), 1);
        assert_eq!(broken[0].result, Word::Error);
    }

    #[test]
    fn a_standard_is_a_level_with_or_without_a_version() {
        assert_eq!("restricted".parse::<Standard>(), "restricted:latest".parse());
        for text in ["", "strict", "baseline:", "baseline:1.30", "baseline:v1.30:x"] {
            assert!(text.parse::<Standard>().is_err(), "{text}");
        }
    }
}
