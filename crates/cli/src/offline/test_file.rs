//! Test files as teams have them: `cli.kyverno.io/v1alpha1` Test in kyverno-test.yaml.

use std::path::{Path, PathBuf};

use proofstream_manifest::documents;
use serde::Deserialize;
use serde_json::Value;

use crate::exit::Failure;
use crate::offline::files;
use crate::offline::stubs::{CallResponse, GlobalEntry};
use crate::offline::values::Values;

/// One test: policies, resources, and what is expected of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TestFile {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Metadata,
    /// An older spelling of `metadata.name`.
    name: Option<String>,
    /// Files and folders of policies.
    pub policies: Vec<String>,
    /// Files and folders of resources.
    pub resources: Vec<String>,
    /// A Values file.
    pub variables: Option<String>,
    /// Values in the test itself.
    pub values: Option<Values>,
    /// A UserInfo file.
    #[serde(alias = "userInfo")]
    pub userinfo: Option<String>,
    /// Files and folders of exceptions.
    pub exceptions: Vec<String>,
    /// What is expected.
    pub results: Vec<Expected>,
    /// Files and folders of existing objects that rules may change.
    pub target_resources: Vec<String>,
    /// A file of what CEL policies' lookups find.
    pub context: Option<String>,
    /// Files of objects that policies take as parameters.
    pub param_resources: Vec<String>,
    /// Files with objects of the cluster.
    pub cluster_resources: Vec<String>,
    /// Answers to calls.
    pub api_call_responses: Vec<CallResponse>,
    /// Data of global context entries.
    pub global_context_entries: Vec<GlobalEntry>,
    #[serde(rename = "jsonPayload")]
    json_payload: Option<String>,
    json_payloads: Vec<String>,
    http_payloads: Vec<String>,
    envoy_payloads: Vec<String>,
    checks: Vec<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Option<String>,
}

/// One entry of `results`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Expected {
    /// Name of the policy, or `NAMESPACE/NAME`.
    pub policy: String,
    /// Name of the rule; its autogen twins are meant too. Absent: any rule.
    pub rule: Option<String>,
    /// Names of resources, or `NAMESPACE/NAME`; empty for all.
    pub resources: Vec<String>,
    /// Resources by kind, namespace and name.
    pub resource_specs: Vec<ResourceSpec>,
    /// An older spelling of one of `resources`.
    pub resource: Option<String>,
    /// The older way to give the policy's or resource's namespace.
    pub namespace: Option<String>,
    /// Kind of the resources; absent for any.
    pub kind: Option<String>,
    /// `pass`, `fail`, `skip`, `warn` or `error`.
    pub result: Option<String>,
    /// An older spelling of `result`.
    pub status: Option<String>,
    /// The operation that is tried.
    pub operation: Option<String>,
    patched_resource: Option<String>,
    patched_resources: Option<OneOrMany>,
    /// The file with what is generated.
    pub generated_resource: Option<String>,
    /// Files with what is generated, where there are several.
    pub generated_resources: Vec<String>,
    /// The file with what is copied.
    pub clone_source_resource: Option<String>,
    /// Whether the policy is a ValidatingPolicy.
    pub is_validating_policy: Option<bool>,
    /// Whether the policy is a NamespacedValidatingPolicy.
    pub is_namespaced_validating_policy: Option<bool>,
    /// Whether the policy is a ValidatingAdmissionPolicy.
    pub is_validating_admission_policy: Option<bool>,
    /// Whether the policy is a MutatingAdmissionPolicy.
    pub is_mutating_admission_policy: Option<bool>,
    /// Whether the policy is a MutatingPolicy.
    pub is_mutating_policy: Option<bool>,
    /// Whether the policy is a NamespacedMutatingPolicy.
    pub is_namespaced_mutating_policy: Option<bool>,
    is_image_validating_policy: Option<bool>,
    is_namespaced_image_validating_policy: Option<bool>,
    /// Whether the policy is a GeneratingPolicy.
    pub is_generating_policy: Option<bool>,
    /// Whether the policy is a NamespacedGeneratingPolicy.
    pub is_namespaced_generating_policy: Option<bool>,
    is_deleting_policy: Option<bool>,
    is_namespaced_deleting_policy: Option<bool>,
}

/// One path, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// One entry of `resourceSpecs`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ResourceSpec {
    /// API group; absent for any.
    pub group: Option<String>,
    /// API version; absent for any.
    pub version: Option<String>,
    /// Kind; absent for any.
    pub kind: Option<String>,
    /// Namespace; absent for any.
    pub namespace: Option<String>,
    /// Subresource; absent for any.
    pub subresource: Option<String>,
    /// Name.
    pub name: String,
}

// === impl TestFile ===

impl TestFile {
    /// Reads the tests of a file; a broken document is a failure of its own.
    pub fn load(path: &Path) -> Result<Vec<Result<Self, Failure>>, Failure> {
        let bytes = files::read_whole(path)?;
        let shown = path.display().to_string();
        let mut tests = Vec::new();
        for document in documents(&bytes, &shown) {
            tests.push(match document {
                Err(error) => Err(error.into()),
                Ok(document) => {
                    let line = document.line;
                    serde_json::from_value::<Self>(document.value)
                        .map_err(|error| {
                            Failure::input(format!("{shown}:{line}: {error}"))
                                .help("the file must hold `cli.kyverno.io/v1alpha1` Test objects")
                        })
                        .and_then(|test| test.checked(&shown, line))
                }
            });
        }
        Ok(tests)
    }

    fn checked(self, file: &str, line: u64) -> Result<Self, Failure> {
        if let Some(other) = self.kind.as_deref().filter(|kind| *kind != "Test") {
            return Err(Failure::input(format!("{file}:{line}: kind `{other}` is not Test")));
        }
        for (index, expected) in self.results.iter().enumerate() {
            let known = ["pass", "fail", "skip", "warn", "error"];
            let result = expected.result().unwrap_or_default();
            if !known.contains(&result) {
                let message = format!("{file}:{line}: results[{index}].result: `{result}`");
                return Err(Failure::input(format!("{message} is none of {}", known.join(", "))));
            }
            if expected.policy.is_empty() {
                let message = format!("{file}:{line}: results[{index}].policy: missing");
                return Err(Failure::input(message).help("name the policy that is tested"));
            }
        }
        for (index, call) in self.api_call_responses.iter().enumerate() {
            if let Some(fault) = call.fault() {
                let place = format!("{file}:{line}: apiCallResponses[{index}]");
                return Err(Failure::input(format!("{place}: {fault}")));
            }
        }
        Ok(self)
    }

    /// The test's name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().or(self.name.as_deref()).unwrap_or_default()
    }

    /// What the whole test uses that cannot be run.
    pub fn unsupported(&self) -> Option<&'static str> {
        let used = [
            (self.json_payload.is_some() || !self.json_payloads.is_empty(), "jsonPayload"),
            (!self.http_payloads.is_empty(), "httpPayloads"),
            (!self.envoy_payloads.is_empty(), "envoyPayloads"),
            (!self.checks.is_empty(), "checks"),
        ];
        used.into_iter().find(|(is_used, _)| *is_used).map(|(_, what)| what)
    }
}

/// Paths of a test, which are relative to its folder.
pub fn resolve(folder: &Path, paths: &[String]) -> Vec<PathBuf> {
    paths.iter().map(|path| folder.join(path)).collect()
}

// === impl Expected ===

impl Expected {
    /// The expected result.
    pub fn result(&self) -> Option<&str> {
        self.result.as_deref().or(self.status.as_deref())
    }

    /// Files that hold the objects as rules are expected to leave them; none where that is not asked.
    pub fn patched(&self) -> Vec<String> {
        let newer = match &self.patched_resources {
            Some(OneOrMany::Many(paths)) => paths.clone(),
            Some(OneOrMany::One(path)) => vec![path.clone()],
            None => Vec::new(),
        };
        let all = newer.into_iter().chain(self.patched_resource.clone());
        all.filter(|path| !path.is_empty()).collect()
    }

    /// Whether the entry names no resource, and so is about all of them.
    pub fn is_about_all(&self) -> bool {
        self.resources.is_empty() && self.resource.is_none() && self.resource_specs.is_empty()
    }

    /// What this expectation needs that cannot be run.
    pub fn unsupported(&self) -> Option<&'static str> {
        let flags = [
            self.is_image_validating_policy,
            self.is_namespaced_image_validating_policy,
            self.is_deleting_policy,
            self.is_namespaced_deleting_policy,
        ];
        let cel = flags.contains(&Some(true));
        cel.then_some("CEL policy kinds")
    }
}
