//! What an API server needs to send us its audit events: a token of its own and a kubeconfig.
//!
//! Both stand in the data folder (0600). Whoever reads one can have audit events recorded in that
//! host's name, and nothing else. A token is replaced by removing its file and starting again; the
//! API server then needs the new kubeconfig.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::certificates::{CertificateError, Certificates};
use crate::private_file;
use crate::up::{AuditWebhook, Config, ConfigError};

const FOLDER: &str = "audit-webhook";

/// Why there is no kubeconfig to give.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No such host is configured.
    #[error("`{host}` is not among `audit.webhooks` of the configuration ({known})")]
    Unknown {
        /// What was asked for.
        host: String,
        /// The hosts that are.
        known: String,
    },
    /// A file cannot be read or written.
    #[error("cannot use `{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no authority to name.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A host's token. Its digest alone is compared, so time says nothing about the token.
pub(super) struct Token {
    text: String,
    digest: [u8; 32],
}

/// A host's kubeconfig.
#[derive(Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    path: PathBuf,
    text: String,
}

/// Makes what `host` needs, without anything running: authority, token and kubeconfig, each unless it
/// is there already.
pub fn prepare(config: &Config, host: &str, now: Timestamp) -> Result<Kubeconfig, CredentialError> {
    config.check()?;
    let webhooks = &config.audit.webhooks;
    let Some(webhook) = webhooks.iter().find(|webhook| webhook.host == host) else {
        let names: Vec<&str> = webhooks.iter().map(|webhook| webhook.host.as_str()).collect();
        let known = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
        return Err(CredentialError::Unknown { host: host.to_owned(), known });
    };
    private_file::folder(&config.data)
        .map_err(|source| CredentialError::File { path: config.data.clone(), source })?;
    let certificates = Certificates::open(&config.tls(), config.certificate_names(), now)?;
    let folder = folder(&config.data);
    let token = Token::open(&folder, host)?;
    let url = url(config, webhook)?;
    let kubeconfig = Kubeconfig::new(&folder, host, &url, &certificates.bundle(), &token);
    kubeconfig.write()?;
    Ok(kubeconfig)
}

/// Where tokens and kubeconfigs are.
pub(super) fn folder(data: &Path) -> PathBuf {
    data.join(FOLDER)
}

/// The URL that the API server of `webhook` posts to.
pub(super) fn url(config: &Config, webhook: &AuditWebhook) -> Result<String, ConfigError> {
    let base = config.audit_address(webhook)?;
    Ok(format!("{}/audit/{}", base.trim_end_matches('/'), webhook.host))
}

// === impl Token ===

impl Token {
    /// Reads a host's token, or makes it.
    pub(super) fn open(folder: &Path, host: &str) -> Result<Self, CredentialError> {
        let path = folder.join(format!("{host}.token"));
        Self::read_or_make(folder, &path)
            .map_err(|source| CredentialError::File { path: path.clone(), source })
    }

    fn read_or_make(folder: &Path, path: &Path) -> io::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => Ok(Self::new(text.trim())),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the token's file is empty: remove it to have a new one made",
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut random = [0; 32];
                getrandom::fill(&mut random)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                let text = hex::encode(random);
                private_file::folder(folder)?;
                private_file::write(path, format!("{text}\n").as_bytes())?;
                Ok(Self::new(&text))
            }
            Err(error) => Err(error),
        }
    }

    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), digest: Sha256::digest(text).into() }
    }

    /// Whether `shown` is this token.
    pub(super) fn is(&self, shown: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(shown).into();
        digest == self.digest
    }
}

// === impl Kubeconfig ===

impl Kubeconfig {
    pub(super) fn new(
        folder: &Path,
        host: &str,
        url: &str,
        authorities: &[u8],
        token: &Token,
    ) -> Self {
        // INVARIANT: host and URL were checked with the configuration: neither has a quote, a
        // backslash or a line end. The rest is base64 and hex.
        let authorities = STANDARD.encode(authorities);
        let text = format!(
            "# The audit events of API server {host}, sent to Proofstream. Keep it private: it holds a token.
apiVersion: v1
kind: Config
clusters:
- name: proofstream
  cluster:
    server: \"{url}\"
    certificate-authority-data: {authorities}
users:
- name: \"{host}\"
  user:
    token: \"{token}\"
contexts:
- name: proofstream
  context:
    cluster: proofstream
    user: \"{host}\"
current-context: proofstream
",
            token = token.text
        );
        Self { path: folder.join(format!("{host}.kubeconfig")), text }
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes it, unless it stands there so; says whether it was written.
    pub(super) fn write(&self) -> Result<bool, CredentialError> {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            return Ok(false);
        }
        private_file::write(&self.path, self.text.as_bytes())
            .map_err(|source| CredentialError::File { path: self.path.clone(), source })?;
        Ok(true)
    }
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Kubeconfig({})", self.path.display())
    }
}
