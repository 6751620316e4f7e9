//! The webhook over TLS, as an API server calls it, with a ledger whose disk can be full.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by panicking"
)]

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proofstream_ledger::storage::{AppendFile, Directory, Storage};
use proofstream_ledger::writer::{Start, Writer, WriterOptions};
use proofstream_model::{ControlRef, Decision, GapBody, PolicyBody, PolicyState, Record};
use proofstream_runtime::admission::{Admission, ApiServer, Bindings, Filters, Namespaces, Parts};
use proofstream_runtime::clock::Clock;
use proofstream_runtime::enforcers::Enforcers;
use proofstream_runtime::ingest::RecentDecisions;
use proofstream_runtime::inventory::Inventories;
use proofstream_runtime::metrics::Metrics;
use proofstream_runtime::policies::{
    ControlResolver, Offer, Origin, PolicyKey, PolicyStore, Previous,
};
use proofstream_runtime::recorder::Recorder;
use proofstream_server::admission::{BODY_BYTES, Webhook};
use proofstream_server::audit_webhook::AuditWebhooks;
use proofstream_server::certificates::Certificates;
use proofstream_server::listener::{self, Bounds};
use proofstream_server::routes::Routes;
use proofstream_server::up::Config;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
const PLACE: &str = "the test";
const CONCURRENCY: usize = 8;

struct NoControls;

impl ControlResolver for NoControls {
    fn controls(&self, _name: &str, _annotations: &BTreeMap<String, String>) -> ControlRef {
        ControlRef::default()
    }

    fn of_enforcer(&self, _enforcer: proofstream_model::Enforcer) -> ControlRef {
        ControlRef::default()
    }
}

/// A directory that takes no more bytes while its disk is full.
struct Disk {
    inner: Directory,
    full: Arc<AtomicBool>,
}

struct File {
    inner: Box<dyn AppendFile>,
    full: Arc<AtomicBool>,
}

fn no_space(full: &AtomicBool) -> io::Result<()> {
    if full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

impl Storage for Disk {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.inner.read(path)
    }
    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.inner.list(prefix)
    }
    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        no_space(&self.full)?;
        self.inner.write_new(path, bytes)
    }
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        no_space(&self.full)?;
        self.inner.replace(path, bytes)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn open_append(&self, path: &str) -> io::Result<Box<dyn AppendFile>> {
        no_space(&self.full)?;
        let full = Arc::clone(&self.full);
        Ok(Box::new(File { inner: self.inner.open_append(path)?, full }))
    }
    fn lock(&self, path: &str) -> io::Result<Box<dyn Send>> {
        self.inner.lock(path)
    }
}

impl AppendFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        no_space(&self.full)?;
        self.inner.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        no_space(&self.full)?;
        self.inner.sync()
    }
}

/// A webhook that listens, and what it is made of.
struct Stand {
    address: std::net::SocketAddr,
    connector: TlsConnector,
    admission: Arc<Admission>,
    policies: Arc<PolicyStore>,
    writer: Writer,
    full: Arc<AtomicBool>,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<usize>,
    _folder: tempfile::TempDir,
}

impl Stand {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let full = Arc::new(AtomicBool::new(false));
        let disk = |name: &str| {
            let inner = Directory::private(folder.path().join(name));
            Arc::new(Disk { inner, full: Arc::clone(&full) })
        };
        let options = WriterOptions::new("test-cluster", disk("private"), disk("guard"));
        let (writer, _) = Writer::open(disk("ledger"), options).unwrap();
        let clock = Clock::system();
        let recorder = |name: &str| {
            Recorder::new(writer.source(name, Start::NewEpoch).unwrap(), clock.clone())
        };
        let enforcers: Enforcers =
            [("ClusterPolicy".to_owned(), "proofstream".to_owned())].into_iter().collect();
        let policies = PolicyStore::new(
            Arc::new(NoControls),
            Arc::new(enforcers),
            recorder("policies"),
            vec![PLACE.to_owned()],
            Previous::default(),
        );
        // Nobody listens there: nothing here needs an API server's answer.
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = kube::Client::try_from(nowhere).unwrap();
        let admission = Arc::new(Admission::new(Parts {
            cluster: Some("test-cluster".to_owned()),
            policies: Arc::clone(&policies),
            recorder: recorder("admission/0"),
            recent: Arc::new(RecentDecisions::new(100, None)),
            namespaces: Arc::new(Namespaces::new(client.clone())),
            bindings: Arc::new(Bindings::new(client.clone())),
            lookups: Arc::new(ApiServer::new(client.clone())),
            inventory: Inventories::new(client),
            metrics: Metrics::new(),
            filters: Filters::new("proofstream"),
            kept: None,
        }));
        let config = Config { data: folder.path().to_owned(), ..Config::default() };
        let audit = Arc::new(AuditWebhooks::open(&config, Clock::system()).unwrap());
        let webhook = Arc::new(Routes::new(
            Arc::new(Webhook::new(Arc::clone(&admission), CONCURRENCY)),
            audit,
        ));
        let names = vec!["localhost".to_owned()];
        let now = jiff::Timestamp::now();
        let certificates =
            Arc::new(Certificates::open(&folder.path().join("tls"), names, now).unwrap());
        let bundle = certificates.bundle();
        let tls = listener::tls_config(certificates).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let bounds = Bounds { connections: 16, drain: PATIENCE };
        let serving = tokio::spawn(listener::serve(socket, tls, webhook, bounds, stop.clone()));
        let connector = connector(&bundle);
        Self {
            address,
            connector,
            admission,
            policies,
            writer,
            full,
            stop,
            serving,
            _folder: folder,
        }
    }

    fn enforce(&self, policy: Value) {
        let key = PolicyKey::of(&policy).unwrap();
        let offer = Offer { key, document: Ok(policy) };
        self.policies.replace(PLACE, |_, _| true, vec![(Origin::Cluster, offer)]);
    }

    /// Sends one request on a connection of its own; status and body.
    async fn ask(&self, head: &str, body: &[u8]) -> (u16, String) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.connector.connect(name, stream).await.unwrap();
        let head = format!(
            "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A body that is too long is refused before all of it is sent.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status, body.unwrap_or_default())
    }

    async fn review(&self, object: &Value) -> Value {
        let (status, body) = self.ask("POST /validate/fail?timeout=10s", &review(object)).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn records(&self) -> Vec<Record> {
        let mut observer = self.writer.observe(0);
        let mut found = Vec::new();
        while observer.position() < self.writer.durable_end() {
            let Some(observed) = observer.next(PATIENCE).unwrap() else { break };
            found.extend(observed.lines().map(|line| Record::parse(line).unwrap()));
        }
        found
    }
}

fn connector(bundle: &[u8]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn review(object: &Value) -> Vec<u8> {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "name": "m", "namespace": "payments",
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "userInfo": {"username": "alice"}, "object": object,
        }
    })
    .to_string()
    .into_bytes()
}

fn map(data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "m", "namespace": "payments"}, "data": {"a": data}})
}

fn refuse_maps() -> Value {
    json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "no-maps"},
        "spec": {"validationFailureAction": "Enforce", "rules": [{"name": "none",
            "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
            "validate": {"message": "No maps.", "deny": {}}}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_reviews_and_refuses_what_is_none() {
    let stand = Stand::start().await;
    let (status, body) = stand.ask("POST /validate/fail", &review(&map("b"))).await;
    assert_eq!((status, body.trim()), (503, "the policies are not read yet"));
    assert_eq!(stand.ask("GET /readyz", b"").await.0, 503);
    assert_eq!(stand.ask("GET /healthz", b"").await.0, 200);
    stand.enforce(refuse_maps());
    assert_eq!(stand.ask("GET /readyz", b"").await.0, 200);
    assert_eq!(stand.ask("GET /validate/fail", b"").await.0, 405);
    assert_eq!(stand.ask("POST /other", b"").await.0, 404);
    let (status, body) = stand.ask("POST /validate/fail", b"{").await;
    assert_eq!(status, 400);
    assert!(body.contains("not an AdmissionReview"), "{body}");

    // An object of 3 MiB is judged; beyond the limit the answer says so.
    let answer = stand.review(&map(&"x".repeat(3 << 20))).await;
    assert_eq!(answer["response"]["allowed"], false);
    assert_eq!(answer["response"]["status"]["code"], 403);
    assert_eq!(answer["response"]["auditAnnotations"]["decision"], "admission/0 1 0");
    let (status, body) = stand.ask("POST /validate/fail", &vec![b' '; BODY_BYTES + 1]).await;
    assert_eq!((status, body.trim()), (413, "the body is longer than 8 MiB"));

    stand.stop.cancel();
    assert_eq!(stand.serving.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_changes_no_verdict_and_is_recorded_as_a_gap() {
    let stand = Stand::start().await;
    stand.enforce(refuse_maps());
    assert_eq!(stand.review(&map("b")).await["response"]["allowed"], false);

    stand.full.store(true, Ordering::SeqCst);
    let asked = Instant::now();
    let answer = stand.review(&map("c")).await;
    assert_eq!(answer["response"]["allowed"], false, "{answer}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(stand.admission.counters().late.load(Ordering::Relaxed), 1);
    stand.admission.report_shortfall();

    stand.full.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let records = stand.records();
        let gaps: Vec<GapBody> =
            records.iter().filter_map(Record::body).map(Result::unwrap).collect();
        let late = gaps.iter().find(|gap| gap.cause.contains("before their decision was durable"));
        let decisions = records.iter().filter(|record| record.body::<Decision>().is_some()).count();
        if let Some(late) = late
            && decisions == 2
        {
            assert_eq!((late.source.as_str(), late.count), ("admission/0", Some(1)));
            break;
        }
        assert!(Instant::now() < deadline, "{decisions} decisions, {gaps:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_writer_changes_no_verdict() {
    let stand = Stand::start().await;
    stand.enforce(refuse_maps());
    stand.writer.close().unwrap();
    assert_eq!(stand.review(&map("b")).await["response"]["allowed"], false);
    assert_eq!(stand.admission.counters().unrecorded.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_text_leaves_the_one_before_it_in_force() {
    let stand = Stand::start().await;
    stand.enforce(refuse_maps());
    let mut broken = refuse_maps();
    broken["spec"]["rules"][0]["validate"] = json!({"patern": {}});
    stand.enforce(broken);
    assert_eq!(stand.review(&map("b")).await["response"]["allowed"], false);
    let reports = stand.policies.reports();
    assert!(!reports[0].ready && reports[0].message.contains("patern"), "{reports:?}");
    let states: Vec<_> = stand
        .records()
        .iter()
        .filter_map(Record::body::<PolicyBody>)
        .map(|body| body.unwrap().state)
        .collect();
    assert_eq!(states, [PolicyState::Active, PolicyState::Broken]);
}

/// A request that has everything but the end of its body.
async fn stalled(stand: &Stand, length: usize) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(stand.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = stand.connector.connect(name, stream).await.unwrap();
    let head = format!(
        "POST /validate/fail?timeout=30s HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_shed_and_said() {
    let stand = Stand::start().await;
    stand.enforce(refuse_maps());
    let mut under_way = Vec::new();
    for _ in 0..CONCURRENCY {
        under_way.push(stalled(&stand, 100).await);
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        // All the room is taken once a call is shed; it is answered before the API server gives up.
        let asked = Instant::now();
        let path = "POST /validate/fail?timeout=1s";
        let (status, body) = stand.ask(path, &review(&map("b"))).await;
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        if status == 503 {
            assert_eq!(body.trim(), "too many requests under way");
            break;
        }
        assert_eq!(status, 200, "{body}");
        assert!(Instant::now() < deadline, "nothing is shed");
    }
    assert_eq!(stand.admission.counters().unanswered.load(Ordering::Relaxed), 1);
    stand.admission.report_shortfall();
    let gap = |cause: &str| {
        let records = stand.records();
        let mut gaps = records.iter().filter_map(Record::body::<GapBody>).map(Result::unwrap);
        gaps.find(|gap| gap.cause == cause)
    };
    while gap("too many requests under way").is_none() {
        assert!(Instant::now() < deadline, "no gap says so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(gap("too many requests under way").unwrap().count, Some(1));

    // Once there is room again calls are answered as before, and what broke off is said too.
    drop(under_way);
    loop {
        let (status, _) = stand.ask("POST /validate/fail?timeout=1s", &review(&map("b"))).await;
        if status == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "there is no room");
    }
    while gap("a request's body broke off").is_none() {
        stand.admission.report_shortfall();
        assert!(Instant::now() < deadline, "no gap says so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_count_only_where_they_may_stand() {
    let stand = Stand::start().await;
    stand.policies.take_exceptions_from(vec!["security-*".to_owned()]);
    stand.enforce(refuse_maps());
    let exception = |namespace: &str| {
        json!({"apiVersion": "kyverno.io/v2", "kind": "PolicyException",
            "metadata": {"name": "spare", "namespace": namespace},
            "spec": {"exceptions": [{"policyName": "no-maps", "ruleNames": ["*"]}],
                "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}}})
    };
    let offer = |document: Value| {
        let offer = Offer { key: PolicyKey::of(&document).unwrap(), document: Ok(document) };
        stand.policies.offer(Origin::Cluster, offer);
    };
    offer(exception("payments"));
    assert_eq!(stand.review(&map("b")).await["response"]["allowed"], false);
    let reports = stand.policies.reports();
    let ignored = reports.iter().find(|report| !report.ready).unwrap();
    assert!(ignored.message.contains("exceptions in namespace `payments` do not count"));
    offer(exception("security-eu"));
    assert_eq!(stand.review(&map("b")).await["response"]["allowed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_http_2_is_spoken_to_in_it() {
    let stand = Stand::start().await;
    for (offered, agreed) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"][..], "http/1.1")] {
        let mut config = rustls::ClientConfig::clone(stand.connector.config());
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(stand.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(agreed.as_bytes()));
    }
}
