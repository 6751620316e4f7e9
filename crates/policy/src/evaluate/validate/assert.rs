//! `assert`: the request held against an assertion tree.

use serde_json::{Value, json};

use super::Ground;
use crate::assertion::{Names, Tree};
use crate::evaluate::Said;
use crate::jmespath::{Data, Document as _};
use crate::request::{Operation, Request};
use crate::response::Status;

/// What the rule says. A tree that is about the object says nothing of a deletion, after which there is
/// none; one that is about `oldObject` or `operation` does.
pub(super) fn judge(ground: &Ground<'_>, tree: &Tree) -> Option<Said> {
    let scope = ground.scope;
    let request = scope.judgement().request;
    if request.operation == Operation::Delete && tree.names("object") {
        return None;
    }
    let outer = |name: &str| scope.member(name)?.map(Data::into_value).transpose();
    let payload = payload(request);
    let mut names = Names::new(&outer);
    let found = match tree.differences(&payload, &mut names, scope.interpreter()) {
        Ok(found) => found,
        Err(failure) => return Some(Said::error("the assertion cannot be evaluated", &failure)),
    };
    let Some(first) = found.first() else {
        return Some(Said::new(Status::Pass, format!("rule {} passed", ground.rule)));
    };
    let path = first.path.strip_prefix("object.").unwrap_or(&first.path).to_owned();
    let said: Vec<String> =
        found.iter().map(|each| format!("`{}` {}", each.path, each.reason)).collect();
    let message = ground.pattern_message(&format!("failed: {}", said.join("; ")));
    Some(Said { path: Some(path), ..Said::new(Status::Fail, message) })
}

/// What the tree is held against.
fn payload(request: &Request) -> Value {
    let user = request.user.as_ref();
    let word = request.operation.as_str();
    json!({
        "object": request.object,
        "oldObject": request.old_object,
        "operation": word,
        "admissionOperation": true,
        "admissionInfo": {
            "roles": user.map(|user| &user.roles),
            "clusterRoles": user.map(|user| &user.cluster_roles),
            "userInfo": user.map(|user| json!({
                "username": user.username, "uid": user.uid, "groups": user.groups,
            })),
        },
        "namespaceLabels": request.namespace_labels,
        "requestResource": request.resource,
        "resourceKind": {
            "group": request.kind.group,
            "version": request.kind.version,
            "kind": request.kind.kind,
            "subResource": request.subresource.clone().unwrap_or_default(),
        },
    })
}
