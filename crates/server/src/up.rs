//! Everything in one process: ledger, policies, webhook, and whatever further parts are plugged in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::Client;
use proofstream_catalog::Catalog;
use proofstream_ledger::storage::Directory;
use proofstream_ledger::writer::{OpenError, SourceError, Start, Writer, WriterOptions};
use proofstream_runtime::admission::{Admission, ApiServer, Bindings, Filters, Namespaces, Parts};
use proofstream_runtime::clock::Clock;
use proofstream_runtime::enforcers::Enforcers;
use proofstream_runtime::globals::Globals;
use proofstream_runtime::ingest::RecentDecisions;
use proofstream_runtime::inventory::Inventories;
use proofstream_runtime::metrics::Metrics;
use proofstream_runtime::policies::{PolicyStore, cluster, constraints, definitions, directory};
use proofstream_runtime::projection::Projection;
use proofstream_runtime::reach::Reach;
use proofstream_runtime::recorder::Recorder;
use proofstream_runtime::requests::KeptRequests;
use proofstream_runtime::webhooks::{Changing, Judging, OfPolicies, Part, Reconciler, Shape};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission::Webhook;
use crate::audit_webhook::{AuditWebhooks, CredentialError};
use crate::certificates::{CertificateError, Certificates};
use crate::listener::{self, Bounds};
use crate::private_file;
use crate::routes::Routes;

mod audit_policy;
mod config;
mod connect;
mod derived;
mod health;
mod heartbeats;
mod making;
mod measured;
mod settled;
mod storage;
mod trail;
mod upkeep;
mod watching;
mod web;

pub use config::{Audit, AuditLog, AuditWebhook, Config, ConfigError, Reports, Service, Web};
pub use connect::ConnectError;
pub(crate) use connect::connect;
pub use storage::LedgerStorage;
pub use web::Page;

/// Connections to the webhook at a time.
const CONNECTIONS: usize = 1_024;
/// Decisions in memory, for the audit events that refer to them: some ten seconds of a busy API server,
/// and minutes of others.
const RECENT_DECISIONS: usize = 10_000;
/// How long requests under way may take to finish when stopping.
const DRAIN: Duration = Duration::from_secs(30);

/// Why everything cannot be started, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The API server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The data folder cannot be used.
    #[error("cannot use `{path}`: {source}", path = path.display())]
    Data {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ledger cannot be opened.
    #[error("{0}")]
    Ledger(#[from] OpenError),
    /// A source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The catalog is not what it must be.
    #[error("{0}")]
    Catalog(String),
    /// There is no certificate to serve with.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An API server's token or kubeconfig cannot be read or written.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The TLS library refuses its configuration.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// What is derived from the ledger cannot be built.
    #[error("what is shown cannot be derived from the ledger: {0}")]
    Derived(String),
    /// The webhook's or the page's address cannot be listened at.
    #[error("cannot listen at `{address}`: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What the parts share. Cheap to clone.
#[derive(Clone)]
pub struct Handles {
    /// The configuration.
    pub config: Arc<Config>,
    /// The API server.
    pub client: Client,
    /// The UID of the namespace kube-system.
    pub cluster: String,
    /// The time.
    pub clock: Clock,
    /// The ledger's writer.
    pub writer: Arc<Writer>,
    /// Whether its storage does what it should.
    pub storage: Arc<LedgerStorage>,
    /// Controls and requirements.
    pub catalog: Arc<Catalog>,
    /// What is shown, derived from the ledger.
    pub projection: Arc<Projection>,
    /// The last decisions, for audit events that refer to them.
    pub recent: Arc<RecentDecisions>,
    /// The policies in force.
    pub policies: Arc<PolicyStore>,
    /// Whether the API server answers.
    pub reach: Arc<Reach>,
    /// Labels of namespaces.
    pub namespaces: Arc<Namespaces>,
    /// Roles of users.
    pub bindings: Arc<Bindings>,
    /// What global context entries hold.
    pub globals: Arc<Globals>,
    /// The other objects that constraints look at.
    pub inventory: Arc<Inventories>,
    /// What policies may ask.
    pub lookups: Arc<ApiServer>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The admission decisions and their counters.
    pub admission: Arc<Admission>,
    /// The requests that are kept for replays, if any are.
    pub kept: Option<Arc<KeptRequests>>,
    /// The webhook's HTTP side and its counters.
    pub webhook: Arc<Webhook>,
    /// What API servers send of their audit trails.
    pub audit_webhooks: Arc<AuditWebhooks>,
    /// Where the webhook listens.
    pub webhook_address: SocketAddr,
    /// Who enforces which kind.
    pub enforcers: Arc<Enforcers>,
    /// Cancelled when everything is to stop.
    pub stop: CancellationToken,
}

// === impl UpError ===

impl UpError {
    /// The exit code that the command line documents: 2 for bad input, 4 where the ledger is not what
    /// was signed, 3 for what cannot be reached or read.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Ledger(
                OpenError::Behind { .. } | OpenError::Fork { .. } | OpenError::Damaged { .. },
            ) => 4,
            _ => 3,
        }
    }
}

/// Everything that runs, until [`Up::wait`] returns.
pub struct Up {
    /// What the parts share.
    pub handles: Handles,
    tasks: JoinSet<()>,
    serving: tokio::task::JoinHandle<usize>,
}

/// Runs everything until `stop` is cancelled, then drains.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), UpError> {
    let mut up = Up::start(config, stop).await?;
    let page = up.add_parts().await?;
    tracing::info!(
        page = page.url,
        token_file = %page.token_file.display(),
        "open the page and sign in with the token"
    );
    up.wait().await
}

// === impl Up ===

impl Up {
    /// Starts everything. Returns once the webhook listens and every task runs; policies are read from
    /// then on, and the webhook is registered when they have been.
    pub async fn start(config: Config, stop: CancellationToken) -> Result<Self, UpError> {
        config.check()?;
        let config = Arc::new(config);
        let clock = Clock::system();
        private_file::folder(&config.data)
            .map_err(|source| UpError::Data { path: config.data.clone(), source })?;
        let (client, cluster_id) = connect(config.kubeconfig.as_deref()).await?;
        let catalog =
            Arc::new(Catalog::embedded().map_err(|error| UpError::Catalog(error.to_string()))?);
        let storage = Arc::new(LedgerStorage::default());
        let writer = Arc::new(open_ledger(&config, &cluster_id, &storage).await?);
        let recorder = |name: &str, start| {
            Ok::<_, SourceError>(Recorder::new(writer.source(name, start)?, clock.clone()))
        };
        let projection = derived::projection(&config.data, &writer).await?;
        let recent = Arc::new(recent(&config));
        let decisions = recorder("admission/0", Start::NewEpoch)?;
        let changes = recorder("policies", Start::Resume)?;
        let enforcers = Arc::new(settled::enforcers(&config, &client, &changes).await?);
        let policies = policies(&config, &catalog, &enforcers, changes, &projection)?;
        let namespaces = Arc::new(Namespaces::new(client.clone()));
        let metrics = Metrics::new();
        let (globals, inventory) = (Globals::new(client.clone()), Inventories::new(client.clone()));
        let lookups = Arc::new(ApiServer::with_globals(&client, &globals, &metrics));
        let bindings = Arc::new(Bindings::new(client.clone()));
        let kept = kept(&config, &writer, &clock)?;
        let admission = Arc::new(Admission::new(Parts {
            cluster: Some(cluster_id.clone()),
            policies: Arc::clone(&policies),
            recorder: decisions.clone(),
            recent: Arc::clone(&recent),
            namespaces: Arc::clone(&namespaces),
            bindings: Arc::clone(&bindings),
            lookups: Arc::clone(&lookups) as _,
            inventory: Arc::clone(&inventory),
            metrics: Arc::clone(&metrics),
            filters: Filters::new(&config.namespace),
            kept: kept.clone(),
        }));
        let webhook = Arc::new(Webhook::new(Arc::clone(&admission), config.webhook.concurrency));
        let audit_webhooks = Arc::new(AuditWebhooks::open(&config, clock.clone())?);
        let (listener, address) = listen(config.webhook.listen).await?;
        let handles = Handles {
            config,
            client,
            cluster: cluster_id,
            clock,
            writer,
            storage,
            catalog,
            projection,
            recent,
            policies,
            reach: Reach::new(),
            namespaces,
            bindings,
            globals,
            inventory,
            lookups,
            metrics,
            admission,
            kept,
            webhook,
            audit_webhooks,
            webhook_address: address,
            enforcers,
            stop,
        };
        Self::spawn(handles, &decisions, listener)
    }

    fn spawn(
        handles: Handles,
        decisions: &Recorder,
        listener: TcpListener,
    ) -> Result<Self, UpError> {
        let Handles { config, client, policies, .. } = handles.clone();
        let certificates = Arc::new(Certificates::open(
            &config.tls(),
            config.certificate_names(),
            upkeep::now(&handles.clock),
        )?);
        let tls = listener::tls_config(Arc::<Certificates>::clone(&certificates))
            .map_err(|error| UpError::Tls(error.to_string()))?;
        handles.audit_webhooks.write_kubeconfigs(&certificates.bundle())?;
        let routes = Routes::new(Arc::clone(&handles.webhook), Arc::clone(&handles.audit_webhooks));
        let bounds = Bounds { connections: CONNECTIONS, drain: DRAIN };
        let accepting = CancellationToken::new();
        let serving = tokio::spawn(listener::serve(
            listener,
            tls,
            Arc::new(routes),
            bounds,
            accepting.clone(),
        ));
        let shape = Arc::new(ArcSwap::from_pointee(Shape {
            endpoint: config.endpoint(handles.webhook_address),
            ca_bundle: certificates.bundle().as_ref().clone(),
            own_namespace: config.namespace.clone(),
            checks_policies: config.webhook.check_policies,
        }));
        let nudge = watch::Sender::new(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(upkeep::stop_accepting(handles.clone(), accepting));
        let keeper = Keeper { handles: &handles, shape: &shape, recorder: decisions };
        tasks.spawn(keeper.of::<Judging>().run(nudge.subscribe()));
        tasks.spawn(keeper.of::<Changing>().run(nudge.subscribe()));
        tasks.spawn(keeper.of::<OfPolicies>().run(nudge.subscribe()));
        tasks.spawn(Arc::clone(&handles.namespaces).watch(Arc::clone(&handles.reach)));
        tasks.spawn(Arc::clone(&handles.globals).follow(Arc::clone(&policies)));
        tasks.spawn(Arc::clone(&handles.inventory).follow(Arc::clone(&policies)));
        tasks.spawn(Arc::clone(&handles.bindings).watch(Arc::clone(&policies)));
        tasks.spawn(upkeep::certificates(handles.clone(), certificates, shape, nudge));
        tasks.spawn(upkeep::shortfall(Arc::clone(&handles.admission)));
        tasks.spawn(upkeep::filters(handles.clone()));
        if let Some(kept) = &handles.kept {
            tasks.spawn(upkeep::write_requests(Arc::clone(kept)));
            tasks.spawn(upkeep::erase_requests(handles.clone(), Arc::clone(kept)));
        }
        tasks.spawn(Arc::clone(&handles.reach).mend(client.clone()));
        for kind in definitions::KINDS {
            let (policies, reach) = (Arc::clone(&policies), Arc::clone(&handles.reach));
            tasks.spawn(cluster::watch(client.clone(), kind, policies, reach));
        }
        let (store, reach) = (Arc::clone(&policies), Arc::clone(&handles.reach));
        tasks.spawn(constraints::watch(client.clone(), store, reach));
        for root in &config.policies {
            tasks.spawn(directory::watch(root.clone(), Arc::clone(&policies)));
        }
        measured::show(&handles);
        write_run_file(&config.data, handles.webhook_address, None)?;
        tracing::info!(cluster = handles.cluster, webhook = %handles.webhook_address, "up");
        Ok(Self { handles, tasks, serving })
    }

    /// Adds what observes and shows: the audit trail, the background evaluation, the page.
    pub async fn add_parts(&mut self) -> Result<Page, UpError> {
        let shown = derived::follow(&self.handles);
        let mut audit = trail::start(self).await?;
        audit.heartbeats = heartbeats::start(self, &audit).await?;
        let progress = watching::start(self)?;
        making::start(self)?;
        let page = web::start(self, shown, audit, progress).await?;
        write_run_file(&self.handles.config.data, self.handles.webhook_address, Some(&page))?;
        Ok(page)
    }

    /// Adds a part that runs until everything stops.
    pub fn add(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(part);
    }

    /// Waits until `stop` is cancelled and what was under way has been answered and recorded.
    pub async fn wait(mut self) -> Result<(), UpError> {
        self.handles.stop.cancelled().await;
        tracing::info!("stopping: finishing what is under way");
        match (&mut self.serving).await {
            Ok(0) => {}
            Ok(left) => tracing::warn!(left, "connections were cut off"),
            Err(error) => tracing::error!(%error, "the webhook listener ended badly"),
        }
        self.tasks.shutdown().await;
        self.handles.admission.report_shortfall();
        let _ = std::fs::remove_file(run_file(&self.handles.config.data));
        let (writer, kept) = (Arc::clone(&self.handles.writer), self.handles.kept.clone());
        let close = move || {
            if let Some(error) = kept.and_then(|kept| kept.write().err()) {
                tracing::error!(%error, "the last requests are not kept");
            }
            writer.close()
        };
        match tokio::task::spawn_blocking(close).await {
            Ok(Ok(_)) => tracing::info!("stopped; the ledger is sealed"),
            Ok(Err(error)) => tracing::warn!(%error, "stopped; what is not sealed is kept"),
            Err(error) => tracing::error!(%error, "stopped"),
        }
        Ok(())
    }
}

/// What keeps our webhook configurations as they should be.
struct Keeper<'a> {
    handles: &'a Handles,
    shape: &'a Arc<ArcSwap<Shape>>,
    recorder: &'a Recorder,
}

impl Keeper<'_> {
    fn of<P: Part>(&self) -> Reconciler<P> {
        Reconciler::new(
            self.handles.client.clone(),
            Arc::clone(&self.handles.policies),
            Arc::clone(&self.handles.enforcers),
            Arc::clone(&self.handles.namespaces),
            Arc::clone(self.shape),
            self.recorder.clone(),
        )
    }
}

/// Where audit events find the decisions that they refer to: without a trail nothing does.
fn recent(config: &Config) -> RecentDecisions {
    let audited = !(config.audit.logs.is_empty() && config.audit.webhooks.is_empty());
    RecentDecisions::new(if audited { RECENT_DECISIONS } else { 0 }, None)
}

/// Where requests are kept for replays, if they are.
fn kept(
    config: &Config,
    writer: &Arc<Writer>,
    clock: &Clock,
) -> Result<Option<Arc<KeptRequests>>, SourceError> {
    if config.keep_requests_days == 0 {
        return Ok(None);
    }
    let recorder = Recorder::new(writer.source("requests/0", Start::Resume)?, clock.clone());
    Ok(Some(Arc::new(KeptRequests::new(Arc::clone(writer), recorder))))
}

async fn open_ledger(
    config: &Config,
    cluster: &str,
    storage: &Arc<LedgerStorage>,
) -> Result<Writer, UpError> {
    let ledger = Arc::new(Directory::new(config.data.join("ledger")));
    let private = Arc::new(Directory::private(config.data.join("private")));
    let guard = Arc::new(Directory::private(config.guard()));
    let mut options = WriterOptions::new(cluster, private, guard);
    let told = Arc::clone(storage);
    options.events = Arc::new(move |event| told.tell(event));
    let opening = tokio::task::spawn_blocking(move || Writer::open(ledger, options));
    let (writer, recovered) = opening.await.map_err(|error| UpError::Data {
        path: config.data.clone(),
        source: std::io::Error::other(error),
    })??;
    tracing::info!(
        origin = writer.origin(),
        next = recovered.next_seq,
        replayed = recovered.replayed,
        torn_bytes = recovered.torn,
        "opened the ledger"
    );
    Ok(writer)
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), UpError> {
    let wrong = |source| UpError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    Ok((listener, address))
}

/// The policies, none read yet.
fn policies(
    config: &Config,
    catalog: &Arc<Catalog>,
    enforcers: &Arc<Enforcers>,
    changes: Recorder,
    projection: &Projection,
) -> Result<Arc<PolicyStore>, UpError> {
    let policies = PolicyStore::new(
        Arc::<Catalog>::clone(catalog),
        Arc::clone(enforcers),
        changes,
        awaited(config),
        derived::previous_policies(projection)?,
    );
    policies.take_exceptions_from(config.exception_namespaces.clone());
    Ok(policies)
}

fn awaited(config: &Config) -> Vec<String> {
    let kinds = definitions::KINDS.into_iter().map(cluster::place);
    let directories = config.policies.iter().map(|root| directory::Directory::place(root));
    kinds.chain([constraints::PLACE.to_owned()]).chain(directories).collect()
}

fn run_file(data: &Path) -> PathBuf {
    data.join("run.json")
}

/// Tells the command line where the running process is.
fn write_run_file(data: &Path, webhook: SocketAddr, page: Option<&Page>) -> Result<(), UpError> {
    let content = serde_json::json!({
        "pid": std::process::id(),
        "webhook": format!("https://{webhook}"),
        "web": page.map(|page| &page.url),
        "token_file": page.map(|page| &page.token_file),
    });
    let path = run_file(data);
    private_file::write(&path, format!("{content}\n").as_bytes())
        .map_err(|source| UpError::Data { path, source })
}
