//! Refusals, made up and real, and what must not pass for one.

use super::*;
use serde_json::json;

fn with(message: &str, code: u16) -> String {
    json!({"auditID": "a", "stage": "ResponseComplete", "verb": "create", "requestURI": "/api/v1/namespaces/d/pods",
        "objectRef": {"resource": "pods", "namespace": "d"},
        "responseStatus": {"code": code, "message": message}})
    .to_string()
}

fn refusal(message: &str) -> Refusal {
    match classify(&Event::parse(with(message, 403).as_bytes()).unwrap()) {
        Classification::Refused(refusal) => refusal,
        other => panic!("{message}: {other:?}"),
    }
}

#[test]
fn each_enforcer_is_known_by_its_sentence() {
    let kyverno = "admission webhook \"validate.kyverno.svc-fail\" denied the request: \n\nresource Pod/d/x was blocked due to the following policies \n\ndisallow-privileged:\n  privileged-containers: 'validation error: no. rule privileged-containers failed'\nrequire-labels:\n  check: bad\n";
    for (message, enforcer, policies, rules) in [
        (
            r#"admission webhook "fail.validate.proofstream.dev" denied the request: anything"#,
            Enforcer::Proofstream,
            vec![],
            vec![],
        ),
        (
            kyverno,
            Enforcer::Kyverno,
            vec!["disallow-privileged", "require-labels"],
            vec!["disallow-privileged/privileged-containers", "require-labels/check"],
        ),
        (
            r#"admission webhook "vpol.validate.kyverno.svc-fail-finegrained-x" denied the request: Policy check-tag failed: no latest"#,
            Enforcer::Kyverno,
            vec!["check-tag"],
            vec![],
        ),
        (
            "admission webhook \"validation.gatekeeper.sh\" denied the request: [psp-privileged] Privileged container is not allowed: c\n[must-have-owner] you must provide labels: {\"owner\"}",
            Enforcer::Gatekeeper,
            vec!["must-have-owner", "psp-privileged"],
            vec![],
        ),
        (
            r#"admission webhook "deny.example.com" denied the request without explanation"#,
            Enforcer::OtherWebhook,
            vec!["deny.example.com"],
            vec![],
        ),
        (
            r#"pods "x" is forbidden: ValidatingAdmissionPolicy 'no-host' with binding 'no-host-all' denied request: hostNetwork"#,
            Enforcer::ValidatingAdmissionPolicy,
            vec!["no-host"],
            vec!["no-host/no-host-all"],
        ),
        (
            r#"pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (a, b)"#,
            Enforcer::PodSecurity,
            vec!["restricted:latest"],
            vec![
                "restricted:latest/allowPrivilegeEscalation != false",
                "restricted:latest/unrestricted capabilities",
            ],
        ),
    ] {
        let found = refusal(message);
        assert_eq!(
            (found.enforcer, found.policies, found.rules),
            (
                enforcer,
                policies.into_iter().map(str::to_owned).collect(),
                rules.into_iter().map(str::to_owned).collect()
            ),
            "{message}"
        );
    }
}

#[test]
fn other_failures_are_no_blocks() {
    for message in [
        r#"pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"#,
        r#"pods is forbidden: User "eve" cannot create resource "pods" in API group "" in the namespace "d""#,
        r#"Pod "x" is invalid: spec.containers[0].image: Required value"#,
        r#"pods "x" already exists"#,
        "",
        // A user's or an object's name is quoted, and no sentence of ours begins within it.
        r#"pods is forbidden: User "x\" is forbidden: violates PodSecurity \"restricted:latest\": a" cannot create resource "pods""#,
        r#"pods "x\" is forbidden: violates PodSecurity \"restricted:latest\": a" not found"#,
        r#"say "admission webhook \"fail.validate.proofstream.dev\" denied the request: x""#,
    ] {
        let text = with(message, 403);
        assert_eq!(classify(&Event::parse(text.as_bytes()).unwrap()), Classification::None);
    }
}

#[test]
fn what_a_webhook_says_does_not_make_it_another() {
    let found = refusal(
        r#"admission webhook "x.example" denied the request: pods "a" is forbidden: violates PodSecurity "restricted:latest": b"#,
    );
    assert_eq!(found.enforcer, Enforcer::OtherWebhook);
}

#[test]
fn only_the_end_of_a_real_request_counts() {
    let message = r#"admission webhook "deny.example.com" denied the request: no"#;
    for (from, to) in [
        ("ResponseComplete", "RequestReceived"),
        ("/pods", "/pods?dryRun=All"),
        ("\"code\":403", "\"code\":201"),
    ] {
        let text = with(message, 403).replace(from, to);
        let event = Event::parse(text.as_bytes()).unwrap();
        assert_eq!(classify(&event), Classification::None, "{to}");
    }
}

#[test]
fn a_webhook_that_could_not_be_asked_is_a_lapse() {
    let text = with(
        r#"Internal error occurred: failed calling webhook "fail.validate.proofstream.dev": failed to call webhook: Post "https://x:9443/validate?timeout=10s": dial tcp: connection refused"#,
        500,
    );
    assert_eq!(
        classify(&Event::parse(text.as_bytes()).unwrap()),
        Classification::FailedClosed { webhook: "fail.validate.proofstream.dev".to_owned() }
    );
    let text =
        json!({"auditID": "a", "stage": "ResponseComplete", "verb": "create", "annotations": {
        "failed-open.validating.webhook.admission.k8s.io/round_0_index_1": "b.example",
        "failed-open.validating.webhook.admission.k8s.io/round_0_index_0": "a.example"}})
        .to_string();
    assert_eq!(failed_open(&Event::parse(text.as_bytes()).unwrap()), ["a.example", "b.example"]);
}

#[test]
fn the_refusing_webhooks_decision_comes_first() {
    let text =
        json!({"auditID": "a", "stage": "ResponseComplete", "verb": "create", "annotations": {
        "fail.validate.proofstream.dev/decision": "admission/0 1 7",
        "ignore.validate.proofstream.dev/decision": "admission/0 1 8",
        "validate.example/decision": "admission/0 1 9",
        "other.validate.proofstream.dev/decision": "nonsense"}})
        .to_string();
    let event = Event::parse(text.as_bytes()).unwrap();
    let numbers = |webhook: Option<&str>| {
        decisions(&event, webhook).iter().map(|reference| reference.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(Some("ignore.validate.proofstream.dev")), [8, 7]);
    assert_eq!(numbers(None), [7, 8]);
}

/// What the API server wrote: see fixtures/README.md.
const REAL: &str = include_str!("../../../fixtures/refusals.jsonl");

#[test]
fn real_refusals_are_recognised() {
    let mut found = Vec::new();
    for line in REAL.lines() {
        let event = Event::parse(line.as_bytes()).unwrap();
        let object = event.object_ref.as_ref().unwrap();
        let what = match classify(&event) {
            Classification::None => "-".to_owned(),
            Classification::FailedClosed { webhook } => format!("failed closed {webhook}"),
            Classification::Refused(refusal) => {
                let decisions = decisions(&event, refusal.webhook.as_deref()).len();
                format!(
                    "{:?} {:?} {} {:?} {decisions}",
                    refusal.enforcer,
                    event.operation().unwrap(),
                    refusal.policies.join(","),
                    refusal.name.as_deref().unwrap_or_default()
                )
            }
        };
        found.push(format!("{} {} {what}", object.namespace, event.verb));
    }
    assert_eq!(
        found,
        [
            "psa create PodSecurity Create restricted:latest \"psa-refused\" 0",
            "psa create PodSecurity Create restricted:latest \"psa-q5qss\" 0",
            "vap create ValidatingAdmissionPolicy Create no-host-network \"vap-refused\" 0",
            "ours create Proofstream Create hardened \"\" 1",
            "kyverno create Kyverno Create disallow-privileged-containers \"\" 0",
            "gatekeeper create Gatekeeper Create ns-must-have-owner,psp-privileged-container \"\" 0",
            "other create OtherWebhook Create deny.example.com \"\" 0",
            "closed create failed closed closed.example.com",
            "open create -",
            "ours create -",
            // A dry run that says so in its body alone: only our decision tells it from the next.
            "ours delete Proofstream Delete hardened \"\" 1",
            "ours delete Proofstream Delete hardened \"\" 1",
            "ours delete Proofstream Delete hardened \"\" 1",
            "ours delete Proofstream Delete hardened \"\" 1",
            "ours deletecollection Proofstream Delete hardened \"\" 1",
            // kubectl tries a WebSocket first, then SPDY; each is refused at two stages.
            "ours get -",
            "ours get Proofstream Connect hardened \"\" 1",
            "ours create -",
            "ours create Proofstream Connect hardened \"\" 1",
            "psa create -",
            "psa create -",
        ]
    );
}

#[test]
fn a_real_failed_open_webhook_is_named() {
    let open = |line: &str| failed_open(&Event::parse(line.as_bytes()).unwrap());
    assert_eq!(REAL.lines().flat_map(open).collect::<Vec<_>>(), ["open.example.com"]);
}

#[test]
fn a_document_that_is_no_policy_is_refused_by_none() {
    let message =
        r#"admission webhook "policies.proofstream.dev" denied the request: it cannot be used"#;
    let event = with(message, 403);
    let event = Event::parse(event.as_bytes()).unwrap();
    assert!(!matches!(classify(&event), Classification::Refused(_)), "{:?}", classify(&event));
    let change = r#"admission webhook "fail.mutate.proofstream.dev" denied the request: no"#;
    assert_eq!(refusal(change).enforcer, Enforcer::Proofstream);
}
