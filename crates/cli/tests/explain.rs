//! `proofstream policy explain` as a developer who was refused meets it: the real binary.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use insta::assert_snapshot;
use serde_json::Value;

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: payments, labels: {owner: somebody}}
spec:
  securityContext: {runAsNonRoot: true}
  containers:
  - name: app
    image: registry.example/app:1
    env: [{name: A, value: b}, {name: P, valueFrom: {secretKeyRef: {name: d, key: p}}}]
    securityContext:
      privileged: true
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
";

/// Conditions, anchors, exceptions, a podSecurity rule.
const POLICY: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: steps}
spec:
  validationFailureAction: Enforce
  rules:
  - name: anchors
    match: {any: [{resources: {kinds: [Pod], operations: [CREATE, UPDATE]}}]}
    exclude: {any: [{resources: {namespaces: [kube-*]}}]}
    preconditions:
      all:
      - {key: '{{ request.object.metadata.labels.owner }}', operator: NotEquals, value: nobody}
    validate:
      message: Say it.
      pattern:
        spec:
          X(hostNetwork): 'null'
          =(volumes):
          - =(hostPath): {path: /srv/*}
          containers:
          - (name): sidecar
            image: '*:1'
  - name: levels
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate:
      podSecurity: {level: baseline, version: latest}
  - name: elsewhere
    match: {any: [{resources: {kinds: [Deployment], namespaces: [other]}}]}
    validate: {deny: {}}
";

fn explain(policies: &[PathBuf], more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pod.yaml"), POD).unwrap();
    std::fs::write(folder.path().join("steps.yaml"), POLICY).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofstream"));
    command.args(["policy", "explain"]).args(policies).args(["--resource", "pod.yaml"]);
    let output = command.args(more).current_dir(folder.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    format!("{}{}exit {code}\n", text(&output.stdout), text(&output.stderr))
}

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).canonicalize().unwrap()
}

#[test]
fn patterns_conditions_and_loops_are_told_step_by_step() {
    let article = ["require-hardened-securitycontext.yaml", "disallow-secret-env-vars.yaml"]
        .map(|name| file(&format!("../../examples/article/{name}")));
    assert_snapshot!("article", explain(&article, &[]));
    assert_snapshot!("steps", explain(&["steps.yaml".into()], &["--all"]));
    assert_snapshot!("one_rule", explain(&["steps.yaml".into()], &["--rule", "levels"]));
}

#[test]
fn expressions_and_templates_are_told_step_by_step() {
    let expressions = [file("../../policies/secrets-not-in-env/policy.yaml")];
    let regulated = file("tests/explain/regulated.yaml");
    let values = ["--values", regulated.to_str().unwrap()];
    assert_snapshot!("expressions", explain(&expressions, &values));
    let templates = ["labels-template.yaml", "labels-constraint.yaml"]
        .map(|name| file(&format!("tests/gatekeeper/{name}")));
    assert_snapshot!("templates", explain(&templates, &[]));
}

#[test]
fn programs_read_the_same_steps() {
    let told = explain(&["steps.yaml".into()], &["--output", "json", "--rule", "anchors"]);
    let json = told.rsplit_once("exit ").unwrap().0;
    let document: Value = serde_json::from_str(json).unwrap();
    let first = &document["explanations"][0];
    assert_eq!((first["rule"].as_str(), first["result"].as_str()), (Some("anchors"), Some("skip")));
    let steps = first["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["outcome"] == "skips"), "{steps:?}");
    assert!(steps.iter().all(|step| step["depth"].is_u64() && step["text"].is_string()));
}
