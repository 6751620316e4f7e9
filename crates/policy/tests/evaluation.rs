//! How rules are chosen and judged: matching, context, loops, modes, exceptions, lookups, limits.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "the helpers of a test may fail it as the test itself may"
)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use proofstream_policy::{
    Environment, Evaluation, FailurePolicy, KnownKinds, Lookup, Mode, Operation, Phase,
    PolicyException, PolicySet, Request, RuleResponse, Status, UserInfo, parse,
};
use serde_json::{Value, json};

fn policy(name: &str, rules: Value) -> Value {
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {"validationFailureAction": "Enforce", "rules": rules},
    })
}

fn rule(matched: Value, validate: Value) -> Value {
    json!([{"name": "r", "match": matched, "validate": validate}])
}

fn pods() -> Value {
    json!({"any": [{"resources": {"kinds": ["Pod"]}}]})
}

fn deny(key: &str, operator: &str, value: Value) -> Value {
    json!({"message": "no", "deny": {"conditions": {"any": [{"key": key, "operator": operator, "value": value}]}}})
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "team-a", "labels": {"app": "web", "tier/x": "1"}},
        "spec": {"containers": [
            {"name": "one", "image": "nginx", "ports": [{"containerPort": 80}, {"containerPort": 22}]},
            {"name": "two", "image": "ghcr.io/a/b:1"},
        ]},
    })
}

fn environment() -> Environment {
    Environment::at(Timestamp::UNIX_EPOCH)
}

fn compile(documents: &[Value]) -> PolicySet {
    PolicySet::compile(documents.iter().map(|document| parse(document).unwrap()).collect()).0
}

fn done(evaluation: Evaluation) -> Vec<RuleResponse> {
    match evaluation {
        Evaluation::Done(responses) => responses,
        Evaluation::Needs(lookups) => panic!("needs {lookups:?}"),
    }
}

/// Status and message of the only rule, if it is about the request.
fn judge(document: &Value, request: &Request) -> Option<(Status, String)> {
    let mut responses =
        done(compile(std::slice::from_ref(document)).evaluate(request, &environment()));
    assert!(responses.len() <= 1);
    responses.pop().map(|response| (response.status, response.message))
}

fn status(matched: Value, validate: Value, request: &Request) -> Option<Status> {
    judge(&policy("p", rule(matched, validate)), request).map(|(status, _)| status)
}

#[test]
fn filters_choose_requests() {
    let always = || json!({"deny": {}});
    let any = |filter: Value| json!({"any": [filter]});
    let resources = |resources: Value| json!({"any": [{"resources": resources}]});
    let mut request = Request::create(pod());
    request.namespace_labels = Some(BTreeMap::from([("env".to_owned(), "prod".to_owned())]));
    request.user = Some(UserInfo {
        username: "system:serviceaccount:ci:builder".to_owned(),
        groups: vec!["devs".to_owned()],
        roles: vec!["team-a:writer".to_owned()],
        cluster_roles: vec!["edit".to_owned()],
        ..UserInfo::default()
    });
    for (matched, expected) in [
        (pods(), true),
        (resources(json!({"kinds": ["v1/Pod"]})), true),
        (resources(json!({"kinds": ["apps/v1/Pod"]})), false),
        (resources(json!({"kinds": ["P*"]})), true),
        (resources(json!({"kinds": ["*"]})), true),
        (resources(json!({"kinds": ["Pod/exec"]})), false),
        (resources(json!({"kinds": ["pod"]})), false),
        (resources(json!({"kinds": ["Pod"], "names": ["q", "p*"]})), true),
        (resources(json!({"kinds": ["Pod"], "name": "q"})), false),
        (resources(json!({"kinds": ["Pod"], "namespaces": ["team-?"]})), true),
        (resources(json!({"kinds": ["Pod"], "namespaces": ["other"]})), false),
        (resources(json!({"kinds": ["Pod"], "operations": ["CREATE", "UPDATE"]})), true),
        (resources(json!({"kinds": ["Pod"], "operations": ["DELETE"]})), false),
        (resources(json!({"kinds": ["Pod"], "selector": {"matchLabels": {"app": "w*"}}})), true),
        (resources(json!({"kinds": ["Pod"], "selector": {"matchLabels": {"tier/*": "?"}}})), true),
        (resources(json!({"kinds": ["Pod"], "selector": {"matchLabels": {"none": "*"}}})), false),
        (
            resources(
                json!({"kinds": ["Pod"], "selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}}),
            ),
            false,
        ),
        (
            resources(
                json!({"kinds": ["Pod"], "namespaceSelector": {"matchLabels": {"env": "prod"}}}),
            ),
            true,
        ),
        (
            resources(
                json!({"kinds": ["Pod"], "namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}}),
            ),
            false,
        ),
        (resources(json!({"kinds": ["Pod"], "annotations": {"a": "b"}})), false),
        (json!({"resources": {"kinds": ["Pod"]}}), true),
        (
            json!({"all": [{"resources": {"kinds": ["Pod"]}}, {"resources": {"namespaces": ["other"]}}]}),
            false,
        ),
        (
            any(
                json!({"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "Group", "name": "devs"}]}),
            ),
            true,
        ),
        (
            any(
                json!({"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "User", "name": "eve"}]}),
            ),
            false,
        ),
        (
            any(
                json!({"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "ServiceAccount", "name": "builder", "namespace": "ci"}]}),
            ),
            true,
        ),
        (any(json!({"resources": {"kinds": ["Pod"]}, "clusterRoles": ["cluster-admin"]})), false),
        (any(json!({"resources": {"kinds": ["Pod"]}, "roles": ["team-a:writer"]})), true),
    ] {
        let found = status(matched.clone(), always(), &request);
        assert_eq!(found, expected.then_some(Status::Fail), "{matched}");
    }
}

#[test]
fn unknown_users_widen_a_match_and_narrow_an_exclusion() {
    let request = Request::create(pod());
    let of_admins = json!({"any": [{"resources": {"kinds": ["Pod"]}, "clusterRoles": ["admin"]}]});
    assert_eq!(status(of_admins.clone(), json!({"deny": {}}), &request), Some(Status::Fail));
    let mut rules = rule(pods(), json!({"deny": {}}));
    rules[0]["exclude"] = of_admins;
    assert_eq!(judge(&policy("p", rules), &request).map(|said| said.0), Some(Status::Fail));
}

#[test]
fn subresources_reach_the_rules_that_name_them() {
    let options = json!({"apiVersion": "v1", "kind": "PodExecOptions", "command": ["sh"]});
    let mut exec = Request::create(options);
    exec.operation = Operation::Connect;
    exec.resource.version = "v1".to_owned();
    exec.resource.resource = "pods".to_owned();
    exec.subresource = Some("exec".to_owned());
    exec.namespace = Some("team-a".to_owned());
    exec.name = Some("p".to_owned());
    let of = |kind: &str| json!({"any": [{"resources": {"kinds": [kind], "namespaces": ["team-a"], "names": ["p"]}}]});
    assert_eq!(status(of("Pod/exec"), json!({"deny": {}}), &exec), Some(Status::Fail));
    assert_eq!(status(of("*/exec"), json!({"deny": {}}), &exec), Some(Status::Fail));
    assert_eq!(status(of("Pod"), json!({"deny": {}}), &exec), None);
    exec.subresource = Some("ephemeralcontainers".to_owned());
    exec.kind.kind = "Pod".to_owned();
    assert_eq!(status(of("Pod"), json!({"deny": {}}), &exec), Some(Status::Fail));
}

#[test]
fn a_namespaced_policy_stays_in_its_namespace() {
    let mut document = policy("p", rule(pods(), json!({"deny": {}})));
    document["kind"] = json!("Policy");
    document["metadata"]["namespace"] = json!("team-a");
    let mut elsewhere = Request::create(pod());
    elsewhere.namespace = Some("team-b".to_owned());
    elsewhere.object.as_mut().unwrap()["metadata"]["namespace"] = json!("team-b");
    assert!(judge(&document, &Request::create(pod())).is_some());
    assert!(judge(&document, &elsewhere).is_none());
}

#[test]
fn variables_are_filled() {
    let request = Request::create(pod());
    for (key, value) in [
        ("{{ request.object.metadata.name }}", json!("p")),
        ("{{ request.operation }}/{{ request.namespace }}", json!("CREATE/team-a")),
        ("{{ request.object.spec.containers[0].ports[].containerPort }}", json!([80, 22])),
        ("{{ images.containers.*.registry }}", json!(["docker.io", "ghcr.io"])),
        ("{{ request.object.metadata.labels.{{ 'app' }} }}", json!("web")),
        ("{{ request.object.metadata.labels.\"tier/x\" }}", json!("1")),
        ("\\{{ left }} {{ request.kind.kind }}", json!("\\{{ left }} Pod")),
        ("{{ {a: request.name}.a }}", json!("p")),
        ("{{ request.object.metadata.labels | keys(@) | length(@) }}", json!(2)),
    ] {
        let said = judge(&policy("p", rule(pods(), deny(key, "Equals", value))), &request).unwrap();
        assert_eq!(said.0, Status::Fail, "{key}: {}", said.1);
    }
    let (status, message) = judge(
        &policy("p", rule(pods(), deny("{{ request.object.spec.missing }}", "Equals", json!(1)))),
        &request,
    )
    .unwrap();
    assert_eq!(status, Status::Error);
    assert_eq!(message, "deny conditions cannot be evaluated: unknown key `missing`");
}

#[test]
fn variables_in_patterns_and_messages_are_filled() {
    let validate = json!({
        "message": "{{ request.object.metadata.name }} must be called {{ want }}",
        "pattern": {"metadata": {"{{ key }}": "{{ want }}"}},
    });
    let mut rules = rule(pods(), validate);
    rules[0]["context"] = json!([
        {"name": "want", "variable": {"value": "q"}},
        {"name": "key", "variable": {"jmesPath": "join('', ['na', 'me'])"}},
    ]);
    let (status, message) = judge(&policy("p", rules), &Request::create(pod())).unwrap();
    assert_eq!(status, Status::Fail);
    assert_eq!(
        message,
        "p must be called q. Rule r failed at metadata.name: `p` does not match `q`"
    );
}

#[test]
fn context_entries_see_those_before_them_and_only_what_is_used_is_loaded() {
    let mut rules = rule(pods(), deny("{{ b }}", "Equals", json!("x2")));
    rules[0]["context"] = json!([
        {"name": "a", "variable": {"value": "x"}},
        {"name": "b", "variable": {"jmesPath": "join('', [a, '2'])"}},
        {"name": "unused", "variable": {"jmesPath": "request.object.missing"}},
        {"name": "unused2", "configMap": {"name": "cm", "namespace": "ns"}},
    ]);
    assert_eq!(
        judge(&policy("p", rules.clone()), &Request::create(pod())).unwrap().0,
        Status::Fail
    );
    rules[0]["validate"] = deny("{{ unused }}", "Equals", json!("x"));
    let said = judge(&policy("p", rules), &Request::create(pod())).unwrap();
    assert_eq!(said.0, Status::Error);
    assert!(said.1.contains("context entry `unused`"), "{}", said.1);
}

#[test]
fn lookups_are_asked_for_and_answered() {
    let mut rules = rule(pods(), deny("{{ cm.data.allowed }}", "NotEquals", json!("yes")));
    rules[0]["context"] = json!([
        {"name": "cm", "configMap": {"name": "{{ request.namespace }}-settings", "namespace": "conf"}},
    ]);
    let set = compile(&[policy("p", rules)]);
    let request = Request::create(pod());
    let mut environment = environment();
    let lookup =
        Lookup::ConfigMap { namespace: "conf".to_owned(), name: "team-a-settings".to_owned() };
    match set.evaluate(&request, &environment) {
        Evaluation::Needs(lookups) => assert_eq!(lookups, std::slice::from_ref(&lookup)),
        Evaluation::Done(responses) => panic!("{responses:?}"),
    }
    environment.answers.insert(lookup.clone(), Ok(json!({"data": {"allowed": "yes"}})));
    assert_eq!(done(set.evaluate(&request, &environment))[0].status, Status::Pass);
    environment.answers.insert(lookup, Err("not found".to_owned()));
    let responses = done(set.evaluate(&request, &environment));
    assert_eq!(responses[0].status, Status::Error);
    assert!(responses[0].refuses());
    // A test's mock value stands for the lookup.
    environment.answers.clear();
    environment.variables.insert("cm.data.allowed".to_owned(), json!("no"));
    assert_eq!(done(set.evaluate(&request, &environment))[0].status, Status::Fail);
}

#[test]
fn loops_judge_elements() {
    let request = Request::create(pod());
    let each = |each: Value| status(pods(), json!({"foreach": [each]}), &request);
    let list = "request.object.spec.containers";
    assert_eq!(each(json!({"list": list, "pattern": {"image": "*:1"}})), Some(Status::Fail));
    assert_eq!(each(json!({"list": list, "pattern": {"image": "*n*|*b*"}})), Some(Status::Pass));
    assert_eq!(each(json!({"list": "request.object.spec.none", "deny": {}})), Some(Status::Skip));
    let conditions = |key: &str, value: Value| json!({"conditions": {"all": [{"key": key, "operator": "Equals", "value": value}]}});
    assert_eq!(
        each(json!({"list": list, "deny": conditions("{{ elementIndex }}", json!(1))})),
        Some(Status::Fail)
    );
    assert_eq!(
        each(json!({"list": list, "deny": conditions("{{ elementIndex }}", json!(2))})),
        Some(Status::Pass)
    );
    let picky = json!({
        "list": list,
        "context": [{"name": "n", "variable": {"jmesPath": "element.name"}}],
        "preconditions": {"all": [{"key": "{{ n }}", "operator": "Equals", "value": "two"}]},
        "pattern": {"image": "*:1"},
    });
    assert_eq!(each(picky), Some(Status::Pass));
    let nested = |port: i64| {
        json!({
            "list": list,
            "foreach": [{
                "list": "element.ports || `[]`",
                "deny": conditions("{{ element0.name }}:{{ element1.containerPort }}", json!(format!("one:{port}"))),
            }],
        })
    };
    assert_eq!(each(nested(22)), Some(Status::Fail));
    assert_eq!(each(nested(23)), Some(Status::Pass));
    let whole =
        json!({"list": list, "elementScope": false, "pattern": {"metadata": {"name": "p"}}});
    assert_eq!(each(whole), Some(Status::Pass));
}

#[test]
fn preconditions_and_any_pattern() {
    let request = Request::create(pod());
    let mut rules = rule(pods(), json!({"deny": {}}));
    rules[0]["preconditions"] =
        json!([{"key": "{{ request.operation }}", "operator": "In", "value": ["DELETE"]}]);
    let said = judge(&policy("p", rules), &request).unwrap();
    assert_eq!(said, (Status::Skip, "preconditions not met".to_owned()));
    let any = |patterns: Value| status(pods(), json!({"anyPattern": patterns}), &request);
    assert_eq!(
        any(json!([{"metadata": {"name": "x"}}, {"metadata": {"name": "p"}}])),
        Some(Status::Pass)
    );
    assert_eq!(
        any(json!([{"metadata": {"name": "x"}}, {"metadata": {"(name)": "y"}}])),
        Some(Status::Fail)
    );
    assert_eq!(any(json!([{"metadata": {"(name)": "y"}}])), Some(Status::Skip));
}

#[test]
fn modes_follow_rule_policy_and_namespace() {
    let mut document = policy("p", rule(pods(), json!({"deny": {}})));
    let mode = |document: &Value| {
        let responses = done(
            compile(std::slice::from_ref(document))
                .evaluate(&Request::create(pod()), &environment()),
        );
        (responses[0].mode, responses[0].refuses())
    };
    assert_eq!(mode(&document), (Mode::Enforce, true));
    document["spec"]["validationFailureActionOverrides"] =
        json!([{"action": "Audit", "namespaces": ["team-*"]}]);
    assert_eq!(mode(&document), (Mode::Audit, false));
    document["spec"]["rules"][0]["validate"]["failureAction"] = json!("Enforce");
    assert_eq!(mode(&document), (Mode::Enforce, true));
    document["spec"]["rules"][0]["validate"]["failureActionOverrides"] =
        json!([{"action": "Audit", "namespaces": ["team-a"]}]);
    assert_eq!(mode(&document), (Mode::Audit, false));
}

#[test]
fn apply_one_ends_at_the_first_decision() {
    let mut document = policy(
        "p",
        json!([
            {"name": "a", "match": pods(), "validate": {"pattern": {"metadata": {"(name)": "x"}}}},
            {"name": "b", "match": pods(), "validate": {"deny": {}}},
            {"name": "c", "match": pods(), "validate": {"deny": {}}},
        ]),
    );
    let names = |document: &Value| -> Vec<String> {
        let responses = done(
            compile(std::slice::from_ref(document))
                .evaluate(&Request::create(pod()), &environment()),
        );
        responses.iter().map(|response| response.rule.to_string()).collect()
    };
    assert_eq!(names(&document), ["a", "b", "c"]);
    document["spec"]["applyRules"] = json!("One");
    assert_eq!(names(&document), ["a", "b"]);
}

#[test]
fn what_is_not_evaluated_is_never_a_pass() {
    let mut rules = rule(pods(), json!({"manifests": {}}));
    let (status, message) = judge(&policy("p", rules.clone()), &Request::create(pod())).unwrap();
    assert_eq!(
        (status, message.as_str()),
        (Status::NotSupported, "`validate.manifests` is not evaluated by this version")
    );
    rules[0].as_object_mut().unwrap().remove("validate");
    rules[0]["verifyImages"] = json!([{"imageReferences": ["*"]}]);
    let set = compile(&[policy("p", rules)]);
    let responses = done(set.evaluate(&Request::create(pod()), &environment()));
    assert_eq!(responses[0].status, Status::NotSupported);
    assert!(responses[0].refuses());
}

#[test]
fn exceptions_exempt_what_they_name() {
    let exception = |rules: Value, conditions: Value| {
        let document = json!({
            "apiVersion": "kyverno.io/v2", "kind": "PolicyException",
            "metadata": {"name": "e", "namespace": "n"},
            "spec": {
                "match": {"any": [{"resources": {"kinds": ["Pod"], "names": ["p"]}}]},
                "exceptions": [{"policyName": "p", "ruleNames": rules}],
                "conditions": conditions,
            },
        });
        PolicyException::parse(&document).unwrap()
    };
    let judged = |exception: PolicyException| {
        let policies = vec![parse(&policy("p", rule(pods(), json!({"deny": {}})))).unwrap()];
        let (set, _) = PolicySet::with_exceptions(policies, vec![exception]);
        let mut responses = done(set.evaluate(&Request::create(pod()), &environment()));
        responses.pop().map(|response| (response.status, response.message))
    };
    let holds = json!({"any": [{"key": "{{ request.namespace }}", "operator": "Equals", "value": "team-a"}]});
    let exempted = Some((Status::Skip, "exempted by exception `n/e`".to_owned()));
    assert_eq!(judged(exception(json!(["r*"]), Value::Null)), exempted);
    assert_eq!(judged(exception(json!(["r"]), holds)), exempted);
    let fails =
        json!({"any": [{"key": "{{ request.missing }}", "operator": "Equals", "value": "x"}]});
    for exception in [exception(json!(["r"]), fails), exception(json!(["other"]), Value::Null)] {
        assert_eq!(judged(exception).unwrap().0, Status::Fail);
    }
}

#[test]
fn a_rule_against_updates_holds_although_the_object_stays_the_same() {
    let mut request = Request::create(pod());
    request.operation = Operation::Update;
    request.old_object = request.object.clone();
    let validate = deny("{{ request.operation }}", "Equals", json!("UPDATE"));
    assert_eq!(status(pods(), validate, &request), Some(Status::Fail));
    let validate = deny("{{ request.object.metadata.name }}", "Equals", json!("p"));
    assert_eq!(status(pods(), validate.clone(), &request), Some(Status::Skip));
    let mut rules = rule(pods(), validate);
    rules[0]["validate"]["allowExistingViolations"] = json!(false);
    assert_eq!(judge(&policy("p", rules), &request).unwrap().0, Status::Fail);
}

#[test]
fn webhooks_are_asked_only_about_what_policies_name() {
    let mut ignoring = policy(
        "b",
        rule(
            json!({"any": [{"resources": {"kinds": ["apps/v1/Deployment", "Pod/exec", "Widget"]}}]}),
            json!({"deny": {}}),
        ),
    );
    ignoring["spec"]["webhookConfiguration"] =
        json!({"failurePolicy": "Ignore", "timeoutSeconds": 5});
    let confined = rule(
        json!({"any": [{"resources": {"kinds": ["Pod"], "namespaces": ["a", "b-*"], "operations": ["CREATE"]}}]}),
        json!({"deny": {}}),
    );
    let mut strict = policy("a", confined);
    strict["metadata"]["annotations"] =
        json!({"pod-policies.kyverno.io/autogen-controllers": "none"});
    let scopes =
        compile(&[ignoring, strict]).admission_scope(&KnownKinds::default(), Phase::Validate);
    assert_eq!(scopes[0].failure_policy, FailurePolicy::Fail);
    insta::assert_debug_snapshot!(scopes);
}

#[test]
fn rules_that_nothing_can_meet_are_named() {
    let of = |name: &str, resources: Value| {
        policy(name, rule(json!({"any": [{"resources": resources}]}), json!({"deny": {}})))
    };
    let set = compile(&[
        of("a", json!({"kinds": ["Pod"], "namespaces": ["Payments"]})),
        of("b", json!({"kinds": ["Podd"]})),
        of("c", json!({"kinds": ["Pod"]})),
    ]);
    let pods = proofstream_policy::GroupVersionKind::from_api_version("v1", "Pod");
    let known = KnownKinds::discovered([(pods, "pods".to_owned())]);
    let said: Vec<String> = set
        .matches_nothing(&known)
        .into_iter()
        .map(|found| format!("{}/{}: {}", found.policy, found.rule, found.reason))
        .collect();
    assert_eq!(
        said,
        ["a/r: no namespace can be called `Payments`", "b/r: the cluster serves no kind `Podd`"]
    );
    // Without discovery an unknown kind may be someone's own.
    assert_eq!(set.matches_nothing(&KnownKinds::default()).len(), 1);
}

#[test]
fn rules_about_namespaces_that_are_not_there_are_named() {
    let of = |name: &str, found: Value| policy(name, rule(found, json!({"deny": {}})));
    let pods =
        |namespaces: Value| json!({"resources": {"kinds": ["Pod"], "namespaces": namespaces}});
    let set = compile(&[
        of("misspelt", json!({"any": [pods(json!(["prodction-*"]))]})),
        of("one-is-there", json!({"any": [pods(json!(["prodction-*"])), pods(json!(["pay*"]))]})),
        of("both-must-be", json!({"all": [pods(json!(["prodction-*"])), pods(json!(["pay*"]))]})),
        of("anywhere", json!({"any": [{"resources": {"kinds": ["Pod"]}}]})),
    ]);
    let there = ["default", "payments"].map(str::to_owned).into();
    let said: Vec<String> = set
        .matches_no_namespace(&there)
        .into_iter()
        .map(|found| format!("{}: {}", found.policy, found.reason))
        .collect();
    let reason = "no namespace is called `prodction-*` now";
    assert_eq!(said, [format!("both-must-be: {reason}"), format!("misspelt: {reason}")]);
}

#[test]
fn hostile_policies_end_with_an_error() {
    // A variable that brings itself in again.
    let mut request = Request::create(pod());
    request.object.as_mut().unwrap()["metadata"]["annotations"] =
        json!({"loop": "x{{ request.object.metadata.annotations.loop }}"});
    let key = "{{ request.object.metadata.annotations.loop }} ";
    let (status, message) =
        judge(&policy("p", rule(pods(), deny(key, "Equals", json!("x")))), &request).unwrap();
    assert_eq!(status, Status::Error, "{message}");
    // A loop over loops over many elements.
    let many = json!((0..2_000).collect::<Vec<_>>());
    let mut rules = rule(
        pods(),
        json!({"foreach": [{"list": "many", "foreach": [{
            "list": "many[?@ > `0`]", "deny": {"conditions": {"all": [{"key": "{{ element }}", "operator": "Equals", "value": -1}]}},
        }]}]}),
    );
    rules[0]["context"] = json!([{"name": "many", "variable": {"value": many}}]);
    let (status, message) = judge(&policy("p", rules), &request).unwrap();
    assert_eq!(status, Status::Error);
    assert!(message.contains("steps"), "{message}");
}

#[test]
fn two_policies_of_one_name_are_told() {
    let document = policy("p", rule(pods(), json!({"deny": {}})));
    let policies = vec![parse(&document).unwrap(), parse(&document).unwrap()];
    let (set, duplicates) = PolicySet::compile(policies);
    assert_eq!(set.policies().len(), 1);
    assert_eq!(duplicates[0].to_string(), "another policy is called `p`");
}

#[test]
fn a_rule_that_asks_for_roles_is_an_error_while_they_are_not_known() {
    let mut request = Request::create(pod());
    request.user = Some(UserInfo {
        username: "alice".to_owned(),
        roles_unknown: Some("not read yet".to_owned()),
        ..UserInfo::default()
    });
    let deny = || json!({"deny": {}});
    let of =
        |kind: &str| json!({"any": [{"resources": {"kinds": [kind]}, "clusterRoles": ["edit"]}]});
    let said = judge(&policy("p", rule(of("Pod"), deny())), &request).unwrap();
    assert_eq!(said, (Status::Error, "the user's roles are not known: not read yet".to_owned()));
    assert_eq!(status(of("Secret"), deny(), &request), None, "no role makes it about a Pod");
    let reads = json!({"deny": {"conditions": {"any": [
        {"key": "edit", "operator": "AnyIn", "value": "{{ request.clusterRoles }}"}]}}});
    assert_eq!(status(pods(), reads, &request), Some(Status::Error));
    let mut excluding = rule(pods(), deny());
    excluding[0]["exclude"] = of("Pod");
    assert_eq!(judge(&policy("p", excluding.clone()), &request).unwrap().0, Status::Error);
    excluding[0]["exclude"] = json!({"any": [
        {"resources": {"kinds": ["Pod"]}, "clusterRoles": ["edit"]}, {"resources": {"kinds": ["P*"]}}]});
    assert_eq!(judge(&policy("p", excluding), &request), None, "excluded whoever asks");
    assert_eq!(status(pods(), deny(), &request), Some(Status::Fail), "nobody asks for roles");
}
