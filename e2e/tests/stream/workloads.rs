//! What is created: workloads that the article's policies refuse or let through.

use anyhow::{Result, ensure};

/// The article's policies.
pub(crate) const HARDENED: &str =
    include_str!("../../../examples/article/require-hardened-securitycontext.yaml");
pub(crate) const NO_SECRET_ENV: &str =
    include_str!("../../../examples/article/disallow-secret-env-vars.yaml");

/// The container of a hardened pod, with `more` fields.
fn container(more: &str) -> String {
    format!(
        "{{name: main, image: 'registry.example/app:1', {more}securityContext: {{privileged: false, \
         allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: \
         [ALL]}}}}}}"
    )
}

fn pod(namespace: &str, name: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         securityContext: {{runAsNonRoot: true}}\n  containers: [{container}]\n"
    )
}

/// A pod that both policies let through.
pub(crate) fn good(namespace: &str, name: &str) -> String {
    pod(namespace, name, &container(""))
}

/// A pod that is not hardened.
pub(crate) fn plain(namespace: &str, name: &str) -> String {
    pod(namespace, name, "{name: main, image: 'registry.example/app:1'}")
}

/// A hardened pod that takes a Secret through its environment.
pub(crate) fn leaking(namespace: &str, name: &str) -> String {
    let env = "env: [{name: KEY, valueFrom: {secretKeyRef: {name: stripe, key: key}}}], ";
    pod(namespace, name, &container(env))
}

/// A Deployment whose pods would not be hardened.
pub(crate) fn plain_deployment(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    \
         metadata: {{labels: {{app: {name}}}}}\n    \
         spec: {{containers: [{{name: main, image: 'registry.example/app:1'}}]}}\n"
    )
}

/// The API server's message, where this is its refusal by policy; anything else is passed on.
pub(crate) fn refusal<T>(result: Result<T>) -> Result<String> {
    let Err(error) = result else { anyhow::bail!("it was let through") };
    for cause in error.chain() {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref::<kube::Error>() {
            ensure!(status.code == 403, "{} {}", status.code, status.message);
            ensure!(status.message.contains("is refused by policy"), "{}", status.message);
            return Ok(status.message.clone());
        }
    }
    Err(error.context("no answer of the API server"))
}
