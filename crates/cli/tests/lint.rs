//! `proofstream policy lint` as an author of policies meets it: the real binary.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;
use serde_json::Value;

fn lint(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofstream"));
    let output =
        command.args(["policy", "lint"]).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    format!("{}{}exit {code}\n", text(&output.stdout), text(&output.stderr))
}

/// One policy for each thing that can be wrong, and an exception to none of them.
const POLICIES: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: verifies}
spec:
  rules:
  - name: signed
    match: {any: [{resources: {kinds: [Pod]}}]}
    verifyImages: [{imageReferences: ['*'], attestors: [{entries: [{keys: {publicKeys: 'k8s://a/b'}}]}]}]
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: creations-only}
spec:
  rules:
  - name: flat
    match: {resources: {kinds: [Pod], operations: [CREATE]}}
    validate:
      failureAction: Enforce
      message: Not here.
      pattern: {spec: {=(hostNetwork): false}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: pods-only}
spec:
  failurePolicy: Ignore
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}]
  validations: [{expression: '!object.spec.?hostPID.orValue(false)'}]
---
apiVersion: policies.kyverno.io/v1
kind: ImageValidatingPolicy
metadata: {name: images}
spec: {}
---
apiVersion: policies.kyverno.io/v1
kind: DeletingPolicy
metadata: {name: sweeps}
spec:
  schedule: '@daily'
  matchConstraints: {resourceRules: [{apiGroups: [''], apiVersions: [v1], resources: [configmaps]}]}
  conditions: [{name: draft, expression: object.metadata.name.startsWith('draft-')}]
---
apiVersion: policies.kyverno.io/v1
kind: DeletingPolicy
metadata: {name: sweeps-nothing}
spec: {schedule: '@daily'}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: broken}
spec:
  rules:
  - name: typo
    match: {any: [{resources: {kind: [Pod]}}]}
    validate: {deny: {}}
";

const EXCEPTION: &str = "\
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: for-nothing, namespace: payments}
spec:
  exceptions: [{policyName: gone, ruleNames: [gone]}]
  match: {any: [{resources: {kinds: [Pod]}}]}
";

#[test]
fn what_is_wrong_with_policies_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policies.yaml"), POLICIES).unwrap();
    std::fs::write(folder.path().join("exception.yaml"), EXCEPTION).unwrap();
    let told = lint(folder.path(), &["policies.yaml", "--exception", "exception.yaml"]);
    assert_snapshot!("policies", told);
    let told = lint(folder.path(), &["policies.yaml", "--output", "json"]);
    let json = told.split("error: ").next().unwrap();
    let document: Value = serde_json::from_str(json).unwrap();
    assert_eq!(document["summary"]["broken"], 2);
    assert_eq!(document["findings"].as_array().unwrap().len() as u64, {
        let count = |level: &str| document["summary"][level].as_u64().unwrap();
        count("error") + count("warning") + count("note")
    });
}

#[test]
fn the_articles_policies_look_past_two_lists() {
    let article = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/article");
    assert_snapshot!("article", lint(&article, &["."]));
}
