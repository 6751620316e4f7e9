//! Our answer to the API server's `AdmissionReview` (admission.k8s.io/v1).
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Our answer, before it is written as an `AdmissionReview`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Why the request is refused; `None` lets it go on.
    pub refusal: Option<String>,
    /// What the client is shown beside the answer, one line each.
    pub warnings: Vec<String>,
    /// What the API server copies into its audit event, under our webhook's name.
    pub audit_annotations: BTreeMap<&'static str, String>,
    /// Changes to the object: a JSON patch (RFC 6902), as JSON.
    pub patch: Option<Vec<u8>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireAnswer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: WireResponse<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireResponse<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<WireStatus<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: &'a BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
}

#[derive(Serialize)]
struct WireStatus<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

impl Reply {
    /// The JSON of the `AdmissionReview` that answers the request `uid`. A refusal carries code 403
    /// and reason `Forbidden`: without them the API server would tell its client 400.
    pub fn to_json(&self, uid: &str) -> Result<Vec<u8>, serde_json::Error> {
        let status = self.refusal.as_deref().map(|message| WireStatus {
            code: 403,
            reason: "Forbidden",
            message,
        });
        serde_json::to_vec(&WireAnswer {
            api_version: API_VERSION,
            kind: KIND,
            response: WireResponse {
                uid,
                allowed: self.refusal.is_none(),
                status,
                warnings: &self.warnings,
                audit_annotations: &self.audit_annotations,
                patch_type: self.patch.as_ref().map(|_| "JSONPatch"),
                patch: self.patch.as_ref().map(|patch| STANDARD.encode(patch)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_refusal_is_forbidden_with_a_code() {
        let reply = Reply {
            refusal: Some("no".to_owned()),
            audit_annotations: BTreeMap::from([("decision", "admission/0 1 2".to_owned())]),
            ..Reply::default()
        };
        let value: Value = serde_json::from_slice(&reply.to_json("u-1").unwrap()).unwrap();
        assert_eq!(
            value["response"],
            json!({"uid": "u-1", "allowed": false,
                "status": {"code": 403, "reason": "Forbidden", "message": "no"},
                "auditAnnotations": {"decision": "admission/0 1 2"}})
        );
    }
}
