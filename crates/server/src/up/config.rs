//! The configuration file of `proofstream up`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proofstream_manifest as manifest;
use proofstream_runtime::enforcers::{Enforcers, KINDS};
use proofstream_runtime::webhooks::Endpoint;
use serde::Deserialize;

/// How everything in one process is run. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Ledger, keys, certificates and what is derived. Readable by its owner alone.
    pub data: PathBuf,
    /// Where the last signed size and root of the ledger are kept; on another volume where there is
    /// one. By default a folder in `data`.
    pub guard: Option<PathBuf>,
    /// How to reach the API server. By default `$KUBECONFIG`, `~/.kube/config`, or the pod's service
    /// account.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace that Proofstream runs in: never asked about.
    pub namespace: String,
    /// The admission webhook.
    pub webhook: Webhook,
    /// The page and the API.
    pub web: Web,
    /// Where audit events come from.
    pub audit: Audit,
    /// Reports on what runs, as objects in the cluster.
    pub reports: Reports,
    /// Namespaces that the controls are about: names or globs.
    pub regulated_namespaces: Vec<String>,
    /// Namespaces (names or globs) whose PolicyExceptions count.
    pub exception_namespaces: Vec<String>,
    /// Days for which requests that policies judged are kept, so that policies can be replayed over
    /// them; 0 keeps none.
    pub keep_requests_days: u32,
    /// Directories of policies, beside those in the cluster.
    pub policies: Vec<PathBuf>,
    /// Kind of policy to who enforces it: `proofstream`, `kyverno`. A kind that is not named is
    /// settled at the first start from what is registered with the API server, and then kept.
    pub enforcers: BTreeMap<String, String>,
}

/// The admission webhook.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Webhook {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How the API server reaches it from outside the cluster: `https://HOST:PORT`. By default the
    /// address it listens on.
    pub url: Option<String>,
    /// How the API server reaches it inside the cluster, instead of `url`.
    pub service: Option<Service>,
    /// Further names for its certificate.
    pub names: Vec<String>,
    /// Requests under way at a time; beyond that the API server applies the failure policy.
    pub concurrency: usize,
    /// Whether a policy that cannot be used is refused when it is applied.
    pub check_policies: bool,
    /// Seconds between saying "not ready" and taking no more connections when stopping, for a Service
    /// to notice.
    pub drain_seconds: u64,
}

/// A Service in front of the webhook.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Its namespace; by default the one that Proofstream runs in.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its port.
    #[serde(default = "https")]
    pub port: u16,
}

/// The page and the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Web {
    /// Where they listen.
    pub listen: SocketAddr,
}

/// Reports on what runs, as objects in the cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Reports {
    /// Whether they are written.
    pub enabled: bool,
    /// How many are written in a second, at most.
    pub per_second: u32,
}

impl Default for Reports {
    fn default() -> Self {
        Self { enabled: false, per_second: 20 }
    }
}

/// Where audit events come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Audit {
    /// Audit log files of API servers.
    pub logs: Vec<AuditLog>,
    /// API servers that send their events (`--audit-webhook-config-file`).
    pub webhooks: Vec<AuditWebhook>,
    /// The API server's audit policy (`--audit-policy-file`), where it can be read: it is linted, and held
    /// against what arrives.
    pub policy: Option<PathBuf>,
    /// Seconds between two heartbeats: requests to each API server that must come back as events. 0 sends none.
    pub heartbeat_seconds: u64,
    /// Seconds after which a source that brings no heartbeat back is silent. Beyond what a webhook's batch
    /// may wait (30 s by default).
    pub silence_seconds: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            logs: Vec::new(),
            webhooks: Vec::new(),
            policy: None,
            heartbeat_seconds: 60,
            silence_seconds: 120,
        }
    }
}

/// One API server's audit log file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditLog {
    /// The file that is written to now; rotated ones stand beside it.
    pub path: PathBuf,
    /// The host that writes it: names the source, `audit-file/HOST`. An API server with both a log
    /// and a webhook has the same name in both: that is how a request is counted once.
    pub host: String,
    /// Where this API server is reached itself (`https://HOST:PORT`), for heartbeats. Needed where there are
    /// several: what the kubeconfig names may be any of them.
    pub server: Option<String>,
}

/// One API server's audit webhook.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditWebhook {
    /// The host that sends: names the source, `audit-webhook/HOST`, and the route, `/audit/HOST`.
    pub host: String,
    /// How this API server reaches us: `https://HOST:PORT`. By default `webhook.url`, or the address
    /// listened at. An API server resolves no names of Services.
    pub url: Option<String>,
    /// As that of a log.
    pub server: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no YAML.
    #[error(transparent)]
    Yaml(#[from] manifest::ManifestError),
    /// A field is unknown or of the wrong kind.
    #[error("{path}: {reason}", path = path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A value cannot be.
    #[error("`{field}`: {reason}")]
    Value {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

fn https() -> u16 {
    443
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("/var/lib/proofstream"),
            guard: None,
            kubeconfig: None,
            namespace: "proofstream".to_owned(),
            webhook: Webhook::default(),
            web: Web::default(),
            audit: Audit::default(),
            reports: Reports::default(),
            regulated_namespaces: Vec::new(),
            exception_namespaces: vec!["*".to_owned()],
            keep_requests_days: 30,
            policies: Vec::new(),
            enforcers: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Reads a file. Relative paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes =
            fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Self::default();
        if let Some(document) = manifest::documents(&bytes, &path.display().to_string()).next() {
            config = serde_path_to_error::deserialize(document?.value).map_err(|error| {
                let reason = format!("`{}`: {}", error.path(), error.inner());
                ConfigError::Field { path: path.to_owned(), reason }
            })?;
        }
        config.resolve(path.parent().unwrap_or_else(|| Path::new(".")));
        config.check()?;
        Ok(config)
    }

    fn resolve(&mut self, folder: &Path) {
        let logs = self.audit.logs.iter_mut().map(|log| &mut log.path);
        let paths = std::iter::once(&mut self.data)
            .chain(&mut self.guard)
            .chain(&mut self.kubeconfig)
            .chain(&mut self.policies)
            .chain(&mut self.audit.policy)
            .chain(logs);
        for path in paths {
            *path = folder.join(&*path);
        }
    }

    /// Says what cannot be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |field, reason: String| Err(ConfigError::Value { field, reason });
        if let Some(kind) = self.enforcers.keys().find(|kind| !KINDS.contains(&kind.as_str())) {
            return wrong("enforcers", format!("`{kind}` is none of {}", KINDS.join(", ")));
        }
        if self.webhook.concurrency == 0 {
            return wrong("webhook.concurrency", "0 requests at a time are none".to_owned());
        }
        if let Some(url) = self.webhook.url.as_ref().filter(|url| !url.starts_with("https://")) {
            return wrong("webhook.url", format!("`{url}` does not begin with https://"));
        }
        if self.webhook.url.is_some() && self.webhook.service.is_some() {
            return wrong("webhook", "`url` and `service` exclude each other".to_owned());
        }
        if self.namespace == "kube-system" {
            return wrong(
                "namespace",
                "not `kube-system`: give Proofstream one of its own".to_owned(),
            );
        }
        self.check_audit()
    }

    fn check_audit(&self) -> Result<(), ConfigError> {
        let wrong = |field, reason: String| Err(ConfigError::Value { field, reason });
        let logs = self.audit.logs.iter().map(|log| ("audit.logs.host", &log.host));
        let webhooks = self.audit.webhooks.iter().map(|it| ("audit.webhooks.host", &it.host));
        let servers = self.audit.logs.iter().filter_map(|log| log.server.as_ref());
        let servers = servers.chain(self.audit.webhooks.iter().filter_map(|it| it.server.as_ref()));
        for server in servers {
            if !server.starts_with("https://") || server.parse::<http::Uri>().is_err() {
                return wrong(
                    "audit.server",
                    format!("`{server}` is no address https://HOST:PORT"),
                );
            }
        }
        if self.audit.heartbeat_seconds > 0 && self.audit.silence_seconds == 0 {
            let reason = "0 seconds are no time for an event to come back".to_owned();
            return wrong("audit.silenceSeconds", reason);
        }
        let mut seen = BTreeSet::new();
        for (field, host) in logs.chain(webhooks) {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if host.is_empty() || host.len() > 200 || !host.bytes().all(good) {
                let reason = format!("`{host}` is not of letters, digits, `-`, `_` and `.`");
                return wrong(field, reason);
            }
            if host.starts_with('.') {
                return wrong(field, format!("`{host}` begins with a dot"));
            }
            if !seen.insert((field, host)) {
                return wrong(field, format!("`{host}` is there twice"));
            }
        }
        self.audit.webhooks.iter().try_for_each(|webhook| self.audit_address(webhook).map(drop))
    }

    /// `https://HOST:PORT` at which the API server of `webhook` reaches us. It stands in a file that
    /// the API server reads before we run, so it must be known beforehand.
    pub fn audit_address(&self, webhook: &AuditWebhook) -> Result<String, ConfigError> {
        let wrong =
            |reason: String| Err(ConfigError::Value { field: "audit.webhooks.url", reason });
        if let Some(url) = webhook.url.as_ref().or(self.webhook.url.as_ref()) {
            let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\'#".contains(&byte);
            if host(url).is_none() || !url.bytes().all(plain) {
                return wrong(format!("`{url}` is not https://HOST:PORT"));
            }
            return Ok(url.clone());
        }
        let address = self.webhook.listen;
        if address.port() == 0 || address.ip().is_unspecified() {
            return wrong(format!(
                "`webhook.listen` is `{address}`, which is no address to call: say how the API \
                 server of `{host}` reaches us",
                host = webhook.host
            ));
        }
        Ok(format!("https://{address}"))
    }

    /// Where certificates and their keys are.
    pub fn tls(&self) -> PathBuf {
        self.data.join("tls")
    }

    /// Who enforces, as the file says it.
    pub fn enforcers(&self) -> Enforcers {
        self.enforcers.clone().into_iter().collect()
    }

    /// Where the guard is.
    pub fn guard(&self) -> PathBuf {
        self.guard.clone().unwrap_or_else(|| self.data.join("guard"))
    }

    /// Where the API server finds the webhook, which listens at `address`.
    pub fn endpoint(&self, address: SocketAddr) -> Endpoint {
        match (&self.webhook.service, &self.webhook.url) {
            (Some(service), _) => Endpoint::Service {
                namespace: service.namespace.clone().unwrap_or_else(|| self.namespace.clone()),
                name: service.name.clone(),
                port: service.port,
            },
            (None, Some(url)) => Endpoint::Url(url.clone()),
            (None, None) => Endpoint::Url(format!("https://{address}")),
        }
    }

    /// The names that the webhook's certificate must carry.
    pub fn certificate_names(&self) -> Vec<String> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let listens_at = self.webhook.listen.ip();
        if !listens_at.is_unspecified() {
            names.push(listens_at.to_string());
        }
        let of_audit = self.audit.webhooks.iter().filter_map(|webhook| webhook.url.as_deref());
        let urls = self.webhook.url.as_deref().into_iter().chain(of_audit);
        names.extend(urls.filter_map(host).map(str::to_owned));
        if let Some(service) = &self.webhook.service {
            let namespace = service.namespace.as_ref().unwrap_or(&self.namespace);
            names.push(format!("{}.{namespace}.svc", service.name));
        }
        names.extend(self.webhook.names.iter().cloned());
        names.sort();
        names.dedup();
        names
    }
}

/// The host of `https://HOST:PORT/…`.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split('/').next()?;
    if let Some(six) = authority.strip_prefix('[') {
        return six.split(']').next();
    }
    authority.split(':').next().filter(|host| !host.is_empty())
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9443)),
            url: None,
            service: None,
            names: Vec::new(),
            concurrency: 256,
            check_policies: true,
            drain_seconds: 0,
        }
    }
}

impl Default for Web {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proofstream.yaml");
        fs::write(&path, text).unwrap();
        Config::read(&path).map(|mut config| {
            config.data =
                config.data.strip_prefix(folder.path()).unwrap_or(&config.data).to_owned();
            config
        })
    }

    #[test]
    fn reads_what_is_there_and_defaults_the_rest() {
        let config = read(
            "data: state\nregulatedNamespaces: [payments, 'prod-*']\n\
             webhook: {service: {name: proofstream}}\nenforcers: {ClusterPolicy: kyverno}\n",
        )
        .unwrap();
        assert_eq!(config.data, Path::new("state"));
        assert_eq!(config.webhook.concurrency, 256);
        assert!(config.certificate_names().contains(&"proofstream.proofstream.svc".to_owned()));
        assert!(!config.enforcers().is_ours("ClusterPolicy"));
        assert!(read("").is_ok());
    }

    #[test]
    fn an_api_server_must_be_told_an_address_that_it_can_call() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        let hook = "audit: {webhooks: [{host: cp-1}]}\n";
        let config = read(hook).unwrap();
        let address = config.audit_address(&config.audit.webhooks[0]).unwrap();
        assert_eq!(address, "https://127.0.0.1:9443");
        for listen in ["127.0.0.1:0", "0.0.0.0:9443"] {
            let text = format!("webhook: {{listen: '{listen}'}}\n{hook}");
            assert!(error(&text).contains(&format!("`{listen}`")), "{listen}");
        }
        let told = "webhook: {listen: '0.0.0.0:9443'}\n\
                    audit: {webhooks: [{host: cp-1, url: 'https://proofstream.example:9443'}]}\n";
        let config = read(told).unwrap();
        assert!(config.certificate_names().contains(&"proofstream.example".to_owned()));
        let bad = "audit: {webhooks: [{host: a, url: 'https://x\\\"y'}]}\n";
        assert!(error(bad).contains("is not https://HOST:PORT"));
    }

    #[test]
    fn hosts_are_named_so_that_they_can_be_paths() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        for name in ["''", "a/b", "../a", "'a b'", ".a"] {
            let text = format!("audit: {{webhooks: [{{host: {name}}}]}}\n");
            assert!(error(&text).starts_with("`audit.webhooks.host`"), "{name}");
        }
        let twice = "audit: {webhooks: [{host: a}, {host: a}]}\n";
        assert!(error(twice).contains("`a` is there twice"));
        assert!(read("audit: {logs: [{host: a, path: x}], webhooks: [{host: a}]}\n").is_ok());
    }

    #[test]
    fn names_what_is_wrong() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        assert!(error("dta: x\n").contains("unknown field `dta`"));
        assert!(error("webhook: {listen: here}\n").contains("`webhook.listen`: "));
        assert!(
            error("enforcers: {Pod: proofstream}\n").contains("`Pod` is none of ClusterPolicy")
        );
        assert!(error("webhook: {url: 'http://x'}\n").contains("`http://x`"));
        assert!(error("a: [\n").contains("proofstream.yaml"));
        assert_eq!(host("https://[::1]:9443/x"), Some("::1"));
        assert_eq!(host("https://webhook.example:9443"), Some("webhook.example"));
    }
}
