//! Kubeconfig files and the clients made from them.

use anyhow::{Context, Result};
use base64::Engine as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::authority::Credential;

/// The text of a kubeconfig for `user`, everything inline.
pub(crate) fn render(server: &str, authority: &str, user: &str, credential: &Credential) -> String {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    // JSON strings are YAML strings; a user's name may contain a colon.
    let user = serde_json::Value::from(user);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: proofstream
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: proofstream
  context:
    cluster: proofstream
    user: {user}
current-context: proofstream
",
        authority = encode(authority),
        certificate = encode(&credential.certificate),
        key = encode(&credential.key),
    )
}

/// A client that acts as the current user of a kubeconfig, given as text.
pub async fn client_from_kubeconfig(text: &str) -> Result<Client> {
    let kubeconfig = Kubeconfig::from_yaml(text).context("not a kubeconfig")?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
