//! What people read when a request is refused, or would have been.

use std::fmt::Write;

use proofstream_policy::{Mode, Request, RuleResponse, Status};

use super::decision::is_broken;
use super::review::Reply;

/// The longest warning: Kubernetes cuts a header's text there.
const WARNING_CHARACTERS: usize = 256;
/// Most warnings that one answer carries.
const WARNINGS: usize = 10;
/// Most rules that one refusal names.
const REASONS: usize = 20;
/// The longest message of one rule, in characters.
const MESSAGE_CHARACTERS: usize = 1_000;

/// The answer that these responses add up to, its annotations aside.
pub(super) fn reply(request: &Request, responses: &[RuleResponse]) -> Reply {
    let refusing: Vec<_> = responses.iter().filter(|response| response.refuses()).collect();
    let refusal = (!refusing.is_empty()).then(|| refusal(request, &refusing));
    Reply { refusal, warnings: warnings(responses), ..Reply::default() }
}

/// One line on what is refused, then one for each rule, naming it, and one for where.
fn refusal(request: &Request, refusing: &[&RuleResponse]) -> String {
    let mut text = format!("{} is refused by policy:", subject(request));
    for response in refusing.iter().take(REASONS) {
        let _ = write!(text, "\n  {}: {}", rule(response), reason(response));
        if let Some(path) = response.path.as_deref().filter(|path| !response.message.contains(path))
        {
            let _ = write!(text, "\n    at {path}");
        }
    }
    if refusing.len() > REASONS {
        let _ = write!(text, "\n  and {} more", refusing.len() - REASONS);
    }
    text
}

fn warnings(responses: &[RuleResponse]) -> Vec<String> {
    let noted: Vec<_> = responses
        .iter()
        .filter(|response| {
            is_broken(response)
                && !response.refuses()
                && (response.mode == Mode::Audit || response.status == Status::Warn)
        })
        .collect();
    let mut warnings: Vec<_> = noted
        .iter()
        .take(WARNINGS)
        .map(|response| {
            cut(&format!("policy {}: {}", rule(response), reason(response)), WARNING_CHARACTERS)
        })
        .collect();
    if noted.len() > WARNINGS {
        warnings.push(format!("and {} more policy warnings", noted.len() - WARNINGS));
    }
    warnings
}

fn rule(response: &RuleResponse) -> String {
    match &response.policy_namespace {
        Some(namespace) => format!("{namespace}/{}/{}", response.policy, response.rule),
        None => format!("{}/{}", response.policy, response.rule),
    }
}

fn reason(response: &RuleResponse) -> String {
    let message = response.message.trim();
    let said = cut(message, MESSAGE_CHARACTERS);
    match response.status {
        Status::Error => {
            format!("the rule could not be judged, and its failurePolicy is Fail: {said}")
        }
        Status::NotSupported => format!("the rule cannot be judged by this version: {said}"),
        _ if said.is_empty() => "the request breaks this rule".to_owned(),
        _ => said,
    }
}

fn subject(request: &Request) -> String {
    let object = request.subject();
    let text = |pointer: &str| object.and_then(|object| object.pointer(pointer)?.as_str());
    let name = request.name.as_deref().or_else(|| text("/metadata/name")).map_or_else(
        || format!("{}*", text("/metadata/generateName").unwrap_or_default()),
        str::to_owned,
    );
    let what = match &request.subresource {
        Some(subresource) => format!("{}/{subresource}", request.resource.resource),
        None => request.kind.kind.clone(),
    };
    match &request.namespace {
        Some(namespace) => format!("{what} {namespace}/{name}"),
        None => format!("{what} {name}"),
    }
}

/// The text on one line of at most so many characters.
fn cut(text: &str, characters: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= characters {
        return line;
    }
    let mut shorter: String = line.chars().take(characters - 1).collect();
    shorter.push('…');
    shorter
}

#[cfg(test)]
mod tests {
    use super::*;
    use proofstream_policy::{FailurePolicy, ResourceName, RuleKind};
    use serde_json::json;
    use std::sync::Arc;

    fn response(rule: &str, status: Status, mode: Mode, message: &str) -> RuleResponse {
        RuleResponse {
            policy_index: 0,
            policy: "hardened".into(),
            policy_namespace: None,
            rule: rule.into(),
            kind: RuleKind::Validate,
            status,
            mode,
            failure_policy: FailurePolicy::Fail,
            message: message.to_owned(),
            path: None,
            exception: None,
            violations: Vec::new(),
            resource: Arc::new(ResourceName {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace: Some("payments".to_owned()),
                name: "web".to_owned(),
            }),
        }
    }

    fn pod() -> Request {
        Request::create(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "payments"}
        }))
    }

    #[test]
    fn a_refusal_names_each_rule_on_a_line_of_its_own() {
        let mut first = response("no-root", Status::Fail, Mode::Enforce, "Run as\n  non-root.");
        first.path = Some("spec.securityContext.runAsNonRoot".to_owned());
        let responses = [
            first,
            response("known", Status::Error, Mode::Enforce, "`x` is not known"),
            response("labels", Status::Fail, Mode::Audit, "Label it."),
            response("fine", Status::Pass, Mode::Enforce, ""),
        ];
        let reply = reply(&pod(), &responses);
        assert_eq!(
            reply.refusal.unwrap(),
            "Pod payments/web is refused by policy:\n  hardened/no-root: Run as non-root.\n    at \
             spec.securityContext.runAsNonRoot\n  hardened/known: the rule could not be judged, and \
             its failurePolicy is Fail: `x` is not known"
        );
        assert_eq!(reply.warnings, ["policy hardened/labels: Label it."]);
    }

    #[test]
    fn an_error_under_ignore_lets_the_request_go_on() {
        let mut error = response("known", Status::Error, Mode::Enforce, "`x` is not known");
        error.failure_policy = FailurePolicy::Ignore;
        assert_eq!(reply(&pod(), &[error]), Reply::default());
    }

    #[test]
    fn warnings_are_few_and_short() {
        let long = "é".repeat(1_000);
        let responses: Vec<_> =
            (0..12).map(|_| response("r", Status::Fail, Mode::Audit, &long)).collect();
        let reply = reply(&pod(), &responses);
        assert_eq!(reply.refusal, None);
        assert_eq!(reply.warnings.len(), 11);
        assert!(reply.warnings.iter().all(|warning| warning.chars().count() <= 256));
        assert_eq!(reply.warnings[10], "and 2 more policy warnings");
    }
}
