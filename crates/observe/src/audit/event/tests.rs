//! What is read of an event, and what makes two copies one.

use super::*;

fn event(json: &str) -> Event<'_> {
    Event::parse(json.as_bytes()).unwrap()
}

#[test]
fn borrows_what_is_not_escaped_and_takes_null_for_empty() {
    let parsed = event(
        r#"{"auditID":"a","stage":"ResponseComplete","verb":"create","user":{"username":"x\u0041","groups":[]},"annotations":null,"sourceIPs":["::1"],"userAgent":null}"#,
    );
    assert_eq!(&*parsed.user.username, "xA");
    assert!(parsed.user.groups.is_empty());
    assert_eq!(parsed.annotations.iter().count(), 0);
    assert_eq!(&*parsed.source_ips[0], "::1");
}

#[test]
fn what_is_no_event_says_why() {
    let error = Event::parse(br#"{"kind":"Event","type":"Normal"}"#).unwrap_err();
    assert_eq!(error.to_string(), "line is not an audit event: `auditID` is missing");
    assert!(matches!(Event::parse(b"{\"auditID\":"), Err(EventError::Json(_))));
    assert!(matches!(Event::parse(b"\xff\xfe"), Err(EventError::Json(_))));
}

#[test]
fn the_impersonated_user_is_in_effect() {
    let parsed = event(
        r#"{"auditID":"a","stage":"s","verb":"get","user":{"username":"admin","groups":["system:masters"]},"impersonatedUser":{"username":"bob","groups":["dev"]}}"#,
    );
    let actor = parsed.actor();
    assert_eq!((actor.user.as_str(), actor.groups.as_slice()), ("bob", &["dev".to_owned()][..]));
    assert_eq!(actor.impersonated_by.as_deref(), Some("admin"));
}

#[test]
fn operations_follow_verb_and_subresource() {
    let of = |verb: &str, resource: &str, subresource: &str| {
        let text = format!(
            r#"{{"auditID":"a","stage":"s","verb":"{verb}","objectRef":{{"resource":"{resource}","subresource":"{subresource}"}}}}"#
        );
        event(&text).operation()
    };
    assert_eq!(of("create", "pods", ""), Some(Operation::Create));
    assert_eq!(of("create", "pods", "eviction"), Some(Operation::Create));
    assert_eq!(of("patch", "pods", "status"), Some(Operation::Update));
    assert_eq!(of("deletecollection", "pods", ""), Some(Operation::Delete));
    assert_eq!(of("get", "pods", "exec"), Some(Operation::Connect));
    assert_eq!(of("create", "pods", "portforward"), Some(Operation::Connect));
    assert_eq!(of("update", "nodes", "proxy"), Some(Operation::Connect));
    assert_eq!(of("get", "pods", ""), None);
}

#[test]
fn a_dry_run_is_in_the_address_or_in_the_delete_options() {
    let of = |verb: &str, uri: &str, body: &str| {
        let text = format!(
            r#"{{"auditID":"a","stage":"s","verb":"{verb}","requestURI":"{uri}","objectRef":{{"resource":"pods"}}{body}}}"#
        );
        event(&text).dry_run()
    };
    assert_eq!(of("create", "/api/v1/namespaces/d/pods?dryRun=All&x=y", ""), DryRun::Yes);
    assert_eq!(of("create", "/api/v1/pods?dry%52un=All", ""), DryRun::Yes);
    assert_eq!(of("create", "/api/v1/namespaces/dryRun=All/pods", ""), DryRun::No);
    assert_eq!(of("create", "/api/v1/pods?x=dryRun", ""), DryRun::No);
    assert_eq!(of("delete", "/api/v1/pods/a", ""), DryRun::Unknown);
    let options = r#","requestObject":{"kind":"DeleteOptions","dryRun":["All"]}"#;
    assert_eq!(of("delete", "/api/v1/pods/a", options), DryRun::Yes);
    let options = r#","requestObject":{"kind":"DeleteOptions"}"#;
    assert_eq!(of("delete", "/api/v1/pods/a", options), DryRun::No);
}

#[test]
fn both_transports_copies_have_one_identity() {
    let file = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","n":9007199254740995}"#;
    let webhook = br#"{"n":9007199254740995,"auditID":"a","level":"Metadata"}"#;
    assert_eq!(identity_sha256(file).unwrap(), identity_sha256(webhook).unwrap());
    let other = br#"{"auditID":"b","level":"Metadata"}"#;
    assert_ne!(identity_sha256(file).unwrap(), identity_sha256(other).unwrap());
    // echo -n '{"auditID":"a","level":"Metadata"}' | sha256sum
    assert_eq!(
        identity_sha256(br#"{"level":"Metadata","kind":"Event","auditID":"a"}"#).unwrap(),
        "b4fc2fea3b2c0eaacf29d84e2bc8601d981fa9e52591ca758f77e7d4561f4e82"
    );
}
