//! What a test may ask of its cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The minor that `e2e/build-control-plane` builds when nobody asks for another.
pub const DEFAULT_MINOR: &str = "1.37";

/// How a cluster is started. [`Default`] is an API server with etcd, no audit, in a temporary folder.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Kubernetes minor (`1.37`); each must be pinned in `e2e/control-plane`.
    pub minor: String,
    /// Where the data lies and whether it stays.
    pub data: Data,
    /// What is audited, and where to. `None`: nothing.
    pub audit: Option<Audit>,
    /// Admission plugins and their configuration.
    pub admission: Admission,
    /// `--feature-gates` of every component.
    pub feature_gates: BTreeMap<String, bool>,
    /// Further flags of the API server, each with its dashes (`--request-timeout=5s`). They come last
    /// and so override those set here.
    pub api_server_flags: Vec<String>,
    /// A real controller manager, running these controllers (`["*"]` are its defaults).
    pub controllers: Option<Vec<String>>,
    /// Whether a scheduler runs.
    pub scheduler: Scheduler,
    /// How long a component may take until it is ready.
    pub ready_within: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            minor: DEFAULT_MINOR.to_owned(),
            data: Data::Temporary,
            audit: None,
            admission: Admission::default(),
            feature_gates: BTreeMap::new(),
            api_server_flags: Vec::new(),
            controllers: None,
            scheduler: Scheduler::Absent,
            // Tests beside each other on two cores take several times what one takes.
            ready_within: Duration::from_mins(2),
        }
    }
}

/// Where a cluster keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A temporary folder that is removed with the cluster; etcd does not wait for the disk.
    Temporary,
    /// This folder, made if need be. Data, certificates and, if still free, ports are those of last
    /// time, and etcd waits for the disk.
    Folder(PathBuf),
}

/// Whether a component runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// No pod gets a node.
    Absent,
    /// The real kube-scheduler.
    Running,
}

/// A configuration given as text or as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// The text itself.
    Text(String),
    /// A file holding it.
    File(PathBuf),
}

impl Document {
    /// The text itself.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A file holding it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }
}

/// The API server's audit.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The audit policy (`audit.k8s.io/v1`, kind `Policy`).
    pub policy: Document,
    /// The log file. `None`: no log.
    pub log: Option<AuditLog>,
    /// The webhook. `None`: no webhook.
    pub webhook: Option<AuditWebhook>,
}

impl Audit {
    /// Audits into the log file, without rotation.
    pub fn to_log(policy: Document) -> Self {
        Self { policy, log: Some(AuditLog::default()), webhook: None }
    }
}

/// The audit log file and its rotation, as the flags `--audit-log-*` say it.
#[derive(Clone, Debug, Default)]
pub struct AuditLog {
    /// Rotate at this size in MiB. `None`: the API server's default (100).
    pub max_size_mib: Option<u32>,
    /// Keep this many rotated files. `None`: all.
    pub max_backups: Option<u32>,
    /// Keep rotated files this many days. `None`: for ever.
    pub max_age_days: Option<u32>,
}

/// An audit webhook.
#[derive(Clone, Debug)]
pub struct AuditWebhook {
    /// A kubeconfig that says where it is.
    pub kubeconfig: Document,
    /// The longest time an event waits for its batch. `None`: the API server's default (30 s).
    pub batch_max_wait: Option<Duration>,
}

/// Admission plugins beside the API server's defaults.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// `--enable-admission-plugins`.
    pub enable: Vec<String>,
    /// `--disable-admission-plugins`.
    pub disable: Vec<String>,
    /// `--admission-control-config-file`.
    pub configuration: Option<Document>,
}
