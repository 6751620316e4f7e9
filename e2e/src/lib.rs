//! A real etcd and kube-apiserver for every test.
//!
//! [`Cluster::start`] gives a test its own control plane on free loopback ports, with its own data
//! folder, audit and admission options, ready in about five seconds. It leaves nothing behind, even
//! when the test panics or is killed (see `guardian.rs`), and clusters run beside each other.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use proofstream_e2e::{Cluster, ClusterOptions};
//! let cluster = Cluster::start(ClusterOptions::default()).await?;
//! cluster.create_namespace("payments").await?;
//! let alice = cluster.client_for("alice", &["developers"]).await?;
//! # Ok(())
//! # }
//! ```

mod authority;
mod binaries;
mod cluster;
mod command_line;
mod dice;
mod guardian;
mod kubeconfig;
mod layout;
mod objects;
mod options;
mod ports;

pub mod demo;
pub mod foreground;
pub mod programs;
pub mod up;

pub use crate::authority::Credential;
pub use crate::binaries::{control_plane, kubectl};
pub use crate::cluster::{Cluster, Component};
pub use crate::dice::Dice;
pub use crate::kubeconfig::client_from_kubeconfig;
pub use crate::objects::{apply, create, wait_until};
pub use crate::options::{
    Admission, Audit, AuditLog, AuditWebhook, ClusterOptions, DEFAULT_MINOR, Data, Document,
    Scheduler,
};
