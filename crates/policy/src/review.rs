//! The API server's `AdmissionReview` (admission.k8s.io/v1): the request that is to be judged.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>

use serde::Deserialize;
use serde_json::Value;

use crate::request::{GroupVersionKind, GroupVersionResource, Operation, Request, UserInfo};

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
    kind: GroupVersionKind,
    resource: GroupVersionResource,
    #[serde(default)]
    sub_resource: Option<String>,
    #[serde(default)]
    request_kind: Option<GroupVersionKind>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    operation: String,
    #[serde(default)]
    user_info: UserInfo,
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
#[derive(Debug, Deserialize)]
#[serde(try_from = "Envelope")]
pub struct Review {
    /// The request as the policies see it.
    pub request: Request,
    /// The kind as the client sent it, where the API server converted it (`matchPolicy: Equivalent`).
    pub request_kind: Option<GroupVersionKind>,
}

impl Review {
    /// Reads the body of the API server's call.
    ///
    /// # Errors
    /// [`ReviewError`]: what it is instead.
    pub fn parse(body: &[u8]) -> Result<Self, ReviewError> {
        Self::try_from(serde_json::from_slice::<Envelope>(body)?)
    }
}

impl TryFrom<Envelope> for Review {
    type Error = ReviewError;

    fn try_from(envelope: Envelope) -> Result<Self, ReviewError> {
        if envelope.api_version != API_VERSION || envelope.kind != KIND {
            return Err(ReviewError::Version(format!(
                "{} {}",
                envelope.api_version, envelope.kind
            )));
        }
        let wire = envelope.request.ok_or(ReviewError::NoRequest)?;
        let operation =
            Operation::from_word(&wire.operation).ok_or(ReviewError::Operation(wire.operation))?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let request_kind = wire.request_kind.filter(|kind| *kind != wire.kind);
        let request = Request {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        assert_eq!(review.request.operation, Operation::Create);
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
}
