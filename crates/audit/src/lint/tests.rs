//! Policies with one thing wrong, the article's, the recommended one, and random ones.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ARTICLE: &str = include_str!("../../../../examples/article/audit-policy.yaml");

fn yaml(text: &str) -> Value {
    serde_yaml_ng::from_str(text).expect("YAML")
}

fn policy(rules: &str) -> Value {
    yaml(&format!(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n\
         omitManagedFields: true\nrules:\n{rules}"
    ))
}

/// `number@rule`, or `number` where no rule is to blame.
fn found(document: &Value) -> Vec<String> {
    let report = lint(document, None).expect("a policy");
    let name = |finding: &Finding| match finding.rule {
        Some(rule) => format!("{}@{rule}", finding.number),
        None => finding.number.to_string(),
    };
    report.findings.iter().map(name).collect()
}

#[track_caller]
fn check(rules: &str, expected: &[&str]) {
    let document = policy(rules);
    assert_eq!(found(&document), expected, "{rules}");
    assert_clean(&document);
}

/// All corrections together leave nothing to find.
#[track_caller]
fn assert_clean(document: &Value) {
    let corrected = corrected(document).expect("a policy");
    let document = serde_json::to_value(&corrected).expect("JSON");
    let left = lint(&document, None).expect("a policy").findings;
    assert!(left.is_empty(), "{left:#?}\n{}", serde_yaml_ng::to_string(&document).expect("YAML"));
}

fn told(finding: &Finding) -> String {
    let Finding { number, check, severity, path, message, requests, fix, .. } = finding;
    let requests = requests.join("; ");
    format!(
        "{number} {check} ({severity:?}) {path}\n  {message}\n  {requests}\n  {}:\n{}\n",
        fix.place(),
        fix.yaml()
    )
}

const ALL: &str = "- level: Metadata\n";

#[test]
fn the_recommended_policy_has_no_findings() {
    let flags = recommended()
        .lines()
        .filter_map(|line| line.strip_prefix("#   --"))
        .fold(String::new(), |text, flag| format!("{text}--{flag}\n"));
    let flags = Flags::of_text(&flags).expect("flags");
    let report = lint(&yaml(recommended()), Some(&flags)).expect("a policy");
    assert_eq!(report.findings, []);
    assert_eq!(report.not_evaluated, Vec::<String>::new());
}

#[test]
fn the_article_s_policy_has_the_findings_of_an_expert() {
    let report = lint(&yaml(ARTICLE), None).expect("a policy");
    insta::assert_snapshot!(report.findings.iter().map(told).collect::<String>());
    assert_clean(&yaml(ARTICLE));
}

#[test]
fn what_is_well_has_no_findings() {
    check(ALL, &["10@0"]);
    // Narrow exceptions for what the cluster says to itself are no blind spot.
    check(
        "- {level: None, users: ['system:kube-proxy'], verbs: [watch], resources: [{group: '', resources: [endpoints, services]}]}
- {level: None, userGroups: ['system:nodes'], verbs: [get], resources: [{group: '', resources: [nodes, nodes/status]}]}
- {level: None, nonResourceURLs: ['/healthz*', /version]}
- {level: Metadata}",
        &["10@3"],
    );
}

#[test]
fn what_no_rule_matches_is_found() {
    check(
        "- {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}",
        &["1", "4", "9", "10@0"],
    );
    // A rule about everything that drops it is no catch-all.
    let last = "- {level: Metadata, verbs: [get, list, watch]}\n- {level: None}";
    check(last, &["1@1", "4@1", "10@1"]);
}

#[test]
fn rules_that_are_never_reached_are_found() {
    let earlier = format!("{ALL}- {{level: None, verbs: [get]}}");
    check(&earlier, &["2@1", "10@0"]);
    // Together the two before it leave nothing.
    let two = "- {level: Metadata, verbs: [get, list, watch], resources: [{group: '', resources: [pods]}]}
- {level: Metadata, verbs: [create, update, patch, delete, deletecollection], resources: [{group: '', resources: [pods]}]}
- {level: Request, resources: [{group: '', resources: [pods]}]}
- {level: Metadata}";
    check(two, &["2@2", "10@3"]);
    check(&format!("- {{level: Request, verbs: ['*']}}\n{ALL}"), &["2@0", "10@1"]);
    check(&format!("- {{level: None, namespaces: ['team-*']}}\n{ALL}"), &["2@0", "10@1"]);
    check(&format!("- {{level: None, users: ['system:node:*']}}\n{ALL}"), &["2@0", "10@1"]);
}

#[test]
fn groups_and_scopes_are_held_against_what_there_is() {
    let rule = |rest: &str| format!("- {{level: Metadata, {rest}}}\n{ALL}");
    check(&rule("resources: [{group: core, resources: [pods]}]"), &["10@1", "11@0"]);
    check(&rule("resources: [{group: '', resources: [deployments]}]"), &["10@1", "11@0"]);
    check(&rule("resources: [{group: apps, resources: [Deployment]}]"), &["10@1", "11@0"]);
    check(&rule("resources: [{group: '', resources: [pods/exce]}]"), &["10@1", "11@0"]);
    check(&rule("resources: [{group: metrics.k8s.io, resources: [pods]}]"), &["10@1"]);
    check(&rule("namespaces: [a], resources: [{group: '', resources: [nodes]}]"), &["3@0", "10@1"]);
    check(&rule("namespaces: [a, ''], resources: [{group: '', resources: [nodes]}]"), &["10@1"]);
    check(&rule("namespaces: [a], resources: [{group: '', resources: [namespaces]}]"), &["10@1"]);
}

#[test]
fn what_is_dropped_is_found() {
    let drop = |rest: &str| format!("- {{level: None, {rest}}}\n{ALL}");
    check(&drop("verbs: [get], resources: [{group: '', resources: ['pods/*']}]"), &["4@0", "10@1"]);
    check(
        &drop("resources: [{group: '', resources: [secrets], resourceNames: [db]}]"),
        &["9@0", "10@1"],
    );
    check(&drop("userGroups: ['system:nodes']"), &["10@1", "12@0"]);
    check(&drop("users: [alice], verbs: [get, list, watch]"), &["10@1", "12@0"]);
    check(
        "- {level: Metadata, verbs: [create, delete], resources: [{group: '', resources: [pods]}]}
- {level: None, verbs: [create, deletecollection], resources: [{group: '', resources: [pods, pods/exec]}]}
- {level: Metadata}",
        &["4@1", "5@0", "6@0", "10@2"],
    );
}

#[test]
fn bodies_are_found() {
    let body = |level: &str, rest: &str| format!("- {{level: {level}, {rest}}}\n{ALL}");
    check(&body("Request", "verbs: [update], resources: [{group: ''}]"), &["7@0", "10@1"]);
    check(
        &body("Request", "verbs: [get, list], resources: [{group: '', resources: [secrets]}]"),
        &["10@1"],
    );
    check(&body("RequestResponse", "resources: [{group: apps}]"), &["8@0", "10@1"]);
    check("- {level: RequestResponse}", &["7@0", "8@0"]);
}

#[test]
fn stages_and_fields_are_found() {
    let with = |fields: &str| {
        yaml(&format!(
            "{{apiVersion: audit.k8s.io/v1, kind: Policy, {fields}, rules: [{{level: RequestResponse, verbs: [create, \
             update, patch, delete], resources: [{{group: rbac.authorization.k8s.io}}, {{group: \
             admissionregistration.k8s.io}}]}}, {{level: Metadata}}]}}"
        ))
    };
    let full = "omitStages: [RequestReceived], omitManagedFields: true";
    assert_eq!(found(&with(full)), ["5@0"]);
    assert_eq!(found(&with("omitManagedFields: true")), ["5@0", "13"]);
    assert_eq!(found(&with("omitStages: [RequestReceived]")), ["5@0", "14@0"]);
    let omitted = "omitManagedFields: true, omitStages: [RequestReceived, Panic, ResponseStarted]";
    assert_eq!(found(&with(omitted)), ["5@0", "15", "15"]);
    assert_eq!(found(&with(&full.replace("omitStages", "omitStage"))), ["0", "5@0", "13"]);
    assert_clean(&with(omitted));
    let strict = Flags::of_text(
        "--audit-policy-file=p --audit-log-path=l --audit-log-mode=blocking-strict --audit-log-maxage=30 \
         --audit-log-maxbackup=10 --audit-log-maxsize=100",
    );
    let report = lint(&with(full), Some(&strict.expect("flags"))).expect("a policy");
    let strict = report.findings.iter().find(|finding| finding.number == 13).expect("13");
    assert_eq!((strict.severity, strict.fix.place().as_str()), (Severity::Error, "beside `rules`"));
}

#[test]
fn flags_are_found() {
    let said = |text: &str| {
        let flags = Flags::of_text(text).expect("flags");
        let report = lint(&yaml(recommended()), Some(&flags)).expect("a policy");
        report.findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
    };
    insta::assert_json_snapshot!([
        said("--v=2"),
        said(
            "--audit-policy-file=p --audit-webhook-config-file=w --audit-webhook-batch-buffer-size=100"
        ),
        said(
            "--audit-policy-file=p --audit-log-path=- --audit-log-format=legacy --audit-log-mode=batch"
        ),
        said(
            "--audit-policy-file=p --audit-log-path=l --audit-log-maxage=7 --audit-log-truncate-enabled"
        ),
    ]);
}

#[test]
fn what_the_api_server_refuses_is_refused_with_its_place() {
    let problems = |text: &str| {
        let error = AuditPolicy::parse(&yaml(text)).expect_err(text);
        error.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    insta::assert_json_snapshot!([
        problems("[]"),
        problems("{apiVersion: audit.k8s.io/v1beta1, kind: Policy, rules: [{level: None}]}"),
        problems("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: []}"),
        problems(
            "{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [Never], omitManagedFields: 1, rules: [{}, \
             {level: metadata}, {level: None, verbs: get}, {level: None, nonResourceURLs: ['*a', /b*c, x]}, \
             {level: None, nonResourceURLs: [/x], namespaces: [a]}, {level: None, resources: \
             [{group: apps/v1}, {resourceNames: [x]}, 3]}]}",
        ),
    ]);
}

fn texts(known: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    vec(proptest::sample::select(known), 0..3)
}

fn any_rule() -> impl Strategy<Value = Value> {
    let entry = (
        proptest::sample::select(
            &["", "apps", "rbac.authorization.k8s.io", "*", "core", "x.example"][..],
        ),
        texts(&[
            "pods",
            "secrets",
            "pods/exec",
            "*",
            "*/status",
            "clusterroles",
            "Deployment",
            "nodes",
            "pod*",
        ]),
        texts(&["db", "web"]),
    );
    let entry = entry.prop_map(|(group, resources, names)| {
        let names = if resources.is_empty() { Vec::new() } else { names };
        json!({"group": group, "resources": resources, "resourceNames": names})
    });
    (
        proptest::sample::select(&["None", "Metadata", "Request", "RequestResponse"][..]),
        texts(&["get", "list", "create", "delete", "deletecollection", "*", "update"]),
        texts(&["alice", "system:node:n", "system:*"]),
        texts(&["system:nodes", "system:authenticated", "system:unauthenticated"]),
        texts(&["payments", "", "team-*"]),
        vec(entry, 0..3),
        texts(&["RequestReceived", "Panic", "ResponseStarted"]),
    )
        .prop_map(|(level, verbs, users, groups, namespaces, resources, stages)| {
            json!({"level": level, "verbs": verbs, "users": users, "userGroups": groups,
                "namespaces": namespaces, "resources": resources, "omitStages": stages})
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a policy is, its corrections leave nothing to find, and what they leave is a policy.
    #[test]
    fn corrections_remove_what_was_found(rules in vec(any_rule(), 1..6)) {
        let document = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules});
        assert_clean(&document);
    }
}
