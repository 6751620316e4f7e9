//! `verifyImages`: says of which images nobody has verified anything.

use serde_json::Value;

use super::Said;
use crate::pod_security::pod_of;
use crate::policy::ImageVerification;
use crate::request::{Operation, Request};
use crate::response::Status;

/// What a rule says of a request; `None` on a deletion.
pub(super) fn judge(entries: &[ImageVerification], request: &Request) -> Option<Said> {
    if request.operation == Operation::Delete {
        return None;
    }
    let object = request.object.as_ref()?;
    let Some(template) = pod_of(&request.kind.kind, object) else {
        let message = "`verifyImages` of other kinds than pods is not done by this version";
        return Some(Said::new(Status::NotSupported, message));
    };
    let mut named: Vec<&str> = ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .filter_map(|list| template.spec?.get(list)?.as_array())
        .flatten()
        .map(|container| container.get("image").and_then(Value::as_str).unwrap_or_default())
        .filter(|image| entries.iter().any(|entry| entry.names(image)))
        .collect();
    named.sort_unstable();
    named.dedup();
    if named.is_empty() {
        return Some(Said::new(Status::Skip, "the rule names none of the images"));
    }
    let images: Vec<String> = named.iter().map(|image| format!("`{image}`")).collect();
    let message =
        format!("verification of images is not done by this version: {}", images.join(", "));
    Some(Said::new(Status::NotSupported, message))
}
