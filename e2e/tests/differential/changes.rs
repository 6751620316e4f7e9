//! Updates and deletions of pods that are stored, and policies that look at both objects.

use serde_json::{Value, json};

use crate::policies::{Case, LABEL, case_on};
use proofstream_e2e::Dice;

/// Expressions, each the only demand of a policy; on a deletion there is no `object`.
const EXPRESSIONS: &[&str] = &[
    "request.operation != 'UPDATE' || object.metadata.labels.team == oldObject.metadata.labels.team",
    "oldObject == null",
    "object != null",
    "object == null || object.metadata.name == oldObject.metadata.name",
    "object.spec.containers.size() < 2",
    "oldObject.spec.containers.all(c, c.image.contains(':'))",
    "request.operation == 'DELETE' ? !('team' in oldObject.metadata.?labels.orValue({})) : true",
    "request.operation == 'UPDATE' ? object.spec == oldObject.spec : true",
    "object.metadata.?annotations == oldObject.metadata.?annotations",
    "object.spec.containers.map(c, c.image) == oldObject.spec.containers.map(c, c.image)",
    "object.spec.?tolerations.orValue([]).size() == oldObject.spec.?tolerations.orValue([]).size()",
    "request.name.startsWith('pod') && request.namespace == 'team-a' && request.operation == 'DELETE'",
    "request.options.kind == (request.operation == 'DELETE' ? 'DeleteOptions' : 'UpdateOptions')",
    "request.options.dryRun == ['All'] && request.dryRun",
    "namespaceObject.metadata.labels.stage == 'prod' && oldObject.metadata.uid != ''",
    "object.metadata.uid == oldObject.metadata.uid && \
     object.metadata.creationTimestamp == oldObject.metadata.creationTimestamp",
    "oldObject.metadata.labels.all(k, v, k in object.metadata.labels)",
    "has(oldObject.status.phase) && oldObject.status.phase == 'Pending'",
    "object.status == oldObject.status",
];

/// Each expression about all operations, and about some.
pub(crate) fn policies() -> Vec<Case> {
    let some = [vec!["UPDATE"], vec!["DELETE"], vec!["CREATE", "DELETE"], vec!["CREATE", "UPDATE"]];
    let mut cases = Vec::new();
    for (number, (expression, some)) in EXPRESSIONS.iter().zip(some.iter().cycle()).enumerate() {
        let failure_policy = if number % 3 == 0 { "Ignore" } else { "Fail" };
        let spec = || json!({"failurePolicy": failure_policy, "validations": [{"expression": expression}]});
        cases.push(case_on(&["*"], &format!("u{number}-all"), spec(), &[json!({})]));
        cases.push(case_on(some, &format!("u{number}-some"), spec(), &[json!({})]));
    }
    let of_pods = |operation: &str| {
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
            "operations": [operation]}])
    };
    let bindings = [
        json!({"matchResources": {"resourceRules": of_pods("UPDATE")}}),
        json!({"matchResources": {"excludeResourceRules": of_pods("UPDATE")}}),
        json!({"matchResources": {"objectSelector": {"matchLabels": {"team": "z"}}}}),
    ];
    let never = json!({"validations": [{"expression": "false", "message": "never"}]});
    for (number, binding) in bindings.into_iter().enumerate() {
        cases.push(case_on(&["*"], &format!("bound-{number}"), never.clone(), &[binding]));
    }
    cases
}

/// What may change of a stored pod.
pub(crate) fn change(dice: &mut Dice, stored: &Value) -> Value {
    let mut pod = stored.clone();
    match dice.below(6) {
        0 => pod["metadata"]["labels"]["team"] = "z".into(),
        1 => pod["metadata"]["annotations"]["changed"] = "yes".into(),
        2 => pod["spec"]["containers"][0]["image"] = "nginx:9".into(),
        // The policy is about the pod as it was.
        3 => without_label(&mut pod),
        4 => {
            let more = json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"});
            match pod["spec"]["tolerations"].as_array_mut() {
                Some(tolerations) => tolerations.push(more),
                None => pod["spec"]["tolerations"] = json!([more]),
            }
        }
        _ => {}
    }
    pod
}

/// The API server keeps no empty map.
fn without_label(pod: &mut Value) {
    let Some(metadata) = pod["metadata"].as_object_mut() else { return };
    let labels = metadata.get_mut("labels").and_then(Value::as_object_mut);
    let empty = labels.is_some_and(|labels| labels.remove(LABEL).is_some() && labels.is_empty());
    if empty {
        metadata.remove("labels");
    }
}
