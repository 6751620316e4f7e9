//! `podSecurity`: the Pod Security Standards as a rule, with what it and exceptions to it let be.

use super::Ground;
use crate::evaluate::{Said, partial_exceptions};
use crate::pod_security::{Pod, Violation, checks, exclude, pod_of, violations};
use crate::policy::PodSecurity;
use crate::request::Operation;
use crate::response::Status;
use crate::trace;

/// What the rule says; `None` on a deletion.
pub(super) fn judge(ground: &Ground<'_>, standard: &PodSecurity) -> Option<Said> {
    let request = ground.scope.judgement().request;
    if request.operation == Operation::Delete {
        return None;
    }
    let rule = ground.rule;
    let object = request.object.as_ref()?;
    let kind = &request.kind.kind;
    let Some(template) = pod_of(kind, object) else {
        let message = format!("rule {rule} is about pods, and a `{kind}` holds none");
        return Some(Said::new(Status::Error, message));
    };
    let pod = match Pod::read(template.metadata, template.spec) {
        Ok(pod) => pod,
        Err(error) => return Some(Said::new(Status::Error, error.to_string())),
    };
    let (level, version) = (standard.level, standard.version);
    let mut broken = violations(level, version, &pod);
    for check in checks(level, version) {
        let found = broken.iter().find(|violation| violation.check == check);
        trace::answer(found.is_none(), || match found {
            None => format!("{level} {check}"),
            Some(violation) => format!("{level} {check}: {}", violation.describe()),
        });
    }
    exclude(&standard.exclusions, level, version, &pod, &mut broken);
    if broken.is_empty() {
        return Some(Said::new(Status::Pass, format!("rule {rule} passed")));
    }
    for exception in partial_exceptions(ground.scope.judgement(), ground.at) {
        exclude(exception.pod_security(), level, version, &pod, &mut broken);
        if broken.is_empty() {
            let message = format!("exempted by exception `{}`", exception.qualified_name());
            let exception = Some(exception.qualified_name().into());
            return Some(Said { exception, ..Said::new(Status::Skip, message) });
        }
    }
    let prefix = match template.path {
        "" => String::new(),
        path => format!("{path}."),
    };
    let first = broken.iter().find_map(|violation| violation.fields.first());
    let path = first.map(|field| format!("{prefix}{}", field.path));
    let said: Vec<String> = broken.iter().map(Violation::describe).collect();
    let detail = format!("violates PodSecurity \"{level}:{version}\": {}", said.join("; "));
    Some(Said { path, ..Said::new(Status::Fail, ground.pattern_message(&detail)) })
}
