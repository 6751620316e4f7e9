//! The request as Gatekeeper's code has it under review.

use proofstream_rego::Value as RegoValue;
use serde_json::{Value, json};

use super::Judgement;
use crate::environment::Trigger;
use crate::request::Operation;

impl Judgement<'_> {
    /// The review, made once for all constraints. Of a deletion the object is the one that goes; what
    /// already runs is under review without an operation.
    pub(crate) fn review(&self) -> &RegoValue {
        self.review.get_or_init(|| {
            let request = self.request;
            let kind = &request.kind;
            let resource = &request.resource;
            let operation = match self.environment.trigger {
                Trigger::Admission => request.operation.as_str(),
                Trigger::Background => "",
            };
            let mut small = json!({
                "uid": request.uid,
                "kind": { "group": kind.group, "version": kind.version, "kind": kind.kind },
                "resource": {
                    "group": resource.group,
                    "version": resource.version,
                    "resource": resource.resource,
                },
                "operation": operation,
                "userInfo": request.user.as_ref().map_or_else(|| json!({}), |user| json!({
                    "username": user.username,
                    "uid": user.uid,
                    "groups": user.groups,
                    "extra": user.extra,
                })),
                "options": request.options,
            });
            let texts = [
                ("name", &request.name),
                ("namespace", &request.namespace),
                ("subResource", &request.subresource),
            ];
            for (key, text) in texts {
                if let (Some(text), Some(members)) = (text, small.as_object_mut()) {
                    members.insert(key.to_owned(), json!(text));
                }
            }
            if let (Some(name), Some(labels)) = (&request.namespace, &request.namespace_labels) {
                let metadata = json!({ "name": name, "labels": labels });
                let namespace =
                    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
                if let Some(members) = small.as_object_mut() {
                    members.insert("_unstable".to_owned(), json!({ "namespace": namespace }));
                }
            }
            let object = match request.operation {
                Operation::Delete => request.subject(),
                _ => request.object.as_ref(),
            };
            let of = |object: Option<&Value>| object.map_or(RegoValue::Null, RegoValue::from_json);
            let objects = [("object", of(object)), ("oldObject", of(request.old_object.as_ref()))];
            let objects = objects.map(|(name, object)| (RegoValue::text(name), object));
            let small = RegoValue::from_json(&small);
            let members = match &small {
                RegoValue::Object(members) => members.iter().cloned().collect(),
                _ => Vec::new(),
            };
            RegoValue::object(members.into_iter().chain(objects))
        })
    }
}
