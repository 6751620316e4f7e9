//! A cluster: etcd and a kube-apiserver of its own, from start to end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Client;
use kube::api::DynamicObject;

use crate::authority::{Authority, keep_signing_key, write_private};
use crate::command_line::{self, PortNumbers};
use crate::guardian::{Afterwards, Guardian};
use crate::layout::Layout;
use crate::options::{ClusterOptions, Data, Scheduler};
use crate::ports::Port;
use crate::{binaries, kubeconfig, objects};

const ADMINISTRATOR: &str = "kubernetes-admin";
const LINES_OF_LOG: usize = 30;
const ATTEMPTS: usize = 5;

/// A program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

impl Component {
    /// The program's name, and its log's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

/// A running cluster. Dropping it ends its processes and, when its data is temporary, removes it;
/// the same happens when this process panics or is killed.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    layout: Layout,
    binaries: PathBuf,
    authority: Authority,
    ports: PortNumbers,
    admin_kubeconfig: String,
    processes: Arc<Mutex<Processes>>,
    _claims: Vec<Port>,
}

#[derive(Debug)]
struct Processes {
    guardian: Guardian,
    running: Vec<(Component, u32)>,
}

impl Cluster {
    /// Starts a cluster and waits until its API server is ready.
    ///
    /// Builds the programs when they are not there yet. When a component does not become ready, the
    /// error carries the last lines of its log.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        let binaries = binaries::control_plane(&options.minor, &parts(&options)).await?;
        let mut attempt = 1;
        loop {
            let started = Self::start_once(options.clone(), binaries.clone()).await;
            match started {
                // Between our letting go of a port and the component's taking it, anybody may.
                Err(error) if attempt < ATTEMPTS && is_port_conflict(&error) => attempt += 1,
                other => return other,
            }
        }
    }

    async fn start_once(options: ClusterOptions, binaries: PathBuf) -> Result<Self> {
        let afterwards = match options.data {
            Data::Temporary => Afterwards::Remove,
            Data::Folder(_) => Afterwards::Keep,
        };
        let data = options.data.clone();
        let (layout, guardian) = blocking(move || {
            let layout = Layout::create(&data)?;
            match Guardian::start(layout.root(), afterwards) {
                Ok(guardian) => Ok((layout, guardian)),
                Err(error) => {
                    layout.discard(&data);
                    Err(error)
                }
            }
        })
        .await?;
        let (ports, claims) = claim_ports(&layout)?;
        let authority = Authority::open_or_create(&layout.pki(""))?;
        let admin_kubeconfig = write_credentials(&layout, &authority, ports)?;
        let cluster = Self {
            options,
            layout,
            binaries,
            authority,
            ports,
            admin_kubeconfig,
            processes: Arc::new(Mutex::new(Processes { guardian, running: Vec::new() })),
            _claims: claims,
        };
        let etcd = command_line::etcd(&cluster.options, &cluster.layout, ports);
        cluster.run(Component::Etcd, etcd).await?;
        cluster.start_api_server().await?;
        cluster.start_controllers().await?;
        Ok(cluster)
    }

    /// Starts the API server after [`Cluster::stop_api_server`], on its old port, and waits until it
    /// is ready.
    pub async fn start_api_server(&self) -> Result<()> {
        ensure!(self.pid(Component::ApiServer).is_none(), "the API server runs already");
        let arguments = command_line::api_server(&self.options, &self.layout, self.ports)?;
        self.run(Component::ApiServer, arguments).await?;
        let client = self.client().await?;
        self.wait_ready(&client).await
    }

    /// Ends the API server, draining for at most ten seconds, and returns once it is gone.
    pub async fn stop_api_server(&self) -> Result<()> {
        self.stop(Component::ApiServer, Duration::from_secs(10)).await
    }

    /// Kills the API server, as a crash would.
    pub async fn kill_api_server(&self) -> Result<()> {
        self.stop(Component::ApiServer, Duration::ZERO).await
    }

    /// A client that acts as a cluster administrator (group `system:masters`). Belongs to the runtime
    /// in which it is made.
    pub async fn client(&self) -> Result<Client> {
        kubeconfig::client_from_kubeconfig(&self.admin_kubeconfig).await
    }

    /// A client that acts as `user`, a member of `groups`.
    pub async fn client_for(&self, user: &str, groups: &[&str]) -> Result<Client> {
        kubeconfig::client_from_kubeconfig(&self.kubeconfig_for(user, groups)?).await
    }

    /// The text of a kubeconfig for `user`, a member of `groups`, with a client certificate.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<String> {
        let credential = self.authority.issue_client(user, groups)?;
        Ok(kubeconfig::render(&self.server(), self.authority.certificate(), user, &credential))
    }

    /// The text of the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &str {
        &self.admin_kubeconfig
    }

    /// The file of the administrator's kubeconfig.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.layout.kubeconfig()
    }

    /// The API server's address, `https://127.0.0.1:PORT`.
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    /// The certificate that vouches for the API server, PEM.
    pub fn authority(&self) -> &str {
        self.authority.certificate()
    }

    /// The audit log file, if the options ask for one. It exists from the first event on.
    pub fn audit_log(&self) -> Option<PathBuf> {
        let audit = self.options.audit.as_ref()?;
        audit.log.as_ref().map(|_| self.layout.audit_log())
    }

    /// The cluster's folder.
    pub fn folder(&self) -> &Path {
        self.layout.root()
    }

    /// The process id of a component that runs.
    pub fn pid(&self, component: Component) -> Option<u32> {
        lock(&self.processes)
            .running
            .iter()
            .find(|(running, _)| *running == component)
            .map(|&(_, pid)| pid)
    }

    /// The last lines of a component's log.
    pub fn last_lines(&self, component: Component, count: usize) -> String {
        self.layout.last_lines(component.name(), count)
    }

    /// Applies each document of `yaml` as the administrator (server-side apply).
    pub async fn apply(&self, yaml: &str) -> Result<Vec<DynamicObject>> {
        objects::apply(&self.client().await?, yaml).await
    }

    /// Creates each document of `yaml` as the administrator.
    pub async fn create(&self, yaml: &str) -> Result<Vec<DynamicObject>> {
        objects::create(&self.client().await?, yaml).await
    }

    /// Makes a namespace together with its `default` service account.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        self.create_labelled_namespace(name, &[]).await
    }

    /// The same, with labels.
    pub async fn create_labelled_namespace(
        &self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Result<()> {
        objects::create_namespace(&self.client().await?, name, labels).await
    }

    /// Runs kubectl as the administrator; its standard output, or an error with its standard error.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let program = binaries::kubectl(&self.options.minor).await?;
        let path = self.kubeconfig_path().display().to_string();
        let mut words = vec!["--kubeconfig", path.as_str()];
        words.extend_from_slice(arguments);
        binaries::output_of(&program, &words).await
    }

    async fn start_controllers(&self) -> Result<()> {
        if let Some(controllers) = &self.options.controllers {
            let arguments =
                command_line::controller_manager(&self.options, &self.layout, controllers);
            self.run(Component::ControllerManager, arguments).await?;
        } else {
            let client = self.client().await?;
            objects::create_default_service_account(&client, "default").await?;
        }
        if self.options.scheduler == Scheduler::Running {
            let arguments = command_line::scheduler(&self.options, &self.layout);
            self.run(Component::Scheduler, arguments).await?;
        }
        Ok(())
    }

    async fn run(&self, component: Component, arguments: Vec<String>) -> Result<()> {
        let program = self.binaries.join(component.name());
        let processes = Arc::clone(&self.processes);
        blocking(move || {
            let mut processes = lock(&processes);
            let pid = processes.guardian.run(component.name(), &program, &arguments)?;
            processes.running.push((component, pid));
            Ok(())
        })
        .await
    }

    async fn stop(&self, component: Component, patience: Duration) -> Result<()> {
        let processes = Arc::clone(&self.processes);
        blocking(move || {
            let mut processes = lock(&processes);
            processes.guardian.stop(component.name(), patience)?;
            processes.running.retain(|(running, _)| *running != component);
            Ok(())
        })
        .await
    }

    async fn wait_ready(&self, client: &Client) -> Result<()> {
        let ready = objects::wait_until("the API server", self.options.ready_within, || async {
            // What does not run will not become ready: that ends the waiting.
            if let Err(death) = self.check_alive() {
                return Ok(Err(death));
            }
            let request = http::Request::get("/readyz").body(Vec::new())?;
            client.request_text(request).await?;
            anyhow::Ok(Ok(()))
        });
        ready.await.and_then(|outcome| outcome).map_err(|error| {
            let log = |component: Component| {
                let lines = self.last_lines(component, LINES_OF_LOG);
                format!("{}'s log ends with\n{lines}\n", component.name())
            };
            error.context(format!(
                "the cluster did not become ready; {}{}",
                log(Component::Etcd),
                log(Component::ApiServer)
            ))
        })
    }

    fn check_alive(&self) -> Result<()> {
        let mut processes = lock(&self.processes);
        for component in [Component::Etcd, Component::ApiServer] {
            processes.guardian.check_alive(component.name())?;
        }
        Ok(())
    }
}

fn parts(options: &ClusterOptions) -> Vec<&'static str> {
    let mut parts = vec![Component::Etcd.name(), Component::ApiServer.name()];
    if options.controllers.is_some() {
        parts.push(Component::ControllerManager.name());
    }
    if options.scheduler == Scheduler::Running {
        parts.push(Component::Scheduler.name());
    }
    parts
}

/// Those of last time where the folder knows them and they are free, so that a kubeconfig somebody
/// copied stays right; others otherwise.
fn claim_ports(layout: &Layout) -> Result<(PortNumbers, Vec<Port>)> {
    let remembered: Vec<u16> = fs::read(layout.ports())
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut claims = Vec::new();
    for position in 0..3 {
        let port = match remembered.get(position).and_then(|&number| Port::claim_exactly(number)) {
            Some(port) => port,
            None => Port::claim()?,
        };
        claims.push(port);
    }
    let numbers: Vec<u16> = claims.iter().map(Port::number).collect();
    fs::write(layout.ports(), serde_json::to_vec(&numbers)?)?;
    let [etcd, etcd_peers, api_server] =
        <[u16; 3]>::try_from(numbers).ok().context("three ports are claimed")?;
    let ports = PortNumbers { etcd, etcd_peers, api_server };
    Ok((ports, claims))
}

/// Writes what the components read from `pki`, and the administrator's kubeconfig; gives its text.
fn write_credentials(layout: &Layout, authority: &Authority, ports: PortNumbers) -> Result<String> {
    let server = authority.issue_server(&[
        "127.0.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "10.96.0.1",
    ])?;
    let kubelet_client = authority.issue_client("kube-apiserver", &["system:masters"])?;
    for (name, credential) in [("apiserver", &server), ("kubelet-client", &kubelet_client)] {
        fs::write(layout.pki(&format!("{name}.crt")), &credential.certificate)?;
        write_private(&layout.pki(&format!("{name}.key")), &credential.key)?;
    }
    keep_signing_key(&layout.pki(""))?;
    let administrator = authority.issue_client(ADMINISTRATOR, &["system:masters"])?;
    let text = kubeconfig::render(
        &format!("https://127.0.0.1:{}", ports.api_server),
        authority.certificate(),
        ADMINISTRATOR,
        &administrator,
    );
    write_private(&layout.kubeconfig(), &text)?;
    Ok(text)
}

fn is_port_conflict(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("address already in use")
}

/// A poisoned lock means that another test panicked; the processes are as usable as before.
fn lock(processes: &Mutex<Processes>) -> MutexGuard<'_, Processes> {
    processes.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.context("a blocking task was cancelled")?
}
