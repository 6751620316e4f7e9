//! The Pod Security Standards: against their own fixtures in every version, and as rules.
//!
//! The fixtures stand beside the project (`../shared/conformance/pod-security`);
//! `PROOFSTREAM_CONFORMANCE` names another place; where there are none, the test says so and passes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by panicking"
)]
#![allow(clippy::too_many_lines, reason = "the tables are long")]

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proofstream_policy::pod_security::{Level, Pod, Version, evaluate, pod_of};
use proofstream_policy::{
    Environment, Evaluation, PolicyException, PolicySet, Request, RuleResponse, Status, parse,
};
use serde_json::{Value, json};

fn fixtures() -> Option<PathBuf> {
    let root = std::env::var_os("PROOFSTREAM_CONFORMANCE")
        .map_or_else(|| PathBuf::from("../../../shared/conformance"), PathBuf::from);
    Some(root.join("pod-security")).filter(|path| path.is_dir())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

fn broken(level: Level, version: Version, object: &Value) -> Vec<(String, String)> {
    let template = pod_of(object["kind"].as_str().unwrap(), object).unwrap();
    let pod = Pod::read(template.metadata, template.spec).unwrap();
    let found = evaluate(level, version, &pod);
    found.into_iter().map(|each| (each.check.to_lowercase(), each.detail)).collect()
}

#[test]
fn every_fixture_of_every_version_is_judged_as_it_says() {
    let Some(root) = fixtures() else {
        println!("SKIPPED: no ../shared/conformance/pod-security; set PROOFSTREAM_CONFORMANCE");
        return;
    };
    let (mut judged, mut wrong) = (0, Vec::new());
    for level in ["baseline", "restricted"] {
        for folder in entries(&root.join(level)) {
            // `v1.30` has no extension in the sense of a file.
            let version: Version = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
            for outcome in ["pass", "fail"] {
                for file in entries(&folder.join(outcome)) {
                    let text = std::fs::read_to_string(&file).unwrap();
                    let object: Value = serde_yaml_ng::from_str(&text).unwrap();
                    let found = broken(level.parse().unwrap(), version, &object);
                    // A failing pod fails the check that its file is named after, or the one of
                    // `restricted` that says more.
                    let right = if outcome == "pass" {
                        found.is_empty()
                    } else {
                        let check = name(&file).trim_end_matches(|c: char| c.is_ascii_digit());
                        let stricter = match check {
                            "capabilities_baseline" => "capabilities_restricted",
                            "hostpathvolumes" => "restrictedvolumes",
                            "procmount" => "procmount_restricted",
                            "seccompprofile_baseline" => "seccompprofile_restricted",
                            other => other,
                        };
                        found.iter().any(|(id, _)| id == check || id == stricter)
                    };
                    judged += 1;
                    if !right {
                        wrong.push(format!("{}: {found:?}", file.display()));
                    }
                }
            }
        }
    }
    println!("pod security: {judged} fixtures");
    assert!(judged > 2_000, "the fixtures are not there: {judged}");
    assert!(wrong.is_empty(), "{} of {judged} are judged wrongly: {wrong:#?}", wrong.len());
}

/// A pod that `restricted` lets run, with changes.
fn pod(changes: &[(&str, Value)]) -> Value {
    let container = |name: &str, image: &str| {
        json!({"name": name, "image": image, "securityContext": {
            "allowPrivilegeEscalation": false, "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }})
    };
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": {}},
        "spec": {
            "containers": [container("app", "ghcr.io/acme/app:1"), container("proxy", "nginx:1")],
            "initContainers": [container("init", "busybox")],
            "securityContext": {},
        },
    });
    for (pointer, value) in changes {
        set(&mut pod, pointer, value.clone());
    }
    pod
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match value {
        Value::Null => {
            parent.as_object_mut().unwrap().remove(key);
        }
        value => parent[key] = value,
    }
}

const APP: &str = "/spec/containers/0/securityContext";
const PROXY: &str = "/spec/containers/1/securityContext";
const INIT: &str = "/spec/initContainers/0/securityContext";

#[test]
fn versions_change_what_is_checked() {
    let sysctl = |name: &str| {
        pod(&[("/spec/securityContext", json!({"sysctls": [{"name": name, "value": "1"}]}))])
    };
    let cases = [
        (sysctl("net.ipv4.tcp_rmem"), "v1.31", true),
        (sysctl("net.ipv4.tcp_rmem"), "v1.32", false),
        (sysctl("net.ipv4.tcp_keepalive_time"), "v1.28", true),
        (sysctl("net.ipv4.tcp_keepalive_time"), "v1.29", false),
        (sysctl("kernel.msgmax"), "latest", true),
        (
            pod(&[(&format!("{APP}/seLinuxOptions"), json!({"type": "container_engine_t"}))]),
            "v1.30",
            true,
        ),
        (
            pod(&[(&format!("{APP}/seLinuxOptions"), json!({"type": "container_engine_t"}))]),
            "v1.31",
            false,
        ),
        (
            pod(&[(&format!("{APP}/runAsUser"), json!(0)), ("/spec/hostUsers", json!(false))]),
            "v1.34",
            true,
        ),
        (
            pod(&[(&format!("{APP}/runAsUser"), json!(0)), ("/spec/hostUsers", json!(false))]),
            "v1.35",
            false,
        ),
        (pod(&[(&format!("{APP}/runAsUser"), json!(0))]), "v1.22", false),
        (
            pod(&[
                (&format!("{APP}/procMount"), json!("Unmasked")),
                ("/spec/hostUsers", json!(false)),
            ]),
            "latest",
            true,
        ),
        (
            pod(&[(
                "/metadata/annotations",
                json!({"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}),
            )]),
            "v1.18",
            true,
        ),
        (
            pod(&[(
                "/metadata/annotations",
                json!({"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}),
            )]),
            "v1.19",
            false,
        ),
        (
            pod(&[
                (&format!("{APP}/capabilities"), Value::Null),
                ("/spec/os", json!({"name": "windows"})),
            ]),
            "v1.24",
            true,
        ),
        (
            pod(&[
                (&format!("{APP}/capabilities"), Value::Null),
                ("/spec/os", json!({"name": "windows"})),
            ]),
            "v1.25",
            false,
        ),
        (
            pod(&[(
                "/spec/containers/0/livenessProbe",
                json!({"tcpSocket": {"host": "10.0.0.1"}}),
            )]),
            "v1.33",
            false,
        ),
        (
            pod(&[(
                "/spec/containers/0/livenessProbe",
                json!({"tcpSocket": {"host": "10.0.0.1"}}),
            )]),
            "v1.34",
            true,
        ),
    ];
    for (object, version, breaks) in cases {
        let found = broken(Level::Restricted, version.parse().unwrap(), &object);
        assert_eq!(!found.is_empty(), breaks, "{version}: {found:?} for {object}");
        assert!(broken(Level::Privileged, Version::Latest, &object).is_empty());
    }
}

#[test]
fn details_name_who_and_what() {
    let object = pod(&[
        (&format!("{APP}/privileged"), json!(true)),
        (&format!("{INIT}/privileged"), json!(true)),
        (&format!("{PROXY}/runAsNonRoot"), json!(false)),
        (
            "/spec/securityContext",
            json!({"runAsNonRoot": false, "seLinuxOptions": {"user": "u", "type": "t"}}),
        ),
        ("/spec/containers/1/ports", json!([{"hostPort": 80}, {"hostPort": 0}, {"hostPort": 443}])),
        (
            "/spec/volumes",
            json!([{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "nfs": {}}]),
        ),
        (
            "/metadata/annotations",
            json!({"container.apparmor.security.beta.kubernetes.io/app": "unconfined"}),
        ),
    ]);
    insta::assert_json_snapshot!(broken(Level::Restricted, Version::Latest, &object));
}

fn judge(rule: &Value, exceptions: &[Value], object: Value) -> RuleResponse {
    let policy = json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "pss"},
        "spec": {"rules": [{
            "name": "check", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "validate": {"podSecurity": rule},
        }]},
    });
    let exceptions = exceptions.iter().map(|each| PolicyException::parse(each).unwrap()).collect();
    let (set, _) = PolicySet::with_exceptions(vec![parse(&policy).unwrap()], exceptions);
    let environment = Environment::at(Timestamp::UNIX_EPOCH);
    match set.evaluate(&Request::create(object), &environment) {
        Evaluation::Done(mut responses) => {
            assert_eq!(responses.len(), 1, "{responses:?}");
            responses.remove(0)
        }
        Evaluation::Needs(needs) => panic!("{needs:?}"),
    }
}

#[test]
fn controls_are_excluded_for_images_fields_and_values() {
    let drop = format!("{PROXY}/capabilities");
    let add = json!({"drop": ["ALL"], "add": ["SYS_TIME"]});
    let field = "spec.containers[*].securityContext.capabilities.add";
    let excluding = |exclude: Value| json!({"level": "restricted", "exclude": [exclude]});
    let named = |images: Value| json!({"controlName": "Capabilities", "images": images});
    let valued = |values: Value| json!({"controlName": "Capabilities", "images": ["nginx*"], "restrictedField": field, "values": values});
    let with_caps = || pod(&[(&drop, add.clone())]);
    let probe = json!({"httpGet": {"host": "localhost", "port": 1}});
    let probing = || pod(&[("/spec/containers/1/livenessProbe", probe.clone())]);
    let cases = [
        (json!({"level": "restricted"}), with_caps(), Status::Fail),
        (
            json!({"level": "restricted", "version": "v1.21"}),
            pod(&[(&drop, Value::Null)]),
            Status::Pass,
        ),
        (excluding(named(json!(["nginx*"]))), with_caps(), Status::Pass),
        (excluding(named(json!(["busybox"]))), with_caps(), Status::Fail),
        (excluding(valued(json!(["SYS_TIME"]))), with_caps(), Status::Pass),
        (excluding(valued(json!(["SYS_*"]))), with_caps(), Status::Pass),
        (excluding(valued(json!(["SYS_ADMIN"]))), with_caps(), Status::Fail),
        // The field of init containers is another one.
        (
            excluding(valued(json!(["SYS_TIME"]))),
            pod(&[(&format!("{INIT}/capabilities"), add.clone())]),
            Status::Fail,
        ),
        (excluding(json!({"controlName": "Sysctls"})), with_caps(), Status::Fail),
        (
            excluding(json!({"controlName": "Host Namespaces"})),
            pod(&[("/spec/hostPID", json!(true))]),
            Status::Pass,
        ),
        (
            excluding(
                json!({"controlName": "Host Namespaces", "restrictedField": "spec.hostPID", "values": ["true"]}),
            ),
            pod(&[("/spec/hostPID", json!(true)), ("/spec/hostIPC", json!(true))]),
            Status::Fail,
        ),
        // Of the pod itself, without images; of containers, with them.
        (
            excluding(json!({"controlName": "Seccomp"})),
            pod(&[("/spec/securityContext", json!({"seccompProfile": {"type": "Unconfined"}}))]),
            Status::Pass,
        ),
        (
            excluding(json!({"controlName": "Seccomp", "images": ["nginx*"]})),
            pod(&[(&format!("{PROXY}/seccompProfile"), json!({"type": "Unconfined"}))]),
            Status::Pass,
        ),
        (
            excluding(json!({"controlName": "Seccomp", "images": ["nginx*"]})),
            pod(&[(&format!("{APP}/seccompProfile"), json!({"type": "Unconfined"}))]),
            Status::Fail,
        ),
        (
            excluding(json!({"controlName": "procMount", "images": ["nginx:?"]})),
            pod(&[(&format!("{PROXY}/procMount"), json!("Unmasked"))]),
            Status::Pass,
        ),
        (
            excluding(json!({"controlName": "Host Probes / Lifecycle Hooks", "images": ["*"]})),
            probing(),
            Status::Pass,
        ),
        (json!({"level": "baseline"}), probing(), Status::Fail),
        (json!({"level": "privileged"}), probing(), Status::Pass),
        (
            json!({"level": "baseline"}),
            pod(&[(&format!("{APP}/privileged"), json!("true"))]),
            Status::Error,
        ),
    ];
    for (rule, object, status) in cases {
        let response = judge(&rule, &[], object.clone());
        assert_eq!(response.status, status, "{rule}: {} for {object}", response.message);
    }
}

#[test]
fn controllers_are_judged_by_their_templates() {
    let spec = pod(&[("/spec/hostNetwork", json!(true))])["spec"].take();
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d"}, "spec": {"template": {"spec": spec.clone()}}});
    let response = judge(&json!({"level": "baseline"}), &[], deployment);
    assert_eq!((&*response.rule, response.status), ("autogen-check", Status::Fail));
    assert_eq!(response.path.as_deref(), Some("spec.template.spec.hostNetwork"));
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}});
    let response = judge(&json!({"level": "baseline"}), &[], cron);
    assert_eq!((&*response.rule, response.status), ("autogen-cronjob-check", Status::Fail));
}

#[test]
fn exceptions_excuse_a_rule_or_some_of_its_controls() {
    let exception = |controls: Value| {
        json!({
            "apiVersion": "kyverno.io/v2", "kind": "PolicyException",
            "metadata": {"name": "e", "namespace": "n"},
            "spec": {
                "exceptions": [{"policyName": "pss", "ruleNames": ["check"]}],
                "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "podSecurity": controls,
            },
        })
    };
    let broken =
        || pod(&[("/spec/hostPID", json!(true)), (&format!("{APP}/privileged"), json!(true))]);
    let host = json!({"controlName": "Host Namespaces"});
    let privileged = json!({"controlName": "Privileged Containers", "images": ["ghcr.io/acme/*"]});
    let of = |exceptions: &[Value]| judge(&json!({"level": "baseline"}), exceptions, broken());
    let partly = of(&[exception(json!([host]))]);
    assert_eq!(partly.status, Status::Fail);
    assert!(!partly.message.contains("host namespaces"), "{}", partly.message);
    assert!(partly.message.contains("privileged"), "{}", partly.message);
    let wholly = of(&[exception(json!([host])), exception(json!([privileged]))]);
    assert_eq!(wholly.status, Status::Skip, "{}", wholly.message);
    assert_eq!(of(&[exception(json!([]))]).status, Status::Skip);
    // An exception to what is not broken changes nothing.
    let sound = judge(&json!({"level": "baseline"}), &[exception(json!([host]))], pod(&[]));
    assert_eq!(sound.status, Status::Pass);
}

#[test]
fn broken_rules_are_refused_with_their_place() {
    let cases = [
        (json!({"level": "strict"}), "podSecurity.level"),
        (json!({}), "podSecurity.level"),
        (json!({"level": "baseline", "version": "1.30"}), "podSecurity.version"),
        (
            json!({"level": "baseline", "exclude": [{"controlName": "Capability"}]}),
            "exclude[0].controlName",
        ),
        (
            json!({"level": "baseline", "exclude": [{"controlName": "Capabilities"}]}),
            "exclude[0].images",
        ),
        (
            json!({"level": "baseline", "exclude": [{"controlName": "Sysctls", "images": ["*"]}]}),
            "exclude[0].images",
        ),
        (
            json!({"level": "baseline", "exclude": [{"controlName": "Sysctls", "values": ["*"]}]}),
            "exclude[0].restrictedField",
        ),
        (
            json!({"level": "baseline", "exclude": [{"controlName": "Sysctls", "restrictedField": "a"}]}),
            "exclude[0].values",
        ),
        (json!({"level": "baseline", "excludes": []}), "podSecurity.excludes"),
    ];
    for (rule, place) in cases {
        let policy = json!({
            "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "pss"},
            "spec": {"rules": [{
                "name": "check", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "validate": {"podSecurity": rule},
            }]},
        });
        let error = parse(&policy).unwrap_err();
        assert!(error.path.ends_with(place), "{error}");
    }
}
