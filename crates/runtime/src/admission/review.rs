//! The API server's `AdmissionReview` (admission.k8s.io/v1), read once, and our answer to it.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofstream_policy as policy;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// A body that is no `AdmissionReview` we can answer.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Not the JSON of an `AdmissionReview`.
    #[error("the body is not an AdmissionReview: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Another version of the API.
    #[error("`{0}` is not admission.k8s.io/v1 AdmissionReview")]
    Version(String),
    /// A review without a request, as answers are.
    #[error("the AdmissionReview carries no `request`")]
    NoRequest,
    /// An operation that we do not know.
    #[error("`{0}` is not an admission operation (CREATE, UPDATE, DELETE, CONNECT)")]
    Operation(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Wire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    uid: String,
    kind: policy::GroupVersionKind,
    resource: policy::GroupVersionResource,
    #[serde(default)]
    sub_resource: Option<String>,
    #[serde(default)]
    request_kind: Option<policy::GroupVersionKind>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    operation: String,
    #[serde(default)]
    user_info: policy::UserInfo,
    #[serde(default)]
    object: Option<Value>,
    #[serde(default)]
    old_object: Option<Value>,
    #[serde(default)]
    dry_run: Option<bool>,
    #[serde(default)]
    options: Option<Value>,
}

/// One request to judge, with what only the record needs.
#[derive(Debug)]
pub struct Review {
    /// The request as the policies see it.
    pub request: policy::Request,
    /// The kind as the client sent it, where the API server converted it (`matchPolicy: Equivalent`).
    pub request_kind: Option<policy::GroupVersionKind>,
}

impl Review {
    /// Reads the body of the API server's call.
    pub fn parse(body: &[u8]) -> Result<Self, ReviewError> {
        let envelope: Envelope = serde_json::from_slice(body)?;
        if envelope.api_version != API_VERSION || envelope.kind != KIND {
            return Err(ReviewError::Version(format!(
                "{} {}",
                envelope.api_version, envelope.kind
            )));
        }
        let wire = envelope.request.ok_or(ReviewError::NoRequest)?;
        let operation = policy::Operation::from_word(&wire.operation)
            .ok_or(ReviewError::Operation(wire.operation))?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let request_kind = wire.request_kind.filter(|kind| *kind != wire.kind);
        let request = policy::Request {
            uid: wire.uid,
            operation,
            kind: wire.kind,
            resource: wire.resource,
            subresource: given(wire.sub_resource),
            namespace: given(wire.namespace),
            name: given(wire.name),
            object: wire.object.filter(|object| !object.is_null()),
            old_object: wire.old_object.filter(|object| !object.is_null()),
            options: wire.options,
            user: Some(wire.user_info),
            dry_run: wire.dry_run.unwrap_or(false),
            namespace_labels: None,
        };
        Ok(Self { request, request_kind })
    }
}

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
    use super::*;
    use serde_json::json;

    fn review() -> Value {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u-1",
                "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
                "requestKind": {"group": "extensions", "version": "v1beta1", "kind": "Deployment"},
                "name": "", "namespace": "payments", "operation": "CREATE",
                "userInfo": {"username": "alice", "groups": ["developers"]},
                "object": {"kind": "Deployment"}, "oldObject": null, "dryRun": true,
                "options": {"kind": "CreateOptions"}
            }
        })
    }

    #[test]
    fn reads_what_the_api_server_sends() {
        let review = Review::parse(review().to_string().as_bytes()).unwrap();
        assert_eq!(review.request.operation, policy::Operation::Create);
        assert_eq!(review.request.name, None);
        assert_eq!(review.request.old_object, None);
        assert!(review.request.dry_run);
        assert_eq!(review.request.user.unwrap().groups, ["developers"]);
        assert_eq!(review.request_kind.unwrap().group, "extensions");
    }

    #[test]
    fn names_what_is_wrong_with_a_body() {
        let error = |change: fn(&mut Value)| {
            let mut value = review();
            change(&mut value);
            Review::parse(value.to_string().as_bytes()).unwrap_err().to_string()
        };
        assert!(error(|v| v["request"]["operation"] = json!("LOOK")).contains("`LOOK`"));
        assert!(error(|v| v["apiVersion"] = json!("admission.k8s.io/v1beta1")).contains("v1beta1"));
        assert!(error(|v| v["request"] = Value::Null).contains("no `request`"));
        assert!(Review::parse(b"{").unwrap_err().to_string().contains("EOF"));
    }

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
